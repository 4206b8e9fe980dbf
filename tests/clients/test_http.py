"""The HTTP door: who gets in, and with what."""

import json

import httpx2
import pytest
from raw_stdio import INFO, META
from support import ACTIVATE, DELETE, GENERATIONS, HTTP_TOKEN, LEGACY, MODERN, Process, World, environment, eventually

BEARER = {"Authorization": f"Bearer {HTTP_TOKEN}"}
BOTH = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def initialize():
    return {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": INFO},
    }  # fmt: skip


def modern(method, params=None, name=None):
    """A 2026-07-28 request: headers and body."""
    meta = {f"{META}protocolVersion": MODERN, f"{META}clientInfo": INFO, f"{META}clientCapabilities": {}}
    headers = {**BOTH, **BEARER, "MCP-Protocol-Version": MODERN, "Mcp-Method": method, **({"Mcp-Name": name} if name else {})}
    return headers, {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**(params or {}), "_meta": meta}}


def post(world, headers, body=None, **options):
    content = options.pop("content", None) or json.dumps(body or initialize())
    return httpx2.post(f"{world.url}/mcp", headers=headers, content=content, timeout=30, **options)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {HTTP_TOKEN}x"},
        {"Authorization": f"Bearer {HTTP_TOKEN[:-1]}"},
        {"Authorization": f"Basic {HTTP_TOKEN}"},
        {"Authorization": HTTP_TOKEN},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer null"},
        {"X-Authorization": f"Bearer {HTTP_TOKEN}"},
        {"Cookie": f"token={HTTP_TOKEN}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ("/mcp", "/mcp?token=" + HTTP_TOKEN))
def test_without_the_bearer_token_the_answer_is_401(table, path, headers):
    answer = httpx2.post(table.url + path, headers={**BOTH, **headers}, content=json.dumps(initialize()))
    assert answer.status_code == 401, (answer.status_code, answer.text)
    assert answer.headers["www-authenticate"].lower().startswith("bearer")
    assert HTTP_TOKEN not in answer.text and "protocolVersion" not in answer.text


def test_the_scheme_of_the_token_is_known_in_any_case(table):
    answer = post(table, {**BOTH, "Authorization": f"bearer {HTTP_TOKEN}"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "evil.example@127.0.0.1", "169.254.169.254", ""]
)
def test_t16_a_foreign_host_is_refused(table, host):
    answer = post(table, {**BOTH, **BEARER, "Host": host})
    assert answer.status_code in ((403,) if host else (400, 403)), (answer.status_code, answer.text)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"]
)
@pytest.mark.parametrize("mode", GENERATIONS)
def test_t16_a_foreign_origin_is_refused(table, origin, mode):
    headers, body = (modern("tools/list") if mode == MODERN else ({**BOTH, **BEARER}, initialize()))
    answer = post(table, {**headers, "Origin": origin}, body)
    assert answer.status_code == 403, (answer.status_code, answer.text)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ("/healthz", "/readyz"))
def test_health_is_open_and_tells_nothing(table, path):
    answer = httpx2.get(table.url + path)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) < 500 and "example.com" not in answer.text


def test_the_approvers_page_asks_who_it_is_and_tells_nothing(table):
    for answer in (httpx2.get(f"{table.url}/console"), httpx2.get(f"{table.url}/console/op_{'0' * 32}")):
        assert answer.status_code == 200 and "example.com" not in answer.text, answer.text
    assert httpx2.post(f"{table.url}/console").status_code == 405


@pytest.mark.parametrize("path", ("/", "/metrics", "/console/../mcp", "/mcp/", "/MCP", "//mcp", "/mcp/x", "/.well-known/x", "/healthz/../mcp"))
@pytest.mark.parametrize("method", ("GET", "POST"))
def test_nothing_else_is_open_without_the_token(table, method, path):
    answer = httpx2.request(method, table.url + path, headers=BOTH, content=json.dumps(initialize()) if method == "POST" else None)
    assert answer.status_code in (401, 404, 405), (answer.status_code, answer.text)


@pytest.mark.parametrize("size,expected", ((2**20 + 1, 413), (4 * 2**20, 413)))
def test_a_body_over_one_mebibyte_is_refused(table, size, expected):
    headers, body = modern("tools/call", {"name": "find_user", "arguments": {"query": "x"}}, "find_user")
    body["params"]["arguments"]["query"] = "x" * (size - len(json.dumps(body)) + 1)
    content = json.dumps(body)
    assert len(content) == size
    assert post(table, headers, content=content).status_code == expected


def test_a_body_of_one_mebibyte_is_taken(table):
    headers, body = modern("tools/call", {"name": "find_user", "arguments": {"query": "x"}}, "find_user")
    body["params"]["arguments"]["query"] = "x" * (2**20 - len(json.dumps(body)) + 1)
    answer = post(table, headers, body)
    assert answer.status_code == 200 and "INVALID_ARGUMENT" in answer.text, answer.text[:300]


ODD = {
    "wrong content type": ({"Content-Type": "text/plain"}, None, {415}),
    "no accept": ({"Accept": "text/html"}, None, {406}),
    "gzip": ({"Content-Encoding": "gzip"}, None, {415}),
    "a batch": ({}, "[" + json.dumps(initialize()) + "]", {400, 415}),
    "broken JSON": ({}, '{"jsonrpc":', {400, 415}),
    "another name in the header": ({"Mcp-Name": "deprovision_user"}, "modern", {400}),
    "another method in the header": ({"Mcp-Method": "tools/list"}, "modern", {400}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_requests_are_refused_by_status(table, name):
    change, content, expected = ODD[name]
    headers, body = modern("tools/call", {"name": "find_user", "arguments": {"query": "x"}}, "find_user")
    if content != "modern":
        headers, body = {**BOTH, **BEARER}, initialize()
    answer = post(table, {**headers, **change}, body, content=content if content != "modern" else None)
    assert answer.status_code in expected, (answer.status_code, answer.text)


@pytest.mark.parametrize("method", ("GET", "DELETE", "PUT"))
def test_other_methods_on_the_endpoint_are_refused(table, method):
    answer = httpx2.request(method, f"{table.url}/mcp", headers={**BEARER, "Accept": "text/event-stream", "MCP-Protocol-Version": MODERN})
    assert 400 <= answer.status_code < 500, answer.status_code


def test_nothing_in_the_table_was_sent_to_the_tenant(table):
    assert table.sandbox.calls(DELETE, ACTIVATE) == []


async def test_two_clients_of_one_server_do_not_meet(world):
    with world.http() as server:
        async with world.http_session(server.url, LEGACY) as one, world.http_session(server.url, MODERN) as two:
            for query, session in ((165_000_003, one), (165_000_004, two)):
                assert (await session.call("find_user", query=query))["users"][0]["id"] == query


def test_without_a_token_setting_one_is_made_and_kept_private(world, tmp_path):
    del world.settings["ZIA_MCP_HTTP_TOKEN"]
    with world.http("--log", "info") as server:
        private = [p for p in world.state.iterdir() if p.is_file()]
        assert private and all(p.stat().st_mode & 0o077 == 0 for p in private), private
        tokens = [p for p in private if "token" in p.name]
        assert len(tokens) == 1, private
        token = tokens[0].read_text().strip()
        eventually(lambda: str(tokens[0]).encode() in server.stderr + server.stdout, why="where the token is was not said")
        assert token.encode() not in server.stderr + server.stdout
        answer = httpx2.post(f"{server.url}/mcp", headers={**BOTH, "Authorization": f"Bearer {token}"}, json=initialize())
        assert answer.status_code == 200, answer.text
    with world.http() as server:
        answer = httpx2.post(f"{server.url}/mcp", headers={**BOTH, "Authorization": f"Bearer {token}"}, json=initialize())
        assert answer.status_code == 200, "the token changed at the second start"


@pytest.mark.parametrize("address", ("0.0.0.0:0", "[::]:0"))
def test_other_addresses_than_loopback_need_tls_or_a_proxy(world: World, address):
    ran = world.run("serve", "--http", address, within=20)
    assert ran.returncode in (64, 78), (ran.returncode, ran.stderr)
    assert "tls" in ran.stderr.lower() and "--behind-proxy" in ran.stderr


async def test_a_terminated_server_drains_and_ends_in_five_seconds(world):
    with world.http() as server:
        async with world.http_session(server.url, LEGACY) as session:
            assert await session.is_usable()
            assert server.stop(within=6) == 0


def test_a_taken_port_is_told(world):
    with world.http() as server:
        port = server.url.rsplit(":", 1)[1]
        ran = world.run("serve", "--http", f"127.0.0.1:{port}", within=20)
        assert ran.returncode == 69 and port in ran.stderr, (ran.returncode, ran.stderr)


def test_the_sandbox_listens_on_loopback_only(tmp_path):
    with pytest.raises(AssertionError), Process(["sandbox", "--listen", "0.0.0.0:0"], environment(tmp_path)) as process:
        process.line()
