"""The proxy that other suites go through changes nothing but the token."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from support import HTTP_TOKEN, LEGACY, MODERN
from test_http import BOTH, initialize


@contextmanager
def proxy(url):
    script = Path(__file__).with_name("bearer_proxy.py")
    child = subprocess.Popen([sys.executable, script, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        child.stdin.write(f"{HTTP_TOKEN}\n")
        child.stdin.flush()
        yield child.stdout.readline().strip()
    finally:
        child.terminate()
        child.wait(10)


@pytest.mark.parametrize("mode", (LEGACY, MODERN))
async def test_a_client_without_a_token_gets_through_with_streams(world, mode):
    world.sandbox.fault("delay", ms=3_000, endpoint="GET /users/{id}")
    heard = []

    async def hear(progress, _total, _message):
        heard.append(progress)

    with world.http() as server, proxy(server.url) as url:
        async with world.http_session(url, mode, token="none") as session:
            found = await session.call("find_user", query=165_000_003, progress=hear)
            assert found["match"] == "exact"
    assert heard, "no progress came through"


def test_host_and_origin_reach_the_server_as_they_were_sent(table):
    with proxy(table.url) as url:
        for name in ("Host", "Origin"):
            value = "evil.example" if name == "Host" else "https://evil.example"
            answer = httpx2.post(f"{url}/mcp", headers={**BOTH, name: value}, content=json.dumps(initialize()))
            assert answer.status_code == 403, (name, answer.status_code)
        assert httpx2.post(f"{url}/mcp", headers=BOTH, content=json.dumps(initialize())).status_code == 200
