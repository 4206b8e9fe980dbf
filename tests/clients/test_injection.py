"""Texts of the tenant that want to be more than texts: to the model, to the person, to the terminal, to the log."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from lifecycle_steps import PERSON
from payloads import corpus, is_raw
from raw_stdio import raw_server
from support import LEGACY, MODERN, Sandbox, World
from terminal import Approver, Screen

PAYLOADS = corpus()
FORMS = {"elicitation": {"form": {}}}
# What a form says around the tenant's texts; nothing else may begin a line of it.
FRAME = re.compile(
    r"^(Delete this user from ZIA |Change this user in ZIA |ZIA id: \d+$|Name: |E-mail: |Department: |Groups: |Flag: |Disabled in ZIA\.$|Before-image: cap_|Asked by: |Reason: \u201c|"
    r"Change (name|comments|department): from |Add to groups: |Take out of groups: |ZIA cannot undo a delete|The change is activated|To go ahead, type |Operation op_[0-9a-f]{32}; instead)"
)
# Where a text of the tenant or of the caller may stand as it is; keys of structured results.
FIELDS = {"name", "comments", "from", "to", "email", "query", "user", "text", "message"}


@pytest.fixture(scope="module")
def tenant(tmp_path_factory):
    """A tenant in which every payload is somebody's name and comments, and most are a group's or a department's name."""
    place = tmp_path_factory.mktemp("hostile")
    with Sandbox(place, users=len(PAYLOADS) + 120) as sandbox:
        plain = [u for u in sandbox.users() if u["id"] > 165_000_030 and u["groups"] and not (u["admin_user"] or u["non_editable"] or u["disabled"])]
        assert len(plain) >= len(PAYLOADS)
        sandbox.control("PUT", "limits", {"policy": "off"})
        chosen = dict(zip(PAYLOADS, plain, strict=False))
        groups = sorted({g["id"] for u in sandbox.users() for g in u["groups"]})
        departments = sorted({u["department"]["id"] for u in sandbox.users() if u["department"]})
        for payload, user in chosen.items():
            sandbox.control("POST", "foreign/change", {"id": user["id"], "user": {"name": payload, "comments": payload}})
        names = {}
        for at, unit in enumerate([*groups, *departments]):
            # Two of a name each, so that it is told which ones could be meant.
            names[unit] = PAYLOADS[-1 - at // 2]
            sandbox.control("POST", "foreign/rename", {"id": unit, "user": {"name": names[unit]}})
        sandbox.chosen = {payload: user["id"] for payload, user in chosen.items()}
        sandbox.groups, sandbox.departments, sandbox.names = groups, departments, names
        yield sandbox


@pytest.fixture
def hostile(tmp_path, tenant):
    """A world of its own in front of the hostile tenant."""
    tenant.forget()
    world = World(tmp_path, tenant)
    world.chosen, world.names = tenant.chosen, tenant.names
    world.groups, world.departments = tenant.groups, tenant.departments
    return world


def texts(value, path=()):
    """Every text of a message with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, path)
    elif isinstance(value, str):
        yield path, value


def assert_harmless(message):
    """Nothing raw in any text of a message, and no payload where no tenant text belongs."""
    for path, text in texts(message):
        if path[-1] == "text" and text.startswith("{"):
            assert_harmless(json.loads(text))  # the copy of the structured result
            continue
        raw = [c for c in text if is_raw(c) and not (c in "\n\t" and path[-1] in FIELDS | {"description"})]
        assert not raw, (path, ascii(text))
        if path[-1] not in FIELDS:
            lines = text.splitlines()
            assert len(lines) <= 1 or path[-1] in ("instructions",), (path, ascii(text))


def assert_framed(form):
    """A form says its own lines, and the tenant's texts only within them."""
    for line in form["message"].split("\n"):
        assert FRAME.match(line), ascii(line)
        assert not [c for c in line if is_raw(c)], ascii(line)
    schema = json.dumps(form["requestedSchema"])
    assert "evil" not in schema and not [p for p in PAYLOADS if len(p) > 8 and p in schema]


def test_t9_the_corpus_has_three_hundred_payloads():
    assert len(PAYLOADS) >= 300 and sum(any(is_raw(c) for c in p) for p in PAYLOADS) >= 150


async def pages(server, tool, **arguments):
    """Every page of a list, one answer each."""
    cursor, first = None, True
    while cursor or first:
        answer = await server.call(tool, {**arguments, **({"cursor": cursor} if cursor else {})})
        first, cursor = False, answer["result"]["structuredContent"].get("next_cursor")
        yield answer


@pytest.mark.timeout(600)
async def test_t9_no_payload_leaves_its_field_in_any_tool(hostile):
    """Found, listed, planned, asked for in a form, on a person's screen, captured, refused."""
    olga, seen = Approver(hostile, "Olga"), {}
    async with raw_server(hostile, MODERN, log="error") as server:
        async for answer in pages(server, "find_user", query="example", limit=100):
            assert_harmless(answer)
            seen |= {u["id"]: u for u in answer["result"]["structuredContent"]["users"]}
        for payload, user in hostile.chosen.items():
            if not any(is_raw(c) for c in payload):
                assert seen[user]["name"] == payload, ascii(payload)
            assert "\\u{" in seen[user]["name"] or seen[user]["name"] == payload, ascii(seen[user])
        for tool, count in (("list_groups", len(hostile.groups)), ("list_departments", len(hostile.departments))):
            got = [answer async for answer in pages(server, tool, limit=50)]
            assert_harmless(got)
            assert sum(len(answer["result"]["structuredContent"]["items"]) for answer in got) >= count
        everyone = [str(user) for user in hostile.chosen.values()]
        asked = await server.call("deprovision_users", {"users": everyone, "reason": PAYLOADS[-1]})
        assert_harmless(asked)
        operation = asked["result"]["structuredContent"]["operation_id"]
        assert len(asked["result"]["structuredContent"]["items"]) == len(PAYLOADS)
        for uri in ("zia://status", f"zia://operations/{operation}"):
            assert_harmless(await server.ask("resources/read", {"uri": uri}))
        for tool, arguments in (("tenant_status", {}), ("get_operation", {"operation_id": operation})):
            assert_harmless(await server.call(tool, arguments))
        screen = Screen(hostile, "reject", operation)
        said = screen.until("Type the number:").replace("\r\n", "\n")
        assert not [c for c in said if is_raw(c) and c != "\n"], "the approver's screen holds raw characters"
        for user in everyone:
            assert len(re.findall(rf"^{user}:\s", said, re.MULTILINE)) == 1, user
        screen.types(str(len(everyone)))
        screen.until("One-time code")
        screen.types(olga.code())
        assert screen.ends()[0] == 0
    assert hostile.sandbox.writes() == []


# ZIA answers ten lists of users a minute.
SAMPLE = [PAYLOADS[0], PAYLOADS[8], PAYLOADS[17], *PAYLOADS[28:31], PAYLOADS[38], next(p for p in PAYLOADS if "\u202e" in p)]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", (LEGACY, MODERN))
async def test_t9_no_payload_leaves_its_field_in_forms_plans_and_refusals(hostile, mode):
    """One by one, as many as ZIA's limits allow."""
    async with raw_server(hostile, mode, FORMS, log="error") as server:
        async for _ in pages(server, "find_user", query="example", limit=100):
            pass
        for payload in SAMPLE[mode == MODERN :: 2]:
            arguments = {"user": str(hostile.chosen[payload]), "reason": payload}
            if mode == MODERN:
                answer = await server.call("deprovision_user", arguments, capabilities=FORMS)
                assert_framed(answer["result"]["inputRequests"]["confirm"]["params"])
                no = {"confirm": {"action": "decline"}}
                ended = await server.call("deprovision_user", arguments, state=answer["result"]["requestState"], answers=no, capabilities=FORMS)
            else:
                calling = asyncio.create_task(server.call("deprovision_user", arguments))
                asked = await server.answer_to(lambda m: m.get("method") == "elicitation/create")
                assert_framed(asked["params"])
                await server.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}})
                ended = await calling
            assert_harmless(ended)
            assert ended["result"]["structuredContent"]["outcome"] == "declined", ended
        plan = await server.call("update_user", {"user": arguments["user"], "comments": "x", "dry_run": True})
        assert_harmless(plan)
        assert plan["result"]["structuredContent"]["outcome"] == "planned", plan
        new = {"name": "New", "email": "new@example.com", "department": str(hostile.departments[0]), "dry_run": True}
        plan = await server.call("provision_user", {**new, "groups": [str(group) for group in hostile.groups[:120]]})
        assert_harmless(plan)
        assert plan["result"]["structuredContent"]["outcome"] == "planned", plan
        ambiguous = 0
        for name in dict.fromkeys(hostile.names.values()):
            answer = await server.call("provision_user", {**new, "groups": [name]})
            assert_harmless(answer)
            ambiguous += answer["result"]["structuredContent"].get("error", {}).get("code") == "AMBIGUOUS"
        assert ambiguous > 20, ambiguous
        for payload in PAYLOADS:
            for tool, key in (("deprovision_user", "user"), ("restore_user", "capture"), ("get_operation", "operation_id"), ("tenant_status", payload[:60]), (payload[:60], "x")):
                if "@" not in payload:
                    assert_harmless(await server.call(tool, {key: payload}))
        assert await server.lives()
    assert hostile.sandbox.writes() == []


@pytest.mark.parametrize("mode", (LEGACY, MODERN))
async def test_t9_no_payload_leaves_its_field_in_prompts_and_completions_or_comes_into_a_list(hostile, mode):
    async with raw_server(hostile, mode, log="error") as server:
        for payload in PAYLOADS:
            answer = await server.ask("prompts/get", {"name": "offboard_user", "arguments": {"user": payload}})
            if "error" in answer:
                assert_harmless(answer)
                continue
            (said,) = answer["result"]["messages"]
            raw = [c for c in said["content"]["text"] if is_raw(c) and c != "\n"]
            assert not raw, (ascii(payload), raw)
        for start in ("", "Ig", "Name", "S", "\u202e", "\x1b"):
            wanted = {"ref": {"type": "ref/prompt", "name": "onboard_user"}, "argument": {"name": "groups", "value": start}}
            assert_harmless(await server.ask("completion/complete", wanted))
        listed = [await server.ask(method) for method in ("tools/list", "prompts/list", "resources/list")]
        said = json.dumps(listed)
        assert not [p for p in PAYLOADS if len(p) > 12 and json.dumps(p)[1:-1] in said]


ESCAPES = (
    ("Eve\x1b]52;c;ZXZpbA==\x07", "Eve\\u{1b}]52;c;ZXZpbA==\\u{7}"),
    ("Eve\x1b[2J\x1b[H", "Eve\\u{1b}[2J\\u{1b}[H"),
    ("Eve\rName: Somebody Else", "Eve\\u{d}Name: Somebody Else"),
    ("Eve\nName: Somebody Else", "Eve\\u{a}Name: Somebody Else"),
    ("Eve \u202eenoyna", "Eve \\u{202e}enoyna"),
    ("Eve\x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "Eve\\u{1b}]8;;https://evil.example\\u{7}link\\u{1b}]8;;\\u{7}"),
    ("Eve\x9b2J\U000e0041\U000e0101", "Eve\\u{9b}2J\\u{e0041}\\u{e0101}"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "shown"), ESCAPES, ids=[ascii(e[0])[:30] for e in ESCAPES])
def test_t10_the_terminal_and_the_log_show_what_hides_and_run_nothing(world, name, shown):
    olga = Approver(world, "Olga")
    user = world.sandbox.user(PERSON)
    world.sandbox.control("POST", "foreign/change", {"id": user["id"], "user": {"name": name, "comments": name}})
    ran = world.run("call", "deprovision_user", json.dumps({"user": PERSON, "reason": name}), "--log", "trace")
    answer = json.loads(ran.stdout)
    operation, capture = answer["operation_id"], answer["capture"]["id"]
    screen = Screen(world, "approve", operation)
    seen = screen.until("One-time code").replace("\r\n", "\n")
    assert f"\nName: {shown}\n" in seen, ascii(seen)
    assert f"Reason: \u201c{shown}\u201d (written by the caller, not verified)" in unwrapped(seen), ascii(seen)
    screen.types(olga.code())
    assert screen.ends()[0] == 0
    outputs = [seen, ran.stdout, ran.stderr]
    for command in (("operations",), ("operations", operation), ("captures", "list"), ("captures", "show", capture), ("audit", "export"), ("approver", "list")):
        ended = world.run(*command)
        assert ended.returncode == 0, ended
        at_terminal = Screen(world, *command).ends()[1].replace("\r\n", "\n")
        outputs += [ended.stdout, ended.stderr, at_terminal]
    for output in outputs:
        raw = [c for c in output if is_raw(c) and c not in "\n\t"]
        assert not raw, (raw, ascii(output[:400]))


def unwrapped(screen):
    """A screen without its line breaks, which come between words."""
    return " ".join(screen.split())


async def test_t7_the_person_sees_the_record_and_the_reason_only_as_a_quoted_text(world):
    """The model says that it deletes a test user, and names another one."""
    reason = "delete test user 1\nName: Test User\nE-mail: test@example.com\nZIA id: 1"
    olga = Approver(world, "Olga")
    user = world.sandbox.user(PERSON)
    async with raw_server(world, MODERN) as server:
        asked = await server.call("deprovision_user", {"user": str(user["id"]), "reason": reason}, capabilities=FORMS)
        form = asked["result"]["inputRequests"]["confirm"]["params"]["message"]
        operation = re.search(r"op_[0-9a-f]{32}", form)[0]
    screen = Screen(world, "approve", operation)
    at_terminal = screen.until("One-time code").replace("\r\n", "\n")
    screen.types(olga.wrong())
    assert screen.ends()[0] == 77
    for said in (form, at_terminal):
        lines = said.split("\n")
        assert [x for x in lines if x.startswith("ZIA id:")] == [f"ZIA id: {user['id']}"], said
        assert [x for x in lines if x.startswith("E-mail:")] == [f"E-mail: {PERSON}"], said
        assert [x for x in lines if x.startswith("Name:")] == [f"Name: {user['name']}"], said
        (quoted,) = [x for x in lines if x.startswith("Reason:")]
        assert quoted.startswith("Reason: \u201cdelete test user 1\\u{a}Name")
        assert "(written by the caller, not verified)" in unwrapped(said)
    assert world.sandbox.writes() == []


NASTY = (
    "../../etc/passwd", "..%2f..%2fx", "%2e%2e/%2e%2e/x", "a\x00b", "a\r\nINFO forged entry", "a\nlevel=ERROR forged=1", "..\\..\\x", "/tmp/t34-escape", "file:///etc/passwd",
    "~/x", "$(touch /tmp/t34-escape)", "`touch /tmp/t34-escape`", "|touch /tmp/t34-escape", "x" * 3000, "\u2028forged", "\x85forged", "CON", "a/../../b", "....//....//x",
)  # fmt: skip
WORDS = {
    "find_user": ("query", "department", "group", "cursor"), "list_groups": ("query", "cursor"), "get_operation": ("operation_id",), "provision_user": ("name", "email", "department", "comments"),
    "update_user": ("user", "name", "department", "comments"), "deprovision_user": ("user", "reason"), "restore_user": ("capture",), "list_user_changes": ("since", "cursor"),
}  # fmt: skip


LEVELS = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR"}


async def test_t34_no_text_becomes_a_path_or_a_line_of_the_log(world, tmp_path):
    """Every text argument with every bad text: files stay where they were, each event is one line."""
    outside = {p for p in tmp_path.rglob("*") if world.state not in p.parents}
    base = {"provision_user": {"name": "N", "email": "n@example.com", "groups": ["Sales"], "dry_run": True}, "update_user": {"user": PERSON, "dry_run": True}, "find_user": {"query": "a"}}
    async with raw_server(world, LEGACY) as server:
        for tool, words in WORDS.items():
            for word in words:
                for text in NASTY:
                    await server.call(tool, {**base.get(tool, {}), word: text})
        for text in NASTY:
            await server.call("deprovision_users", {"users": [text]})
            await server.ask("resources/read", {"uri": f"zia://captures/{text}"})
            await server.ask("prompts/get", {"name": text, "arguments": {text: text}})
            await server.call(text, {})
        assert await server.lives()
        log = bytes(server.stderr)
    for line in log.decode().split("\n"):
        # T10: a line is an event, and an event a JSON object of ours.
        event = json.loads(line) if line else {"level": "INFO", "timestamp": "", "message": "", "target": ""}
        assert event["level"] in LEVELS and {"timestamp", "message", "target"} <= event.keys(), ascii(line)
        assert not [c for c in line if is_raw(c)], ascii(line)
    world.run("captures", "show", NASTY[0]), world.run("operations", NASTY[1]), world.run("approve", NASTY[0])
    assert {p for p in tmp_path.rglob("*") if world.state not in p.parents} - outside <= {world.log}
    names = {p.name for p in world.state.rglob("*")}
    assert names and all(re.fullmatch(r"[\w.-]+", name) and "passwd" not in name for name in names), names
    assert not Path("/tmp/t34-escape").exists()
    assert world.sandbox.writes() == []
