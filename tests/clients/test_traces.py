"""Traces: whose they are, what is in them, what never is, and that a collector holds nothing up."""

import os
import re
import time

import httpx2
import pytest
from collector import closed, collector, hanging
from lifecycle_steps import NEW
from people import accepts
from raw_stdio import raw_server
from support import CREATE, GENERATIONS, HTTP_TOKEN, LEGACY, MODERN, WRITES
from terminal import Approver
from test_http import modern
from test_metrics import personal, told, scrape
from wiretap import Wiretap, leaks

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"
SECRET = "collector-canary-credential-5d1c"

NAMES = {"capture", "send", "verify", "activate"}
KEYS = {
    "mcp.method.name", "gen_ai.tool.name", "zia_mcp.outcome", "zia_mcp.operation.id", "zia_mcp.operation.action",
    "http.request.method", "url.template", "http.response.status_code", "zia_mcp.attempts", "error.type",
}  # fmt: skip


def to(world, endpoint, **settings):
    """Names a collector, and has spans leave soon."""
    world.settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", **settings}


def named(spans, name):
    return [span for span in spans if span.name == name]


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_the_callers_context_in_meta_is_the_parent_of_the_whole_life_of_an_operation(world, mode):
    with collector() as kept:
        to(world, kept.url)
        async with raw_server(world, mode) as server:
            meta = {"traceparent": TRACEPARENT, "tracestate": "vendor=7", "baggage": "userId=alice"}
            made = await server.call("provision_user", NEW, meta=meta)
            assert made["result"]["structuredContent"]["outcome"] == "done", made
            operation = made["result"]["structuredContent"]["operation_id"]
            await server.call("find_user", {"query": NEW["email"]})
            seen = sorted(entry["endpoint"] for entry in world.sandbox.journal())
        spans = kept.spans
    # What is of no call is the server's own: it signs out at its end.
    called = {TRACE, *(span.trace for span in named(spans, "tools/call find_user"))}
    assert {span.name for span in spans if span.trace not in called} <= {"GET /status", "DELETE /authenticatedSession"}
    ours = {span.id: span for span in spans if span.trace == TRACE}
    (call,) = named(ours.values(), "tools/call provision_user")
    assert (call.parent, call.kind, call.span.trace_state) == (PARENT, "server", "vendor=7")
    assert call.attributes["gen_ai.tool.name"] == "provision_user" and call.attributes["zia_mcp.operation.id"] == operation
    for step in ("send", "activate"):
        (span,) = named(ours.values(), step)
        assert span.parent == call.id and span.kind == "internal"
        assert span.attributes["zia_mcp.operation.id"] == operation
        assert span.attributes["zia_mcp.operation.action"] == "provision_user"
    (created,) = named(ours.values(), "POST /users")
    assert ours[created.parent].name == "send" and created.kind == "client"
    assert created.attributes == {
        "http.request.method": "POST", "url.template": "/users", "zia_mcp.attempts": 1, "http.response.status_code": 200,
    }  # fmt: skip
    assert [ours[span.parent].name for span in named(ours.values(), "POST /status/activate")] == ["activate"]
    assert all(span.parent in {PARENT, *ours} for span in ours.values()), "every span has its place in the trace"
    # Every call that the tenant saw has its span, the sign-in too.
    assert sorted(s.name for s in spans if s.kind == "client" and s.trace in called) == seen
    assert kept.resource["service.name"] == "zia-mcp" and kept.resource["telemetry.sdk.language"] == "rust"


async def test_over_http_the_header_counts_and_the_requests_own_word_counts_more(world):
    with collector() as kept:
        to(world, kept.url, OTEL_SERVICE_NAME="joiners", OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test")
        with world.http() as server:
            for meta in ({}, {"traceparent": TRACEPARENT}):
                headers, body = modern("tools/call", {"name": "tenant_status", "arguments": {}}, "tenant_status")
                body["params"]["_meta"] |= meta
                answer = httpx2.post(f"{server.url}/mcp", headers={**headers, "traceparent": OTHER}, json=body, timeout=30)
                assert answer.status_code == 200, answer.text
            spans = kept.until("tools/call tenant_status", 2)
            assert scrape(server.url).of("trace_exports_total", outcome="ok") >= 1
        calls = named(spans, "tools/call tenant_status")
        assert [(call.trace, call.parent) for call in calls] == [("1" * 32, "2" * 16), (TRACE, PARENT)]
        assert kept.resource["service.name"] == "joiners" and kept.resource["deployment.environment.name"] == "test"
    path, headers = kept.requests[0]
    assert path == "/v1/traces" and headers["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize("bad", ("", "junk", "00-00000000000000000000000000000000-0000000000000000-01", "x" * 5000, TRACEPARENT.upper()))
async def test_a_context_that_is_none_begins_a_trace_of_its_own(world, bad):
    with collector() as kept:
        to(world, kept.url)
        async with raw_server(world, MODERN) as server:
            answer = await server.call("tenant_status", {}, meta={"traceparent": bad, "tracestate": bad})
            assert "structuredContent" in answer["result"], answer
    (call,) = named(kept.spans, "tools/call tenant_status")
    assert call.parent == "" and call.trace != TRACE


async def test_a_caller_who_asks_for_no_trace_gets_none(world):
    with collector() as kept:
        to(world, kept.url)
        async with raw_server(world, MODERN) as server:
            await server.call("tenant_status", {}, meta={"traceparent": TRACEPARENT[:-1] + "0"})
            await server.call("list_groups", {})
    assert {s.name for s in kept.spans if s.kind == "server"} == {"tools/call list_groups"}


async def test_failures_are_marked_by_kind_and_repeats_are_counted(world):
    with collector() as kept:
        to(world, kept.url)
        async with raw_server(world, MODERN) as server:
            world.sandbox.fault("server_error", endpoint="GET /groups", count=2, status=500)
            await server.call("list_groups", {})
            world.sandbox.fault("reply_lost_after_apply", endpoint=CREATE, count=1)
            made = await server.call("provision_user", NEW)
            assert made["result"]["structuredContent"]["outcome"] == "done", made
            refused = await server.call("provision_user", {**NEW, "groups": ["no such group"]})
            assert refused["result"]["isError"]
    spans = kept.spans
    groups = named(spans, "GET /groups")
    assert groups[0].attributes["zia_mcp.attempts"] == 3 and not groups[0].failed
    (lost,) = named(spans, CREATE)
    assert lost.failed and lost.attributes["error.type"] == "unreachable" and "http.response.status_code" not in lost.attributes
    (send,), (verify,) = named(spans, "send"), named(spans, "verify")
    assert (send.attributes["zia_mcp.outcome"], verify.attributes["zia_mcp.outcome"]) == ("unknown", "verified")
    made, call = named(spans, "tools/call provision_user")
    assert send.parent == verify.parent == made.id and not made.failed
    assert call.failed and call.attributes["error.type"] == call.attributes["zia_mcp.outcome"] == "NOT_FOUND"
    assert call.span.status.message == ""


async def test_what_an_approver_decides_elsewhere_has_a_trace_of_its_own_with_the_operations_id(world):
    olga = Approver(world, "olga.ivanova")
    users = ["taro.yamada@example.com", "alex.kim@example.com"]
    with collector() as kept:
        to(world, kept.url)
        with world.http() as server:
            async with world.http_session(server.url, MODERN) as session:
                asked = await session.call("deprovision_users", users=users)
                operation = asked["operation_id"]
                assert olga.decides("approve", operation, count=2)[0] == 0
                gone = await session.call("get_operation", operation_id=operation, wait_seconds=45)
                if gone.outcome != "done":
                    gone = await session.call("get_operation", operation_id=operation, wait_seconds=45)
                assert gone.outcome == "done", gone
            spans = kept.until("activate")
    of = {name: [s for s in named(spans, name) if s.attributes["zia_mcp.operation.id"] == operation] for name in NAMES}
    assert {name: len(found) for name, found in of.items()} == {"capture": 1, "send": 1, "verify": 1, "activate": 1}
    (call,) = named(spans, "tools/call deprovision_users")
    assert of["capture"][0].trace == call.trace and of["send"][0].parent == "" and of["send"][0].trace != call.trace
    (delete,) = named(spans, "POST /users/bulkDelete")
    assert delete.parent == of["send"][0].id


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_t18_t27_no_person_and_no_secret_is_in_a_trace_and_nothing_of_it_goes_to_zia(world, mode):
    person = accepts(NEW["email"])
    with collector() as kept, Wiretap(world.settings["ZIA_BASE_URL"]) as tap:
        to(world, kept.url, ZIA_BASE_URL=tap.url, OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{SECRET}")
        async with world.stdio_session(mode, person, flags=()) as session:
            await session.call("find_user", query=NEW["email"])
            made = await session.call("provision_user", **NEW, comments="joins the Lisbon office")
            assert made.outcome == "done", made
            changed = await session.call("update_user", user=NEW["email"], comments="moved to Lisbon")
            assert changed.outcome == "done", changed
            gone = await session.call("deprovision_user", user=NEW["email"], reason="left, ticket 4711")
            assert gone.outcome == "done", gone
            again = await session.call("restore_user", capture=NEW["email"])
            assert again.outcome == "done", again
            await session.call("find_user", query="xxxxxxxx" * 5)
            await session.call("deprovision_user", user="nobody@nowhere.example")
        spans = kept.spans
        heard = bytes(tap.bytes)
    assert {span.name for span in spans} >= NAMES - {"verify"}
    allowed = {f"tools/call {t}" for t in ("find_user", "provision_user", "update_user", "deprovision_user", "restore_user")}
    calls = {entry["endpoint"] for entry in world.sandbox.journal()}
    assert {span.name for span in spans} <= NAMES | allowed | calls
    assert {key for span in spans for key in span.attributes} <= KEYS
    assert not [span for span in spans if span.span.events or span.span.links]
    words = personal(world) | {"nobody", "nowhere"}
    for body in kept.bodies:
        assert not (found := told(words, body.decode("latin-1"))), found
        secrets = {"token": HTTP_TOKEN, "key": world.settings["ZIA_API_KEY"], "password": world.settings["ZIA_PASSWORD"], "header": SECRET}
        assert not leaks(secrets, {"spans": body})
    assert kept.requests[0][1]["authorization"] == f"Bearer {SECRET}"
    assert b"traceparent" not in heard.lower() and spans[0].trace.encode() not in heard
    log = world.log.read_bytes()
    assert not leaks({"header": SECRET}, {"log": log})
    assert {entry["endpoint"] for entry in world.sandbox.writes()} <= WRITES


@pytest.mark.parametrize("transport", ("stdio", "http"))
@pytest.mark.parametrize("kind", ("closed", "hanging", "refusing"))
async def test_f47_a_collector_that_takes_nothing_holds_nothing_up(world, kind, transport):
    async def goes_on(url):
        to(world, url, OTEL_BSP_MAX_QUEUE_SIZE="8", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4")
        async with world.session(transport, MODERN, flags=()) as session:
            began = time.monotonic()
            for _ in range(20):
                assert (await session.call("find_user", query="taro.yamada@example.com"))["match"] == "exact"
            assert time.monotonic() - began < 20, "calls wait for the collector"
            ends = time.monotonic()
        # The session's own end and the server's, the last attempt to export included.
        assert time.monotonic() - ends < 9

    if kind == "closed":
        await goes_on(closed())
    elif kind == "hanging":
        with hanging() as url:
            await goes_on(url)
    else:
        with collector() as kept:
            kept.status = 503
            await goes_on(kept.url)
    log = world.log.read_text() if transport == "stdio" else ""
    assert log.count("the trace collector takes no spans") <= 1 and "panick" not in log, log


def test_a_server_ends_in_time_with_a_collector_that_hangs(world):
    with hanging() as url:
        to(world, url)
        with world.http() as server:
            scrape(server.url)
            began = time.monotonic()
            assert server.stop(within=9) == 0
            assert time.monotonic() - began < 7


def test_without_a_collector_nothing_is_exported(world):
    with collector() as kept:
        for off in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
            to(world, kept.url, **off)
            assert world.call("tenant_status")[0] == 0
            for name in off:
                del world.settings[name]
        del world.settings["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert world.call("tenant_status")[0] == 0
        assert kept.requests == []
        to(world, kept.url)
        assert world.call("tenant_status")[0] == 0
        assert named(kept.spans, "tools/call tenant_status"), "what waits at the end is sent"


@pytest.mark.parametrize(
    ("settings", "named_setting"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:collector-canary@localhost"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "ftp://localhost/x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost", "OTEL_EXPORTER_OTLP_HEADERS": "collector-canary"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "OTEL_EXPORTER_OTLP_TIMEOUT"),
    ],
    ids=str,
)
def test_settings_that_export_nothing_end_the_start_and_name_themselves(world, settings, named_setting):
    world.settings |= settings
    ran = world.run("serve", "--http", "127.0.0.1:0")
    assert ran.returncode == 78 and named_setting in ran.stderr, ran
    assert "collector-canary" not in ran.stderr + ran.stdout


def test_headers_may_be_in_a_file_and_the_endpoint_for_traces_is_taken_as_it_stands(world):
    path = world.place / "headers"
    path.write_text(f"x-api-key={SECRET}\n")
    os.chmod(path, 0o600)
    with collector() as kept:
        world.settings |= {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{kept.url}/otel/spans",
            "OTEL_EXPORTER_OTLP_ENDPOINT": closed(),
            "OTEL_EXPORTER_OTLP_HEADERS_FILE": str(path),
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        }
        assert world.call("tenant_status")[0] == 0
    seen, headers = kept.requests[0]
    assert seen == "/otel/spans" and headers["x-api-key"] == SECRET and headers["content-encoding"] == "gzip"
    assert named(kept.spans, "tools/call tenant_status") and re.fullmatch(r"[0-9a-f]{32}", kept.spans[0].trace)


async def test_over_stdio_stdout_is_the_protocols_alone(world):
    to(world, closed())
    async with raw_server(world, LEGACY) as server:
        await server.call("tenant_status", {})
        assert await server.lives()
    assert b"OpenTelemetry" not in server.stdout and all(line.startswith(b"{") for line in bytes(server.stdout).splitlines())
