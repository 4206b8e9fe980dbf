"""Servers that take each other's place while there is work, and change the key meanwhile."""

import asyncio
from collections import Counter

from lifecycle_steps import NEW, PERSON
from support import CREATE, DELETE, MODERN, soon
from test_request_state import ARGUMENTS, accepted, question, somebody

JOINERS = [f"joiner.{n}@example.com" for n in range(8)]


async def provisioned(world, urls, email):
    """Asks until it is known that the user is there, at the next server where one goes away."""
    for url in urls:
        try:
            async with world.http_session(url, MODERN) as session:
                while True:
                    made = await session.call("provision_user", **{**NEW, "name": email, "email": email})
                    if not made.is_error and made.outcome in ("done", "already_done"):
                        return made.outcome
                    if made.is_error and not made.error["retryable"]:
                        raise AssertionError(made)
                    await asyncio.sleep(0.5)
        except AssertionError:
            raise
        except Exception as gone:  # noqa: BLE001 - however the client puts it that its server went away
            last = gone
    raise last


async def test_f45_a_rolling_restart_under_load_with_new_keys_loses_no_question_and_no_operation(world):
    async with world.stdio_session(MODERN, somebody) as first:
        state = (await question(first)).request_state
    before = world.state.joinpath("key").read_bytes()
    with world.http() as old, world.http() as new:
        work = [asyncio.create_task(provisioned(world, [old.url, new.url], email)) for email in JOINERS[:4]]
        work += [asyncio.create_task(provisioned(world, [new.url], email)) for email in JOINERS[4:]]
        await soon(lambda: world.sandbox.calls(CREATE))
        rekeyed = await asyncio.to_thread(world.run, "store", "rekey")
        assert rekeyed.returncode == 0, rekeyed
        assert not all(task.done() for task in work[:4]), "there is work left on the old server"
        assert await asyncio.to_thread(old.stop) == 0
        again = await asyncio.to_thread(world.run, "store", "rekey")
        assert again.returncode == 0, again
        assert world.state.joinpath("key").read_bytes() != before
        # Asked before both changes of the key, by a server that is gone.
        async with world.stdio_session(MODERN, somebody) as second:
            done = await second.once("deprovision_user", ARGUMENTS, state, accepted())
            assert done.outcome == "done", done
            replayed = await second.refused("deprovision_user", ARGUMENTS, state, accepted())
            assert replayed.code == -32602, replayed
        assert set(await asyncio.gather(*work)) <= {"done", "already_done"}
        async with world.http_session(new.url, MODERN) as session:
            status = await session.call("tenant_status")
            assert status["open_operations"] == status["unactivated_operations"] == [], status
    created = Counter(entry["body"]["email"] for entry in world.sandbox.calls(CREATE) if entry["applied"])
    assert created == dict.fromkeys(JOINERS, 1), created
    assert world.sandbox.user(PERSON) is None and len(world.sandbox.calls(DELETE)) == 1
    assert world.run("audit", "verify").returncode == 0
