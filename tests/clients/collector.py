"""A trace collector on loopback, which takes spans by OTLP over http/protobuf and keeps them."""

import socket
import threading
from contextlib import contextmanager
from gzip import decompress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from support import eventually


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Seen:
    """One span, in plain words."""

    def __init__(self, span):
        self.name, self.span = span.name, span
        self.id, self.parent, self.trace = span.span_id.hex(), span.parent_span_id.hex(), span.trace_id.hex()
        self.attributes = attributes(span.attributes)
        self.failed = span.status.code == Status.STATUS_CODE_ERROR
        self.kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower()
        self.seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9

    def __repr__(self):
        return f"{self.name} {self.attributes}"


class Collector:
    """What arrived: whole requests, their paths and headers, and the spans in them."""

    def __init__(self):
        self.requests, self.bodies, self.status = [], [], 200

    def took(self, path, headers, body):
        self.requests.append((path, headers))
        self.bodies.append(decompress(body) if headers.get("content-encoding") == "gzip" else body)

    @property
    def messages(self):
        return [ExportTraceServiceRequest.FromString(body) for body in list(self.bodies)]

    @property
    def spans(self):
        scopes = (scope for message in self.messages for resource in message.resource_spans for scope in resource.scope_spans)
        return [Seen(span) for scope in scopes for span in scope.spans]

    @property
    def resource(self):
        return attributes(self.messages[0].resource_spans[0].resource.attributes)

    def until(self, name, count=1):
        """All spans, once there are so many of a name."""
        eventually(lambda: len([s for s in self.spans if s.name == name]) >= count, why=f"no {count} spans {name}: {self.spans}")
        return self.spans


@contextmanager
def collector():
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.took(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(kept.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kept.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield kept
    finally:
        server.shutdown()


@contextmanager
def hanging():
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def closed():
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
