"""What a caller could mend is a tool error with a code and a field, and nothing is written."""

import asyncio
import time

import pytest
from lifecycle_steps import NEW, PERSON, provision
from mcp.shared.exceptions import MCPError
from people import accepts, nobody
from support import ACTIVATE, CREATE, GENERATIONS, LEGACY, MODERN, soon
from wrong_arguments import new, rows

ROWS = [pytest.param(*row[1:], id=row[0]) for row in rows()]
ECHOES = "hunter2-never-say-it"


@pytest.mark.parametrize(("tool", "arguments", "code", "field"), ROWS)
async def test_bad_arguments_over_http(table, tool, arguments, code, field):
    before = len(table.sandbox.writes())
    async with table.http_session(table.url, MODERN) as session:
        answer = await session.call(tool, **arguments)
        assert (answer.error["code"], answer.error.get("field")) == (code, field), answer
        assert len(answer.error["message"]) < 500, "the input comes back"
        assert await session.is_usable()
    assert len(table.sandbox.writes()) == before


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_bad_arguments_over_stdio_leave_the_connection_usable(world, mode):
    wrong = []
    async with world.stdio_session(mode, accepts(PERSON)) as session:
        for name, tool, arguments, code, field in rows():
            answer = await session.call(tool, **arguments)
            got = (answer.error["code"], answer.error.get("field")) if answer.is_error else answer.structured
            if got != (code, field):
                wrong.append(f"{name}: {got}")
        assert await session.is_usable()
    assert not wrong, "\n".join(wrong)
    assert world.sandbox.writes() == []


async def test_all_missing_fields_are_named_at_once(table):
    async with table.http_session(table.url, MODERN) as session:
        message = (await session.call("provision_user")).error["message"]
        for field in ("name", "email", "groups"):
            assert field in message


async def test_t2_an_attempt_to_approve_is_told_that_a_person_does(table):
    async with table.http_session(table.url, LEGACY) as session:
        for key in ("confirm", "force", "approved", "confirmation_token"):
            error = (await session.call("deprovision_user", user=PERSON, **{key: True})).error
            assert key in error["message"] and "person" in error["message"] + error["next"], error


async def test_the_character_that_is_refused_is_named(table):
    async with table.http_session(table.url, MODERN) as session:
        for name, point in (("a\u202eb", "U+202E"), ("a\u0000b", "U+0000")):
            assert point in (await session.call("provision_user", **new(name=name))).error["message"]


async def test_ambiguous_names_come_with_candidates(table):
    async with table.http_session(table.url, MODERN) as session:
        error = (await session.call("provision_user", **new(groups=["Contractors"]))).error
        assert len(error["candidates"]) == 2 and {c["name"] for c in error["candidates"]} == {"Contractors"}
        chosen = str(error["candidates"][0]["id"])
        plan = await session.call("provision_user", **new(groups=[chosen], dry_run=True))
        assert plan.outcome == "planned"


async def test_long_and_composed_names_are_taken_by_zias_count(table):
    async with table.http_session(table.url, MODERN) as session:
        plan = await session.call("provision_user", **new(name="😀" * 127, dry_run=True))
        assert plan.outcome == "planned"
        plan = await session.call("provision_user", **new(name="Jose\u0301", dry_run=True))
        assert plan["user"]["name"] == "José" and any("NFC" in note for note in plan["notes"]), plan


async def test_a_look_alike_address_is_not_provisioned_unasked(world):
    async with world.stdio_session("auto") as session:
        answer = await session.call("provision_user", **new(email="j\u0430ne.doe@example.com"))
        refused = answer.is_error and answer.error["code"] == "INVALID_ARGUMENT"
        assert refused or answer.outcome == "awaiting_approval", answer
    assert world.sandbox.calls(CREATE) == []


async def test_an_address_in_a_domain_that_is_not_the_tenants_is_told_as_such(world):
    email = "jane@elsewhere.example.org"
    async with world.stdio_session("auto") as session:
        answer = await session.call("provision_user", **new(email=email))
        said = str(answer.structured)
        assert (answer.is_error and answer.error["code"] == "INVALID_ARGUMENT") or answer.outcome == "failed", answer
        assert "domain" in said.lower(), said
    assert world.sandbox.user(email) is None


async def test_the_case_of_an_address_is_kept(world):
    async with world.stdio_session("auto") as session:
        await provision(session, email="Jane.DOE@example.com")
    assert world.sandbox.user("jane.doe@example.com")["email"] == "Jane.DOE@example.com"


@pytest.mark.parametrize("user", ("api.admin@example.com", "API.Admin@Example.com", "165000001", "admin@example.com", "165000002", "sam.synced@example.com", "165000009"))
async def test_t24_protected_users_are_refused_without_a_capture(world, user):
    async with world.stdio_session("auto", accepts(user)) as session:
        error = (await session.call("deprovision_user", user=user)).error
        assert (error["code"], error["field"]) == ("PROTECTED", "user"), error
    assert world.sandbox.writes() == []
    assert world.run("captures", "list", "--json").stdout.strip() == "[]"


async def test_t24_protected_patterns_of_the_operator_are_refused(world):
    world.configure('[policy]\nprotected = ["taro.*@example.com"]\n')
    async with world.stdio_session("auto", accepts(PERSON)) as session:
        assert (await session.call("deprovision_user", user=PERSON)).error["code"] == "PROTECTED"
    assert world.sandbox.writes() == []


async def test_users_that_do_not_exist_are_not_found(world):
    async with world.stdio_session("auto", accepts(PERSON)) as session:
        for user in ("999999999", "nobody.such@example.com"):
            error = (await session.call("deprovision_user", user=user)).error
            assert (error["code"], error["field"]) == ("NOT_FOUND", "user"), error
            assert "prove" in error["message"] + error["next"], error
        world.sandbox.fault("bare_404", endpoint="GET /users/{id}")
        error = (await session.call("deprovision_user", user="165000003")).error
        assert error["code"] == "UPSTREAM", "a proxy's 404 was taken for ZIA's"
    assert world.sandbox.writes() == []


async def test_a_second_operation_on_the_same_user_is_a_conflict(world):
    async with world.stdio_session("auto", nobody()) as session:
        first = await session.call("deprovision_user", user=PERSON)
        second = await session.call("deprovision_user", user="165000003", reason="another reason")
        assert second.error["code"] == "CONFLICT", second
        assert second.error["operation_id"] == first["operation_id"]
    with world.http() as server:
        async with world.http_session(server.url, MODERN) as stranger:
            error = (await stranger.call("deprovision_user", user=PERSON)).error
            assert error["code"] == "CONFLICT" and "operation_id" not in error, error
    assert world.sandbox.writes() == []


async def test_an_operation_of_another_caller_is_as_unknown_as_none(world):
    async with world.stdio_session("auto", nobody()) as session:
        operation = (await session.call("deprovision_user", user=PERSON))["operation_id"]
    with world.http() as server:
        async with world.http_session(server.url, MODERN) as stranger:
            foreign = (await stranger.call("get_operation", operation_id=operation)).structured
            unknown = (await stranger.call("get_operation", operation_id="op_" + "0" * 32)).structured
            assert foreign == unknown and foreign["error"]["code"] == "NOT_FOUND"


async def test_a_caller_has_at_most_max_open_operations(world):
    world.configure("[policy]\nmax_open = 2\n")
    async with world.stdio_session("auto", nobody()) as session:
        for user in ("165000003", "165000004"):
            assert (await session.call("deprovision_user", user=user)).outcome == "awaiting_approval"
        third = await session.call("deprovision_user", user="165000005")
        assert third.error["code"] in ("RATE_LIMITED", "LIMIT_EXCEEDED"), third
        joined = await session.call("deprovision_user", user="165000003")
        assert joined.outcome == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_a_password_argument_is_refused_and_never_logged(world):
    async with world.stdio_session("auto", flags=("--log", "trace")) as session:
        error = (await session.call("provision_user", **NEW, password=ECHOES)).error
        assert (error["code"], error["field"]) == ("INVALID_ARGUMENT", "password")
    assert ECHOES not in world.log.read_text()
    assert not [path for path, content in world.stored().items() if ECHOES.encode() in content]


async def test_odd_queries_are_taken_literally(world):
    async with world.stdio_session("auto") as session:
        for query in ("%", "a*", ".*", "[?name=='x']", "'; DROP TABLE users; --", "../../adminUsers", "a&pageSize=1"):
            found = await session.call("find_user", query=query)
            assert (found["match"], found["users"]) == ("none", []), (query, found)
        found = await session.call("find_user", query="o'neil")
        assert [u["email"] for u in found["users"]] == ["robin.oneil@example.com"]


async def test_activate_with_nothing_pending_is_already_done(world):
    async with world.stdio_session("auto") as session:
        answer = await session.call("activate")
        assert (answer.outcome, answer["activation"]["state"]) == ("already_done", "not_needed")
    assert world.sandbox.writes() == []


async def test_activate_joins_the_activation_that_runs(world):
    world.sandbox.fault("activation_sticks", reads=6)
    async with world.stdio_session("auto") as session:
        making = asyncio.create_task(session.call("provision_user", **NEW))
        await soon(lambda: world.sandbox.calls(ACTIVATE))
        joined = await session.call("activate")
        assert joined.outcome in ("done", "already_done"), joined
        assert (await making).outcome == "done"
    assert len(world.sandbox.calls(ACTIVATE)) == 1


async def test_provisioning_on_a_pending_tenant_does_not_publish_others_changes(world):
    world.sandbox.control("POST", "foreign/stage")
    async with world.stdio_session("auto") as session:
        made = await session.call("provision_user", **NEW)
        assert (made.outcome, made["activation"]["state"]) == ("applied_not_active", "pending"), made
        assert "other" in " ".join([*made["notes"], made["activation"].get("detail", "")])
        status = await session.call("tenant_status")
        assert [o["operation_id"] for o in status["unactivated_operations"]] == [made["operation_id"]]
    assert world.sandbox.calls(ACTIVATE) == []
    assert world.sandbox.control("GET", "")["status"] == "PENDING"


async def test_a_loop_of_reads_runs_into_our_own_limit_not_into_zias(world):
    async with world.stdio_session("auto") as session:
        began = time.monotonic()
        finds = [session.call("find_user", query=f"nobody{n}@example.com", fresh=True) for n in range(24)]
        answers = await asyncio.gather(*finds)
        limited = [a.error for a in answers if a.is_error]
        assert limited and all(e["code"] == "RATE_LIMITED" and e["retry_at"] and e["retryable"] for e in limited), limited
        assert time.monotonic() - began < 60
    assert not [e for e in world.sandbox.journal() if e["status"] == 429]


@pytest.mark.parametrize("word", ("query", "filter", "department"))
async def test_b6_a_delete_by_filter_is_told_to_look_the_users_up_first(table, word):
    async with table.http_session(table.url, LEGACY) as session:
        refused = await session.call("deprovision_users", users=[PERSON], **{word: "Engineering"})
        assert refused.error["code"] == "INVALID_ARGUMENT" and "find_user" in refused.error["next"], refused


@pytest.mark.parametrize("name", ("Delete_Users", "deprovision_users", "Update_User", "", "tools/call", "find_user ", "x" * 10_000))
async def test_an_unknown_tool_is_a_protocol_error(table, name):
    async with table.http_session(table.url, LEGACY) as session:
        if name in await session.tools():
            return
        with pytest.raises(MCPError) as refused:
            await session.client.call_tool(name, {})
        assert refused.value.code == -32602
        assert await session.is_usable()
