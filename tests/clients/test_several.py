"""Several users to be deleted as one: found, captured, and then left to a person out of band."""

import pytest
from lifecycle_steps import PERSON
from people import declines
from support import GENERATIONS

OTHERS = ("zoe.nunez@example.com", "robin.oneil@example.com")
USERS = [PERSON, *OTHERS]


@pytest.mark.parametrize("mode", GENERATIONS)
@pytest.mark.parametrize("transport", ("stdio", "http"))
async def test_several_users_are_captured_and_wait_for_a_person_out_of_band(world, transport, mode):
    async with world.session(transport, mode, declines()) as session:
        asked = await session.call("deprovision_users", users=USERS, reason="the site closes")
        assert asked.outcome == "awaiting_approval", asked
        assert [item["user"] for item in asked["items"]] == USERS
        assert {item["outcome"] for item in asked["items"]} == {"awaiting_approval"}
        assert all(item["id"] == world.sandbox.user(item["email"])["id"] for item in asked["items"])
        assert asked["counts"] == {"awaiting_approval": 3}
        assert asked["how_to_approve"]["cli"] == f"zia-mcp approve {asked['operation_id']}"
        (line,) = (await session.call("tenant_status"))["open_operations"]
        assert (line["count"], line["operation_id"]) == (3, asked["operation_id"])
        again = await session.call("deprovision_users", users=USERS[::-1], reason="the site closes")
        assert again["operation_id"] == asked["operation_id"]
        followed = await session.call("get_operation", operation_id=asked["operation_id"])
        assert followed["items"] == asked["items"]
        # One who is held by it cannot be deleted, or changed, by the way.
        for tool, arguments in (("deprovision_user", {"user": PERSON}), ("update_user", {"user": PERSON, "name": "X"})):
            busy = await session.call(tool, **arguments)
            assert busy.error["code"] == "CONFLICT" and busy.error["operation_id"] == asked["operation_id"], busy
    assert world.sandbox.writes() == []
    assert "3 users" in world.run("operations").stdout
    assert world.run("captures", "list").stdout.count("cap_") == 3


async def test_users_who_are_not_there_are_told_one_by_one(world):
    async with world.stdio_session("auto") as session:
        asked = await session.call("deprovision_users", users=[PERSON, "nobody@example.com", "999999999"])
        assert asked.outcome == "awaiting_approval", asked
        waiting, *missing = asked["items"]
        assert waiting["outcome"] == "awaiting_approval"
        assert [item["error"]["code"] for item in missing] == ["NOT_FOUND"] * 2
        assert all("outcome" not in item for item in missing)
        none = await session.call("deprovision_users", users=["nobody@example.com", "999999999"])
        assert none.outcome == "failed", none
    assert world.sandbox.writes() == []
