"""A client that forges, replays and swaps: exactly one execution, or none (guardrails T3, T5, T6)."""

import asyncio
import json
from contextlib import AsyncExitStack

import httpx2
import pytest
from lifecycle_steps import PERSON, assert_deleted_then_active
from raw_stdio import INFO, META, raw_server
from support import ACTIVATE, HTTP_TOKEN, LEGACY, MODERN, Process, eventually

ARGUMENTS = {"user": PERSON, "reason": "left"}
OTHER = {"user": "alex.kim@example.com", "reason": "left"}
FORMS = {"elicitation": {"form": {}}}
SERVERS = 4
RETRIES = 100
BUSY = {"STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE"}


def yes(text=PERSON):
    return {"confirm": {"action": "accept", "content": {"confirm": text}}}


def outcome(message):
    """The outcome, the code of a refusal, or that a question came."""
    result = message.get("result", {})
    structured = result.get("structuredContent", {})
    return structured.get("outcome") or structured.get("error", {}).get("code") or result.get("resultType") or message["error"]["code"]


async def question(server, arguments=None):
    """Asks until there is a question: a store that is pressed by four processes may say that it is busy."""
    async with asyncio.timeout(60):
        while True:
            asked = await server.call("deprovision_user", arguments or ARGUMENTS, capabilities=FORMS)
            if asked["result"]["resultType"] == "input_required":
                return asked["result"]["requestState"]
            assert asked["result"]["structuredContent"]["error"]["code"] in BUSY, asked


async def settles(server, world):
    """Whatever a storm came to, one delete at most was sent; if none was, a person's answer still counts."""
    assert len(world.sandbox.deletes()) <= 1
    if not world.sandbox.deletes():
        state = await question(server)
        ended = await server.call("deprovision_user", ARGUMENTS, state=state, answers=yes(), capabilities=FORMS)
        assert outcome(ended) in ("done", "in_progress"), ended
    eventually(lambda: len(world.sandbox.calls(ACTIVATE)) == 1, within=30)
    assert_deleted_then_active(world.sandbox)
    assert world.run("audit", "verify").returncode == 0


@pytest.mark.timeout(300)
async def test_t5_a_hundred_retries_at_once_on_four_servers_delete_once(world):
    """One state, every server process on one store, all at the same time."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(raw_server(world, MODERN, log="error")) for _ in range(SERVERS)]
        state = await question(servers[0])
        tries = [servers[n % SERVERS].call("deprovision_user", ARGUMENTS, state=state, answers=yes(), capabilities=FORMS) for n in range(RETRIES)]
        ended = [outcome(message) for message in await asyncio.gather(*tries)]
        good = {"done", "in_progress", "applied_not_active"}
        assert len([e for e in ended if e in good]) <= 1 and set(ended) <= good | BUSY | {-32602}, ended
        assert ended.count(-32602) > RETRIES / 4, ended
        late = await servers[-1].call("deprovision_user", ARGUMENTS, state=state, answers=yes(), capabilities=FORMS)
        assert outcome(late) == -32602, late
        await settles(servers[0], world)


@pytest.mark.timeout(300)
async def test_t5_a_hundred_questions_answered_at_once_on_four_servers_delete_once(world):
    """A state of its own for each retry, all of one operation."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(raw_server(world, MODERN, log="error")) for _ in range(SERVERS)]
        states = [await question(servers[0])]
        states += await asyncio.gather(*(question(servers[n % SERVERS]) for n in range(1, RETRIES)))
        assert len(set(states)) == RETRIES
        tries = [servers[n % SERVERS].call("deprovision_user", ARGUMENTS, state=state, answers=yes(), capabilities=FORMS) for n, state in enumerate(states)]
        ended = [outcome(message) for message in await asyncio.gather(*tries)]
        assert set(ended) <= {"done", "in_progress", "applied_not_active", "CONFLICT", "awaiting_approval", -32602} | BUSY, ended
        await settles(servers[0], world)


@pytest.mark.timeout(300)
async def test_t6_every_flipped_bit_of_a_state_is_refused_with_one_text(world):
    async with raw_server(world, MODERN, log="error") as server:
        state = await question(server)
        many, texts = asyncio.Semaphore(32), set()

        async def one(forgery):
            async with many:
                answer = await server.call("deprovision_user", ARGUMENTS, state=forgery, answers=yes(), capabilities=FORMS)
                assert answer["error"]["code"] == -32602, (forgery, answer)
                texts.add(json.dumps(answer["error"]))

        flipped = [state[:at] + chr(ord(old) ^ (1 << bit)) + state[at + 1 :] for at, old in enumerate(state) for bit in range(7)]
        cut = [state[:at] for at in range(len(state))] + [state + state, state[::-1], " " + state, state + "\n", state + "="]
        await asyncio.gather(*(one(forgery) for forgery in flipped + cut))
        assert len(texts) == 1, texts
        # What was sealed is still good, once, for what it was sealed for.
        assert outcome(await server.call("deprovision_user", ARGUMENTS, state=state, answers=yes(), capabilities=FORMS)) == "done"
    assert_deleted_then_active(world.sandbox)


def over_http(url, tool, arguments, state=None, answers=None, token=HTTP_TOKEN):
    """One call of a 2026-07-28 client that declares forms; the message."""
    meta = {f"{META}protocolVersion": MODERN, f"{META}clientInfo": INFO, f"{META}clientCapabilities": FORMS}
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    params |= {} if state is None else {"requestState": state}
    params |= {} if answers is None else {"inputResponses": answers}
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
    answer = httpx2.post(f"{url}/mcp", headers=headers, json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, timeout=60)
    text = answer.text
    if "event-stream" in answer.headers.get("content-type", ""):
        text = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")][-1]
    return json.loads(text)


async def test_t6_a_state_is_good_for_its_caller_tool_and_arguments_alone(world):
    """Swapped between callers, tools and arguments, each time with the very answer that would be right."""
    async with raw_server(world, MODERN, log="error") as server:
        mine, other = await question(server), await question(server, OTHER)
        texts = set()
        for tool, arguments, state, typed in (
            ("deprovision_user", OTHER, mine, OTHER["user"]), ("deprovision_user", ARGUMENTS, other, PERSON), ("deprovision_user", {**ARGUMENTS, "reason": "x"}, mine, PERSON),
            ("deprovision_user", {"user": PERSON}, mine, PERSON), ("deprovision_user", {**ARGUMENTS, "user": PERSON.upper()}, mine, PERSON), ("activate", {}, mine, "activate"),
            ("deprovision_users", {"users": [PERSON], "reason": "left"}, mine, PERSON), ("update_user", {"user": PERSON, "name": "x"}, mine, PERSON),
        ):  # fmt: skip
            answer = await server.call(tool, arguments, state=state, answers=yes(typed), capabilities=FORMS)
            assert answer["error"]["code"] == -32602, (tool, arguments, answer)
            texts.add(json.dumps(answer["error"]))
        with world.http() as shared:  # the same store and key, another caller
            for arguments, state in ((ARGUMENTS, mine), (OTHER, other)):
                answer = over_http(shared.url, "deprovision_user", arguments, state, yes(arguments["user"]))
                assert answer["error"]["code"] == -32602, answer
                texts.add(json.dumps(answer["error"]))
        assert len(texts) == 1, texts
    assert world.sandbox.writes() == []


@pytest.mark.timeout(300)
async def test_t3_over_http_a_forged_answer_leaves_the_operation_waiting(world):
    """The client says yes to everything, unasked, at once, a hundred times."""
    with world.http() as shared:
        first = over_http(shared.url, "deprovision_user", ARGUMENTS)
        operation = first["result"]["structuredContent"]["operation_id"]
        assert outcome(first) == "awaiting_approval", first
        # A state of a server whose sandbox, store and key are other ones, and none at all.
        forged = [None, "", "x" * 500, operation, json.dumps({"operation": operation, "nonce": "0"})]
        tries = [asyncio.to_thread(over_http, shared.url, "deprovision_user", ARGUMENTS, forged[n % len(forged)], yes()) for n in range(RETRIES)]
        ended = {outcome(message) for message in await asyncio.gather(*tries)}
        assert ended <= {"awaiting_approval", -32602}, ended
        for text in ("activate", "yes", PERSON):
            assert outcome(over_http(shared.url, "deprovision_user", ARGUMENTS, answers=yes(text))) == "awaiting_approval"
        world.sandbox.control("POST", "foreign/stage")
        published = over_http(shared.url, "activate", {}, answers=yes("activate"))
        assert outcome(published) == "awaiting_approval", published
    assert world.sandbox.writes() == []


async def test_t3_a_legacy_client_that_answers_before_it_is_asked_or_for_another_call_decides_nothing(world):
    async with raw_server(world, LEGACY, FORMS, log="error") as server:
        accept = {"action": "accept", "content": {"confirm": PERSON}}
        for id in (*range(12), "0", "elicitation"):
            await server.send({"jsonrpc": "2.0", "id": id, "result": accept})
        await server.answer_to(lambda m: m.get("id") == "elicitation")
        server.messages.clear()  # each was refused, with the id that it had
        first = asyncio.create_task(server.call("deprovision_user", ARGUMENTS))
        asked = await server.answer_to(lambda m: m.get("method") == "elicitation/create")
        second = asyncio.create_task(server.call("deprovision_user", OTHER))
        asked_too = await server.answer_to(lambda m: m.get("method") == "elicitation/create")
        assert world.sandbox.deletes() == []
        # Each is answered with the word of the other, then with an error, then at last with a no.
        await server.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"confirm": OTHER["user"]}}})
        await server.send({"jsonrpc": "2.0", "id": asked_too["id"], "result": accept})
        assert {outcome(await first), outcome(await second)} == {"awaiting_approval"}
        for id in (asked["id"], asked_too["id"]):
            await server.send({"jsonrpc": "2.0", "id": id, "result": accept})
        assert await server.lives()
    assert world.sandbox.writes() == []


CONSENTS = ("confirm", "confirmed", "confirmation_token", "confirmationToken", "approve", "approved", "force", "yes", "kwargs", "_meta", "requestState", "inputResponses", "dryRun", "skip_approval", "admin", "sudo")


@pytest.mark.parametrize("mode", (LEGACY, MODERN))
async def test_t2_no_argument_and_no_meta_is_an_approval(world, mode):
    async with raw_server(world, mode, log="error") as server:
        for tool, base in (("deprovision_user", {"user": PERSON}), ("deprovision_users", {"users": [PERSON]}), ("activate", {}), ("update_user", {"user": PERSON, "name": "x"})):
            for key in CONSENTS:
                for value in (True, "yes", {"approved": True}):
                    answer = await server.call(tool, {**base, key: value})
                    error = answer["result"]["structuredContent"]["error"]
                    assert (error["code"], error["field"]) == ("INVALID_ARGUMENT", key), (tool, key, answer)
        for meta in ({"approved": True}, {"confirm": PERSON}, {"com.example/approved": "yes"}):
            assert outcome(await server.call("deprovision_user", {"user": PERSON}, meta=meta)) == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_t4_an_agent_with_a_shell_decides_nothing(world):
    """With the operator's own settings, but no terminal and no code: piped, by arguments, by the environment."""
    async with raw_server(world, MODERN, log="error") as server:
        asked = await server.call("deprovision_user", ARGUMENTS)
        operation = asked["result"]["structuredContent"]["operation_id"]
        for command in (["approve", operation], ["approve", operation, "--code", "123456"], ["approve", "--yes", operation], ["approver", "add", "agent"], ["approve", operation, "123456"]):
            for stdin in ("", "y\n" * 5, "123456\n" * 5):
                assert world.run(*command, stdin=stdin).returncode in (64, 69, 77), command
        assert world.run("approver", "list").stdout.strip().startswith("nobody")
        followed = await server.call("get_operation", {"operation_id": operation})
        assert outcome(followed) == "awaiting_approval"
    assert world.sandbox.writes() == []


def test_t16_neither_a_web_page_nor_another_name_reaches_the_server(world):
    """A page in a victim's browser: any origin, `null` too, with no token and with a stolen one."""
    world.configure("[index]\nenabled = false\n")  # nothing but these requests could call the tenant
    with world.http() as server:
        port = server.url.rsplit(":", 1)[1]
        initialize = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": INFO}}
        hosts = ("evil.example", f"localhost.evil:{port}", f"evil.localhost:{port}", f"127.0.0.1.nip.io:{port}", f"[::ffff:127.0.0.1]:{port}", f"2130706433:{port}", f"0x7f.1:{port}", f"localhost.:{port}", "localhost:1")
        origins = ("null", "https://evil.example", f"http://localhost.evil:{port}", f"http://127.0.0.1.evil.example:{port}", f"https://127.0.0.1:{port}", "http://127.0.0.1:1", "file://", "moz-extension://x", f"http://localhost:{port}.evil.example")
        for token in ({}, {"Authorization": f"Bearer {HTTP_TOKEN}"}):
            for path in ("/mcp", "/console", "/healthz"):
                for header in (*({"Host": host} for host in hosts), *({"Origin": origin} for origin in origins)):
                    if path == "/healthz" and "::ffff" in header.get("Host", ""):
                        continue  # probes come by address
                    method = "POST" if path == "/mcp" else "GET"
                    answer = httpx2.request(method, server.url + path, headers={**token, "Accept": "application/json, text/event-stream", **header}, json=initialize if method == "POST" else None)
                    assert answer.status_code == 403, (path, header, answer.status_code)
                    assert not [name for name in answer.headers if name.startswith("access-control")], header
    assert world.sandbox.journal() == []


@pytest.mark.parametrize(
    "setting",
    [
        *({"ZIA_BASE_URL": url} for url in (
            "http://zsapi.zscaler.net", "https://zsapi.zscaler.net@evil.example", "https://user@evil.example", "https://user:pw@127.0.0.1", "https://evil.example#@zsapi.zscaler.net",
            "https://evil.example?x=zsapi.zscaler.net", "http://127.0.0.1.evil.example", "http://localhost.evil.example", "http://0.0.0.0:1", "http://[::ffff:1.2.3.4]", "http://167772161", "//evil.example", "https:", "ftp://127.0.0.1", "javascript:alert(1)", "http://127.0.0.1@evil.example",
            "http://evil.example\\@127.0.0.1", "https://", "http:///x",
        )),
        *({"ZIA_CLOUD": cloud, "ZIA_BASE_URL": None} for cloud in (
            "evil", "zscaler.evil", "zscaler.net.evil.example", "zscaler.net@evil.example", "zscaler.net/", "zscaler.net:443", "zscaler.net.", "zsc\u0430ler", "zscaler%2enet", "1.2.3.4", "localhost", "..", "zscaler\nx", "http://zscaler",
        )),
    ],
    ids=lambda s: ascii(s)[:60],
)  # fmt: skip
def test_t17_a_host_that_is_not_zias_is_refused_at_the_start(world, setting):
    for name, value in setting.items():
        if value is None:
            world.settings.pop(name)
        else:
            world.settings[name] = value
    ran = world.run("serve", within=20)
    assert ran.returncode == 78, (setting, ran.returncode, ran.stderr)
    assert world.settings["ZIA_PASSWORD"] not in ran.stderr and world.sandbox.journal() == []


def test_t17_a_redirect_to_another_host_ends_in_an_error_and_carries_nothing_there(world):
    with Process(["sandbox", "--listen", "127.0.0.1:0", "--users", "30"], world.env) as elsewhere:
        evil = elsewhere.line().removeprefix("sandbox tenant at ")
        world.call("find_user", query=PERSON)
        world.sandbox.fault("redirect", location=f"{evil}/api/v1/users")
        code, answer = world.call("find_user", query="alex.kim@example.com", fresh=True)
        assert code == 1 and answer["error"]["code"] in ("UPSTREAM", "SIGN_IN_FAILED"), answer
        assert json.loads(httpx2.get(f"{evil}/_sandbox/journal").text) == []
