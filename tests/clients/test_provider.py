"""A real OpenID provider in front of the server."""

import pytest
from provider import SCOPES, Provider, claims_of

RESOURCE = "https://zia.example/mcp"


@pytest.fixture
def provider(tmp_path):
    with Provider(tmp_path) as provider:
        yield provider


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
