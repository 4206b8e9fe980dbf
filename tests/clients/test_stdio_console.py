"""The console beside a server over stdio: on loopback, and only once a person has something to do there."""

import os
import urllib.parse
from pathlib import Path

from lifecycle_steps import NEW, PERSON
from raw_stdio import raw_server
from support import MODERN, eventually
from terminal import Approver
from test_console import page

LISTENING = "0A"


def listeners(pid):
    """Addresses on which a process listens, read from its own file descriptors."""
    own = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(fd))
        except FileNotFoundError:
            continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in own:
                address, port = fields[1].split(":")
                found.append((address, int(port, 16)))
    return found


async def test_nothing_listens_before_somebody_waits_and_then_an_approver_decides_there(world):
    olga = Approver(world, "Olga")
    async with raw_server(world, MODERN, log="info") as server:
        await server.call("tenant_status", {})
        await server.call("find_user", {"query": PERSON})
        made = await server.call("provision_user", NEW)
        assert made["result"]["structuredContent"]["outcome"] == "done"
        assert listeners(server.child.pid) == []
        asked = (await server.call("deprovision_user", {"user": PERSON}))["result"]["structuredContent"]
        url = asked["how_to_approve"]["page"]
        port = urllib.parse.urlsplit(url).port
        assert url == f"http://127.0.0.1:{port}/console/{asked['operation_id']}"
        assert listeners(server.child.pid) == [("0100007F", port)], "only 127.0.0.1"
        second = (await server.call("deprovision_user", {"user": "zoe.nunez@example.com"}))["result"]["structuredContent"]
        assert urllib.parse.urlsplit(second["how_to_approve"]["page"]).port == port
        assert len(listeners(server.child.pid)) == 1
        signed = page(url, approver="Olga", code=olga.code())
        assert PERSON in signed.text and world.sandbox.writes() and world.sandbox.deletes() == []
        assert page(url, pass_=signed.pass_, decision="approve").title == "Approved"
        ended = await server.call("get_operation", {"operation_id": asked["operation_id"], "wait_seconds": 45})
        assert ended["result"]["structuredContent"]["outcome"] == "done", ended
    eventually(lambda: server.child.returncode is not None)


async def test_t16_the_page_answers_to_its_own_name_alone_and_there_is_nothing_beside_it(world):
    olga = Approver(world, "Olga")
    async with raw_server(world, MODERN, log="info") as server:
        asked = (await server.call("deprovision_user", {"user": PERSON}))["result"]["structuredContent"]
        url = asked["how_to_approve"]["page"]
        port = urllib.parse.urlsplit(url).port
        for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{port}"}, {"Host": "127.0.0.1:1"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            refused = page(url, headers, approver="Olga", code=olga.at(2))
            assert refused.status == 403 and "Olga" not in refused.text, headers
        shown = page(url)
        assert shown.status == 200 and PERSON not in shown.text
        assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
        for path in ("/mcp", "/metrics", "/healthz", "/readyz", "/"):
            assert page(f"http://127.0.0.1:{port}{path}").status == 404, path
            assert page(f"http://127.0.0.1:{port}{path}", x="1").status in (404, 405), path
        still = await server.call("get_operation", {"operation_id": asked["operation_id"]})
        assert still["result"]["structuredContent"]["outcome"] == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_a_password_that_waits_opens_the_page_on_which_it_is_shown(world):
    world.configure('[provision]\ninitial_password = "handoff"\n')
    olga = Approver(world, "Olga")
    async with raw_server(world, MODERN, log="info") as server:
        made = (await server.call("provision_user", NEW))["result"]["structuredContent"]
        ((address, port),) = listeners(server.child.pid)
        url = f"http://127.0.0.1:{port}/console/password/{made['operation_id']}"
        assert address == "0100007F" and url in made["initial_password"]["how"], made
        assert NEW["email"] in page(url, approver="Olga", code=olga.code()).text
        assert page(url, approver="Olga", code=olga.code()).status == 404


def test_a_call_of_one_tool_opens_no_page(world):
    code, asked = world.call("deprovision_user", user=PERSON)
    assert asked["outcome"] == "awaiting_approval" and "page" not in asked["how_to_approve"], asked
