"""Long calls: progress, cancellation, and what goes on without the caller."""

import asyncio
import json
from contextlib import AsyncExitStack

import httpx2
import pytest
from lifecycle_steps import NEW, PERSON, assert_created_then_active
from mcp.shared.exceptions import MCPError
from people import accepts
from support import CREATE, DELETE, GENERATIONS, HTTP_TOKEN, MODERN, soon
from test_metrics import scrape

SLOW = 5_000  # milliseconds that the tenant holds a write back


@pytest.mark.parametrize("mode", GENERATIONS)
@pytest.mark.parametrize("transport", ("stdio", "http"))
async def test_a_long_write_tells_its_progress(world, transport, mode):
    world.sandbox.fault("delay", ms=SLOW, endpoint=CREATE)
    heard = []

    async def hear(progress, total, message):
        heard.append((progress, message))

    async with world.session(transport, mode) as session:
        made = await session.call("provision_user", progress=hear, **NEW)
        assert made.outcome == "done", made
    assert len(heard) >= 2, heard
    steps = [progress for progress, _ in heard]
    assert steps == sorted(set(steps)), f"progress does not rise: {steps}"


async def test_without_a_token_no_progress_is_sent(world):
    world.sandbox.fault("delay", ms=3_000, endpoint=CREATE)
    heard = []

    async def hear(message):
        heard.append(message)

    async with world.stdio_session("auto", message_handler=hear) as session:
        assert (await session.call("provision_user", **NEW)).outcome == "done"
    assert heard == []


@pytest.mark.parametrize("mode", GENERATIONS)
@pytest.mark.parametrize("transport", ("stdio", "http"))
async def test_f43_a_cancelled_call_stops_waiting_and_the_write_still_completes(world, transport, mode):
    world.sandbox.fault("delay", ms=SLOW, endpoint=CREATE)
    async with world.session(transport, mode) as session:
        making = asyncio.create_task(session.call("provision_user", **NEW))
        await soon(lambda: world.sandbox.calls(CREATE), 20)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        (moving,) = (await session.call("tenant_status"))["open_operations"]
        assert moving["tool"] == "provision_user"
        ended = await session.call("get_operation", operation_id=moving["operation_id"], wait_seconds=30)
        assert ended.outcome == "done", ended
    assert_created_then_active(world.sandbox)


def spoken(server, method, session=None, **params):
    """Sends one request of 2025-06-18, and reconnects to nothing; the answer and the session."""
    headers = {"Authorization": f"Bearer {HTTP_TOKEN}", "Accept": "application/json, text/event-stream"}
    if session:
        headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-06-18"}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = httpx2.post(f"{server.url}/mcp", json=message, headers=headers, timeout=90)
    assert answer.status_code == 200, answer.text
    events = [line.removeprefix("data:").strip() for line in answer.text.splitlines() if line.startswith("data:")]
    text = answer.text if "json" in answer.headers["content-type"] else [data for data in events if data][-1]
    return json.loads(text), answer.headers.get("mcp-session-id")


async def test_f44_an_older_client_is_answered_before_its_server_ends_too(world):
    world.sandbox.fault("hang", endpoint=CREATE, applied=True)
    me = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "plain", "version": "1"}}
    with world.http() as server:
        _, session = spoken(server, "initialize", **me)
        call = {"name": "provision_user", "arguments": NEW}
        making = asyncio.create_task(asyncio.to_thread(spoken, server, "tools/call", session, **call))
        await soon(lambda: world.sandbox.calls(CREATE), 20)
        ended = asyncio.create_task(asyncio.to_thread(server.stop))
        (answer, _) = await making
        told = answer["result"]["structuredContent"]
        assert told["outcome"] == "in_progress" and told["operation_id"].startswith("op_"), told
        assert await ended == 0
    assert len(world.sandbox.calls(CREATE)) == 1


async def test_f44_calls_that_wait_are_answered_before_their_server_ends(world):
    world.sandbox.fault("hang", endpoint=CREATE, applied=True)
    with world.http() as server:
        async with AsyncExitStack() as sessions:

            async def begin(tool, **arguments):
                session = await sessions.enter_async_context(world.http_session(server.url, MODERN))
                await session.client.list_tools()  # against which the client checks the answer
                return asyncio.create_task(session.call(tool, **arguments))

            waiting = await (await begin("deprovision_user", user=PERSON))
            making = await begin("provision_user", **NEW)
            await soon(lambda: world.sandbox.calls(CREATE), 20)
            world.sandbox.fault("hang", endpoint="GET /users")
            looking = await begin("find_user", query=PERSON, fresh=True)
            following = await begin("get_operation", operation_id=waiting["operation_id"], wait_seconds=45)
            await soon(lambda: scrape(server.url).of("tool_calls_in_flight") == 3, 20)
            ended = asyncio.create_task(asyncio.to_thread(server.stop))
            made = await making
            assert made.outcome == "in_progress" and made["operation_id"].startswith("op_"), made
            assert (await following).outcome == "awaiting_approval"
            with pytest.raises(MCPError, match="shutting down"):
                await looking
            assert await ended == 0
    world.sandbox.mend()
    with world.http() as server:
        async with world.http_session(server.url, MODERN) as session:
            told = await session.call("get_operation", operation_id=made["operation_id"], wait_seconds=45)
            assert told.outcome in ("done", "applied_not_active"), told
    assert len(world.sandbox.calls(CREATE)) == 1


async def test_the_same_call_again_joins_the_write_that_is_under_way(world):
    world.sandbox.fault("delay", ms=2_000, endpoint=CREATE)
    async with world.stdio_session("auto") as session:
        both = await asyncio.gather(*(session.call("provision_user", **NEW) for _ in range(2)))
        assert {b["operation_id"] for b in both} == {both[0]["operation_id"]}, both
        assert {b.outcome for b in both} == {"done"}
    assert len(world.sandbox.calls(CREATE)) == 1


async def test_f43_a_client_that_leaves_in_the_middle_of_a_delete_leaves_no_half_done_work(world):
    world.sandbox.fault("delay", ms=1_500, endpoint=DELETE)
    async with world.stdio_session("auto", accepts(PERSON)) as session:
        deleting = asyncio.create_task(session.call("deprovision_user", user=PERSON))
        await soon(world.sandbox.deletes, 20)
        deleting.cancel()
        await asyncio.gather(deleting, return_exceptions=True)
    async with world.stdio_session("auto") as session:
        again = await session.call("deprovision_user", user=PERSON)
        assert again.outcome in ("already_done", "done"), again
    assert len(world.sandbox.deletes()) == 1
    assert world.sandbox.user(PERSON) is None


async def test_a_write_whose_reply_is_lost_is_settled_by_reading(world):
    world.sandbox.fault("reply_lost_after_apply", endpoint=DELETE, count=1)
    async with world.stdio_session("auto", accepts(PERSON)) as session:
        gone = await session.call("deprovision_user", user=PERSON)
        assert gone.outcome == "done", gone
    assert len(world.sandbox.deletes()) == 1


async def test_an_expired_session_is_renewed_once_and_unnoticed(world):
    async with world.stdio_session("auto") as session:
        await session.call("find_user", query=165_000_003)
        world.sandbox.control("DELETE", "sessions")
        assert (await session.call("find_user", query=165_000_004))["match"] == "exact"
    assert world.sandbox.control("GET", "counters")["POST /authenticatedSession"] == 2
