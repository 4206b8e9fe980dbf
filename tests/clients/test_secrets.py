"""Planted secrets appear nowhere: no output, no log at trace level, no error, no file of the store."""

import json
import subprocess
from pathlib import Path

import httpx2
import pytest
from lifecycle_steps import NEW
from people import accepts
from raw_stdio import raw_server
from support import BINARY, HTTP_TOKEN, LEGACY, MODERN, eventually
from wiretap import Wiretap, disguises, leaks

WRONG_PASSWORD = "Wr0ng-canary-pa55word-81f2"
ARGUMENT_PASSWORD = "Argum3nt-canary-pa55word-77c0"
WRONG_BEARER = "wrong-bearer-canary-0f3a9d"
PRIVATE_KEY = "canaryPrivateKeyBody0123456789abcdefXYZ"


@pytest.mark.parametrize("secret", ("Geheim+/=ä!12345", "K9xQ2mB7vLp4", "A0B1C2D3E4F5A6B7C8D9E0F1A2B3C4D5"))
def test_the_search_finds_every_disguise(secret):
    import base64
    import urllib.parse

    raw = secret.encode()
    for hidden in (
        raw, raw[::-1], raw.hex().encode(), urllib.parse.quote(secret, safe="").encode(),
        base64.b64encode(raw), base64.b64encode(b"user:" + raw), base64.b64encode(b"ab" + raw + b"c"),
    ):  # fmt: skip
        assert leaks({"it": secret}, {"here": b"before " + hidden + b" after"}), hidden
    assert not leaks({"it": secret}, {"here": b"something else altogether"})
    assert all(len(form) >= 8 for form in disguises(secret))


async def life(world, mode):
    """A whole life over raw stdio at trace level; everything that came out."""
    forms = {"elicitation": {"form": {}}}
    async with raw_server(world, mode, forms) as server:
        await server.call("find_user", {"query": NEW["email"]}, capabilities=forms)
        await server.call("provision_user", {**NEW, "password": ARGUMENT_PASSWORD}, capabilities=forms)
        made = await server.call("provision_user", NEW, capabilities=forms)
        assert made["result"]["structuredContent"]["outcome"] == "done", made
        changed = await server.call("update_user", {"user": NEW["email"], "comments": "moved"}, capabilities=forms)
        assert changed["result"]["structuredContent"]["outcome"] == "done", changed
        await server.call("tenant_status", {}, capabilities=forms)
        asking = server.request("tools/call", {"name": "deprovision_user", "arguments": {"user": NEW["email"]}}, capabilities=forms)
        await server.send(asking)
        good = {"action": "accept", "content": {"confirm": NEW["email"]}}
        if mode == MODERN:
            asked = await server.answer_to(lambda m: m.get("id") == asking["id"])
            state = asked["result"]["requestState"]
            gone = await server.call("deprovision_user", {"user": NEW["email"]}, state=state, answers={"confirm": good}, capabilities=forms)
        else:
            asked = await server.answer_to(lambda m: m.get("method") == "elicitation/create")
            await server.send({"jsonrpc": "2.0", "id": asked["id"], "result": good})
            gone = await server.answer_to(lambda m: m.get("id") == asking["id"] and "method" not in m)
        assert gone["result"]["structuredContent"]["outcome"] == "done", gone
        await server.ask("resources/read", {"uri": gone["result"]["structuredContent"]["capture"]["uri"]})
    return bytes(server.stdout), bytes(server.stderr)


async def failures(world, tap):
    """Failing runs at trace level: wrong password, tenant down, HTML instead of JSON, errors with bodies."""
    out = {}

    async def run(name, **settings):
        old = dict(world.settings)
        world.settings.update(settings)
        async with raw_server(world, LEGACY) as server:
            await server.call("find_user", {"query": "taro.yamada@example.com"})
            await server.call("provision_user", NEW)
        world.settings = old
        out[f"{name} stdout"], out[f"{name} stderr"] = bytes(server.stdout), bytes(server.stderr)

    await run("wrong password", ZIA_PASSWORD=WRONG_PASSWORD)
    await run("tenant down", ZIA_BASE_URL="http://127.0.0.1:1")
    for name, fault in (
        ("HTML", {"name": "html_page"}),
        ("HTML 403", {"name": "html_page", "status": 403}),
        ("redirect", {"name": "redirect"}),
        ("500", {"name": "server_error", "status": 500, "endpoint": "POST /users"}),
        ("cut off", {"name": "truncated_body"}),
        ("login error", {"name": "documented_login_error"}),
    ):
        world.sandbox.mend()
        world.sandbox.fault(fault.pop("name"), **fault)
        await run(name)
    world.sandbox.mend()
    return out


def secrets_of(world, tap):
    """What must not be seen again: what was given, and what was heard on the wire."""
    sandbox = world.sandbox.settings
    names = {
        "API key": sandbox["ZIA_API_KEY"],
        "password": sandbox["ZIA_PASSWORD"],
        "HTTP token": HTTP_TOKEN,
        "wrong password": WRONG_PASSWORD,
        "password as an argument": ARGUMENT_PASSWORD,
        "wrong bearer": WRONG_BEARER,
    }
    heard = {"session cookie": r"JSESSIONID=([0-9A-F]{32})", "obfuscated key": r'"apiKey" ?: ?"([^"]+)"'}
    for name, pattern in heard.items():
        names |= {f"{name} {n}": value for n, value in enumerate(sorted(tap.heard(pattern)))}
    passwords = {json.loads(f'"{p}"') for p in tap.heard(r'"password" ?: ?"((?:[^"\\]|\\.)+)"')} - set(names.values())
    names |= {f"generated password {n}": value for n, value in enumerate(sorted(passwords))}
    return names


def key_material(world):
    """The words of the key file that are keys, and the file that may hold them."""
    (file,) = [path for path in world.stored() if path.name == "key"]
    words = [w for line in file.read_text().splitlines() if not line.startswith("#") for w in line.split()]
    keys = [w for w in words if len(w) >= 40]
    assert keys, "no key found in the key file"
    return file, {f"key file {n}": key for n, key in enumerate(keys)}


def raw_keys(keys):
    import base64

    return {f"{name} raw": base64.b64decode(key) for name, key in keys.items()}


async def test_t18_no_secret_of_an_api_key_sign_in_appears_anywhere(world):
    with Wiretap(world.sandbox.url) as tap:
        world.settings["ZIA_BASE_URL"] = tap.url
        places = {}
        for mode in (LEGACY, MODERN):
            places[f"{mode} stdout"], places[f"{mode} stderr"] = await life(world, mode)
        places |= await failures(world, tap)
        with world.http("--log", "trace") as server:
            async with world.http_session(server.url, MODERN, accepts(NEW["email"])) as session:
                await session.call("find_user", query="taro.yamada@example.com")
            refused = httpx2.post(f"{server.url}/mcp", headers={"Authorization": f"Bearer {WRONG_BEARER}"}, content="{}")
            metrics = httpx2.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {HTTP_TOKEN}"})
            places["HTTP answers"] = refused.content + str(refused.headers).encode() + metrics.content
        places["HTTP stdout"], places["HTTP stderr"] = bytes(server.stdout), bytes(server.stderr)
        for command in (["doctor"], ["operations"], ["operations", "--json"], ["captures", "list", "--json"], ["call", "tenant_status"]):
            ran = world.run(*command, "--log", "trace")
            places[" ".join(command)] = (ran.stdout + ran.stderr).encode()
        assert all(content for name, content in places.items() if "stderr" in name), "nothing was logged at trace level"
        secrets = secrets_of(world, tap)
        key_file, keys = key_material(world)
        secrets |= keys | raw_keys(keys)
        places |= {str(path): content for path, content in world.stored().items() if path != key_file}
        assert len(secrets) >= 10 and len([n for n in secrets if n.startswith("generated password")]) >= 2, secrets.keys()
    assert leaks(secrets, places) == []


async def test_t18_no_secret_of_a_one_api_sign_in_appears_anywhere(world):
    for name in ("ZIA_USERNAME", "ZIA_PASSWORD", "ZIA_API_KEY"):
        del world.settings[name]
    sandbox = world.sandbox.settings
    with Wiretap(world.sandbox.url) as tap:
        world.settings |= {
            "ZIA_BASE_URL": tap.url,
            "ZSCALER_TOKEN_URL": f"{tap.url}/oauth2/v1/token",
            "ZSCALER_CLIENT_ID": sandbox["ZSCALER_CLIENT_ID"],
            "ZSCALER_CLIENT_SECRET": sandbox["ZSCALER_CLIENT_SECRET"],
        }
        places = dict(zip(("stdout", "stderr"), await life(world, MODERN), strict=True))
        world.sandbox.fault("html_page", endpoint="POST /oauth2/v1/token")
        async with raw_server(world, LEGACY) as server:
            await server.call("find_user", {"query": "1"})
        places |= {"failing stdout": bytes(server.stdout), "failing stderr": bytes(server.stderr)}
        secrets = {"client secret": sandbox["ZSCALER_CLIENT_SECRET"]}
        for n, token in enumerate(sorted(tap.heard(r'"access_token" ?: ?"([^"]+)"'))):
            secrets[f"access token {n}"] = token
        key_file, keys = key_material(world)
        secrets |= keys
        places |= {str(path): content for path, content in world.stored().items() if path != key_file}
    assert leaks(secrets, places) == []


def test_a_private_key_that_cannot_be_read_is_not_quoted(world):
    for name in ("ZIA_USERNAME", "ZIA_PASSWORD", "ZIA_API_KEY"):
        del world.settings[name]
    pem = f"-----BEGIN PRIVATE KEY-----\n{PRIVATE_KEY}\n-----END PRIVATE KEY-----\n"
    world.settings |= {"ZSCALER_TOKEN_URL": world.sandbox.settings["ZSCALER_TOKEN_URL"], "ZSCALER_CLIENT_ID": "id", "ZSCALER_PRIVATE_KEY": pem}
    ran = world.run("call", "tenant_status", "--log", "trace")
    assert ran.returncode == 78, (ran.returncode, ran.stderr)
    assert leaks({"private key": PRIVATE_KEY}, {"stdout": ran.stdout.encode(), "stderr": ran.stderr.encode()}) == []


def test_a_server_does_not_keep_its_secrets_in_its_arguments(world):
    with world.http() as server:
        cmdline = Path(f"/proc/{server.child.pid}/cmdline").read_bytes()
    assert leaks({"password": world.sandbox.settings["ZIA_PASSWORD"], "token": HTTP_TOKEN}, {"cmdline": cmdline}) == []


async def test_a_capture_is_unreadable_in_the_store(world):
    victim = world.sandbox.user("grace.manygroups@example.com")
    async with world.stdio_session("auto", accepts(victim["email"])) as session:
        gone = await session.call("deprovision_user", user=victim["email"])
        assert gone.outcome == "done", gone
    row = json.loads(world.run("captures", "show", gone["capture"]["id"]).stdout)["row"]
    assert row["email"] == victim["email"]
    raw = json.dumps(row["groups"][0], separators=(",", ":")).encode()
    assert not [path for path, content in world.stored().items() if raw in content]


def test_a_panic_or_a_dump_is_not_provoked_by_closed_outputs(world):
    """A reader that goes away ends the process quietly."""
    child = subprocess.Popen([BINARY, "operations"], env=world.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    error = child.stderr.read().decode()
    child.stderr.close()
    eventually(lambda: child.poll() is not None)
    assert "panicked" not in error
