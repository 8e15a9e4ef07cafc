#!/usr/bin/env python3
"""A Loki push receiver that shares no code with Braid: cramjam's snappy, and google.protobuf with a
descriptor made here from the field numbers of Loki's push.proto.

    with LokiReceiver() as loki:
        loki.wait_for(10)
        for labels, entry in loki.entries(): entry.line, entry.metadata, entry.time_ns

It answers like Loki: 204 with no body, 400 with plain text.
"""

import dataclasses
import http.server
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.message import DecodeError

from misbehaviour import Rules


def _push_request():
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="push.proto", package="logproto", syntax="proto3",
                                              dependency=["google/protobuf/timestamp.proto"])

    def message(name, *fields):
        made = file.message_type.add(name=name)
        for number, field_name, kind, repeated in fields:
            f = made.field.add(name=field_name, number=number,
                               label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL)
            if isinstance(kind, str):
                f.type, f.type_name = field.TYPE_MESSAGE, kind
            else:
                f.type = kind

    message("LabelPair", (1, "name", field.TYPE_STRING, False), (2, "value", field.TYPE_STRING, False))
    message("Entry", (1, "timestamp", ".google.protobuf.Timestamp", False), (2, "line", field.TYPE_STRING, False),
            (3, "structured_metadata", ".logproto.LabelPair", True), (4, "parsed", ".logproto.LabelPair", True))
    message("Stream", (1, "labels", field.TYPE_STRING, False), (2, "entries", ".logproto.Entry", True),
            (3, "hash", field.TYPE_UINT64, False))
    message("PushRequest", (1, "streams", ".logproto.Stream", True))

    pool = descriptor_pool.DescriptorPool()
    timestamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(timestamp)
    pool.Add(timestamp)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("logproto.PushRequest"))


PushRequest = _push_request()

# Label matchers as Loki's own parser reads them: {a="b", c="d"}, Go string escapes.
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)')


def parse_labels(text):
    """`{service_name="cart"}` as a dict; ValueError where Loki would refuse it."""
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError(f"labels without braces: {text!r}")
    labels, inner, at = {}, text[1:-1], 0
    while at < len(inner):
        match = _LABEL.match(inner, at)
        if not match:
            raise ValueError(f"bad labels at {at}: {text!r}")
        if match[1] in labels:
            raise ValueError(f"label {match[1]} occurs twice: {text!r}")
        labels[match[1]] = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t", "r": "\r"}.get(m[1], m[1]), match[2])
        at = match.end()
    if not labels:
        raise ValueError("a stream needs a label")
    return labels


@dataclasses.dataclass
class Entry:
    time_ns: int
    line: str
    metadata: dict


class LokiReceiver:
    def __init__(self, port=0):
        self.rules = Rules()
        self._changed = threading.Condition()
        self._entries = []
        self.requests = 0
        self.bodies = []  # raw, as they came, of every attempt
        self.malformed = []  # what could not be decoded, and why
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, code, text="", **headers):
                body = text.encode()
                self.send_response(code)
                if code != 204:
                    self.send_header("Content-Type", "text/plain; charset=utf-8")
                    self.send_header("Content-Length", str(len(body)))
                for key, value in headers.items():
                    self.send_header(key.replace("_", "-"), value)
                self.end_headers()
                if code != 204:
                    self.wfile.write(body)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path != "/loki/api/v1/push":
                    return self.answer(404, "not found")
                if self.headers.get("Content-Type") != "application/x-protobuf":
                    return self.answer(400, "not application/x-protobuf")
                return self.answer_push(body)

            def answer_push(self, body):
                try:
                    entries = decode(body)
                except (ValueError, DecodeError, cramjam.DecompressionError) as error:
                    with receiver._changed:
                        receiver.malformed.append(str(error))
                    return self.answer(400, str(error))
                with receiver._changed:
                    receiver.requests += 1
                    receiver.bodies.append(body)
                rule = receiver.rules.pick("logs", lambda: (e.line for _, e in entries))
                if rule is not None:
                    if rule.action == "hang":
                        receiver.rules.released.wait(rule.seconds)
                        return self.answer(503, "later")
                    if rule.action == "half_close":
                        self.close_connection = True
                        return None
                    if rule.action == "reject":
                        return self.answer(400, "entry for stream has timestamp too old")
                    later = {"Retry_After": str(int(rule.retry_after))} if rule.retry_after else {}
                    return self.answer(429 if rule.action == "exhausted" else 503, "later", **later)
                with receiver._changed:
                    receiver._entries += entries
                    receiver._changed.notify_all()
                return self.answer(204)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self._http = Server(("127.0.0.1", port), Handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.rules.released.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def entries(self):
        """(labels, Entry) of everything accepted, in order of arrival."""
        with self._changed:
            return list(self._entries)

    def wait_for(self, count, seconds=30):
        end = time.monotonic() + seconds
        with self._changed:
            while len(self._entries) < count and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            return len(self._entries)


def decode(body):
    """A push body as [(labels, Entry)]. Raises what the caller treats as malformed."""
    request = PushRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
    result = []
    for stream in request.streams:
        labels = parse_labels(stream.labels)
        for entry in stream.entries:
            metadata = {}
            for pair in entry.structured_metadata:
                if pair.name in metadata:
                    raise ValueError(f"structured metadata {pair.name} occurs twice")
                metadata[pair.name] = pair.value
            time_ns = entry.timestamp.seconds * 10**9 + entry.timestamp.nanos
            result.append((labels, Entry(time_ns, entry.line, metadata)))
    return result


if __name__ == "__main__":
    with LokiReceiver(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as loki:
        print(loki.endpoint, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
