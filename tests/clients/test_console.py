"""The page on which approvers decide: plain forms, read as a browser would read them."""

import html
import re
import urllib.error
import urllib.parse
import urllib.request

import pytest
from lifecycle_steps import PERSON
from support import DELETE, spoilt
from terminal import Approver

OTHER = "zoe.nunez@example.com"
USERS = [PERSON, OTHER, "robin.oneil@example.com"]


class Page:
    """What came back."""

    def __init__(self, reply):
        self.status, self.headers = reply.status, reply.headers
        self.text = reply.read().decode()
        self.alert = html.unescape("".join(re.findall(r'role="alert">(.*?)</p>', self.text)))
        self.title = html.unescape("".join(re.findall(r"<h1>(.*?)</h1>", self.text)))

    @property
    def pass_(self):
        return re.search(r'name="pass" value="([^"]+)"', self.text)[1]


def page(url, headers=None, **fields):
    """A GET, or a POST of these fields."""
    data = urllib.parse.urlencode({k.rstrip("_"): v for k, v in fields.items()}).encode() if fields else None
    request = urllib.request.Request(url, data, headers or {})
    try:
        return Page(urllib.request.urlopen(request, timeout=20))
    except urllib.error.HTTPError as error:
        return Page(error)


async def waiting(world, url, tool="deprovision_user", **arguments):
    """An operation that waits, and its page."""
    async with world.http_session(url, "auto") as session:
        asked = await session.call(tool, **(arguments or {"user": PERSON}))
        assert asked.outcome == "awaiting_approval", asked
        how = asked["how_to_approve"]["page"]
        assert how == f"{url}/console/{asked['operation_id']}"
        return asked["operation_id"], how


async def outcome(world, url, operation, wait=0):
    async with world.http_session(url, "auto") as session:
        return (await session.call("get_operation", operation_id=operation, wait_seconds=wait)).outcome


async def test_an_approver_signs_in_sees_what_will_happen_and_approves(world):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url, user=PERSON, reason="<b>urgent</b> \u202eesaelp")
        shown = page(url, approver="olga", code=olga.code())
        assert shown.status == 200 and "Delete this user" in shown.title, shown.text
        for part in (PERSON, "Department", "Groups", "cannot undo", "not verified", "&lt;b&gt;urgent", "\\u{202e}"):
            assert part in shown.text, part
        assert "<script" not in shown.text and world.sandbox.writes() == []
        assert page(url, pass_=shown.pass_, decision="approve").title == "Approved"
        assert await outcome(world, server.url, operation, wait=45) == "done"
    assert len(world.sandbox.calls(DELETE)) == 1
    assert world.run("audit", "verify").returncode == 0


async def test_t21_before_the_code_nothing_is_shown_and_a_get_changes_nothing(world):
    Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        stranger = f"{server.url}/console/op_{'0' * 32}"
        assert page(f"{server.url}/console/").text == page(f"{server.url}/console").text
        real, none = page(url), page(stranger)
        assert (real.status, none.status) == (200, 200)
        assert real.text.replace(operation, "") == none.text.replace(f"op_{'0' * 32}", "")
        for each in (page(f"{url}?decision=approve"), page(url, approver="Olga", code="000000"), page(stranger, approver="Olga", code="000000")):
            assert PERSON not in each.text and "Delete" not in each.text
        assert page(url, decision="approve", count="1").status == 403
        assert page(url, pass_="AAAA", decision="approve").status == 403
        for name, value in (("content-security-policy", "frame-ancestors 'none'"), ("cache-control", "no-store"), ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")):
            assert value in real.headers[name], name
        assert "default-src 'none'" in real.headers["content-security-policy"] and "set-cookie" not in real.headers
        assert await outcome(world, server.url, operation) == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_t21_a_page_of_another_site_decides_nothing(world):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        pass_ = page(url, approver="Olga", code=olga.code()).pass_
        sites = [{"Origin": "null", "Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "none", "Same-Origin", "same-origin, same-origin", "")]
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}, *sites):
            assert page(url, headers, pass_=pass_, decision="approve").status == 403, headers
        assert await outcome(world, server.url, operation) == "awaiting_approval"
        for site in ("cross-site", "same-site"):
            assert page(url, {"Sec-Fetch-Site": site}, pass_=pass_, decision="approve").status == 403, site
        assert page(url, {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, pass_=pass_, decision="approve").status == 403
        assert page(url, {"Origin": server.url}, pass_=pass_, decision="reject").title == "Rejected"
        assert await outcome(world, server.url, operation) == "declined"
        # How a browser sends a form of a page that forbids referrers.
        operation, url = await waiting(world, server.url, user=OTHER)
        own = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
        pass_ = page(url, own, approver="Olga", code=olga.code()).pass_
        assert page(url, own, pass_=pass_, decision="reject").title == "Rejected"
        assert await outcome(world, server.url, operation) == "declined"
    assert world.sandbox.writes() == []


async def test_t21_without_tls_beyond_loopback_pages_keep_their_referrer_to_themselves(world):
    """No browser says there whose page sends a form, so that it has to say the origin."""
    world.configure('[http]\nallowed_hosts = ["console.example", "localhost.example"]\n')
    with world.http() as server:
        port = server.url.rpartition(":")[2]
        for host, policy in (("console.example", "same-origin"), ("localhost.example:1", "same-origin"), (f"localhost:{port}", "no-referrer")):
            assert page(f"{server.url}/console", {"Host": host}).headers["referrer-policy"] == policy, host
    world.configure('[http]\npublic_url = "https://console.example"\n')
    with world.http() as server:
        assert page(f"{server.url}/console", {"Host": "console.example"}).headers["referrer-policy"] == "no-referrer"


async def test_a_sign_in_counts_once_for_one_operation_and_ends_with_the_approver(world):
    olga = Approver(world, "Olga")
    with world.http() as server:
        first, url = await waiting(world, server.url)
        second, other = await waiting(world, server.url, user=OTHER)
        pass_ = page(url, approver="Olga", code=olga.code()).pass_
        assert page(other, pass_=pass_, decision="approve").status == 403, "the pass of another operation"
        for bad in (spoilt(pass_), pass_ + "A", pass_[1:], "x" * 5000):
            assert page(url, pass_=bad, decision="approve").status == 403
        assert page(url, pass_=pass_, decision="approve").title == "Approved"
        assert page(url, pass_=pass_, decision="reject").status == 403
        assert await outcome(world, server.url, first, wait=45) == "done"
        late = page(other, approver="Olga", code=olga.code()).pass_
        assert world.run("approver", "remove", "Olga").returncode == 0
        assert page(other, pass_=late, decision="approve").status == 403
        assert await outcome(world, server.url, second) == "awaiting_approval"


async def test_several_users_need_their_number(world):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url, "deprovision_users", users=USERS)
        shown = page(url, approver="Olga", code=olga.code())
        assert all(user in shown.text for user in USERS) and 'name="count"' in shown.text
        for wrong in ("", "2", "03 "):
            shown = page(url, pass_=shown.pass_, decision="approve", count=wrong)
            assert shown.status == 403 and "nothing was decided" in shown.alert, shown.text
        assert page(url, pass_=shown.pass_, decision="approve", count=" 3 ").title == "Approved"
        assert await outcome(world, server.url, operation, wait=45) == "done"


async def test_wrong_codes_lock_on_the_page_as_at_the_terminal(world):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        for _ in range(5):
            assert page(url, approver="Olga", code=olga.wrong()).status == 403
        assert "Too many" in page(url, approver="Olga", code=olga.code()).alert
        assert olga.decides("approve", operation)[0] == 77
        assert page(url, approver="x" * 20_000, code="1").status == 413
        # Strangers, and who is locked, do not fill the trail.
        for n in range(4):
            assert page(url, approver=f"stranger {n}", code="1").status == 403
        assert world.run("audit", "export").stdout.count('"approval.code_refused"') == 5
        assert await outcome(world, server.url, operation) == "awaiting_approval"


@pytest.mark.parametrize("path", ("/console", "/console?operation=", "/console?operation=op_x", "/console/style.css"))
def test_the_front_page_and_its_style_are_there_for_everyone(world, path):
    with world.http() as server:
        assert page(server.url + path).status == 200
        assert page(f"{server.url}/console/x").status == 404
