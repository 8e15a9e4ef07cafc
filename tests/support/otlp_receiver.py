#!/usr/bin/env python3
"""An OTLP receiver that shares no code with Braid: grpcio and PyPI's opentelemetry-proto.

It takes OTLP/gRPC and OTLP/HTTP (protobuf; identity, gzip, zstd), keeps what it accepted, and can be
told to misbehave. In a test:

    with OtlpReceiver() as receiver:
        receiver.rules.set(Rule("reject", matching="poison"))
        ...
        for span, resource in receiver.spans(): ...

Alone: `otlp_receiver.py --grpc 4317 --http 4318` prints its addresses; GET /received on the HTTP port
answers with counts, POST /rules sets rules (a JSON list of Rule fields).
"""

import argparse
import concurrent.futures
import dataclasses
import gzip
import http.server
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc
import zstandard
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from misbehaviour import Rule, Rules


@dataclasses.dataclass
class Signal:
    name: str
    path: str
    method: str
    request: type
    response: type


SIGNALS = [
    Signal("traces", "/v1/traces", "opentelemetry.proto.collector.trace.v1.TraceService",
           trace_service_pb2.ExportTraceServiceRequest, trace_service_pb2.ExportTraceServiceResponse),
    Signal("logs", "/v1/logs", "opentelemetry.proto.collector.logs.v1.LogsService",
           logs_service_pb2.ExportLogsServiceRequest, logs_service_pb2.ExportLogsServiceResponse),
    Signal("metrics", "/v1/metrics", "opentelemetry.proto.collector.metrics.v1.MetricsService",
           metrics_service_pb2.ExportMetricsServiceRequest, metrics_service_pb2.ExportMetricsServiceResponse),
]


def items(signal, message):
    """Yields (item, scope, resource) of one parsed request."""
    if signal == "traces":
        for resource_spans in message.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    yield span, scope_spans.scope, resource_spans.resource
    elif signal == "logs":
        for resource_logs in message.resource_logs:
            for scope_logs in resource_logs.scope_logs:
                for record in scope_logs.log_records:
                    yield record, scope_logs.scope, resource_logs.resource
    else:
        for resource_metrics in message.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    yield metric, scope_metrics.scope, resource_metrics.resource


def points(metric):
    """The data points of a metric, of whatever type."""
    kind = metric.WhichOneof("data")
    return list(getattr(metric, kind).data_points) if kind else []


def any_value(value):
    """A protobuf AnyValue as a Python value."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [any_value(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    return getattr(value, kind)


def attributes(pairs):
    """A dict. A key that occurs twice is an error: no receiver defines which one counts."""
    result = {}
    for pair in pairs:
        if pair.key in result:
            raise AssertionError(f"attribute {pair.key!r} occurs twice")
        result[pair.key] = any_value(pair.value)
    return result


class OtlpReceiver:
    # A receiver may refuse what is larger than most do. gRPC's own default is 4 MiB.
    MAX_BYTES = 64 << 20

    def __init__(self, grpc_port=0, http_port=0):
        self.rules = Rules()
        self._changed = threading.Condition()
        self._accepted = {s.name: [] for s in SIGNALS}  # parsed requests
        self._counts = {s.name: 0 for s in SIGNALS}  # items
        self.requests = {s.name: 0 for s in SIGNALS}  # attempts, also those answered with an error
        self.headers = []  # of every attempt: dict with lower-case keys
        self._start_grpc(grpc_port)
        self._start_http(http_port)

    # --- life ---

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.rules.released.set()
        self._grpc.stop(0.2).wait()
        self._http.shutdown()
        self._http.server_close()

    @property
    def grpc_endpoint(self):
        return f"http://127.0.0.1:{self.grpc_port}"

    @property
    def http_endpoint(self):
        return f"http://127.0.0.1:{self.http_port}"

    # --- what it has ---

    def counts(self):
        """Items accepted by signal; metrics are counted in data points."""
        with self._changed:
            return dict(self._counts)

    def forget(self):
        with self._changed:
            for signal in SIGNALS:
                self._accepted[signal.name].clear()
                self._counts[signal.name] = 0
                self.requests[signal.name] = 0
            self.headers.clear()

    def items(self, signal):
        with self._changed:
            messages = list(self._accepted[signal])
        for message in messages:
            yield from items(signal, message)

    def spans(self):
        """(span, resource attributes) of everything accepted, in order of arrival."""
        return [(span, attributes(resource.attributes)) for span, _, resource in self.items("traces")]

    def logs(self):
        return [(record, attributes(resource.attributes)) for record, _, resource in self.items("logs")]

    def metrics(self):
        return [(metric, attributes(resource.attributes)) for metric, _, resource in self.items("metrics")]

    def wait_for(self, signal, count, seconds=30):
        """Waits until `count` items of a signal are here; returns how many are."""
        end = time.monotonic() + seconds
        with self._changed:
            while self._counts[signal] < count and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            return self._counts[signal]

    # --- taking a request ---

    def _take(self, signal, body, headers):
        """Returns (action, rule, partial response), having kept the request if it was accepted."""
        with self._changed:
            self.requests[signal.name] += 1
            self.headers.append(headers)
        try:
            message = signal.request.FromString(body)
        except DecodeError as error:
            # The receiver's own verdict on Braid's bytes: tests look for it.
            return "malformed", Rule("reject"), str(error)

        def texts():
            for item, _, _ in items(signal.name, message):
                yield any_text(item)

        rule = self.rules.pick(signal.name, texts)
        if rule is not None and rule.action == "hang":
            self.rules.released.wait(rule.seconds)
            return "unavailable", rule, None
        if rule is not None and rule.action not in ("partial", "huge"):
            return rule.action, rule, None
        with self._changed:
            self._accepted[signal.name].append(message)
            if signal.name == "metrics":
                self._counts[signal.name] += sum(len(points(m)) for m, _, _ in items(signal.name, message))
            else:
                self._counts[signal.name] += sum(1 for _ in items(signal.name, message))
            self._changed.notify_all()
        return ("accepted", rule, None) if rule is None else (rule.action, rule, None)

    @staticmethod
    def _partial(signal):
        field = {"traces": "rejected_spans", "logs": "rejected_log_records", "metrics": "rejected_data_points"}
        return signal.response(partial_success={field[signal.name]: 1, "error_message": "one was no good"})

    # --- gRPC ---

    def _start_grpc(self, port):
        # One thread for each request that hangs, and some for those that do not.
        self._grpc = grpc.server(concurrent.futures.ThreadPoolExecutor(32),
                                 options=[("grpc.max_receive_message_length", self.MAX_BYTES), ("grpc.so_reuseport", 0)])
        for signal in SIGNALS:
            handler = grpc.unary_unary_rpc_method_handler(lambda body, context, s=signal: self._serve_grpc(s, body, context))
            self._grpc.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(signal.method, {"Export": handler}),))
        self.grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{port}")
        self._grpc.start()

    def _serve_grpc(self, signal, body, context):
        headers = {k.lower(): v for k, v in context.invocation_metadata()}
        action, rule, why = self._take(signal, body, headers)
        if action == "accepted":
            return signal.response().SerializeToString()
        if action == "partial":
            return self._partial(signal).SerializeToString()
        if action in ("reject", "malformed"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, why or "this can never be stored")
        code = grpc.StatusCode.RESOURCE_EXHAUSTED if action == "exhausted" else grpc.StatusCode.UNAVAILABLE
        if rule.retry_after:
            delay = duration_pb2.Duration(nanos=int(rule.retry_after * 1e9) % 10**9, seconds=int(rule.retry_after))
            detail = any_pb2.Any()
            detail.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
            status = status_pb2.Status(code=code.value[0], message="later", details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, "later")

    # --- HTTP ---

    def _start_http(self, port):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, code, body=b"", kind="application/x-protobuf", **headers):
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for key, value in headers.items():
                    self.send_header(key.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def read_body(self):
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    body = b""
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                encoding = self.headers.get("Content-Encoding", "identity")
                if encoding == "gzip":
                    return gzip.decompress(body)
                if encoding == "zstd":
                    return zstandard.ZstdDecompressor().decompressobj().decompress(body)
                if encoding != "identity":
                    raise ValueError(f"content encoding {encoding}")
                return body

            def do_GET(self):
                if self.path != "/received":
                    return self.answer(404)
                with receiver._changed:
                    answer = {"items": dict(receiver._counts), "requests": dict(receiver.requests)}
                self.answer(200, json.dumps(answer).encode(), "application/json")

            def do_POST(self):
                try:
                    body = self.read_body()
                except (ValueError, OSError, zstandard.ZstdError) as error:
                    self.close_connection = True
                    return self.answer(400, str(error).encode(), "text/plain")
                if self.path == "/rules":
                    receiver.rules.set(*json.loads(body))
                    return self.answer(200)
                signal = next((s for s in SIGNALS if s.path == self.path), None)
                if signal is None:
                    return self.answer(404)
                if self.headers.get("Content-Type") != "application/x-protobuf":
                    return self.answer(415)
                action, rule, why = receiver._take(signal, body, {k.lower(): v for k, v in self.headers.items()})
                if action == "half_close":
                    self.close_connection = True
                    return None
                if action == "accepted":
                    return self.answer(200, signal.response().SerializeToString())
                if action == "partial":
                    return self.answer(200, receiver._partial(signal).SerializeToString())
                if action == "huge":
                    return self.answer(200, bytes(int(rule.seconds * (1 << 20))))
                later = {"Retry_After": str(int(rule.retry_after))} if rule.retry_after else {}
                if action in ("reject", "malformed"):
                    status = status_pb2.Status(code=3, message=why or "this can never be stored")
                    return self.answer(400, status.SerializeToString())
                status = status_pb2.Status(code=14, message="later").SerializeToString()
                return self.answer(429 if action == "exhausted" else 503, status, **later)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass  # A peer that closed on us is part of the tests.

        self._http = Server(("127.0.0.1", port), Handler)
        self.http_port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()


def any_text(item):
    """What a rule's `matching` looks at."""
    if hasattr(item, "body"):
        return item.body.string_value
    return item.name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grpc", type=int, default=0)
    parser.add_argument("--http", type=int, default=0)
    args = parser.parse_args()
    with OtlpReceiver(args.grpc, args.http) as receiver:
        print(f"grpc {receiver.grpc_endpoint}  http {receiver.http_endpoint}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
