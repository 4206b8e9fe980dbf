"""Approvers who sign in at a real OpenID provider: who may decide, and what is refused."""

import re
import socket
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from browser import browser as chromium
from lifecycle_steps import NEW, PERSON
from provider import Provider
from support import DELETE, Process, eventually
from terminal import Approver
from test_console import OTHER, USERS, Page, outcome, page, waiting

MFA = {"acr": "urn:test:mfa", "amr": ["pwd", "otp"]}
SETTINGS = """
[approval]
issuer = "{issuer}"
client_id = "console"
group = "approvers"
scopes = ["email", "profile", "groups"]
acr = ["urn:test:mfa"]
amr = ["otp"]
{approval}
[http]
{http}
"""


@pytest.fixture
def provider(tmp_path):
    with Provider(tmp_path) as provider:
        for sub in ("ada", "bob", "eve"):
            provider.account(sub, groups=["approvers", "staff"], email=f"{sub}@corp.example", **MFA)
        yield provider


@pytest.fixture
def configured(world, provider):
    """The server trusts the provider for its approvers."""

    def configure(approval="", http=""):
        world.configure(SETTINGS.format(issuer=provider.issuer, approval=approval, http=http))
        world.settings["ZIA_MCP_APPROVAL_CLIENT_SECRET"] = provider.client_secret
        return world

    configure()
    return configure


class Visitor:
    """A browser without a window, with cookies of its own, at the console and at the provider."""

    def __init__(self, provider):
        self.provider, self.web = provider, httpx2.Client(follow_redirects=False, timeout=20)

    def leaves(self, server, operation=None):
        """Where the console sends them."""
        query = f"?operation={operation}" if operation else ""
        answer = self.web.get(f"{server.url}/console/sign-in{query}")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def signs_in(self, server, sub, operation=None, change=None):
        """Where the provider sends them back; `change` alters what it is asked."""
        out = self.leaves(server, operation)
        return self.provider.sign_in(altered(out, change) if change else out, sub, self.web)

    def comes(self, server, sub, operation=None, change=None):
        """What the console shows when they are back."""
        return Shown(self.web.get(self.signs_in(server, sub, operation, change)))

    def post(self, url, **fields):
        return Shown(self.web.post(url, data={k.rstrip("_"): v for k, v in fields.items()}))

    def decides(self, server, sub, operation, decision="approve", **fields):
        shown = self.comes(server, sub, operation)
        assert shown.status == 200, shown.text
        return self.post(f"{server.url}/console/{operation}", pass_=shown.pass_, decision=decision, **fields)


class Shown(Page):
    def __init__(self, answer):
        class Reply:
            status, headers = answer.status_code, answer.headers

            @staticmethod
            def read():
                return answer.content

        super().__init__(Reply)


def altered(url, change):
    """A URL whose query is changed; `None` takes a field out."""
    query = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()} | change
    return urlsplit(url)._replace(query=urlencode({k: v for k, v in query.items() if v is not None})).geturl()


async def test_an_approver_signs_in_sees_what_will_happen_and_approves(world, provider, configured):
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        ada = Visitor(provider)
        first = Shown(ada.web.get(url))
        assert first.title == "Who are you?" and PERSON not in first.text and 'name="code"' not in first.text
        out = urlsplit(ada.leaves(server, operation))
        asked = {k: v[0] for k, v in parse_qs(out.query).items()}
        assert (asked["prompt"], asked["max_age"], asked["code_challenge_method"], asked["acr_values"]) == ("login", "0", "S256", "urn:test:mfa")
        assert asked["redirect_uri"] == f"{server.url}/console/signed-in" and PERSON not in out.query and operation not in out.query
        shown = ada.comes(server, "ada", operation)
        assert shown.status == 200 and "Delete this user" in shown.title and PERSON in shown.text and "ada@corp.example" in shown.text
        assert await outcome(world, server.url, operation) == "awaiting_approval", "signing in decides nothing"
        assert ada.post(url, pass_=shown.pass_, decision="approve").title == "Approved"
        assert ada.post(url, pass_=shown.pass_, decision="approve").status == 403, "once"
        assert await outcome(world, server.url, operation, wait=45) == "done"
        told = Shown(ada.web.get(url))
        assert "Approved by ada@corp.example" in told.text and "signed in at the identity provider" in told.text
    assert len(world.sandbox.calls(DELETE)) == 1
    trail = world.run("audit", "export").stdout
    assert "ada@corp.example" not in trail and '"console.signed_in"' in trail
    assert world.run("audit", "verify").returncode == 0


async def test_signing_in_to_look_begins_a_session_that_decides_nothing(world, provider, configured):
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        ada = Visitor(provider)
        assert "identity provider" in Shown(ada.web.get(f"{server.url}/console")).text
        come = ada.comes(server, "ada")
        assert come.status == 200 and come.headers["refresh"] == "0; url=/console"
        assert PERSON in Shown(ada.web.get(f"{server.url}/console")).text
        shown = Shown(ada.web.get(url))
        assert PERSON in shown.text and "Sign in to decide" in shown.text and "<button" not in shown.text.split("<main")[1]
        form = re.search(r'name="form" value="([^"]+)"', shown.text)[1]
        assert ada.post(url, form=form, decision="approve").status == 403
        assert ada.post(f"{server.url}/console/sign-out", form=form).status == 303
        assert PERSON not in Shown(ada.web.get(url)).text
        assert await outcome(world, server.url, operation) == "awaiting_approval"


@pytest.mark.parametrize(
    ("claims", "words"),
    (
        ({"groups": ["staff"]}, "not one of the approvers"),
        ({"groups": []}, "not one of the approvers"),
        ({"groups": ["Approvers", "approvers2"]}, "not one of the approvers"),
        ({"acr": "urn:test:password"}, "stronger means"),
        ({"acr": None}, "stronger means"),
        ({"amr": ["pwd"]}, "stronger means"),
    ),
)
async def test_t22_who_is_not_an_approver_or_logs_in_too_weakly_sees_nothing(world, provider, configured, claims, words):
    provider.account("mallory", **{"groups": ["approvers"], "email": "mallory@corp.example", **MFA, **claims})
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        mallory = Visitor(provider)
        shown = mallory.comes(server, "mallory", operation)
        assert shown.status == 403 and words in shown.alert and PERSON not in shown.text and 'name="pass"' not in shown.text
        assert PERSON not in Shown(mallory.web.get(url)).text, "no session either"
        assert await outcome(world, server.url, operation) == "awaiting_approval"
    assert world.sandbox.writes() == []
    assert world.run("audit", "export").stdout.count('"console.sign_in_refused"') == 1


async def test_t22_a_login_of_before_does_not_do_whatever_the_browser_takes_out_of_the_question(world, provider, configured):
    with world.http() as server:
        operation, _ = await waiting(world, server.url)
        ada = Visitor(provider)
        assert ada.comes(server, "ada").status == 200
        provider.age(4)
        for change in ({"max_age": None}, {"prompt": "none", "max_age": None}, {"max_age": "3600"}):
            shown = ada.comes(server, "ada", operation, {"prompt": None, **change})
            assert shown.status == 403 and "log in anew" in shown.alert, shown.text
        assert await outcome(world, server.url, operation) == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_t21_other_nonces_states_codes_and_browsers_are_refused(world, provider, configured):
    with world.http() as server:
        operation, _ = await waiting(world, server.url)
        ada, bob = Visitor(provider), Visitor(provider)
        for change in ({"nonce": "another"}, {"code_challenge": "A" * 43}):
            shown = ada.comes(server, "ada", operation, change)
            assert shown.status == 403 and "does not hold" in shown.alert, change
        back = ada.signs_in(server, "ada", operation)
        for what, url, visitor in (
            ("another browser", back, bob),
            ("another state", altered(back, {"state": parse_qs(urlsplit(bob.leaves(server, operation)).query)["state"][0]}), ada),
            ("no state", altered(back, {"state": None}), ada),
            ("another issuer", altered(back, {"iss": "https://evil.example"}), ada),
        ):
            shown = Shown(visitor.web.get(url))
            assert shown.status == 403 and shown.title == "Begin again" and PERSON not in shown.text, what
        back = ada.signs_in(server, "ada", operation)
        shown = Shown(ada.web.get(altered(back, {"code": "A" * 43})))
        assert shown.status == 403 and "does not hold" in shown.alert
        assert Shown(ada.web.get(back)).title == "Begin again", "an errand ends once"
        assert await outcome(world, server.url, operation) == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_t21_what_comes_back_counts_once_and_a_cancelled_login_not_at_all(world, provider, configured):
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        second, other = await waiting(world, server.url, user=OTHER)
        ada = Visitor(provider)
        back = ada.signs_in(server, "ada", operation)
        pass_ = Shown(ada.web.get(back)).pass_
        assert Shown(ada.web.get(back)).title == "Begin again"
        assert ada.post(other, pass_=pass_, decision="approve").status == 403, "the pass of another operation"
        assert Shown(Visitor(provider).web.post(url, data={"pass": pass_ + "A", "decision": "approve"})).status == 403
        out = urlsplit(ada.leaves(server, operation))
        state = parse_qs(out.query)["state"][0]
        cancelled = Shown(ada.web.get(f"{server.url}/console/signed-in?error=access_denied&state={state}"))
        assert cancelled.status == 403 and "did not sign you in" in cancelled.alert
        assert ada.post(url, pass_=pass_, decision="reject").title == "Rejected"
        assert await outcome(world, server.url, second) == "awaiting_approval"
    assert world.sandbox.writes() == []


async def test_codes_do_not_count_on_the_pages_where_a_provider_is_configured(world, provider, configured):
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        for fields in ({}, {"decision": "approve"}):
            shown = page(url, approver="Olga", code=olga.code(), **fields)
            assert shown.status == 403 and "identity provider" in shown.alert and PERSON not in shown.text
        assert page(f"{server.url}/console/sign-in", approver="Olga", code=olga.at(1)).status == 403
        assert olga.decides("reject", operation, code=olga.at(2))[0] == 0, "they do at the terminal"


async def test_t22_whoever_asked_does_not_approve_by_their_own_subject(world, provider, configured):
    world = configured(http=f'issuer = "{provider.issuer}"\naudience = "https://zia.example/mcp"')
    with world.http() as server:
        token = provider.token("ada", resource="https://zia.example/mcp")
        async with world.http_session(server.url, "auto", token=token) as session:
            asked = await session.call("deprovision_user", user=PERSON)
            assert asked.outcome == "awaiting_approval", asked
        operation = asked["operation_id"]
        # Another address does not make her another person.
        provider.account("ada", groups=["approvers"], email="someone.else@corp.example", **MFA)
        shown = Visitor(provider).decides(server, "ada", operation)
        assert shown.status == 403 and "cannot approve it" in shown.title, shown.text
        assert world.sandbox.writes() == []
        assert Visitor(provider).decides(server, "bob", operation).title == "Approved"


async def test_t22_two_people_are_two_subjects_whatever_their_addresses(world, provider, configured):
    world = configured(approval='deprovision_user = "two_people"')
    olga = Approver(world, "Olga")
    with world.http() as server:
        operation, _ = await waiting(world, server.url)
        assert Visitor(provider).decides(server, "ada", operation).title == "Approved by you"
        provider.account("ada", groups=["approvers"], email="ada.two@corp.example", **MFA)
        again = Visitor(provider).decides(server, "ada", operation)
        assert again.status == 403 and "two different people" in again.title.lower()
        # Her address on another account may be her, too.
        provider.account("eve", groups=["approvers"], email="ADA@corp.example", **MFA)
        assert Visitor(provider).decides(server, "eve", operation).status == 403
        code, said = olga.decides("approve", operation)
        assert code != 0 and "the same way" in said, "an account and a code may be one person's"
        assert await outcome(world, server.url, operation) == "awaiting_approval"
        assert Visitor(provider).decides(server, "bob", operation).title == "Approved"
        assert await outcome(world, server.url, operation, wait=45) == "done"


@pytest.mark.parametrize("verified", (False, None))
async def test_an_address_that_the_provider_does_not_vouch_for_is_nobodys_name(world, provider, configured, verified):
    provider.account("carl", groups=["approvers"], email="ada@corp.example", email_verified=verified, **MFA)
    with world.http() as server:
        operation, url = await waiting(world, server.url)
        carl = Visitor(provider)
        shown = carl.comes(server, "carl", operation)
        assert shown.status == 200 and "ada@corp.example" not in shown.text
        assert carl.post(url, pass_=shown.pass_, decision="approve").title == "Approved"
        assert await outcome(world, server.url, operation, wait=45) == "done"
        told = Shown(carl.web.get(url)).text
        assert "Approved by carl" in told and "ada@corp.example" not in told


async def test_several_users_need_their_number_here_too(world, provider, configured):
    with world.http() as server:
        operation, url = await waiting(world, server.url, "deprovision_users", users=USERS)
        ada = Visitor(provider)
        wrong = ada.decides(server, "ada", operation, count="2")
        assert wrong.status == 403 and "nothing was decided" in wrong.alert
        assert ada.post(url, pass_=wrong.pass_, decision="approve", count="3").title == "Approved"


async def test_new_keys_and_outages_of_the_provider_are_survived(world, provider, configured):
    provider.down("/.well-known/openid-configuration")
    with world.http() as server:
        operation, _ = await waiting(world, server.url)
        ada = Visitor(provider)
        answer = ada.web.get(f"{server.url}/console/sign-in?operation={operation}")
        assert answer.status_code == 503 and "does not answer" in answer.text
        provider.down()
        # For five seconds it is not asked again.
        assert ada.web.get(f"{server.url}/console/sign-in").status_code == 503
        eventually(lambda: ada.web.get(f"{server.url}/console/sign-in").status_code != 503)
        assert ada.comes(server, "ada", operation).status == 200
        provider.rotate(keep=False)
        assert Visitor(provider).decides(server, "bob", operation, "reject").title == "Rejected"


async def test_failed_returns_are_counted_by_address_and_strays_are_not(world, provider, configured):
    def back(query, cookie=None):
        headers = {"X-Forwarded-For": "203.0.113.7"} | ({"Cookie": cookie} if cookie else {})
        return httpx2.get(f"{server.url}/console/signed-in?{query}", headers=headers, timeout=20)

    def returns():
        out = httpx2.get(f"{server.url}/console/sign-in", timeout=20)
        state = parse_qs(urlsplit(out.headers["location"]).query)["state"][0]
        return back(f"code=x&state={state}", out.headers["set-cookie"].split(";")[0]).status_code

    with world.http("--behind-proxy") as server:
        # A foreign page can have a browser ask for as many of these as it likes.
        assert [back("code=x&state=y").status_code for _ in range(12)] == [403] * 12
        assert provider.fetched("/token") == 0, "nothing was asked for a stranger"
        assert [returns() for _ in range(11)] == [403] * 10 + [429]
        assert provider.fetched("/token") == 10


@pytest.mark.parametrize(
    ("lines", "wrong"),
    (
        ('issuer = "https://idp.example"', "[approval] client_id"),
        ('issuer = "https://idp.example"\nclient_id = "c"', "[approval] group"),
        ('client_id = "c"', "[approval] issuer"),
        ('issuer = "http://idp.example"\nclient_id = "c"\ngroup = "g"', "https"),
        ('issuer = "https://idp.example"\nclient_id = "c"\ngroup = "g"\nmax_age_seconds = 301', "0 to 300"),
        ('issuer = "https://idp.example"\nclient_id = "c"\ngroup = "g"\nclient_secret = "s3cret"', "ZIA_MCP_APPROVAL_CLIENT_SECRET"),
    ),
)
def test_a_provider_that_would_let_everybody_approve_is_a_wrong_setting(world, lines, wrong):
    world.configure(f"[approval]\n{lines}\n")
    ran = world.run("serve", "--http", "127.0.0.1:0")
    assert ran.returncode == 78 and wrong in ran.stderr and "s3cret" not in ran.stderr, ran.stderr


async def test_a_browser_goes_there_and_comes_back_across_sites(world, provider, configured, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The provider is at 127.0.0.1: to a browser, another site than localhost.
    world = configured(http=f'public_url = "http://localhost:{port}"')
    with Process(["serve", "--http", f"127.0.0.1:{port}"], world.env) as server, chromium(tmp_path / "chromium") as pages:
        server.line()
        server.url = f"http://localhost:{port}"
        operation, url = await waiting(world, server.url)
        pages.open(url)
        pages.shots("10-sign-in-to-decide")
        follow(pages, "main a.button")
        pages.type(login="ada").press("Sign in", of="button")
        assert "Delete this user" in pages.title and "ada@corp.example" in pages.text
        pages.press("Reject")
        assert pages.title == "Rejected"
        assert await outcome(world, server.url, operation) == "declined"
        pages.press("Sign out")
        follow(pages, "main a.button")
        pages.type(login="ada").press("Sign in", of="button")
        pages.until(lambda: pages.title == "Operations")
        assert "Rejected" in pages.text


def follow(pages, selector):
    before = pages.one("html")
    pages.one(selector).click()
    pages.left(before)


async def test_a_first_password_is_shown_once_to_who_signed_in_for_it(world, provider, configured):
    configured(http='[provision]\ninitial_password = "handoff"')
    with world.http() as server:
        async with world.http_session(server.url, "auto") as session:
            made = await session.call("provision_user", **NEW)
            assert made.outcome == "done", made
        operation, url = made["operation_id"], f"{server.url}/console/password/{made['operation_id']}"
        ada, bob = Visitor(provider), Visitor(provider)
        first = Shown(ada.web.get(url))
        assert "Sign in to see it" in first.text and 'name="code"' not in first.text
        for fields in ({"approver": "ada", "code": "000000"}, {"pass_": "forged"}):
            assert ada.post(url, **fields).status == 403, fields
        passes = [visitor.comes(server, who, operation) for visitor, who in ((ada, "ada"), (bob, "bob"))]
        assert [p.title for p in passes] == ["First password"] * 2 and 'id="password"' not in passes[0].text
        elsewhere = url.replace(operation, "op_" + "0" * 32)
        assert bob.post(elsewhere, pass_=passes[1].pass_).status == 403, "a pass is for one operation"
        seen = ada.post(url, pass_=passes[0].pass_)
        assert seen.status == 200 and NEW["email"] in seen.text and re.search(r'id="password">\S{24}<', seen.text)
        assert ada.post(url, pass_=passes[0].pass_).status == 403
        late = bob.comes(server, "bob", operation)
        again = bob.post(url, pass_=late.pass_)
        assert again.status == 404 and 'id="password"' not in again.text
    assert '"channel":"provider"' in world.run("audit", "export").stdout.replace("\\", "").replace(" ", "")
