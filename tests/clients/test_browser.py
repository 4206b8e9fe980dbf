"""The console in a real browser: what a person does there, and what other sites cannot."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from browser import PHONE, browser
from lifecycle_steps import NEW
from selenium.webdriver.common.keys import Keys
from support import DELETE, eventually
from terminal import Approver
from test_console import OTHER as PERSON
from test_console import USERS, outcome, waiting

REASON = 'left the company; ticket 4711 says <b>"delete test user 1"</b> \u202eesaelp'


@pytest.fixture
def chromium(tmp_path):
    with browser(tmp_path / "chromium") as pages:
        yield pages


@pytest.fixture
def evil():
    """Another site, whose pages a test writes; on this machine it is even the same *site* to a browser."""
    pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = pages.get(self.path, "").encode()
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages["url"] = f"http://127.0.0.1:{server.server_port}"
    yield pages
    server.shutdown()


def enters(pages, server, approver):
    pages.open(f"{server.url}/console").type(approver=approver.name, code=approver.code()).press("Sign in")
    assert pages.title == "Operations", pages.text


async def test_an_approver_approves_with_a_right_code_and_is_refused_with_a_wrong_one(world, chromium):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url, user=PERSON, reason=REASON)
        chromium.open(url)
        assert chromium.title == "Who are you?" and PERSON not in chromium.text
        chromium.shots("1-who-are-you")
        chromium.type(approver="Olga", code=olga.wrong()).press("Show the operation")
        assert "Wrong name or code" in chromium.alert and PERSON not in chromium.text
        chromium.shots("2-wrong-code")
        used = olga.code()
        chromium.type(approver="olga", code=used).press("Show the operation")
        assert "Delete this user" in chromium.title and PERSON in chromium.text
        assert "ZIA cannot undo a delete" in chromium.one(".danger h2").text
        assert "Written by the caller, not verified" in chromium.text and "\\u{202e}" in chromium.text
        chromium.shots("3-delete-one-user")
        chromium.press("Approve")
        assert chromium.title == "Approved"
        chromium.shots("4-approved")
        chromium.open(url).type(approver="Olga", code=used).press("Show the operation")
        assert "used already" in chromium.alert, "a code counts once"
        assert await outcome(world, server.url, operation, wait=45) == "done"
    assert len(world.sandbox.calls(DELETE)) == 1


async def test_a_decision_that_is_sent_again_by_the_back_button_is_refused(world, chromium):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        chromium.open(url).type(approver="Olga", code=olga.code()).press("Show the operation").press("Reject")
        assert chromium.title == "Rejected"
        before = chromium.one("html")
        chromium.driver.back()
        chromium.left(before)
        if chromium.all("button.approve"):
            chromium.press("Approve")
        assert chromium.title != "Approved" and not chromium.all("button.approve"), chromium.text
        assert await outcome(world, server.url, operation) == "declined"
    assert world.sandbox.writes() == []


async def test_a_viewer_sees_what_waits_decides_with_a_code_and_reads_the_history(world, chromium):
    olga = Approver(world, "Olga")
    with world.http() as server:
        first, _ = await waiting(world, server.url, user=PERSON, reason=REASON)
        second, _ = await waiting(world, server.url, "deprovision_users", users=[USERS[0], USERS[2]])
        chromium.open(f"{server.url}/console")
        chromium.shots("5-sign-in")
        enters(chromium, server, olga)
        assert len(chromium.all(".cards li")) == 2
        chromium.shots("6-overview")
        before = chromium.one("html")
        chromium.one(f"section a[href$='{first}']").click()
        chromium.left(before)
        chromium.type(code=olga.wrong()).press("Approve")
        assert "Wrong name or code" in chromium.alert and PERSON in chromium.text
        chromium.type(code=olga.code()).press("Reject")
        assert chromium.title == "Rejected"
        chromium.open(f"{server.url}/console/{second}").type(code=olga.code(), count="2").press("Approve")
        assert chromium.title == "Approved"
        assert await outcome(world, server.url, second, wait=45) == "done"
        chromium.open(f"{server.url}/console/{second}")
        for part in ("Done and live", "Approved by Olga", "Sending the bulk delete", "the change is live"):
            assert part in chromium.text, part
        chromium.shots("7-history")
        chromium.open(f"{server.url}/console/{first}")
        assert "Rejected by Olga" in chromium.text
        chromium.open(f"{server.url}/console").press("Sign out")
        assert chromium.title == "Approvals"
        assert PERSON not in chromium.open(f"{server.url}/console/{first}").text
        chromium.driver.back()
        assert PERSON not in chromium.open(f"{server.url}/console").text


async def test_several_users_are_deleted_only_with_their_number(world, chromium):
    olga = Approver(world, "Olga")
    users = [u["email"] for u in world.sandbox.users() if u["email"].isascii() and not u["non_editable"] and not u["admin_user"]][20:44]
    with world.http() as server:
        operation, url = await waiting(world, server.url, "deprovision_users", users=users, reason="the Berlin office closes")
        chromium.open(url).type(approver="Olga", code=olga.code()).press("Show the operation")
        assert f"Delete these {len(users)} users" in chromium.title
        assert len(chromium.all("table.users tbody tr")) == len(users)
        chromium.shots("8-delete-several-users")
        chromium.type(count=str(len(users) - 1)).press("Approve")
        assert "nothing was decided" in chromium.alert
        assert await outcome(world, server.url, operation) == "awaiting_approval"
        chromium.shots("9-wrong-number")
        chromium.type(count=str(len(users))).press("Approve")
        assert chromium.title == "Approved"
        assert await outcome(world, server.url, operation, wait=45) in ("done", "in_progress")


async def test_an_operation_that_expired_cannot_be_approved_any_more(world, chromium):
    world.configure("[approval]\nexpires_minutes = 1\n")
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        chromium.open(url).type(approver="Olga", code=olga.code()).press("Show the operation")
        assert chromium.all("button.approve")

        def lapsed():
            return "expired" in world.run("operations", operation).stdout

        eventually(lapsed, within=90, why="the operation did not expire")
        chromium.press("Approve")
        assert chromium.title != "Approved" and "does not wait" in chromium.text
        assert await outcome(world, server.url, operation) == "expired"
    assert world.sandbox.writes() == []


async def test_t4_clicking_without_a_code_decides_nothing(world, chromium):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        chromium.open(url)
        for button in chromium.all("main button"):
            button.click()
        chromium.type(approver="Olga")
        chromium.one("main button").click()
        assert chromium.title == "Who are you?" and PERSON not in chromium.text
        # The required field is the browser's; the server needs none of it.
        chromium.driver.execute_script("document.querySelector('form').noValidate = true")
        chromium.press("Show the operation")
        assert chromium.title == "Who are you?" and PERSON not in chromium.text
        enters(chromium, server, olga)
        for button in ("Approve", "Reject"):
            chromium.open(url)
            chromium.driver.execute_script("document.querySelector('form.decide').noValidate = true")
            chromium.press(button)
            assert "code is missing" in chromium.alert, chromium.text
        assert await outcome(world, server.url, operation) == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_t21_a_page_of_another_origin_decides_nothing_even_for_someone_signed_in(world, chromium, evil):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        enters(chromium, server, olga)
        token = chromium.open(url).one("input[name=form]").get_attribute("value")
        evil["/post"] = (
            f'<form id="f" method="post" action="{url}"><input name="form" value="{token}"><input name="approver" value="Olga">'
            f'<input name="code" value="{olga.code()}"><input name="decision" value="approve"></form>'
            "<script>document.getElementById('f').submit()</script>"
        )
        evil["/out"] = evil["/post"].replace(url, f"{server.url}/console/sign-out")
        for path in ("/post", "/out"):
            before = chromium.one("html")
            chromium.open(evil["url"] + path)
            chromium.left(before)
            eventually(lambda: "not allowed" in chromium.driver.page_source)
        chromium.open(f"{server.url}/console")
        assert chromium.title == "Operations", "still signed in"
        assert await outcome(world, server.url, operation) == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_t21_the_pages_cannot_be_framed(world, chromium, evil):
    olga = Approver(world, "Olga")
    with world.http() as server:
        _, url = await waiting(world, server.url)
        enters(chromium, server, olga)
        evil["/form"] = "<form></form>"
        sources = (f"{evil['url']}/form", url, f"{server.url}/console")
        evil["/frame"] = "".join(f'<iframe src="{source}"></iframe>' for source in sources)
        # It is there when its frames are.
        chromium.open(evil["url"] + "/frame")
        shown = []
        for frame in chromium.all("iframe"):
            chromium.driver.switch_to.frame(frame)
            shown.append(bool(chromium.all("form")))
            assert PERSON not in chromium.driver.page_source
            chromium.driver.switch_to.default_content()
        assert shown == [True, False, False], "a page that may be framed shows its form"


async def test_everything_works_without_scripts_and_none_is_sent(world, tmp_path):
    olga = Approver(world, "Olga")
    with browser(tmp_path / "plain", script=False) as pages, world.http() as server:
        pages.open("data:text/html,<p id=p>off</p><script>p.textContent='on'</script>")
        assert pages.text == "off", "scripts run"
        operation, url = await waiting(world, server.url)
        enters(pages, server, olga)
        assert not pages.all("script")
        pages.open(url).type(code=olga.code()).press("Approve")
        assert pages.title == "Approved"
        assert await outcome(world, server.url, operation, wait=45) == "done"


async def test_a_keyboard_alone_approves(world, chromium):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        chromium.size(PHONE)
        chromium.open(url)
        chromium.keys(Keys.TAB)
        assert "Skip" in chromium.focused(), "a skip link comes first"
        chromium.keys(Keys.TAB, "Olga", Keys.TAB, olga.code())
        before = chromium.one("html")
        chromium.keys(Keys.ENTER)
        chromium.left(before)
        assert "Delete this user" in chromium.title
        for _ in range(20):
            chromium.keys(Keys.TAB)
            if chromium.focused() == "decision=approve":
                break
        before = chromium.one("html")
        chromium.keys(Keys.ENTER)
        chromium.left(before)
        assert chromium.title == "Approved"
        assert await outcome(world, server.url, operation, wait=45) == "done"


async def test_the_structure_is_there_for_who_cannot_see_it(world, chromium):
    olga = Approver(world, "Olga")
    with world.http() as server:
        _, several = await waiting(world, server.url, "deprovision_users", users=USERS)
        chromium.open(several)
        unsigned = [several, f"{server.url}/console"]
        signed = [several, f"{server.url}/console"]
        for pages in (unsigned, signed):
            for url in pages:
                chromium.open(url)
                assert len(chromium.all("h1")) == len(chromium.all("main")) == 1 and chromium.one("html").get_attribute("lang") == "en"
                for field in chromium.all("input:not([type=hidden])"):
                    assert chromium.all(f"label[for='{field.get_attribute('id')}']"), field.get_attribute("name")
                for table in chromium.all("table"):
                    assert table.find_elements("css selector", "caption")
                    assert all(head.get_attribute("scope") for head in table.find_elements("css selector", "th"))
                ids = [e.get_attribute("id") for e in chromium.all("[id]")]
                assert len(ids) == len(set(ids)), ids
                for attribute in ("aria-labelledby", "aria-describedby"):
                    assert all(e.get_attribute(attribute) in ids for e in chromium.all(f"[{attribute}]")), url
            if pages is unsigned:
                enters(chromium, server, olga)
                assert chromium.one("nav a[aria-current=page]").text == "Operations"


async def test_a_first_password_is_seen_once(world, chromium):
    olga, max_ = Approver(world, "Olga"), Approver(world, "Max")
    world.configure('[provision]\ninitial_password = "handoff"\n')
    with world.http() as server:
        async with world.http_session(server.url, "auto") as session:
            made = await session.call("provision_user", **NEW)
            assert made.outcome == "done", made
        enters(chromium, server, olga)
        chromium.open(f"{server.url}/console/{made['operation_id']}")
        url = chromium.one("a[href*='/console/password/']").get_attribute("href")
        chromium.open(url)
        assert chromium.title == "First password" and NEW["email"] not in chromium.text
        chromium.shots("11-first-password")
        chromium.type(approver="Olga", code=olga.wrong()).press("Show the password, once")
        assert "Wrong name or code" in chromium.alert and not chromium.all("#password")
        chromium.type(approver="Olga", code=olga.code()).press("Show the password, once")
        assert NEW["email"] in chromium.text and len(chromium.one("#password").text) == 24
        chromium.shots("12-first-password-shown")
        chromium.open(url).type(approver="Max", code=max_.code()).press("Show the password, once")
        assert "already" in chromium.text and not chromium.all("#password")


async def test_the_chart_of_calls_left_is_as_long_as_its_words_say(world, chromium):
    olga = Approver(world, "Olga")
    with world.http() as server:
        async with world.http_session(server.url, "auto") as session:
            assert (await session.call("provision_user", **NEW)).outcome == "done"
            await session.call("find_user", query="a", fresh=True)
        enters(chromium, server, olga)
        assert len(chromium.all("[style]")) == 0, "the policy allows no style of an element's own"
        shown = {}
        for row in chromium.all("section[aria-labelledby=budget] > table tbody tr"):
            left, limit = (int(n) for n in row.find_element("css selector", ".number").text.split(" of "))
            track, level = (row.find_element("css selector", f"rect.{name}").rect["width"] for name in ("track", "level"))
            assert abs(level / track - left / limit) < 0.02, row.text
            shown[row.find_element("css selector", "th").text] = left / limit
        assert shown["GET /users an hour"] < 1 and "POST /status/activate an hour" in shown, shown
        assert list(shown.values()) == sorted(shown.values()), "the nearest to its end comes first"
        chromium.shots("13-budget")
        assert not [entry for entry in chromium.driver.get_log("browser") if "Content Security Policy" in entry["message"]]
