"""A server that is killed in the middle of a write: the next one finds out what happened."""

import asyncio

import pytest
from lifecycle_steps import PERSON
from raw_stdio import raw_server
from support import DELETE, LEGACY, soon

FORM = {"elicitation": {}}


async def approved_delete(server, user):
    """Asks for a deletion and says yes; the ids of the call and of the operation."""
    call = server.request("tools/call", {"name": "deprovision_user", "arguments": {"user": user}})
    await server.send(call)
    question = await server.answer_to(lambda m: m.get("method") == "elicitation/create")
    answer = {"action": "accept", "content": {"confirm": user}}
    await server.send({"jsonrpc": "2.0", "id": question["id"], "result": answer})
    words = question["params"]["message"].split()
    return call["id"], next(word for word in words if word.startswith("op_")).rstrip(";")


async def delete_arrives(world):
    await soon(world.sandbox.deletes, 20)


async def killed_during(world, fault, **parameters):
    """Kills a server with SIGKILL once the tenant has seen its DELETE; the operation's id."""
    world.sandbox.fault(fault, endpoint=DELETE, **parameters)
    async with raw_server(world, LEGACY, FORM) as server:
        _, operation = await approved_delete(server, PERSON)
        await delete_arrives(world)
        server.child.kill()
        await server.child.wait()
    world.sandbox.mend()
    return operation


@pytest.mark.parametrize("applied, deletes", [(True, 1), (False, 2)])
async def test_a_delete_whose_server_was_killed_is_settled_by_the_next_one(world, applied, deletes):
    """One that had no effect is sent once more, under the same approval (K6); another one never (K7)."""
    operation = await killed_during(world, "hang", applied=applied)
    async with world.stdio_session("auto") as session:
        ended = await session.call("get_operation", operation_id=operation, wait_seconds=45)
        assert ended.outcome == "done", ended
    assert world.sandbox.user(PERSON) is None
    assert len(world.sandbox.deletes()) == deletes


async def test_what_a_living_server_carries_out_is_left_to_it(world):
    world.sandbox.fault("delay", ms=3_000, endpoint=DELETE)
    async with raw_server(world, LEGACY, FORM) as first:
        call, _ = await approved_delete(first, PERSON)
        await delete_arrives(world)
        async with world.stdio_session("auto") as second:
            (moving,) = (await second.call("tenant_status"))["open_operations"]
            assert moving["outcome"] == "in_progress", moving
        ended = await first.answer_to(lambda m: m.get("id") == call and "method" not in m)
        assert ended["result"]["structuredContent"]["outcome"] == "done", ended
    assert len(world.sandbox.deletes()) == 1


async def one_life_cut_short(world, user, after):
    """Deletes a user with a person's yes, and kills the server some time after the yes."""
    async with raw_server(world, LEGACY, FORM) as server:
        _, operation = await approved_delete(server, user)
        await asyncio.sleep(after)  # where the kill strikes is the point: any instant has to be safe
        server.child.kill()
        await server.child.wait()
    return operation


async def test_wherever_a_server_is_killed_the_next_one_tells_the_truth(world):
    """Twelve kills, from right after the yes to after the end."""
    world.sandbox.control("PUT", "limits", {"policy": "off"})
    # All lives share one budget, and each begins with a list.
    world.configure('[tenant.limits]\n"GET /users" = { second = 10, minute = 100, hour = 1000 }\n')
    plain = [u["email"] for u in world.sandbox.users() if not u["admin_user"] and not u["non_editable"] and "@" in u["email"]]
    for turn, user in enumerate(plain[-12:]):
        before = len(world.sandbox.deletes())
        operation = await one_life_cut_short(world, user, after=turn * 0.004)
        async with world.stdio_session("auto") as session:
            ended = await session.call("get_operation", operation_id=operation)
            # Killed before it took the yes: nobody is there to say it again.
            if ended.is_error or ended.outcome != "awaiting_approval":
                ended = await session.call("get_operation", operation_id=operation, wait_seconds=45)
            there = world.sandbox.user(user) is not None
            outcome = ended.error["code"] if ended.is_error else ended.outcome
            assert outcome != "unknown", (turn, ended.structured)
            assert (outcome in ("done", "applied_not_active")) == (not there), (turn, outcome, there)
            assert len(world.sandbox.deletes()) - before <= 1, (turn, outcome)
