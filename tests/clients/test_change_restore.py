"""Changing a user, and bringing a deleted one back."""

import pytest
from lifecycle_steps import NEW, PERSON
from people import accepts, nobody
from support import ACTIVATE, CREATE, GENERATIONS, LEGACY, MODERN, STATUS

REPLACE = "PUT /users/{id}"
AWKWARD = (
    "taro.yamada", "zoe.nunez", "mohammed.alahmad", "robin.oneil", "noor.nodepartment", "grace.manygroups", "casey.commented",
    "blob.name", "terminal.escape", "\u0430lex.payne",
)  # fmt: skip


def kept(user):
    """What has to be the same after a restore."""
    groups = sorted(g["id"] for g in user["groups"])
    return user["name"], user["email"], user["department"], groups, user["comments"]


@pytest.mark.parametrize("mode", GENERATIONS)
@pytest.mark.parametrize("transport", ("stdio", "http"))
async def test_a_change_is_planned_made_and_told_field_by_field(world, transport, mode):
    before = world.sandbox.user(PERSON)
    asked = {"user": PERSON, "name": "山田 次郎", "add_groups": ["Sales Berlin"], "comments": "moved"}
    async with world.session(transport, mode, nobody()) as session:
        plan = await session.call("update_user", **asked, dry_run=True)
        assert (plan.outcome, world.sandbox.writes()) == ("planned", []), plan
        made = await session.call("update_user", **asked)
        assert (made.outcome, made["activation"]["state"]) == ("done", "active"), made
        assert made["changes"] == plan["changes"]
        assert {c["field"]: (c["from"], c["to"]) for c in made["changes"]}["name"] == (before["name"], "山田 次郎")
        assert (await session.read(made["capture"]["uri"]))["by_id"]["name"] == before["name"]
        again = await session.call("update_user", **asked)
        assert again.outcome == "already_done", again
    after = world.sandbox.user(PERSON)
    assert (after["name"], after["comments"]) == ("山田 次郎", "moved")
    assert (after["id"], after["email"], after["department"]) == (before["id"], before["email"], before["department"])
    assert {g["name"] for g in after["groups"]} == {g["name"] for g in before["groups"]} | {"Sales Berlin"}
    names = [c["endpoint"] for c in world.sandbox.calls(REPLACE, ACTIVATE, STATUS)]
    assert names.count(REPLACE) == 1 and ACTIVATE in names[names.index(REPLACE) :] and names[-1] == STATUS, names


# ZIA allows ten lists a minute, and each life takes two: half of them each.
@pytest.mark.parametrize(("mode", "names"), ((LEGACY, AWKWARD[::2]), (MODERN, AWKWARD[1::2])), ids=GENERATIONS)
async def test_awkward_users_come_back_as_they_were(world, mode, names):
    class Typist:
        """Types whatever address the question names."""

        async def __call__(self, context, params):
            (line,) = (text for text in params.message.splitlines() if text.startswith("E-mail: "))
            return await accepts(line.removeprefix("E-mail: "))(context, params)

    async with world.stdio_session(mode, Typist()) as session:
        for name in names:
            email = f"{name}@example.com"
            before = world.sandbox.user(email)
            gone = await session.call("deprovision_user", user=email)
            assert gone.outcome == "done" and world.sandbox.user(email) is None, gone
            back = await session.call("restore_user", capture=gone["capture"]["id"] if len(name) % 2 else email)
            assert (back.outcome, back["capture"]) == ("done", gone["capture"]), back
            assert kept(world.sandbox.user(email)) == kept(before)
            assert any(str(before["id"]) in note for note in back["notes"]) and any("password" in note for note in back["notes"])
    assert world.sandbox.control("GET", "")["status"] == "ACTIVE"


async def test_who_asks_over_http_restores_whom_the_person_at_the_desk_deleted(world):
    async with world.stdio_session("auto", accepts(PERSON)) as session:
        capture = (await session.call("deprovision_user", user=PERSON))["capture"]["id"]
    async with world.session("http", MODERN) as session:
        assert (await session.call("restore_user", capture=capture)).outcome == "done"
        assert (await session.call("restore_user", capture=PERSON)).outcome == "already_done"
    assert len(world.sandbox.calls(CREATE)) == 1


@pytest.mark.parametrize("mode", (LEGACY, MODERN))
async def test_raised_by_the_operator_every_write_asks_in_both_generations(world, mode):
    world.configure('[approval]\nprovision_user = "client"\nupdate_user = "client"\nrestore_user = "client"\n')
    person = accepts(NEW["email"])
    async with world.stdio_session(mode, person) as session:
        made = await session.call("provision_user", **NEW)
        assert (made.outcome, made["approval"]["channel"]) == ("done", "client"), made
        changed = await session.call("update_user", user=NEW["email"], name="Jane Roe")
        assert (changed.outcome, changed["approval"]["channel"]) == ("done", "client"), changed
        assert (await session.call("deprovision_user", user=NEW["email"])).outcome == "done"
        back = await session.call("restore_user", capture=NEW["email"])
        assert (back.outcome, back["approval"]["channel"]) == ("done", "client"), back
    questions = [q.message for q in person.questions]
    assert len(questions) == 4 and "Jane Doe" in questions[1] and "Jane Roe" in questions[1], questions
    assert world.sandbox.user(NEW["email"])["name"] == "Jane Roe"
