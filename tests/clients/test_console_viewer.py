"""Who is signed in to the console: what they see, what that lets them do, and how it ends."""

import re
import urllib.request

import pytest
from lifecycle_steps import PERSON
from support import DELETE, spoilt
from terminal import Approver
from test_console import OTHER, USERS, outcome, page, waiting

COOKIE = "zia-mcp-console"


class Browser:
    """Keeps the cookie of one server."""

    def __init__(self, url):
        self.url, self.cookie = url, None

    def page(self, path="", headers=None, **fields):
        own = {"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        shown = page(f"{self.url}/console{path}", {**own, **(headers or {})}, **fields)
        set_ = shown.headers.get("set-cookie", "")
        if set_.startswith(f"{COOKIE}="):
            self.cookie = set_.split(";")[0].split("=", 1)[1] or None
        return shown

    def sign_in(self, approver):
        return self.page("/sign-in", approver=approver.name, code=approver.code())


def form(shown):
    """The token of a page's forms."""
    return re.search(r'name="form" value="([^"]+)"', shown.text)[1]


@pytest.fixture
def browse(monkeypatch):
    """Browsers that show redirects, since cookies come with them."""

    class Keep(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    monkeypatch.setattr(urllib.request, "urlopen", urllib.request.build_opener(Keep).open)
    return Browser


async def test_a_viewer_sees_what_waits_and_what_was_done_and_nobody_else_does(world, browse):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, _ = await waiting(world, server.url)
        browser = browse(server.url)
        before = browser.page()
        assert before.status == 200 and PERSON not in before.text and "set-cookie" not in before.headers
        entered = browser.sign_in(olga)
        assert (entered.status, entered.headers["location"]) == (303, "/console")
        for part in ("HttpOnly", "SameSite=Strict", "Path=/console"):
            assert part in entered.headers["set-cookie"], part
        shown = browser.page()
        for part in ("Waiting for a person", PERSON, operation, "Signed in as", "Calls to ZIA left", "GET /users"):
            assert part in shown.text, part
        whole = browser.page(f"/{operation}")
        for part in (PERSON, "Department", "cannot undo", "Asked for by http", "Before-image taken", 'name="code"'):
            assert part in whole.text, part
        assert 'name="approver"' not in whole.text and "<script" not in whole.text
        assert PERSON not in browse(server.url).page().text
        assert PERSON not in browse(server.url).page(f"/{operation}").text
        assert await outcome(world, server.url, operation) == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_a_viewer_decides_with_a_fresh_code_and_reads_how_it_went(world, browse):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, _ = await waiting(world, server.url)
        browser = browse(server.url)
        browser.sign_in(olga)
        shown = browser.page(f"/{operation}")
        refused = browser.page(f"/{operation}", form=form(shown), code=olga.wrong(), decision="approve")
        assert refused.status == 403 and "Wrong name or code" in refused.alert and PERSON in refused.text
        assert browser.page(f"/{operation}", form=form(shown), decision="approve").status == 403
        assert await outcome(world, server.url, operation) == "awaiting_approval"
        assert browser.page(f"/{operation}", form=form(shown), code=olga.code(), decision="approve").title == "Approved"
        assert await outcome(world, server.url, operation, wait=45) == "done"
        told = browser.page(f"/{operation}").text
        for part in ("Done and live", "Approved by Olga", "Sending the delete to ZIA", "Verified", "the change is live"):
            assert part in told, part
        assert 'name="decision"' not in told
        assert browser.page(f"/{operation}", form=form(shown), code=olga.code(), decision="approve").status == 404
    assert len(world.sandbox.calls(DELETE)) == 1


async def test_t21_a_session_alone_a_foreign_form_and_a_used_one_decide_nothing(world, browse):
    olga, max_ = Approver(world, "Olga"), Approver(world, "Max")
    with world.http() as server:
        operation, _ = await waiting(world, server.url)
        browser, other = browse(server.url), browse(server.url)
        browser.sign_in(olga)
        other.sign_in(max_)
        own, foreign = form(browser.page(f"/{operation}")), form(other.page(f"/{operation}"))
        for fields in (
            {"decision": "approve"},
            {"decision": "approve", "form": own},
            {"decision": "approve", "form": foreign, "code": olga.at(0)},
            {"decision": "approve", "form": "", "code": olga.at(0)},
            {"decision": "approve", "form": spoilt(own), "code": olga.at(0)},
        ):
            assert browser.page(f"/{operation}", **fields).status == 403, fields
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
            assert browser.page(f"/{operation}", headers, form=own, code=olga.at(0), decision="approve").status == 403
        assert browser.page(f"/{operation}?decision=approve&form={own}&code={olga.at(0)}").status == 200
        assert browser.page("/sign-out", form=foreign).status == 403
        assert browser.page().status == 200 and PERSON in browser.page().text, "still signed in"
        # A form without a session is nobody's, whatever token it carries.
        assert browse(server.url).page(f"/{operation}", form=own, code=olga.at(0), decision="approve").status == 403
        assert await outcome(world, server.url, operation) == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_t21_signing_out_and_being_removed_end_the_session_for_every_copy(world, browse):
    olga, max_ = Approver(world, "Olga"), Approver(world, "Max")
    with world.http() as server:
        await waiting(world, server.url)
        browser, copy = browse(server.url), browse(server.url)
        browser.sign_in(olga)
        copy.cookie = browser.cookie
        assert PERSON in copy.page().text
        assert browser.page("/sign-out", form=form(browser.page())).status == 303 and browser.cookie is None
        assert PERSON not in copy.page().text
        copy.sign_in(max_)
        assert PERSON in copy.page().text
        assert world.run("approver", "remove", "Max").returncode == 0
        assert PERSON not in copy.page().text
        for forged in ("", "x", spoilt(copy.cookie), copy.cookie + "A", "A" * 5000):
            copy.cookie = forged
            assert PERSON not in copy.page().text
    assert world.run("audit", "export").stdout.count('"console.signed_in"') == 2


async def test_one_post_proves_and_decides_and_several_users_need_their_number(world, browse):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url, "deprovision_users", users=USERS)
        browser = browse(server.url)
        shown = page(url, approver="Olga", code=olga.code(), decision="approve", count="2")
        assert shown.status == 403 and "nothing was decided" in shown.alert
        assert await outcome(world, server.url, operation) == "awaiting_approval"
        browser.sign_in(olga)
        listed = browser.page(f"/{operation}")
        assert all(user in listed.text for user in USERS) and 'name="count"' in listed.text
        done = page(url, approver="Olga", code=olga.code(), decision="approve", count="3")
        assert done.title == "Approved"
        assert await outcome(world, server.url, operation, wait=45) == "done"


async def test_who_is_unusual_among_several_is_named_above_them(world, browse):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, _ = await waiting(world, server.url, "deprovision_users", users=[PERSON, "dora.disabled@example.com"])
        browser = browse(server.url)
        browser.sign_in(olga)
        shown = browser.page(f"/{operation}").text
        assert "Look at who is marked in the list: dora.disabled@example.com." in shown and ">disabled</span>" in shown


async def test_recent_operations_come_in_pages(world, browse):
    olga = Approver(world, "Olga")
    with world.http() as server:
        async with world.http_session(server.url, "auto") as session:
            for _ in range(27):
                nothing = await session.call("activate")
                assert nothing.outcome == "already_done", nothing
        browser = browse(server.url)
        browser.sign_in(olga)
        first = browser.page()
        older = browser.page(re.search(r'href="/console(\?before=op_[0-9a-f]+)"', first.text)[1])
        seen = [set(re.findall(r"/console/(op_[0-9a-f]+)", shown.text)) for shown in (first, older)]
        assert [len(s) for s in seen] == [25, 2] and not seen[0] & seen[1]
        assert "before=" not in older.text and "Nothing to do" in older.text


async def test_an_address_with_ten_wrong_codes_waits_and_locks_nobody_any_more(world, browse):
    olga, max_, zoe = (Approver(world, name) for name in ("Olga", "Max", "Zoe"))
    here = {"X-Forwarded-For": "203.0.113.7"}
    with world.http("--behind-proxy") as server:
        operation, url = await waiting(world, server.url)
        browser = browse(server.url)
        for n in range(12):
            blank = {"approver": "Zoe", "code": ""} if n % 2 else {"approver": ""}
            assert (page(url, here, **blank) if n % 3 else browser.page("/sign-in", here, **blank)).status == 403, n
        for approver in (olga, max_):
            for n in range(5):
                wrong = {"approver": approver.name, "code": approver.wrong()}
                shown = page(url, here, **wrong) if n % 2 else browser.page("/sign-in", here, **wrong)
                assert shown.status == 403, shown.text
        for _ in range(6):
            shown = page(url, here, approver="Zoe", code=zoe.wrong())
            assert shown.status == 429 and 0 < int(shown.headers["retry-after"]) <= 901
        assert browser.page("/sign-in", here, approver="Zoe", code=zoe.code()).status == 429
        assert "Zoe" not in [line.split()[0] for line in world.run("approver", "list").stdout.splitlines() if "locked" in line]
        assert zoe.decides("reject", operation, name="Zoe")[0] == 0, "the terminal still takes codes"
    assert OTHER not in world.run("audit", "export").stdout


async def test_clients_of_this_machine_share_an_address_and_no_limit(world, browse):
    olga, zoe = Approver(world, "Olga"), Approver(world, "Zoe")
    with world.http() as server:
        browser = browse(server.url)
        for n in range(12):
            # What a client writes into a header counts for nothing.
            shown = browser.page("/sign-in", {"X-Forwarded-For": "203.0.113.7"}, approver="Olga", code=olga.wrong())
            assert shown.status == 403 and ("Too many wrong codes" in shown.alert) == (n >= 5), n
        assert browser.page("/sign-in", approver="Zoe", code=zoe.code()).status == 303


async def test_behind_a_proxy_the_last_hop_is_the_address(world, browse):
    zoe = Approver(world, "Zoe")
    with world.http("--behind-proxy") as server:
        browser = browse(server.url)
        for n in range(12):
            shown = browser.page("/sign-in", {"X-Forwarded-For": f"198.51.100.{n}, 203.0.113.7"}, approver="nobody", code="1")
            assert shown.status == (403 if n < 10 else 429), n
        entered = browser.page("/sign-in", {"X-Forwarded-For": "203.0.113.7, 203.0.113.8"}, approver="Zoe", code=zoe.code())
        assert entered.status == 303
        assert entered.headers["set-cookie"].startswith("__Host-zia-mcp=")
        assert "Secure" in entered.headers["set-cookie"] and "Path=/;" in entered.headers["set-cookie"]
