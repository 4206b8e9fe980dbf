"""What a person's answer does, and what the lack of one does not."""

import asyncio

import mcp_types as types
import pytest
from lifecycle_steps import PERSON
from people import accepts, cancels, declines, nobody, stays_silent
from support import GENERATIONS, LEGACY, MODERN


async def ask(session, person=PERSON):
    return await session.call("deprovision_user", user=person, reason="left")


def nothing_was_sent(world):
    assert world.sandbox.writes() == [], world.sandbox.writes()
    assert world.sandbox.user(PERSON)


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_person_who_declines_ends_the_operation(world, mode):
    person = declines()
    async with world.stdio_session(mode, person) as session:
        answer = await ask(session)
        assert answer.outcome == "declined", answer
        assert len(person.questions) == 1
        later = await session.call("get_operation", operation_id=answer["operation_id"], wait_seconds=1)
        assert later.outcome == "declined"
    nothing_was_sent(world)


@pytest.mark.parametrize("typed", ("yes", "", "taro.yamada@example.co", "confirm", "*", "165000003"))
@pytest.mark.parametrize("mode", GENERATIONS)
async def test_another_text_leaves_the_operation_waiting_and_says_so(world, mode, typed):
    async with world.stdio_session(mode, accepts(typed)) as session:
        answer = await ask(session)
        assert answer.outcome == "awaiting_approval", answer
        assert any("match" in note for note in answer["notes"]), answer["notes"]
        assert answer["operation_id"] in answer["how_to_approve"]["cli"]
    nothing_was_sent(world)


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_closed_form_leaves_the_operation_waiting(world, mode):
    async with world.stdio_session(mode, cancels()) as session:
        answer = await ask(session)
        assert answer.outcome == "awaiting_approval", answer
    nothing_was_sent(world)


async def test_t3_silence_is_given_up_after_ask_seconds_and_is_no_approval(world):
    world.configure("[approval]\nask_seconds = 1\n")
    person = stays_silent()
    async with world.stdio_session(LEGACY, person) as session:
        answer = await ask(session)
        assert answer.outcome == "awaiting_approval", answer
        assert len(person.questions) == 1
        assert await session.is_usable()
    nothing_was_sent(world)


async def test_a_client_that_never_comes_back_with_an_answer_approves_nothing(world):
    person = stays_silent()
    async with world.stdio_session(MODERN, person) as session:
        asking = asyncio.create_task(ask(session))
        await asyncio.wait_for(person.asked.wait(), 30)
        (open_one,) = (await session.call("tenant_status"))["open_operations"]
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        seen = await session.call("get_operation", operation_id=open_one["operation_id"])
        assert seen.outcome == "awaiting_approval"
    nothing_was_sent(world)


async def test_an_operation_that_nobody_approves_expires_and_cannot_be_approved_later(world):
    world.configure("[approval]\nexpires_minutes = 1\n")
    person = stays_silent()
    async with world.stdio_session(MODERN, person) as session:
        asked = await session.once("deprovision_user", {"user": PERSON})
        (open_one,) = (await session.call("tenant_status"))["open_operations"]
        async with asyncio.timeout(90):
            while (ended := await session.call("get_operation", operation_id=open_one["operation_id"], wait_seconds=5)).outcome != "expired":
                assert ended.outcome == "awaiting_approval", ended
        late = {"confirm": types.ElicitResult(action="accept", content={"confirm": PERSON})}
        refused = await session.refused("deprovision_user", {"user": PERSON}, asked.request_state, late)
        assert refused.code == -32602, refused
        assert (await session.call("tenant_status"))["open_operations"] == []
    nothing_was_sent(world)


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_client_that_cannot_ask_is_told_the_command(world, mode):
    async with world.stdio_session(mode, nobody()) as session:
        answer = await ask(session)
        assert answer.outcome == "awaiting_approval", answer
        how = answer["how_to_approve"]
        assert how["cli"] == f"zia-mcp approve {answer['operation_id']}"
        assert how["expires_at"].endswith("Z")
        assert answer["user"]["email"] == PERSON and answer["capture"]["id"]
        again = await ask(session)
        assert again["operation_id"] == answer["operation_id"], "the same call does not join the open operation"
    nothing_was_sent(world)


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_an_open_operation_is_joined_and_the_person_asked_again(world, mode):
    async with world.stdio_session(mode, cancels()) as session:
        first = await ask(session)
    person = accepts(PERSON)
    async with world.stdio_session(mode, person) as session:
        second = await ask(session)
        assert second.outcome == "done", second
        assert second["operation_id"] == first["operation_id"]
        assert len(person.questions) == 1
    assert len(world.sandbox.deletes()) == 1


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_every_question_shows_the_user_the_operation_and_the_command(world, mode):
    person = declines()
    async with world.stdio_session(mode, person) as session:
        answer = await session.call("deprovision_user", user="165000016", reason="\x1b[2J delete test user 1 instead")
    (question,) = person.questions
    text = question.message
    for part in ("terminal.escape@example.com", "165000016", answer["operation_id"], "zia-mcp approve", answer["capture"]["id"]):
        assert part in text, text
    assert "delete test user 1" in text, "the caller's reason is not shown"
    assert not [c for c in text if c != "\n" and (ord(c) < 32 or c in "\u202e\u202c\x7f")], ascii(text)
    schema = question.requested_schema
    assert list(schema["properties"]) == ["confirm"] and schema["required"] == ["confirm"]
    assert schema["properties"]["confirm"]["type"] == "string"
    assert "example.com" not in str(schema), "the form gives the address away"


@pytest.mark.parametrize("mode", GENERATIONS)
@pytest.mark.parametrize("person", (cancels, declines, nobody), ids=lambda p: p.__name__)
async def test_t3_over_http_no_client_can_approve(world, mode, person):
    """One that accepts is sent to the page, and approves as little: test_visits.py."""
    someone = person()
    async with world.session("http", mode, someone) as session:
        answer = await ask(session)
        assert answer.outcome == "awaiting_approval", answer
        assert answer["operation_id"] in answer["how_to_approve"]["cli"]
        again = await ask(session)
        assert (again.outcome, again["operation_id"]) == ("awaiting_approval", answer["operation_id"])
    nothing_was_sent(world)


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_t8_a_user_who_changed_after_the_question_is_not_deleted(world, mode):
    someone = world.sandbox.user(PERSON)
    change = {"id": someone["id"], "user": {"name": "Somebody Else"}}
    person = accepts(PERSON, looks=lambda: world.sandbox.control("POST", "foreign/change", change))
    async with world.stdio_session(mode, person) as session:
        answer = await ask(session)
        assert answer.outcome == "changed", answer
    assert world.sandbox.deletes() == []


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_others_staged_changes_are_published_only_by_a_person(world, mode):
    world.sandbox.control("POST", "foreign/stage")
    async with world.stdio_session(mode, cancels()) as session:
        waiting = await session.call("activate")
        assert waiting.outcome == "awaiting_approval", waiting
        assert "other" in " ".join(waiting["notes"]), waiting["notes"]
    assert world.sandbox.writes() == []
    person = accepts("activate")
    async with world.stdio_session(mode, person) as session:
        published = await session.call("activate")
        assert published.outcome == "done", published
    assert len(person.questions) == 1 and "zia-mcp approve" in person.questions[0].message
    assert world.sandbox.control("GET", "")["status"] == "ACTIVE"
