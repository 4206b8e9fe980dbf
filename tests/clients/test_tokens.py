"""Named static tokens: made, used, limited, taken away."""

import hashlib
import json
import re

import pytest
from lifecycle_steps import PERSON
from provider import Provider
from support import MODERN, eventually
from terminal import Approver
from test_provider import RESOURCE, call, result

OTHER = "zoe.nunez@example.com"
RIGHTS = ("zia.users.read", "zia.users.write", "zia.users.delete", "zia.activate")


def entry(name, *scopes, more=""):
    sha256 = hashlib.sha256(f"token-of-{name}".encode()).hexdigest()
    return f'[[http.tokens]]\nname = "{name}"\nsha256 = "{sha256}"\nscopes = {json.dumps(scopes)}\n{more}\n'


def test_a_token_is_made_shown_once_and_known_by_its_digest(world):
    ran = world.run("token", "chatops", "zia.users.read", "zia.users.delete")
    assert ran.returncode == 0, ran.stderr
    token = re.search(r"once: (\S+)", ran.stdout)[1]
    toml = ran.stdout[ran.stdout.index("[[http.tokens]]") :]
    assert token not in toml and len(token) == 43
    world.configure(toml)
    del world.settings["ZIA_MCP_HTTP_TOKEN"]
    with world.http() as server:
        assert result(call(server.url, token, "find_user", query=PERSON))["match"] == "exact"
        refused = call(server.url, token, "provision_user", name="x")
        assert refused.status_code == 403 and "zia.users.write" in refused.headers["www-authenticate"]
        assert call(server.url, token + "x", "tenant_status").status_code == 401
    assert not (world.state / "http-token").exists(), "nobody asked for a token that grants everything"
    assert token.encode() not in b"".join(world.stored().values())


def test_what_is_printed_for_a_person_who_looks_at_everything_is_accepted(world):
    ran = world.run("token", "ada", "zia.users.read", "zia.approve")
    world.configure(ran.stdout[ran.stdout.index("[[http.tokens]]") :])
    with world.http() as server:
        assert call(server.url, re.search(r"once: (\S+)", ran.stdout)[1], "list_groups").status_code == 200


@pytest.mark.parametrize("arguments", (("a b",), ("",), ("x" * 65,), ("http",), ("local",), ("chatops", "zia.everything")))
def test_a_bad_name_or_scope_makes_no_token(world, arguments):
    ran = world.run("token", *arguments)
    assert ran.returncode in (2, 64) and "once" not in ran.stdout, ran


def test_the_one_token_of_the_environment_goes_on_beside_named_ones(world):
    world.configure(entry("reports", "zia.users.read"))
    with world.http() as server:
        token = world.settings["ZIA_MCP_HTTP_TOKEN"]
        assert call(server.url, token, "list_groups").status_code == 200
        assert call(server.url, "token-of-reports", "list_groups").status_code == 200


@pytest.mark.parametrize(
    "text,says",
    [
        (entry("a", "zia.users.reed"), '"zia.users.reed"'),
        (entry("a"), "scopes"),
        (entry("a", "zia.users.read") + entry("a", "zia.activate"), "two tokens"),
        (entry("a", "zia.users.read").replace("sha256 = ", 'sha256 = "12" #'), "SHA-256"),
        (entry("http", "zia.users.read"), '"http"'),
        (entry("a b", "zia.users.read"), "entry 1"),
        (entry("a", "zia.approve"), "zia.approve"),
        (entry("a", "zia.users.read", more="workload = 1"), "workload"),
        (entry("a", "zia.users.read", more='token = "s3cret"'), '"token"'),
        ('[http]\ntokens = "x"', "tokens"),
        ('[http]\naudience = "x"', "issuer"),
        ('[http]\nissuer = "http://idp.example"', "issuer"),
        ('[http]\nissuer = "https://idp.example"\nalgorithms = ["HS256"]', "algorithms"),
        ('[http]\nissuer = "https://idp.example"\nalgorithms = ["none"]', "algorithms"),
        ('[http]\nissuer = "https://idp.example"\njwks_url = "http://idp.example/keys"', "jwks_url"),
        ('[http]\nissuer = "https://idp.example"\ntoken_type = "any"', "token_type"),
    ],
)
def test_t38_a_mistake_in_who_may_come_in_starts_nothing(world, text, says):
    world.configure(text)
    ran = world.run("serve", "--http", "127.0.0.1:0", within=20)
    assert ran.returncode == 78 and says in ran.stderr and "s3cret" not in ran.stderr, ran.stderr


@pytest.mark.parametrize(
    "name", ("ZIA_MCP_ALLOW_HTTP", "ZIA_MCP_DISABLE_AUTH", "ZIA_MCP_HTTP_TOKENS", "ZIA_MCP_ISSUER", "ZIA_MCP_SKIP_APPROVAL")
)
def test_t38_no_name_of_ours_in_the_environment_weakens_anything(world, name):
    world.settings[name] = "1"
    ran = world.run("serve", "--http", "127.0.0.1:0", within=20)
    assert ran.returncode == 78 and name in ran.stderr, ran.stderr


async def test_b27_one_caller_who_loops_leaves_look_ups_to_the_others(world):
    world.configure(entry("loop", "zia.users.read"))
    with world.http() as server:
        async with (
            world.http_session(server.url, MODERN, token="token-of-loop") as loop,
            world.http_session(server.url, MODERN) as calm,
        ):
            for _ in range(10):
                told = await loop.call("find_user", query=PERSON, fresh=True)
                if told.is_error:
                    break
            assert told.error["code"] == "RATE_LIMITED" and "other callers" in told.error["message"], told
            assert told.error["retry_at"] and told.error["retryable"]
            assert (await loop.call("find_user", query=PERSON))["source"] == "index"
            found = await calm.call("find_user", query=PERSON, fresh=True)
            assert (found["match"], found["source"]) == ("exact", "live"), found


async def test_b27_the_only_caller_may_use_up_all(world):
    with world.http() as server:
        async with world.http_session(server.url, MODERN) as session:
            told = [await session.call("find_user", query=PERSON, fresh=True) for _ in range(8)]
            assert not [answer for answer in told if answer.is_error], told


def awaiting(world, approver):
    """A deletion that a named caller asked for, approved while no server runs."""
    with world.http() as server:
        begun = result(call(server.url, "token-of-bot", "deprovision_user", user=PERSON))
    assert begun["outcome"] == "awaiting_approval", begun
    code, shown = approver.decides("approve", begun["operation_id"])
    assert code == 0 and "bot" in shown, shown
    return begun["operation_id"]


def outcome(world, operation):
    answer = json.loads(world.run("operations", operation).stdout)["answer"]
    return answer.get("outcome") or answer["error"]["code"]


@pytest.mark.parametrize(
    "now",
    (
        entry("other", *RIGHTS),
        entry("bot", "zia.users.read", "zia.users.write", "zia.activate"),
        f'[http]\nrevoked = ["bot"]\n{entry("bot", *RIGHTS)}',
    ),
    ids=("the token is gone", "the scope is gone", "the caller is revoked"),
)
def test_t37_rights_taken_away_after_the_approval_count_at_the_send(world, now):
    world.configure(entry("bot", *RIGHTS))
    operation = awaiting(world, Approver(world, "Olga"))
    world.configure(now)
    with world.http() as server:
        eventually(lambda: outcome(world, operation) == "failed", why=outcome(world, operation))
        assert call(server.url, "token-of-bot", "deprovision_user", user=PERSON).status_code in (401, 403)
    assert world.sandbox.deletes() == [] and world.sandbox.user(PERSON)
    told = world.run("operations", operation).stdout
    assert "may not have this done any more" in told, told
    assert "authority.refused" in world.run("audit", "export").stdout
    assert world.run("audit", "verify").returncode == 0


def test_t37_a_bulk_delete_and_a_publication_are_looked_at_again_too(world):
    olga = Approver(world, "Olga")
    world.configure(entry("bot", *RIGHTS))
    world.sandbox.control("POST", "foreign/stage")
    with world.http() as server:
        several = result(call(server.url, "token-of-bot", "deprovision_users", users=[PERSON, OTHER]))
        publish = result(call(server.url, "token-of-bot", "activate"))
    assert several["outcome"] == publish["outcome"] == "awaiting_approval", (several, publish)
    assert olga.decides("approve", several["operation_id"], count=2)[0] == 0
    assert olga.decides("approve", publish["operation_id"])[0] == 0
    world.sandbox.forget()
    world.configure(entry("bot", "zia.users.read"))
    with world.http():
        for operation in (several["operation_id"], publish["operation_id"]):
            eventually(lambda o=operation: outcome(world, o) == "failed", why=outcome(world, operation))
    assert world.sandbox.writes() == [], "nothing was sent"
    assert world.run("audit", "export").stdout.count('"event":"authority.refused"') == 2


@pytest.mark.parametrize("now", ('issuer = "https://other.example"', 'issuer = "{0}"\nrevoked = ["ada"]'), ids=("another issuer", "revoked"))
def test_t37_a_person_of_the_provider_is_looked_at_again_too(world, tmp_path, now):
    with Provider(tmp_path) as provider:
        del world.settings["ZIA_MCP_HTTP_TOKEN"]
        world.configure(f'[http]\nissuer = "{provider.issuer}"\naudience = "{RESOURCE}"\n')
        token = provider.token("ada", resource=RESOURCE)
        with world.http() as server:
            begun = result(call(server.url, token, "deprovision_user", user=PERSON))
        assert Approver(world, "Olga").decides("approve", begun["operation_id"])[0] == 0
        world.configure(f'[http]\n{now.format(provider.issuer)}\naudience = "{RESOURCE}"\n')
        with world.http() as server:
            eventually(lambda: outcome(world, begun["operation_id"]) == "failed")
            assert call(server.url, token, "tenant_status").status_code == 401
    assert world.sandbox.deletes() == []


def test_t22_whoever_asked_cannot_approve_it_under_the_same_name(world):
    world.configure(entry("olga", *RIGHTS, more="workload = false"))
    olga = Approver(world, "Olga")
    with world.http() as server:
        begun = result(call(server.url, "token-of-olga", "deprovision_user", user=PERSON))
        code, shown = olga.decides("approve", begun["operation_id"])
        assert code == 77 and "cannot approve" in shown, shown
        assert outcome(world, begun["operation_id"]) == "awaiting_approval"
    assert world.sandbox.deletes() == []


def test_t37_rights_that_stay_are_enough(world):
    world.configure(entry("bot", *RIGHTS))
    operation = awaiting(world, Approver(world, "Olga"))
    with world.http():
        eventually(lambda: outcome(world, operation) == "done", within=30, why=outcome(world, operation))
    assert len(world.sandbox.deletes()) == 1
