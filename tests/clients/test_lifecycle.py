"""The whole life of a user, over every transport and protocol generation."""

import pytest
from lifecycle_steps import NEW, PERSON, assert_created_then_active, assert_deleted_then_active, provision
from people import accepts, declines, nobody
from support import CREATE, DELETE, GENERATIONS, SIGN_IN


@pytest.mark.parametrize("mode", (*GENERATIONS, "auto"))
async def test_a_user_lives_from_provision_to_deprovision_over_stdio(world, mode):
    person = accepts(NEW["email"], looks=lambda: len(world.sandbox.deletes()))
    async with world.stdio_session(mode, person) as session:
        none = await session.call("find_user", query=NEW["email"])
        assert (none["match"], none["users"], none["complete"]) == ("none", [], True)
        made = await provision(session)
        assert made["initial_password"]["delivery"] == "discarded"
        assert_created_then_active(world.sandbox)

        found = await session.call("find_user", query=NEW["email"].upper())
        assert found["match"] == "exact"
        (user,) = found["users"]
        assert (user["name"], user["email"], user["department"]["name"]) == (NEW["name"], NEW["email"], NEW["department"])
        assert sorted(g["name"] for g in user["groups"]) == sorted(NEW["groups"])
        assert (user["admin_user"], user["editable"], user["disabled"]) == (False, True, False)
        assert user["id"] == world.sandbox.user(NEW["email"])["id"]

        for tool in ("list_groups", "list_departments"):
            items = (await session.call(tool, query="Engineering"))["items"]
            assert items and all("engineering" in item["name"].lower() for item in items)
        status = await session.call("tenant_status")
        assert (status["activation"], status["auth"], status["open_operations"]) == ("ACTIVE", "api_key", [])

        gone = await session.call("deprovision_user", user=NEW["email"], reason="left the company")
        assert (gone.outcome, gone["activation"]["state"]) == ("done", "active"), gone
        assert gone["capture"]["uri"] == f"zia://captures/{gone['capture']['id']}"
        assert gone["approval"]["channel"] and gone["approval"]["by"]
        assert gone["user"]["id"] == user["id"]
        assert person.seen == [0], "a DELETE left before the person was asked"
        assert_deleted_then_active(world.sandbox)
        assert world.sandbox.user(NEW["email"]) is None

        none = await session.call("find_user", query=NEW["email"], fresh=True)
        assert (none["match"], none["complete"]) == ("none", True)
        again = await session.call("deprovision_user", user=NEW["email"])
        assert again.outcome == "already_done", again
        by_id = await session.call("deprovision_user", user=str(user["id"]))
        assert by_id.outcome == "already_done", by_id
        assert len(world.sandbox.calls(DELETE)) == 1 and len(person.questions) == 1


@pytest.mark.parametrize("mode", (*GENERATIONS, "auto"))
async def test_over_http_all_but_the_decision_is_as_over_stdio(world, mode):
    async with world.session("http", mode, declines()) as session:
        assert (await session.call("find_user", query=NEW["email"]))["match"] == "none"
        made = await provision(session)
        assert_created_then_active(world.sandbox)
        found = await session.call("find_user", query=str(made["user"]["id"]))
        assert found["match"] == "exact" and found["users"][0]["email"] == NEW["email"]
        assert (await session.call("list_groups", limit=3))["next_cursor"]
        assert (await session.call("list_departments", query="no such department"))["items"] == []

        asked = await session.call("deprovision_user", user=NEW["email"])
        assert asked.outcome == "awaiting_approval", asked
        assert asked["operation_id"] in asked["how_to_approve"]["cli"]
        assert "approval" not in asked.structured
        status = await session.call("tenant_status")
        assert [o["operation_id"] for o in status["open_operations"]] == [asked["operation_id"]]
        seen = await session.call("get_operation", operation_id=asked["operation_id"])
        assert seen.outcome == "awaiting_approval"
    assert world.sandbox.deletes() == []
    assert world.sandbox.user(NEW["email"])


@pytest.mark.parametrize("typed", ("TARO.Yamada@Example.COM", f"  {PERSON}\t", PERSON))
@pytest.mark.parametrize("mode", GENERATIONS)
async def test_the_address_is_accepted_whatever_its_case_and_outer_blanks(world, mode, typed):
    async with world.stdio_session(mode, accepts(typed)) as session:
        gone = await session.call("deprovision_user", user=PERSON)
        assert gone.outcome == "done", gone
    assert_deleted_then_active(world.sandbox)


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_provision_asked_twice_is_already_done_and_posts_once(world, mode):
    async with world.stdio_session(mode, nobody()) as session:
        await provision(session)
        again = await session.call("provision_user", **{**NEW, "email": NEW["email"].upper()})
        assert again.outcome == "already_done", again
        other = await session.call("provision_user", **{**NEW, "name": "John Doe", "groups": ["Sales"]})
        assert other.error["code"] == "ALREADY_EXISTS", other
        assert "name" in other.error["message"] and "groups" in other.error["message"]
    assert len(world.sandbox.calls(CREATE)) == 1


async def test_a_dry_run_plans_and_sends_nothing(world):
    async with world.stdio_session("auto") as session:
        plan = await session.call("provision_user", **NEW, dry_run=True)
        assert plan.outcome == "planned", plan
        assert {c["field"]: c["from"] for c in plan["changes"]}.keys() >= {"name", "email", "department", "groups"}
        assert plan["activation"]["state"] == "not_needed"
    assert world.sandbox.writes() == []


async def test_a_hundred_calls_sign_in_once(world):
    async with world.stdio_session("auto") as session:
        for turn in range(25):
            await session.call("find_user", query=165_000_001 + turn % 20)
            await session.call("list_groups", limit=1 + turn)
            await session.call("list_departments", query="e")
            await session.call("tenant_status")
    counters = world.sandbox.control("GET", "counters")
    assert counters[SIGN_IN] == 1, counters




def upstream(sandbox):
    """Calls that cost something: all but the session's own and those on the activation status."""
    free = ("/authenticatedSession", "/status")
    return [e["endpoint"] for e in sandbox.journal() if not any(part in e["path"] for part in free)]


# At once, the list of users is read first, and what is behind its only page is looked at.
@pytest.mark.parametrize(("looked", "most"), ((False, 3), (True, 2)), ids=("at once", "after a look"))
async def test_provision_with_known_names_costs_a_few_calls(world, looked, most):
    async with world.stdio_session("auto") as session:
        await session.call("list_groups")
        await session.call("list_departments")
        if looked:
            await session.call("find_user", query=NEW["email"])
        world.sandbox.forget()
        await provision(session)
    assert len(upstream(world.sandbox)) <= most, upstream(world.sandbox)


@pytest.mark.parametrize("by", ("address", "id"))
async def test_deprovision_costs_at_most_six_calls(world, by):
    async with world.stdio_session("auto", accepts(PERSON)) as session:
        gone = await session.call("deprovision_user", user=PERSON if by == "address" else world.sandbox.user(PERSON)["id"])
        assert gone.outcome == "done", gone
    assert len(upstream(world.sandbox)) <= 6, upstream(world.sandbox)


async def test_with_one_api_the_same_life_is_lived(world):
    for name in ("ZIA_USERNAME", "ZIA_PASSWORD", "ZIA_API_KEY"):
        del world.settings[name]
    for name in ("ZSCALER_TOKEN_URL", "ZSCALER_CLIENT_ID", "ZSCALER_CLIENT_SECRET"):
        world.settings[name] = world.sandbox.settings[name]
    async with world.stdio_session("auto", accepts(NEW["email"])) as session:
        await provision(session)
        assert (await session.call("tenant_status"))["auth"] == "oneapi"
        assert (await session.call("deprovision_user", user=NEW["email"])).outcome == "done"
    assert_deleted_then_active(world.sandbox)
    counters = world.sandbox.control("GET", "counters")
    assert counters["POST /oauth2/v1/token"] == 1 and SIGN_IN not in counters, counters
