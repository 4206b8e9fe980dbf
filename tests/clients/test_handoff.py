"""First passwords: to one person, once, at a terminal or on the page; to no model ever (T19)."""

import json
import re

import pytest
from lifecycle_steps import NEW, PERSON
from people import accepts
from raw_stdio import raw_server
from support import HTTP_TOKEN, LEGACY, MODERN
from terminal import Approver, Screen
from test_console import page
from wiretap import Wiretap, leaks

HANDOFF = '[provision]\ninitial_password = "handoff"\n'


@pytest.fixture
def tap(world):
    """A world that hands passwords off, and what it tells the tenant."""
    world.configure(HANDOFF)
    with Wiretap(world.sandbox.url) as tap:
        world.settings["ZIA_BASE_URL"] = tap.url
        yield tap


def sent(world, tap):
    """The passwords that the tenant was sent, but for the one of the sign-in."""
    found = {json.loads(f'"{p}"') for p in tap.heard(r'"password" ?: ?"((?:[^"\\]|\\.)+)"')}
    return found - {world.sandbox.settings["ZIA_PASSWORD"]}


def provision(world, **more):
    code, made = world.call("provision_user", **{**NEW, **more})
    assert code == 0 and made["outcome"] == "done", made
    return made


def shown(screen):
    """The password on a screen: the line that stands alone."""
    code, text = screen.ends()
    assert code == 0, text
    (word,) = [line.strip() for line in text.splitlines() if re.fullmatch(r"\S{24}", line.strip())]
    return word, text


def test_a_password_is_shown_at_the_terminal_once_and_it_is_the_users(world, tap):
    made = provision(world)
    told, operation = made["initial_password"], made["operation_id"]
    assert told["delivery"] == "handoff" and f"zia-mcp password {operation}" in told["how"], told
    assert "24 hours" in told["how"] and "once" in told["how"]
    word, text = shown(Screen(world, "password", operation))
    assert {word} == sent(world, tap) and NEW["email"] in text and "clear the screen" in text
    code, text = Screen(world, "password", operation).ends()
    assert code == 66 and "already" in text and word not in text, text
    later = world.call("get_operation", operation_id=operation)[1]["initial_password"]
    assert later["delivery"] == "handoff" and "kept no longer" in later["how"], later
    trail = [json.loads(line) for line in world.run("audit", "export").stdout.splitlines()]
    assert [r for r in trail if "password.shown" in json.dumps(r) and "terminal" in json.dumps(r)]
    assert word not in json.dumps(trail) and world.run("audit", "verify").returncode == 0


def test_t19_what_is_piped_is_refused_and_uses_nothing_up(world, tap):
    operation = provision(world)["operation_id"]
    for typed in ("", "y\n", f"{operation}\n"):
        ran = world.run("password", operation, stdin=typed)
        assert ran.returncode == 77, ran
        assert not any(word in ran.stdout + ran.stderr for word in sent(world, tap))
    word, _ = shown(Screen(world, "password", operation))
    assert {word} == sent(world, tap)


def test_there_is_no_password_where_none_is_kept(world):
    assert Screen(world, "password", "op_" + "0" * 32).ends()[0] == 66
    assert Screen(world, "password", "nonsense").ends()[0] == 66
    operation = provision(world)["operation_id"]
    code, text = Screen(world, "password", operation).ends()
    assert code == 66 and "keeps no password" in text, text
    world.configure(HANDOFF)
    planned = world.call("provision_user", **{**NEW, "email": "other@example.com"}, dry_run=True)[1]
    assert planned["outcome"] == "planned" and planned["initial_password"]["delivery"] == "handoff", planned
    assert Screen(world, "password", planned["operation_id"]).ends()[0] == 66


async def test_t21_an_approver_sees_it_once_on_the_page_and_nobody_else(world, tap):
    olga = Approver(world, "Olga")
    with world.http() as server:
        async with world.http_session(server.url, MODERN) as session:
            made = await session.call("provision_user", **NEW)
            assert made.outcome == "done", made
        operation = made["operation_id"]
        url = f"{server.url}/console/password/{operation}"
        assert url in made["initial_password"]["how"], made
        (word,) = sent(world, tap)
        stranger = f"{server.url}/console/password/op_{'0' * 32}"
        real, none = page(url), page(stranger)
        assert real.status == 200 and real.text.replace(operation, "") == none.text.replace(f"op_{'0' * 32}", "")
        for each in (real, page(f"{url}?approver=Olga"), page(url, approver="Olga", code="000000"), page(url, approver="Nobody", code=olga.wrong())):
            assert word not in each.text and NEW["email"] not in each.text
        assert page(url, {"Origin": "https://evil.example"}, approver="Olga", code=olga.at(-2)).status == 403
        seen = page(url, approver="olga", code=olga.code())
        assert seen.status == 200 and f">{word}<" in seen.text and NEW["email"] in seen.text, seen.text
        assert seen.headers["cache-control"] == "no-store"
        again = page(url, approver="Olga", code=olga.code())
        assert again.status == 404 and word not in again.text and "already" in again.text, again.text
    assert Screen(world, "password", operation).ends()[0] == 66
    trail = world.run("audit", "export").stdout
    assert "password.shown" in trail and "Olga" not in trail and world.run("audit", "verify").returncode == 0


async def test_t19_a_password_that_is_handed_off_appears_nowhere_else(world, tap):
    """Output, log at trace level, results, audit, store files: before it was shown and after."""
    places = {}
    for mode, email in ((LEGACY, "one@example.com"), (MODERN, "two@example.com")):
        async with raw_server(world, mode) as server:
            await server.call("provision_user", {**NEW, "email": email, "password": "Argum3nt-canary"})
            made = await server.call("provision_user", {**NEW, "email": email})
            operation = made["result"]["structuredContent"]["operation_id"]
            await server.call("get_operation", {"operation_id": operation})
            await server.ask("resources/read", {"uri": f"zia://operations/{operation}"})
            await server.call("tenant_status", {})
        places[f"{mode} stdout"], places[f"{mode} stderr"] = bytes(server.stdout), bytes(server.stderr)
    for command in (["operations", "--json"], ["operations", operation], ["audit", "export"], ["doctor"]):
        ran = world.run(*command, "--log", "trace")
        places[" ".join(command)] = (ran.stdout + ran.stderr).encode()
    secrets = {f"generated password {n}": word for n, word in enumerate(sorted(sent(world, tap)))}
    assert len(secrets) == 2 and all(places.values())
    stored = {str(path): content for path, content in world.stored().items()}
    assert leaks(secrets, places | stored) == []
    word, _ = shown(Screen(world, "password", operation))
    assert word in secrets.values()
    assert leaks(secrets, {str(path): content for path, content in world.stored().items()}) == []


async def test_a_restored_users_password_is_handed_off_too(world, tap):
    async with world.stdio_session(MODERN, accepts(PERSON)) as session:
        assert (await session.call("deprovision_user", user=PERSON)).outcome == "done"
        back = await session.call("restore_user", capture=PERSON)
        assert back.outcome == "done" and back["initial_password"]["delivery"] == "handoff", back
    word, text = shown(Screen(world, "password", back["operation_id"]))
    assert {word} == sent(world, tap) and PERSON in text


async def test_t19_no_schema_has_a_password_but_the_fate_of_one(world):
    allowed = {"initial_password"}

    def named(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from named(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from named(inner)

    async with raw_server(world, MODERN) as server:
        tools = (await server.ask("tools/list", {}))["result"]["tools"]
    assert len(tools) >= 10
    for tool in tools:
        secret = {key for key in named(tool) if re.search("passw|secret|credential|pwd", key, re.I)}
        assert secret <= allowed, (tool["name"], secret)
    assert HTTP_TOKEN not in json.dumps(tools)
