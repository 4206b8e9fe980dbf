"""The real binary as child processes: a sandbox tenant, servers in front of it, commands beside it."""

import asyncio
import http.client
import json
import os
import queue
import shlex
import subprocess
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx2
from answers import Session
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from mcp import Client, StdioServerParameters

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ZIA_MCP_BIN") or str(ROOT / "target/debug/zia-mcp")
LEGACY, MODERN = "legacy", "2026-07-28"
GENERATIONS = (LEGACY, MODERN)
HTTP_TOKEN = "a-bearer-token-that-only-the-tests-know-4c1f"

# Endpoints as the sandbox tenant names them.
SIGN_IN = "POST /authenticatedSession"
CREATE = "POST /users"
DELETE = "DELETE /users/{id}"
ACTIVATE = "POST /status/activate"
STATUS = "GET /status"
WRITES = {CREATE, DELETE, ACTIVATE, "PUT /users/{id}", "POST /users/bulkDelete", "PUT /eusaStatus/{id}"}
DELETES = {DELETE, "POST /users/bulkDelete"}


def eventually(look, within=15.0, why="the condition did not come true"):
    """Looks again and again until `look` gives something true, and returns it."""
    until = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < until, why
        time.sleep(0.02)
    return found


async def soon(look, within=15.0):
    """The same, while other tasks go on."""
    return await asyncio.to_thread(eventually, look, within)


def spoilt(text):
    """The same with one character in the middle another one, whichever it was."""
    middle = len(text) // 2
    return text[:middle] + ("B" if text[middle] == "A" else "A") + text[middle + 1 :]


def environment(home, **settings):
    """What a child process gets: nothing of ours but these settings."""
    plain = {name: os.environ[name] for name in ("PATH", "LANG", "LLVM_PROFILE_FILE") if name in os.environ}
    return {**plain, "HOME": str(home), "NO_COLOR": "1", **{k: str(v) for k, v in settings.items()}}


@contextmanager
def one_error():
    """What went wrong inside, without the task groups around it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


class Process:
    """A child process whose lines are collected; it ends with the `with` block."""

    def __init__(self, arguments, env):
        self.child = subprocess.Popen(
            [BINARY, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.stdout, self.stderr, self._lines = bytearray(), bytearray(), queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, kept), daemon=True)
            for stream, kept in ((self.child.stdout, self.stdout), (self.child.stderr, self.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, kept):
        for line in stream:
            kept += line
            if kept is self.stdout:
                self._lines.put(line.decode().rstrip("\n"))
        if kept is self.stdout:
            self._lines.put(None)

    def line(self, within=20.0):
        """The next line of stdout."""
        line = self._lines.get(timeout=within)
        assert line is not None, f"the process ended: {self.stderr.decode(errors='replace')[-2000:]}"
        return line

    def stop(self, within=10.0):
        """Asks it to end, and returns its exit code."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            code = self.child.wait(within)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.child.args} did not end within {within} s of SIGTERM") from None
        for reader in self._readers:
            reader.join(5)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Sandbox(Process):
    """`zia-mcp sandbox`, its settings and its control paths."""

    def __init__(self, home, users=60, seed=1):
        arguments = ["sandbox", "--listen", "127.0.0.1:0", "--users", str(users), "--seed", str(seed)]
        super().__init__(arguments, environment(home))
        first = self.line()
        assert first.startswith("sandbox tenant at http://127.0.0.1:"), first
        self.url = first.removeprefix("sandbox tenant at ")
        self.settings = dict(shlex.split(self.line())[0].split("=", 1) for _ in range(7))

    def control(self, method, path, body=None):
        """Calls a control path, such as `PUT faults/hang`."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, f"/_sandbox/{path}".rstrip("/"), payload, {"content-type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
            assert reply.status == 200, f"{method} {path}: {reply.status} {text!r}"
            return json.loads(text)
        finally:
            connection.close()

    def journal(self):
        return self.control("GET", "journal")

    def calls(self, *endpoints):
        """The journal's entries of these endpoints, in order."""
        return [entry for entry in self.journal() if entry["endpoint"] in endpoints]

    def writes(self):
        return self.calls(*WRITES)

    def deletes(self):
        return self.calls(*DELETES)

    def forget(self):
        self.control("DELETE", "journal")

    def fault(self, name, **parameters):
        self.control("PUT", f"faults/{name}", parameters)

    def mend(self):
        self.control("DELETE", "faults")

    def users(self, view="staged"):
        return self.control("GET", f"users?view={view}")

    def user(self, email):
        """The user of an address, staged changes included, or nothing."""
        return next((u for u in self.users() if u["email"].lower() == email.lower()), None)


class World:
    """A sandbox tenant, a state directory, and whatever is started between them."""

    def __init__(self, place, sandbox, **settings):
        self.place, self.sandbox = Path(place), sandbox
        self.state = self.place / "state"
        self.state.mkdir(mode=0o700, exist_ok=True)
        own = {name: sandbox.settings[name] for name in ("ZIA_BASE_URL", "ZIA_USERNAME", "ZIA_PASSWORD", "ZIA_API_KEY")}
        self.settings = {**own, "ZIA_MCP_STATE_DIR": str(self.state), "ZIA_MCP_HTTP_TOKEN": HTTP_TOKEN, **settings}
        self.log = self.place / "stderr.log"

    def configure(self, text):
        """Writes the configuration file that everything started from now on reads."""
        path = self.place / "zia-mcp.toml"
        path.write_text(text)
        path.chmod(0o600)
        self.settings["ZIA_MCP_CONFIG"] = str(path)

    @property
    def env(self):
        return environment(self.place, **self.settings)

    def run(self, *arguments, env=None, stdin="", within=60.0):
        """Runs a command to its end."""
        return subprocess.run(
            [BINARY, *arguments], env=env or self.env, input=stdin, text=True, capture_output=True, timeout=within
        )

    def call(self, tool, **arguments):
        """`zia-mcp call`, its exit code and the JSON it printed."""
        ran = self.run("call", tool, json.dumps(arguments))
        assert ran.stdout.strip(), ran.stderr
        return ran.returncode, json.loads(ran.stdout)

    def stored(self):
        """Every file of the state directory with its bytes."""
        return {path: path.read_bytes() for path in self.state.rglob("*") if path.is_file()}

    @contextmanager
    def http(self, *flags):
        """`zia-mcp serve --http`, and its URL without a path."""
        with Process(["serve", "--http", "127.0.0.1:0", *flags], self.env) as server:
            first = server.line()
            assert first.startswith("listening on http://127.0.0.1:"), first
            server.url = first.removeprefix("listening on ")
            yield server

    @asynccontextmanager
    async def stdio_session(self, mode, person=None, flags=(), **options):
        """A client of a `zia-mcp serve` of its own."""
        parameters = StdioServerParameters(command=BINARY, args=["serve", *flags], env=self.env)
        with one_error(), self.log.open("ab") as log:
            async with Client(stdio_client(parameters, errlog=log), mode=mode, elicitation_callback=person, **options) as client:
                yield Session(client)

    @asynccontextmanager
    async def http_session(self, url, mode, person=None, token=HTTP_TOKEN, **options):
        """A client of a server that runs."""
        with one_error():
            async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=90) as http_client:
                target = streamable_http_client(f"{url}/mcp", http_client=http_client)
                async with Client(target, mode=mode, elicitation_callback=person, **options) as client:
                    yield Session(client)

    @asynccontextmanager
    async def session(self, transport, mode, person=None, flags=(), **options):
        """A client over stdio or HTTP, with a server of its own."""
        if transport == "stdio":
            async with self.stdio_session(mode, person, flags, **options) as session:
                yield session
        else:
            with self.http(*flags) as server:
                async with self.http_session(server.url, mode, person, **options) as session:
                    yield session
