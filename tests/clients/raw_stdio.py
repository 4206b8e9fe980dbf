"""A server over stdio, driven by bytes: for what no honest client sends."""

import asyncio
import json
from contextlib import asynccontextmanager

from support import BINARY, LEGACY, MODERN

META = "io.modelcontextprotocol/"
INFO = {"name": "raw", "version": "1"}


class RawServer:
    """One `zia-mcp serve`, its lines in and out."""

    def __init__(self, child, mode):
        self.child, self.mode = child, mode
        self.stdout, self.stderr = bytearray(), bytearray()
        self.messages, self._arrived = [], asyncio.Condition()
        self._last_id = 0
        self.readers = [asyncio.create_task(self._read_out()), asyncio.create_task(self._read_err())]

    async def _read_out(self):
        while line := await self.child.stdout.readline():
            self.stdout += line
            async with self._arrived:
                self.messages.append(json.loads(line))
                self._arrived.notify_all()

    async def _read_err(self):
        while chunk := await self.child.stderr.read(65536):
            self.stderr += chunk

    async def send(self, message):
        """Sends one line: bytes as they are, anything else as JSON."""
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.child.stdin.write(line + b"\n")
        await self.child.stdin.drain()

    async def answer_to(self, wanted, within=60.0):
        """The first message that `wanted` accepts, whenever it came; it is taken away."""

        def find():
            return next((m for m in self.messages if wanted(m)), None)

        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(find), within)
            found = find()
            self.messages.remove(found)
            return found

    def next_id(self):
        self._last_id += 1
        return self._last_id

    def request(self, method, params, capabilities=None, meta=None):
        """A request of this generation, not sent yet."""
        message = {"jsonrpc": "2.0", "id": self.next_id(), "method": method, "params": dict(params)}
        stamp = dict(meta or {})
        if self.mode == MODERN:
            stamp |= {
                f"{META}protocolVersion": MODERN,
                f"{META}clientInfo": INFO,
                f"{META}clientCapabilities": capabilities if capabilities is not None else {},
            }
        if stamp:
            message["params"]["_meta"] = stamp
        return message

    async def ask(self, method, params=None, within=60.0, **options):
        """Sends a request and returns the whole answering message."""
        message = self.request(method, params or {}, **options)
        await self.send(message)
        return await self.answer_to(lambda m: m.get("id") == message["id"] and "method" not in m, within)

    async def call(self, tool, arguments, within=60.0, state=None, answers=None, **options):
        params = {"name": tool, "arguments": arguments}
        if state is not None:
            params["requestState"] = state
        if answers is not None:
            params["inputResponses"] = answers
        return await self.ask("tools/call", params, within, **options)

    async def lives(self):
        """Whether the connection still answers a plain request."""
        answer = await self.ask("tools/list", within=20)
        return "tools" in answer.get("result", {})


@asynccontextmanager
async def raw_server(world, mode=LEGACY, capabilities=None, flags=(), log="trace", version="2025-11-25"):
    """Starts a server, with the handshake of its generation done."""
    child = await asyncio.create_subprocess_exec(
        BINARY, "serve", "--log", log, *flags, env=world.env,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=2**24,
    )  # fmt: skip
    server = RawServer(child, mode)
    try:
        if mode != MODERN:
            opened = {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": INFO}
            await server.ask("initialize", opened)
            await server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield server
    finally:
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 15)
        except TimeoutError:
            child.kill()
            raise AssertionError("the server did not end 15 s after its input ended") from None
        await asyncio.gather(*server.readers)
