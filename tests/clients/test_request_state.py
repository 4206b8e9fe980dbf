"""The sealed state of a question: good once, for the very same call."""

import asyncio

import mcp_types as types
import pytest
from lifecycle_steps import PERSON, assert_deleted_then_active
from people import nobody
from raw_stdio import raw_server
from support import MODERN, spoilt

ARGUMENTS = {"user": PERSON, "reason": "left"}
FORMS = {"elicitation": {"form": {}}}


def accepted(text=PERSON):
    return {"confirm": types.ElicitResult(action="accept", content={"confirm": text})}


async def somebody(_context, _params):
    raise AssertionError("these tests answer for themselves")


async def question(session, arguments=None):
    asked = await session.once("deprovision_user", arguments or ARGUMENTS)
    assert isinstance(asked, types.InputRequiredResult), asked
    assert list(asked.input_requests) == ["confirm"] and asked.request_state
    return asked


async def open_operations(session):
    return [o["operation_id"] for o in (await session.call("tenant_status"))["open_operations"]]


async def test_t5_a_state_is_good_once(world):
    async with world.stdio_session(MODERN, somebody) as session:
        state = (await question(session)).request_state
        done = await session.once("deprovision_user", ARGUMENTS, state, accepted())
        assert done.outcome == "done", done
        again = await session.refused("deprovision_user", ARGUMENTS, state, accepted())
        assert again.code == -32602, again
    assert_deleted_then_active(world.sandbox)


async def test_f33_twenty_replays_at_once_carry_out_one_delete(world):
    async with world.stdio_session(MODERN, somebody) as session:
        state = (await question(session)).request_state
        replays = [session.once("deprovision_user", ARGUMENTS, state, accepted()) for _ in range(20)]
        ended = await asyncio.gather(*replays, return_exceptions=True)
        codes = [e.code for e in ended if isinstance(e, Exception)]
        assert codes.count(-32602) == 19, ended
    assert_deleted_then_active(world.sandbox)


async def test_t6_a_state_with_other_arguments_is_refused_and_the_operation_stays_open(world):
    async with world.stdio_session(MODERN, somebody) as session:
        state = (await question(session)).request_state
        for other in ({"user": "alex.kim@example.com", "reason": "left"}, {"user": PERSON}, {"user": PERSON, "reason": "LEFT"}):
            refused = await session.refused("deprovision_user", other, state, accepted(other["user"]))
            assert refused.code == -32602, (other, refused)
        refused = await session.refused("activate", {}, state, accepted("activate"))
        assert refused.code == -32602, refused
        assert world.sandbox.writes() == []
        (operation,) = await open_operations(session)
        assert (await session.call("get_operation", operation_id=operation)).outcome == "awaiting_approval"
        done = await session.once("deprovision_user", ARGUMENTS, state, accepted())
        assert (done.outcome, done["operation_id"]) == ("done", operation)


async def test_t6_a_swapped_state_decides_neither_operation(world):
    other = {"user": "alex.kim@example.com"}
    async with world.stdio_session(MODERN, somebody) as session:
        first, second = await question(session), await question(session, other)
        for arguments, state in ((ARGUMENTS, second.request_state), (other, first.request_state)):
            refused = await session.refused("deprovision_user", arguments, state, accepted(arguments["user"]))
            assert refused.code == -32602, refused
        assert len(await open_operations(session)) == 2
    assert world.sandbox.writes() == []


async def test_t6_every_forged_state_is_refused_with_one_text(world):
    async with world.stdio_session(MODERN, somebody) as session:
        state = (await question(session)).request_state
        forged = ["", "x", "rs2.azE.AAAA.AAAA", state[:-1], state + "A", spoilt(state), "\u0000", "x" * 2**20, state.swapcase()]
        texts = set()
        for forgery in forged:
            refused = await session.refused("deprovision_user", ARGUMENTS, forgery, accepted())
            assert refused.code == -32602, (forgery[:40], refused)
            texts.add(refused.message)
        assert len(texts) == 1, texts
        assert await session.is_usable() and len(await open_operations(session)) == 1
    assert world.sandbox.writes() == []


async def test_every_flipped_character_breaks_the_seal(world):
    async with world.stdio_session(MODERN, somebody) as session:
        state = (await question(session)).request_state
        for at, old in enumerate(state):
            forgery = state[:at] + ("A" if old != "A" else "B") + state[at + 1 :]
            refused = await session.refused("deprovision_user", ARGUMENTS, forgery, accepted())
            assert refused.code == -32602, (at, refused)
    assert world.sandbox.writes() == []


async def test_t6_a_state_of_another_server_does_not_open(world, tmp_path_factory):
    async with world.stdio_session(MODERN, somebody) as session:
        state = (await question(session)).request_state
    world.settings["ZIA_MCP_STATE_DIR"] = str(tmp_path_factory.mktemp("other"))
    async with world.stdio_session(MODERN, somebody) as session:
        refused = await session.refused("deprovision_user", ARGUMENTS, state, accepted())
        assert refused.code == -32602, refused
    assert world.sandbox.writes() == []


async def test_a_state_survives_a_restart_of_the_server(world):
    async with world.stdio_session(MODERN, somebody) as session:
        state = (await question(session)).request_state
    async with world.stdio_session(MODERN, somebody) as session:
        done = await session.once("deprovision_user", ARGUMENTS, state, accepted())
        assert done.outcome == "done", done


async def test_a_client_that_cannot_ask_gets_no_state_to_answer_for(world):
    async with world.stdio_session(MODERN, nobody()) as session:
        answer = await session.once("deprovision_user", ARGUMENTS)
        assert answer.outcome == "awaiting_approval", answer


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"other": {"action": "accept", "content": {"confirm": PERSON}}},
        {"confirm": {"action": "ACCEPT", "content": {"confirm": PERSON}}},
        {"confirm": {"action": "accept"}},
        {"confirm": {"action": "accept", "content": {}}},
        {"confirm": {"action": "accept", "content": {"confirm": True}}},
        {"confirm": {"action": "accept", "content": {"confirm": [PERSON]}}},
        {"confirm": {"action": "accept", "content": {"Confirm": PERSON}}},
        {"confirm": {"content": {"confirm": PERSON}}},
        {"confirm": PERSON},
        {"confirm": [{"action": "accept", "content": {"confirm": PERSON}}]},
        {"confirm": None},
    ],
    ids=str,
)
async def test_t3_an_answer_of_the_wrong_shape_is_asked_again_and_never_taken(world, answers):
    async with raw_server(world, MODERN) as server:
        asked = await server.call("deprovision_user", ARGUMENTS, capabilities=FORMS)
        state = asked["result"]["requestState"]
        again = await server.call("deprovision_user", ARGUMENTS, state=state, answers=answers, capabilities=FORMS)
        if "error" in again:  # a shape that the protocol itself refuses
            assert again["error"]["code"] == -32602, again
        else:
            assert again["result"]["resultType"] == "input_required", again
            state = again["result"]["requestState"]
        assert world.sandbox.writes() == []
        good = {"confirm": {"action": "accept", "content": {"confirm": PERSON}}, "unknown": {"action": "decline"}}
        done = await server.call("deprovision_user", ARGUMENTS, state=state, answers=good, capabilities=FORMS)
        assert done["result"]["structuredContent"]["outcome"] == "done", done


@pytest.mark.parametrize("state", (5, True, {"operation": "op_1"}, ["x"]), ids=str)
async def test_b12_a_state_of_another_type_is_answered_as_any_that_is_not_ours(world, state):
    async with raw_server(world, MODERN) as server:
        answers = [await server.call("deprovision_user", ARGUMENTS, state=bad, capabilities=FORMS) for bad in (state, "x" * 50)]
        assert answers[0]["error"] == answers[1]["error"] and answers[0]["error"]["code"] == -32602, answers
    assert world.sandbox.writes() == []


async def test_t3_answers_without_a_state_decide_nothing(world):
    async with raw_server(world, MODERN) as server:
        good = {"confirm": {"action": "accept", "content": {"confirm": PERSON}}}
        asked = await server.call("deprovision_user", ARGUMENTS, answers=good, capabilities=FORMS)
        assert asked["result"]["resultType"] == "input_required", asked
    assert world.sandbox.writes() == []
