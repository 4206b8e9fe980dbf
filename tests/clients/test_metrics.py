"""`/metrics`: who reads it, in which words, and that its figures are the tenant's own."""

import asyncio
import hashlib
import json
import re
import socket
import subprocess
from collections import Counter

import httpx2
import pytest
from lifecycle_steps import NEW
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text
from support import BINARY, DELETE, HTTP_TOKEN, MODERN, eventually
from terminal import Approver
from test_http import modern
from wiretap import leaks

BEARER = {"Authorization": f"Bearer {HTTP_TOKEN}"}
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
WHAT_PROMETHEUS_ASKS_FOR = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
LABELS = {"endpoint", "outcome", "per", "tool", "action", "state", "reason", "version", "le"}


class Figures:
    """One reading, by the official parser."""

    def __init__(self, text, parse=plain_text):
        self.samples = [sample for family in parse(text) for sample in family.samples]

    def of(self, name, **labels):
        """The sum of what a series shows with these labels; nothing if there is none."""
        found = [s.value for s in self.samples if s.name == f"zia_mcp_{name}" and labels.items() <= s.labels.items()]
        return sum(found) if found else None

    def by(self, name, label):
        """Every value that is not 0, by one label."""
        sums = Counter()
        for sample in self.samples:
            if sample.name == f"zia_mcp_{name}":
                sums[sample.labels[label]] += int(sample.value)
        return +sums


def get(url, headers=BEARER, path="/metrics", **options):
    return httpx2.get(url + path, headers=headers, timeout=15, **options)


def scrape(url):
    answer = get(url)
    assert answer.status_code == 200, answer.text
    return Figures(answer.text)


def at_last(url, name, value, **labels):
    """Readings are shared for a second, so the newest may be a moment old."""
    return eventually(lambda: (f := scrape(url)).of(name, **labels) == value and f, why=f"{name} is not {value}")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {HTTP_TOKEN}"}, {"Cookie": f"token={HTTP_TOKEN}"}], ids=str
)
@pytest.mark.parametrize("path", ("/metrics", f"/metrics?token={HTTP_TOKEN}"))
def test_without_the_bearer_token_there_are_no_figures(table, path, headers):
    answer = get(table.url, headers, path)
    assert answer.status_code == 401 and "zia_mcp_" not in answer.text, answer.text
    assert answer.headers["www-authenticate"].lower().startswith("bearer")


def test_a_foreign_host_and_origin_are_refused_before_the_token(table):
    for name, value in (("Host", "evil.example"), ("Origin", "https://evil.example")):
        answer = get(table.url, {**BEARER, name: value})
        assert answer.status_code == 403 and "zia_mcp_" not in answer.text


def test_both_text_formats_are_told_by_their_type_and_parse(table):
    plain = get(table.url)
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert plain.headers["cache-control"] == "no-store"
    asked = get(table.url, {**BEARER, "Accept": WHAT_PROMETHEUS_ASKS_FOR})
    assert asked.headers["content-type"] == OPEN
    # The strict parser: it refuses a missing end, a unit or a suffix out of place, a label twice.
    names = {s.name for s in Figures(asked.text, open_metrics).samples}
    assert names == {s.name for s in Figures(plain.text).samples}
    assert httpx2.post(f"{table.url}/metrics", headers=BEARER).status_code == 405


def test_a_token_for_figures_reads_them_and_nothing_else(world):
    digest = hashlib.sha256(b"a-token-for-prometheus-alone").hexdigest()
    world.configure(f'[[http.tokens]]\nname = "prometheus"\nsha256 = "{digest}"\nscopes = ["zia.metrics.read"]\n')
    bearer = {"Authorization": "Bearer a-token-for-prometheus-alone"}
    with world.http() as server:
        assert get(server.url, bearer).status_code == 200
        for tool in ("tenant_status", "find_user"):
            headers, body = modern("tools/call", {"name": tool, "arguments": {}}, tool)
            refused = httpx2.post(f"{server.url}/mcp", headers={**headers, **bearer}, json=body)
            assert refused.status_code == 403 and "insufficient_scope" in refused.headers["www-authenticate"], refused.text
    assert world.sandbox.journal() == []


async def test_figures_are_the_tenants_own_counts_and_go_on_from_call_to_call(world):
    with world.http() as server:
        before = scrape(server.url)
        assert before.by("zia_requests_total", "endpoint") == {} and before.of("zia_requests_total", endpoint="GET /users") == 0
        assert before.of("build_info", version=re.search(r"[\d.]+", world.run("--version").stdout).group()) == 1
        async with world.http_session(server.url, MODERN) as session:
            made = await session.call("provision_user", **NEW)
            assert made.outcome == "done", made
            await session.call("find_user", query=NEW["email"])
            missing = await session.call("find_user", query=NEW["email"], limit=0)
            assert missing.is_error
            again = await session.call("provision_user", **NEW)
            assert again.outcome == "already_done"
            after = at_last(server.url, "operations_ended_total", 2)
        seen = Counter(entry["endpoint"] for entry in world.sandbox.journal())
        assert after.by("zia_requests_total", "endpoint") == seen
        assert after.by("zia_requests_total", "outcome") == {"ok": sum(seen.values())}
        assert after.by("zia_request_duration_seconds_count", "endpoint") == seen
        assert after.by("operations_ended_total", "outcome") == {"done": 1, "already_done": 1}
        assert after.by("tool_calls_total", "outcome") == {"ok": 3, "INVALID_ARGUMENT": 1}
        assert after.by("tool_call_duration_seconds_count", "tool") == {"provision_user": 2, "find_user": 2}
        assert after.of("tool_calls_in_flight") == 0 and after.of("zia_requests_waiting") == 0
        assert after.of("activation_delay_seconds_count") == 1 and after.of("activation_lag_seconds") == 0
        assert after.of("store_writable") == 1 and after.of("log_lines_dropped_total") == 0
        limits = {s.labels["endpoint"]: s.value for s in after.samples if s.name == "zia_mcp_zia_budget_limit" and s.labels["per"] == "hour"}
        assert limits["GET /users"] == limits["POST /status/activate"] == 40 and limits.keys() >= seen.keys()
        for endpoint, limit in limits.items():
            at_last(server.url, "zia_budget_remaining", limit - seen[endpoint], endpoint=endpoint, per="hour")


async def test_what_waits_and_what_went_wrong_shows(world):
    olga = Approver(world, "olga.ivanova")
    with world.http() as server:
        async with world.http_session(server.url, MODERN) as session:
            asked = await session.call("deprovision_user", user="taro.yamada@example.com")
            assert asked.outcome == "awaiting_approval"
            at_last(server.url, "operations", 1, action="deprovision_user", state="awaiting")
            # The person decides in another process: who ended it counts it, and the store knows that it is over.
            assert olga.decides("reject", asked["operation_id"])[0] == 0
            at_last(server.url, "operations", None, action="deprovision_user")

            world.sandbox.fault("too_many_requests", endpoint="GET /departments", count=1, header="1")
            world.sandbox.fault("server_error", endpoint="GET /groups", count=1, status=500)
            await session.call("list_departments")
            await session.call("list_groups")
            figures = at_last(server.url, "zia_requests_total", 1, endpoint="GET /groups", outcome="failed")
            assert figures.of("zia_requests_total", endpoint="GET /departments", outcome="rate_limited") == 1
            # The list, and a look behind it.
            assert figures.of("zia_requests_total", outcome="ok", endpoint="GET /departments") == 2

            world.sandbox.fault("activation_fails")
            made = await session.call("provision_user", **NEW)
            assert made.outcome == "applied_not_active"
            at_last(server.url, "operations", 1, action="provision_user", state="not_active")
            lag = eventually(lambda: scrape(server.url).of("activation_lag_seconds"))
            assert eventually(lambda: scrape(server.url).of("activation_lag_seconds") > lag + 1)
            world.sandbox.mend()
            activated = await session.call("activate")
            assert activated.outcome in ("done", "awaiting_approval"), activated
        httpx2.get(f"{server.url}/mcp", headers={"Host": "evil.example"})
        httpx2.post(f"{server.url}/mcp", headers={"Authorization": "Bearer wrong"})
        refused = scrape(server.url).by("http_refused_total", "reason")
        assert refused["host"] == 1 and refused["token"] == 1


async def test_calls_that_wait_for_their_turn_are_told(world):
    with world.http() as server:
        async with world.http_session(server.url, MODERN) as session:
            # Five statuses where two a second may leave.
            calls = [asyncio.create_task(session.call("tenant_status")) for _ in range(6)]
            seen = set()
            while not all(call.done() for call in calls):
                answer = await asyncio.to_thread(scrape, server.url)
                seen.add((answer.of("zia_requests_waiting", endpoint="GET /status"), answer.of("tool_calls_in_flight")))
            await asyncio.gather(*calls)
        assert max(waiting for waiting, _ in seen) >= 2 and max(flying for _, flying in seen) >= 3, seen
        at_last(server.url, "tool_calls_in_flight", 0)
        # Of these; the index may wait for a list meanwhile.
        at_last(server.url, "zia_requests_waiting", 0, endpoint="GET /status")


def test_a_store_that_fails_shows_and_the_figures_still_come(world):
    with world.http() as server:
        assert scrape(server.url).of("store_writable") == 1
        world.state.joinpath("store.db").rename(world.place / "gone.db")
        figures = at_last(server.url, "store_writable", 0)
        assert figures.of("zia_budget_limit", endpoint="GET /users", per="hour") == 40


def test_f47_lines_that_nobody_reads_are_dropped_and_counted(world):
    reads, writes = socket.socketpair()  # nobody reads from it
    writes.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    command = [BINARY, "--log", "trace", "serve", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, env=world.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=writes) as child:
        try:
            url = child.stdout.readline().decode().strip().removeprefix("listening on ")
            with httpx2.Client(headers={"Host": "evil.example"}) as client:
                for _ in range(17_500):
                    assert client.get(f"{url}/healthz").status_code == 403
            assert scrape(url).of("log_lines_dropped_total") > 0
        finally:
            child.kill()
            reads.close()
            writes.close()


async def test_t18_t27_no_person_and_no_secret_is_in_the_figures(world):
    with world.http("--log", "trace") as server:
        async with world.http_session(server.url, MODERN) as session:
            await session.call("provision_user", **NEW)
            await session.call("find_user", query=NEW["name"])
            await session.call("update_user", user=NEW["email"], comments="moved to Lisbon")
            await session.call("deprovision_user", user=NEW["email"], reason="left the company, ticket 4711")
            await session.call("find_user", query="x" * 40)
        texts = [get(server.url).text, get(server.url, {**BEARER, "Accept": WHAT_PROMETHEUS_ASKS_FOR}).text]
    words = personal(world)
    assert len(words) > 100
    for text in texts:
        assert not (found := told(words, text)), found
        assert not leaks({"token": HTTP_TOKEN, "key": world.settings["ZIA_API_KEY"], "password": world.settings["ZIA_PASSWORD"]}, {"figures": text.encode()})
        assert not re.search(r"(op|cap)_[0-9a-f]{8}", text)
        assert {label for sample in Figures(text).samples for label in sample.labels} <= LABELS
    assert world.sandbox.calls(DELETE) == []


def personal(world):
    """Every name, address, comment and id of the tenant, and what the calls said."""
    users = [*world.sandbox.users(), NEW]
    words = {word for u in users for word in (u["name"], u["email"], u.get("comments"), str(u.get("id", ""))) if word}
    return {w for w in words if len(w) > 3} | {"example.com", "Lisbon", "ticket", "Engineering", world.settings["ZIA_USERNAME"], "xxxx"}


def told(words, text):
    """Which of the words the text holds; an id only as a whole number, since the digits of a time may hold any number."""
    text = text.lower()
    return [w for w in words if (re.search(rf"(?<![\d.]){w}(?!\d)", text) if w.isdigit() else w.lower() in text)]


def test_an_id_counts_as_told_where_it_stands_alone_and_not_inside_the_digits_of_a_time():
    words = {"200000000", "Lisbon"}
    assert told(words, 'seconds_sum{user="200000000"} 1') == ["200000000"] == told(words, "calls 200000000.0")
    assert told(words, "moved to LISBON") == ["Lisbon"]
    assert told(words, "seconds_sum 0.5200000000000001\nseconds_sum 0.2000000001\nat 1200000000.5") == []


def test_a_page_of_another_site_is_told_nothing(table):
    answer = get(table.url)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert json.dumps(dict(answer.headers)).count("set-cookie") == 0
