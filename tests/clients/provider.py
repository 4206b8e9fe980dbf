"""A real OpenID provider on loopback: `tests/provider`, and what signs people and bots in at it."""

import base64
import hashlib
import json
import os
import re
import secrets
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
from support import ROOT, environment

SCOPES = (
    "zia.users.read", "zia.users.write", "zia.users.delete", "zia.activate", "zia.approve", "zia.audit.read", "zia.metrics.read",
)  # fmt: skip
PACKAGES = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "provider"
CALLBACK = "http://127.0.0.1/callback"


def claims_of(token):
    """What a JWT says, unchecked."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Provider:
    """The provider's process; it ends with the `with` block.

    `client_id` and `client_secret` are those of an application that people sign in to by the code flow with PKCE
    and any redirect URI on loopback; `bot_id` and `bot_secret` those of one that signs in as itself.
    """

    def __init__(self, home, port=0):
        packages = os.environ.get("ZIA_MCP_TEST_PROVIDER") or str(PACKAGES)
        assert Path(packages, "node_modules/oidc-provider").is_dir(), (
            f"the OpenID provider is not installed in {packages}: copy tests/provider/package*.json there and run npm ci"
        )
        self.child = subprocess.Popen(
            ["node", str(ROOT / "tests/provider/provider.mjs"), packages, str(port)],
            env=environment(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=Path(home, "provider.log").open("ab"),
        )  # fmt: skip
        told = json.loads(self.child.stdout.readline())
        self.issuer = told["issuer"]
        by_id = {client["client_id"]: client for client in told["clients"]}
        self.bot_id, self.bot_secret = "chatops", by_id["chatops"]["client_secret"]
        self.client_id, self.client_secret = "console", by_id["console"]["client_secret"]

    @property
    def port(self):
        return urlsplit(self.issuer).port

    def control(self, method, name, body=None):
        answer = httpx2.request(method, f"{self.issuer}/_control/{name}", json=body, timeout=20)
        assert answer.status_code == 200, (name, answer.text)
        return answer.json()

    def account(self, sub, **claims):
        """What an account claims: `email`, `name`, `groups`, `acr`, `amr`; `access_token={…}` adds to its access tokens."""
        self.control("POST", "account", {"sub": sub, "claims": claims})

    def rotate(self, keep=True):
        """New keys sign from now on; the old ones stay published, or not. Tells the published key ids."""
        return self.control("POST", "rotate", {"keep": keep})

    def settings(self, **changed):
        """`alg` and `ttl` of access tokens, and `claims` that all of them get."""
        return self.control("POST", "settings", changed)

    def age(self, seconds):
        """Makes every login that there was so much older."""
        self.control("POST", "age", {"seconds": seconds})

    def down(self, *paths):
        """These paths, such as `/jwks`, answer 503 until it is called again."""
        self.control("POST", "down", {"paths": paths})

    def mint(self, payload, alg="RS256", **header):
        """Any token, signed with the provider's own key."""
        return self.control("POST", "mint", {"payload": payload, "alg": alg, "header": header})

    def fetched(self, path="/jwks"):
        """How often a path was asked for."""
        return self.control("GET", "counts").get(path, 0)

    def bot_token(self, resource, scopes=SCOPES):
        """An access token of the bot, by client credentials."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": " ".join(scopes)}
        answer = httpx2.post(f"{self.issuer}/token", data=form, auth=(self.bot_id, self.bot_secret), timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def sign_in(self, page, sub, browser):
        """Signs `sub` in at an authorization URL, as a browser would; gives the URL that the provider redirects to."""
        for _ in range(10):
            answer = browser.get(page)
            if answer.status_code == 200:
                action = re.search(r'action="([^"]+)"', answer.text).group(1)
                answer = browser.post(f"{self.issuer}{action}", data={"login": sub, "do": "sign-in"})
            assert answer.status_code in (302, 303), (answer.status_code, answer.text)
            page = str(answer.url.join(answer.headers["location"]))
            if not page.startswith(f"{self.issuer}/"):
                return page
        raise AssertionError(f"the provider does not come to an end: {page}")

    def tokens(self, sub, scopes=SCOPES, resource=None, client="desktop", redirect_uri=CALLBACK, **more):
        """Everything the token endpoint answers for `sub`, by the code flow with PKCE."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": client, "response_type": "code", "redirect_uri": redirect_uri, "state": "s", "nonce": secrets.token_urlsafe(8),
            "scope": " ".join(("openid", *scopes)), "code_challenge": challenge, "code_challenge_method": "S256", **more,
        }  # fmt: skip
        if resource:
            asked["resource"] = resource
        with httpx2.Client(follow_redirects=False, timeout=20) as browser:
            back = self.sign_in(f"{self.issuer}/auth?{httpx2.QueryParams(asked)}", sub, browser)
        answered = parse_qs(urlsplit(back).query)
        assert "code" in answered, back
        form = {"grant_type": "authorization_code", "code": answered["code"][0], "redirect_uri": redirect_uri, "code_verifier": verifier}
        login = {"auth": (client, self.client_secret)} if client == self.client_id else {}
        form |= {} if login else {"client_id": client}
        form |= {"resource": resource} if resource else {}
        answer = httpx2.post(f"{self.issuer}/token", data=form, timeout=20, **login)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def token(self, sub, scopes=SCOPES, resource=None):
        """An access token of a person."""
        return self.tokens(sub, scopes, resource)["access_token"]

    def stop(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
