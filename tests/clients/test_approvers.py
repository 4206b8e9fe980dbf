"""Approval out of band, at a terminal, with a one-time code that the agent does not hold."""

import json

import pyotp
import pytest
from lifecycle_steps import NEW, PERSON
from people import accepts
from support import DELETE
from terminal import Approver, Screen

OTHER = "zoe.nunez@example.com"
USERS = [PERSON, OTHER, "robin.oneil@example.com"]
BULK = "POST /users/bulkDelete"


def waiting(world, user=PERSON):
    """A deletion that waits for a person."""
    code, answer = world.call("deprovision_user", user=user)
    assert code == 0 and answer["outcome"] == "awaiting_approval", answer
    return answer["operation_id"]


def outcome(world, operation):
    answer = json.loads(world.run("operations", operation).stdout)["answer"]
    return answer.get("outcome") or answer["error"]["code"]


def test_an_approver_is_enrolled_listed_and_removed(world):
    olga = Approver(world, "Olga Ivanova")
    assert olga.app.issuer == "zia-mcp" and olga.app.name == "Olga Ivanova" and "█" in olga.shown
    assert "Olga Ivanova" in world.run("approver", "list").stdout
    code, shown = Screen(world, "approver", "add", "olga ivanova").ends()
    assert code != 0 and "already" in shown, "two of one name, case aside"
    for bad in ("", " ", "a:b", "a\u202eb", "x" * 65):
        assert Screen(world, "approver", "add", bad).ends()[0] == 64, bad
    assert world.run("approver", "remove", "OLGA IVANOVA").returncode == 0
    assert world.run("approver", "remove", "Olga Ivanova").returncode == 66
    assert "nobody" in world.run("approver", "list").stdout
    assert world.run("audit", "verify").returncode == 0


def test_a_secret_is_shown_at_the_terminal_alone(world):
    ran = world.run("approver", "add", "Olga", stdin="y\n")
    assert ran.returncode == 77 and "otpauth" not in ran.stdout + ran.stderr, ran
    assert "nobody" in world.run("approver", "list").stdout
    olga = Approver(world, "Olga")
    secret = pyotp.parse_uri(olga.uri).byte_secret()
    for path, content in world.stored().items():
        for needle in (secret, olga.app.secret.encode(), b"Olga"):
            assert needle not in content, path


@pytest.mark.parametrize("decision", ("approve", "reject"))
def test_t4_without_the_terminal_or_the_code_nobody_decides(world, decision):
    olga = Approver(world, "Olga")
    operation = waiting(world)
    for typed in ("", "y\n", f"{olga.code()}\n", f"Olga\n{olga.code()}\n"):
        ran = world.run(decision, operation, stdin=typed)
        assert ran.returncode == 77, ran
    for code in ("", "000000x", olga.wrong(), "12345", "' OR 1=1"):
        ended, shown = olga.decides(decision, operation, code=code or " ")
        assert ended == 77 and "nothing was decided" in shown, (code, shown)
    assert outcome(world, operation) == "awaiting_approval" and world.sandbox.writes() == []


def test_deciding_without_an_approver_says_what_to_do(world):
    code, shown = Screen(world, "approve", waiting(world)).ends()
    assert code == 69 and "zia-mcp approver add" in shown, shown


async def test_what_an_approver_allows_is_carried_out_by_the_running_server(world):
    olga = Approver(world, "Olga")
    async with world.session("http", "auto", accepts(PERSON)) as session:
        asked = await session.call("deprovision_user", user=PERSON, reason="delete \u202eresu tset")
        assert asked.outcome == "awaiting_approval" and world.sandbox.writes() == []
        code, shown = olga.decides("approve", asked["operation_id"])
        assert code == 0 and "Approved" in shown, shown
        for part in (PERSON, str(asked["user"]["id"]), "Department", "Groups", "cannot undo", "restore_user", "not verified", "http through"):
            assert part in shown, part
        assert "\u202e" not in shown and "\\u{202e}" in shown
        ended = await session.call("get_operation", operation_id=asked["operation_id"], wait_seconds=45)
        assert ended.outcome == "done", ended
        assert (ended["approval"]["by"], ended["approval"]["channel"]) == ("Olga", "code")
    assert len(world.sandbox.calls(DELETE)) == 1 and world.sandbox.user(PERSON) is None
    trail = world.run("audit", "export").stdout
    assert "approval.given" in trail and "Olga" not in trail and world.run("audit", "verify").returncode == 0


async def test_a_waiting_caller_hears_of_the_decision(world):
    olga = Approver(world, "Olga")
    async with world.session("stdio", "auto") as session:
        asked = await session.call("deprovision_users", users=USERS)
        assert olga.decides("reject", asked["operation_id"], count=3)[0] == 0
        ended = await session.call("get_operation", operation_id=asked["operation_id"], wait_seconds=45)
        assert ended.outcome == "declined", ended
    assert world.sandbox.writes() == []


async def test_several_users_need_their_number_typed_and_go_as_one(world):
    olga = Approver(world, "Olga")
    async with world.session("stdio", "auto", accepts(PERSON)) as session:
        asked = await session.call("deprovision_users", users=USERS)
        operation = asked["operation_id"]
        screen = Screen(world, "approve", operation)
        shown = screen.until("Type the number:")
        assert all(user in shown for user in USERS), shown
        screen.types("2")
        assert screen.ends()[0] == 77 and outcome(world, operation) == "awaiting_approval"
        assert olga.decides("approve", operation, count=3)[0] == 0
        ended = await session.call("get_operation", operation_id=operation, wait_seconds=45)
        assert ended.outcome == "done" and ended["counts"] == {"done": 3}, ended
        assert {item["outcome"] for item in ended["items"]} == {"done"}
        back = await session.call("restore_user", capture=OTHER)
        assert back.outcome == "done", back
    assert len(world.sandbox.calls(BULK)) == 1 and world.sandbox.user(PERSON) is None


def test_t5_a_code_counts_once_and_none_older_than_one_accepted(world):
    olga = Approver(world, "Olga")
    first, second = waiting(world), waiting(world, OTHER)
    old, new = olga.at(-1), olga.at(1)
    assert olga.decides("reject", first, code=new)[0] == 0
    for code in (new, old):
        assert olga.decides("approve", second, code=code)[0] == 77
    assert outcome(world, second) == "awaiting_approval"


def test_five_wrong_codes_lock_an_approver_even_with_the_right_one(world):
    olga = Approver(world, "Olga")
    operation = waiting(world)
    for _ in range(5):
        assert olga.decides("approve", operation, code=olga.wrong())[0] == 77
    code, shown = olga.decides("approve", operation)
    assert code == 77 and "locked until" in shown, shown
    assert "LOCKED" in world.run("approver", "list").stdout
    assert outcome(world, operation) == "awaiting_approval" and world.sandbox.writes() == []


def test_of_several_approvers_the_name_is_asked_and_each_has_a_code_of_their_own(world):
    olga, max_ = Approver(world, "Olga"), Approver(world, "Max")
    operation = waiting(world)
    assert olga.decides("approve", operation, name="Max")[0] == 77, "the code of another"
    assert olga.decides("approve", operation, name="Nobody")[0] == 77
    assert max_.decides("approve", operation, name="max")[0] == 0
    assert outcome(world, operation) != "awaiting_approval"


async def test_t22_two_people_are_two_people(world):
    world.configure('[approval]\ndeprovision_users = "two_people"\n')
    olga, max_ = Approver(world, "Olga"), Approver(world, "Max")
    async with world.session("stdio", "auto") as session:
        operation = (await session.call("deprovision_users", users=USERS))["operation_id"]
        code, shown = olga.decides("approve", operation, count=3, name="Olga")
        assert code == 0 and "one more person" in shown, shown
        assert outcome(world, operation) == "awaiting_approval" and world.sandbox.writes() == []
        assert olga.decides("approve", operation, count=3, name="OLGA")[0] == 77
        code, shown = max_.decides("approve", operation, count=3, name="Max")
        assert code == 0 and "Olga" in shown, shown
        ended = await session.call("get_operation", operation_id=operation, wait_seconds=45)
        assert ended.outcome == "done" and ended["approval"]["by"] == "Olga and Max", ended


def test_t23_what_a_person_rejected_cannot_be_asked_again_at_once(world):
    olga = Approver(world, "Olga")
    operation = waiting(world)
    assert olga.decides("reject", operation)[0] == 0
    for tool, arguments in (("deprovision_user", {"user": PERSON, "reason": "please"}), ("deprovision_users", {"users": USERS})):
        code, answer = world.call(tool, **arguments)
        assert code == 1 and answer["error"]["code"] == "CONFLICT" and answer["error"]["retry_at"], answer
    assert world.run("approve", operation).returncode == 66
    assert waiting(world, OTHER)
    assert world.call("update_user", user=PERSON, comments="stays")[1]["outcome"] == "done"


def test_what_nobody_decided_in_time_cannot_be_approved_any_more(world):
    world.configure('[approval]\nprovision_user = "out_of_band"\n')
    olga = Approver(world, "Olga")
    code, asked = world.call("provision_user", **NEW)
    assert asked["outcome"] == "awaiting_approval", asked
    assert olga.decides("approve", asked["operation_id"])[0] == 0
    # No server runs: the next one carries it out.
    assert world.sandbox.writes() == []
    code, ended = world.call("get_operation", operation_id=asked["operation_id"], wait_seconds=45)
    assert ended["outcome"] == "done", ended
    assert Screen(world, "approve", asked["operation_id"]).ends()[0] == 66


async def test_t22_what_a_removed_approver_approved_is_not_carried_out(world):
    olga, max_ = Approver(world, "Olga"), Approver(world, "Max")
    with world.http() as server:
        async with world.http_session(server.url, "auto") as session:
            asked = await session.call("deprovision_user", user=PERSON)
    # No server runs: the next one would carry it out.
    operation = asked["operation_id"]
    assert olga.decides("approve", operation, name="Olga")[0] == 0
    assert world.run("approver", "remove", "Olga").returncode == 0
    with world.http() as server:
        async with world.http_session(server.url, "auto") as session:
            ended = await session.call("get_operation", operation_id=operation, wait_seconds=45)
            assert ended.outcome == "failed" and "removed after they approved" in str(ended["notes"]), ended
            # The first of two counts no more, either.
            world.configure("[approval]\ndeprovision_user = \"two_people\"\n")
    zoe = Approver(world, "Zoe")
    with world.http() as server:
        async with world.http_session(server.url, "auto") as session:
            operation = (await session.call("deprovision_user", user=PERSON))["operation_id"]
            assert "one more person" in zoe.decides("approve", operation, name="Zoe")[1]
            assert world.run("approver", "remove", "Zoe").returncode == 0
            assert "one more person" in max_.decides("approve", operation)[1]
            still = await session.call("get_operation", operation_id=operation)
            assert still.outcome == "awaiting_approval"
    assert world.sandbox.writes() == []
