"""Floods of requests, and deletes in masses (guardrails T23, T24)."""

import asyncio
import json

import pytest
from lifecycle_steps import PERSON
from raw_stdio import raw_server
from support import MODERN, Sandbox, World


@pytest.fixture
def crowd(tmp_path):
    """A tenant of 700 users."""
    with Sandbox(tmp_path, users=700) as sandbox:
        sandbox.control("PUT", "limits", {"policy": "off"})
        yield World(tmp_path, sandbox)


def plain(world, count):
    users = [u for u in world.sandbox.users() if u["id"] > 165_000_030 and u["groups"] and not (u["admin_user"] or u["non_editable"] or u["disabled"])]
    assert len(users) >= count
    return [str(u["id"]) for u in users[:count]]


def events(world):
    """What is on record, in order."""
    records = [json.loads(line) for line in world.run("audit", "export").stdout.splitlines()]
    return [r["event"] for r in records if "event" in r]


@pytest.mark.timeout(300)
async def test_t23_what_is_beyond_the_most_that_may_wait_is_refused_however_often(crowd):
    """As many as may wait, which ZIA's limits let be opened within a minute; then a flood of others."""
    crowd.configure("[policy]\nmax_open = 6\n")
    users = plain(crowd, 350)
    groups = [users[at : at + 4] for at in range(0, 24, 4)]
    async with raw_server(crowd, MODERN, log="error") as server:

        async def ask(users):
            return (await server.call("deprovision_users", {"users": users, "reason": "flood"}, within=120))["result"]["structuredContent"]

        opened = {(await ask(group))["operation_id"] for group in groups}
        assert len(opened) == 6
        many = asyncio.Semaphore(16)

        async def one(pair):
            async with many:
                return (await ask(pair)).get("error")

        refused = await asyncio.gather(*(one([a, b]) for a, b in zip(users, users[40:], strict=False)))
        assert len(refused) > 300 and {e and e["code"] for e in refused} == {"RATE_LIMITED"}, refused
        assert all("6 operations of this caller wait for a person" in e["message"] and e["retry_at"] for e in refused)
        waiting = (await server.call("tenant_status", {}))["result"]["structuredContent"]["open_operations"]
        assert {o["operation_id"] for o in waiting} == opened
        # The same again is the same operation, not one more for a person to look at.
        assert (await ask(groups[0]))["operation_id"] in opened
        assert await server.lives()
    assert crowd.sandbox.writes() == []


async def test_t24_masses_are_refused_before_anybody_is_captured(crowd):
    users = plain(crowd, 501)
    crowd.configure("[policy]\nmax_deletes_per_day = 20\n")
    async with raw_server(crowd, MODERN, log="error") as server:
        for tool, arguments, code, why in (
            ("deprovision_users", {"users": users}, "LIMIT_EXCEEDED", "500"),
            ("deprovision_users", {"users": users[:21]}, "LIMIT_EXCEEDED", "24 hours"),
            ("deprovision_users", {"users": [*users[:4], "admin@example.com"]}, "PROTECTED", "administrator"),
            ("deprovision_users", {"users": [*users[:4], "api.admin@example.com"]}, "PROTECTED", "own-account"),
            ("deprovision_user", {"user": "admin@example.com"}, "PROTECTED", "administrator"),
            ("deprovision_user", {"user": "api.admin@example.com"}, "PROTECTED", "own-account"),
        ):
            error = (await server.call(tool, arguments))["result"]["structuredContent"]["error"]
            assert error["code"] == code and why in error["message"], (tool, len(arguments.get("users", [])), error)
    assert crowd.run("captures", "list", "--json").stdout.strip() == "[]"
    assert crowd.sandbox.writes() == []
    assert events(crowd) == ["call.refused"] * 6


async def test_t14_t24_what_the_operators_rules_leave_out_is_refused_on_record(world):
    """Over the real binary: a protected group and department, and a caller's departments and tools."""
    user = world.sandbox.user(PERSON)
    group, department = user["groups"][0]["name"], user["department"]["name"]
    for config, code, rule in (
        (f'[policy]\nprotected_groups = ["{group.lower()}"]\n', "PROTECTED", "protected-group"),
        (f'[policy]\nprotected_departments = ["{user["department"]["id"]}"]\n', "PROTECTED", "protected-department"),
        ('[[policy.callers]]\ncaller = "local"\ndepartments = ["Nowhere"]\n', "FORBIDDEN", "policy.callers of `local`"),
        ('[[policy.callers]]\ncaller = "*"\ntools = ["provision_user"]\n', "FORBIDDEN", "policy.callers of `*`"),
    ):
        world.configure(config)
        for tool, arguments in (("deprovision_user", {"user": PERSON}), ("deprovision_users", {"users": [PERSON]}), ("update_user", {"user": PERSON, "name": "New"})):
            exit_code, answer = world.call(tool, **arguments)
            assert exit_code == 1 and answer["error"]["code"] == code, (config, tool, answer)
            assert rule in answer["error"]["message"], answer
    world.configure(f'[policy]\nprotected_groups = ["{group}"]\n')
    new = {"name": "Jane", "email": "jane.doe@example.com", "groups": [group], "department": department}
    assert world.call("provision_user", **new)[1]["error"]["code"] == "PROTECTED"
    assert world.sandbox.writes() == []
    assert events(world) == ["call.refused"] * 13 and world.run("audit", "verify").returncode == 0
