"""A real OpenID provider in front of the server: who gets in with its tokens, and how far."""

import itertools
import json
import time

import httpx2
import pytest
from lifecycle_steps import NEW, PERSON
from provider import SCOPES, Provider, claims_of
from raw_stdio import INFO, META
from support import GENERATIONS, MODERN

RESOURCE = "https://zia.example/mcp"
NEEDS = {
    "find_user": "zia.users.read", "list_groups": "zia.users.read", "list_departments": "zia.users.read",
    "provision_user": "zia.users.write", "update_user": "zia.users.write", "restore_user": "zia.users.write",
    "deprovision_user": "zia.users.delete", "deprovision_users": "zia.users.delete", "activate": "zia.activate",
    "list_user_changes": "zia.users.read", "get_operation": None, "tenant_status": None,
}  # fmt: skip


@pytest.fixture
def provider(tmp_path):
    with Provider(tmp_path) as provider:
        yield provider


@pytest.fixture
def served(world, provider):
    """A server that takes the provider's tokens, and no other."""
    del world.settings["ZIA_MCP_HTTP_TOKEN"]
    world.configure(f'[http]\nissuer = "{provider.issuer}"\naudience = "{RESOURCE}"\n')
    with world.http() as server:
        world.url = server.url
        yield world


def ask(url, token, method, params=None, name=None):
    """One request of 2026-07-28, with a token or none."""
    meta = {f"{META}protocolVersion": MODERN, f"{META}clientInfo": INFO, f"{META}clientCapabilities": {}}
    headers = {
        "Accept": "application/json, text/event-stream", "Content-Type": "application/json",
        "MCP-Protocol-Version": MODERN, "Mcp-Method": method,
        **({"Mcp-Name": name} if name else {}), **({"Authorization": f"Bearer {token}"} if token else {}),
    }  # fmt: skip
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**(params or {}), "_meta": meta}}
    return httpx2.post(f"{url}/mcp", headers=headers, content=json.dumps(body), timeout=60)


def call(url, token, tool, **arguments):
    return ask(url, token, "tools/call", {"name": tool, "arguments": arguments}, tool)


def read(url, token, uri):
    return ask(url, token, "resources/read", {"uri": uri}, uri)


def result(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]["structuredContent"]


def minted(provider, scopes, sub="ada", **more):
    now = int(time.time())
    claims = {
        "iss": provider.issuer, "aud": RESOURCE, "sub": sub, "client_id": "desktop", "jti": "1", "iat": now, "exp": now + 600,
        "scope": " ".join(scopes), **more,
    }  # fmt: skip
    return provider.mint(claims)


def test_the_rig_gives_access_tokens_as_rfc_9068_wants_them(provider):
    bot = claims_of(provider.bot_token(RESOURCE, ["zia.users.read"]))
    assert bot["sub"] == bot["client_id"] == provider.bot_id and bot["aud"] == RESOURCE and bot["scope"] == "zia.users.read"
    person = claims_of(provider.token("ada", resource=RESOURCE))
    assert person["sub"] == "ada" and person["client_id"] == "desktop" and set(person["scope"].split()) == set(SCOPES)


def test_the_rig_signs_people_in_with_what_their_account_claims(provider):
    provider.account("ada", groups=["approvers"], email="ada@corp.example", acr="urn:test:mfa", amr=["pwd", "otp"])
    answer = provider.tokens("ada", ["email", "groups"], client=provider.client_id, prompt="login", max_age=0)
    told = claims_of(answer["id_token"])
    assert told["sub"] == "ada" and told["email"] == "ada@corp.example" and told["groups"] == ["approvers"]
    assert told["acr"] == "urn:test:mfa" and told["amr"] == ["pwd", "otp"] and told["auth_time"] and told["nonce"]


@pytest.mark.parametrize("alg", ("RS256", "PS256", "ES256", "EdDSA"))
def test_a_person_and_a_bot_call_tools_with_the_providers_tokens(served, provider, alg):
    provider.settings(alg=alg)
    for token in (provider.token("ada", resource=RESOURCE), provider.bot_token(RESOURCE)):
        assert result(call(served.url, token, "find_user", query=PERSON))["match"] == "exact"


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_the_official_client_works_with_a_token_in_both_generations(served, provider, mode):
    token = provider.bot_token(RESOURCE, ["zia.users.read"])
    async with served.http_session(served.url, mode, token=token) as session:
        listed = {name for name, scope in NEEDS.items() if scope in (None, "zia.users.read")}
        assert set(await session.tools()) == listed
        assert (await session.call("find_user", query=PERSON))["match"] == "exact"


def test_a_client_finds_the_provider_by_the_challenge(served, provider):
    challenge = ask(served.url, None, "tools/list").headers["www-authenticate"]
    where = challenge.split('resource_metadata="')[1].split('"')[0]
    told = httpx2.get(where).json()
    assert told["resource"] == f"{served.url}/mcp" and told["authorization_servers"] == [provider.issuer]
    assert set(told["scopes_supported"]) == set(SCOPES)


def test_t12_an_id_token_an_opaque_token_and_one_for_another_audience_are_refused(served, provider):
    answer = provider.tokens("ada", resource=RESOURCE)
    opaque = provider.tokens("ada")["access_token"]
    other = provider.bot_token("https://other.example/mcp")
    assert "." not in opaque and result(call(served.url, answer["access_token"], "tenant_status"))
    for bad in (answer["id_token"], opaque, other, "", "null"):
        refused = call(served.url, bad, "tenant_status")
        assert refused.status_code == 401, (bad, refused.text)


def test_t12_an_expired_token_is_refused(served, provider):
    now = int(time.time())
    assert call(served.url, minted(provider, SCOPES, exp=now - 30), "tenant_status").status_code == 200, "within the leeway"
    assert call(served.url, minted(provider, SCOPES, exp=now - 90), "tenant_status").status_code == 401
    assert call(served.url, minted(provider, SCOPES, nbf=now + 90), "tenant_status").status_code == 401


def test_t13_keys_rotate_live_and_the_provider_may_go(served, provider):
    old = provider.bot_token(RESOURCE)
    assert call(served.url, old, "tenant_status").status_code == 200
    provider.rotate()
    new = provider.bot_token(RESOURCE)
    for token in (new, old, new, old):
        assert call(served.url, token, "tenant_status").status_code == 200
    assert provider.fetched() == 2, "one reading at first, one for the new key"
    provider.down("/jwks", "/.well-known/openid-configuration")
    for token in (new, old):
        assert call(served.url, token, "tenant_status").status_code == 200


def test_t13_a_server_that_starts_before_its_provider_says_later(served, provider):
    provider.down("/jwks")
    answer = call(served.url, provider.bot_token(RESOURCE), "tenant_status")
    assert answer.status_code == 503 and answer.headers["retry-after"], answer.text


def test_t14_every_tool_by_every_set_of_scopes(served, provider):
    of_tools, figures = SCOPES[:-1], SCOPES[-1]
    sets = [scopes for size in range(len(of_tools) + 1) for scopes in itertools.combinations(of_tools, size)]
    for scopes in (*sets, (figures,), (figures, "zia.users.read")):
        token = minted(provider, scopes)
        listed = ask(served.url, token, "tools/list")
        if not set(scopes) - {figures}:
            assert listed.status_code == 403, listed.text
            continue
        may = {name for name, need in NEEDS.items() if need in (None, *scopes)}
        assert {tool["name"] for tool in listed.json()["result"]["tools"]} == may, scopes
        for tool, need in NEEDS.items():
            # Bad arguments: who may call is told so by the tool itself, and nothing is sent.
            answer = call(served.url, token, tool, nonsense=1)
            if tool in may:
                assert answer.json()["result"]["structuredContent"]["error"]["code"] == "INVALID_ARGUMENT", (scopes, tool)
                continue
            assert answer.status_code == 403, (scopes, tool, answer.text)
            challenge = answer.headers["www-authenticate"]
            asked = challenge.split('scope="')[1].split('"')[0].split()
            assert 'error="insufficient_scope"' in challenge and set(asked) == {*scopes, need}, challenge
            assert "resource_metadata=" in challenge
    assert served.sandbox.writes() == []


def test_t14_b32_a_name_that_is_no_tool_is_unknown_whatever_the_scopes(served, provider):
    for name in ("nothing", "Deprovision_User", "deprovision_user "):
        answer = ask(served.url, minted(provider, ["zia.users.read"]), "tools/call", {"name": name, "arguments": {}}, name.strip())
        assert answer.status_code != 403, answer.text


def test_t15_b30_anothers_operation_and_capture_are_as_unknown_as_none(served, provider):
    ada, eve = minted(provider, SCOPES[:4]), minted(provider, SCOPES[:4], sub="eve")
    begun = result(call(served.url, ada, "deprovision_user", user=PERSON))
    assert begun["outcome"] == "awaiting_approval", begun
    operation, capture = begun["operation_id"], begun["capture"]["id"]
    unknown, no_capture = f"op_{'0' * 32}", f"cap_{'0' * 32}"
    foreign, none = (call(served.url, eve, "get_operation", operation_id=which) for which in (operation, unknown))
    assert foreign.content == none.content and foreign.json()["result"]["structuredContent"]["error"]["code"] == "NOT_FOUND"
    for kind, own, other in (("operations", operation, unknown), ("captures", capture, no_capture)):
        foreign, none = (read(served.url, eve, f"zia://{kind}/{which}") for which in (own, other))
        assert foreign.status_code == none.status_code
        assert foreign.text.replace(own, "ID") == none.text.replace(other, "ID") and "error" in foreign.json()
        assert "error" not in read(served.url, ada, f"zia://{kind}/{own}").json()
    status = result(call(served.url, eve, "tenant_status"))
    assert status["open_operations"] == [] and operation in str(result(call(served.url, ada, "tenant_status")))
    approver, auditor = (minted(provider, [scope], sub="olga") for scope in ("zia.approve", "zia.audit.read"))
    for token in (approver, auditor):
        assert result(call(served.url, token, "get_operation", operation_id=operation))["outcome"] == "awaiting_approval"
        assert "error" not in read(served.url, token, f"zia://operations/{operation}").json()
    assert "error" in read(served.url, approver, f"zia://captures/{capture}").json()
    assert "error" not in read(served.url, auditor, f"zia://captures/{capture}").json()


def test_t15_a_bot_with_the_scope_of_approvers_sees_no_more_than_its_own(served, provider):
    begun = result(call(served.url, minted(provider, SCOPES[:4]), "deprovision_user", user=PERSON))
    bot = provider.bot_token(RESOURCE, ["zia.users.read", "zia.approve"])
    answer = call(served.url, bot, "get_operation", operation_id=begun["operation_id"])
    assert answer.json()["result"]["structuredContent"]["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("sub", ("http", "local", "chatops-static"))
def test_t12_a_subject_cannot_pass_for_a_caller_of_the_settings(world, provider, sub):
    token = 'tokens = [{ name = "chatops-static", sha256 = "' + "0" * 64 + '", scopes = ["zia.users.read"] }]'
    world.configure(f'[http]\nissuer = "{provider.issuer}"\naudience = "{RESOURCE}"\n{token}\n')
    with world.http() as server:
        assert call(server.url, minted(provider, SCOPES, sub=sub), "tenant_status").status_code == 401
        assert call(server.url, minted(provider, SCOPES, sub="ada"), "tenant_status").status_code == 200


async def test_who_provisions_is_on_record_under_the_providers_name(served, provider):
    created = result(call(served.url, provider.bot_token(RESOURCE), "provision_user", **NEW))
    told = json.loads(served.run("operations", created["operation_id"]).stdout)
    assert told["requested_by"]["caller"] == provider.bot_id, told
    assert told["requested_by"]["rights"]["workload"] is True and provider.issuer in json.dumps(told["requested_by"])
