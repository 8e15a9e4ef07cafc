#!/usr/bin/env python3
"""A receiver of Prometheus remote write 1.0 and 2.0 that shares no code with Braid: cramjam's snappy, and
google.protobuf with descriptors made here from the field numbers of Prometheus' prompb.

    with RemoteWriteReceiver(knows="2.0") as receiver:
        receiver.wait_for(lambda r: r.latest("up"))
        for labels, samples in receiver.series("up"): ...

`knows` is what it makes of a 2.0 request:
    2.0      takes it and says what it wrote
    415      does not know the type and says so, as the specification asks of 1.0 receivers
    1.0      does not look at the type: takes it for an empty 1.0 request and answers 204
    400      as 1.0, but refuses what it cannot make sense of

It holds senders to the specification: labels sorted, unique and not empty, symbols beginning with "", references
in range, one kind of value in a series, times that rise. What is wrong is kept in `faults`.
"""

import dataclasses
import http.server
import math
import os
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from misbehaviour import Rules

STALE = 0x7FF0000000000002


def _messages():
    field = descriptor_pb2.FieldDescriptorProto
    kinds = {"string": field.TYPE_STRING, "double": field.TYPE_DOUBLE, "int64": field.TYPE_INT64,
             "uint64": field.TYPE_UINT64, "uint32": field.TYPE_UINT32, "sint32": field.TYPE_SINT32,
             "sint64": field.TYPE_SINT64, "int32": field.TYPE_INT32}
    file = descriptor_pb2.FileDescriptorProto(name="remote_write.proto", package="rw", syntax="proto3")

    def message(name, *fields):
        made = file.message_type.add(name=name)
        made.oneof_decl.add(name="count")
        made.oneof_decl.add(name="zero_count")
        for number, field_name, kind in fields:
            repeated = kind.endswith("*")
            kind = kind.rstrip("*")
            f = made.field.add(name=field_name, number=number,
                               label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL)
            if kind in kinds:
                f.type = kinds[kind]
            else:
                f.type, f.type_name = field.TYPE_MESSAGE, ".rw." + kind
            if field_name.startswith("count_"):
                f.oneof_index = 0
            if field_name.startswith("zero_count_"):
                f.oneof_index = 1
        if not any(f.HasField("oneof_index") for f in made.field):
            del made.oneof_decl[:]

    histogram = [(1, "count_int", "uint64"), (2, "count_float", "double"), (3, "sum", "double"),
                 (4, "schema", "sint32"), (5, "zero_threshold", "double"), (6, "zero_count_int", "uint64"),
                 (7, "zero_count_float", "double"), (8, "negative_spans", "BucketSpan*"),
                 (9, "negative_deltas", "sint64*"), (10, "negative_counts", "double*"),
                 (11, "positive_spans", "BucketSpan*"), (12, "positive_deltas", "sint64*"),
                 (13, "positive_counts", "double*"), (14, "reset_hint", "int32"), (15, "timestamp", "int64"),
                 (16, "custom_values", "double*")]
    message("BucketSpan", (1, "offset", "sint32"), (2, "length", "uint32"))
    message("Label", (1, "name", "string"), (2, "value", "string"))
    # 1.0
    message("Sample1", (1, "value", "double"), (2, "timestamp", "int64"))
    message("Exemplar1", (1, "labels", "Label*"), (2, "value", "double"), (3, "timestamp", "int64"))
    message("Histogram1", *histogram)
    message("TimeSeries1", (1, "labels", "Label*"), (2, "samples", "Sample1*"), (3, "exemplars", "Exemplar1*"),
            (4, "histograms", "Histogram1*"))
    message("Metadata1", (1, "type", "int32"), (2, "metric_family_name", "string"), (4, "help", "string"),
            (5, "unit", "string"))
    message("WriteRequest", (1, "timeseries", "TimeSeries1*"), (3, "metadata", "Metadata1*"))
    # 2.0-rc.4
    message("Sample2", (1, "value", "double"), (2, "timestamp", "int64"), (3, "start_timestamp", "int64"))
    message("Exemplar2", (1, "labels_refs", "uint32*"), (2, "value", "double"), (3, "timestamp", "int64"))
    message("Histogram2", *histogram, (17, "start_timestamp", "int64"))
    message("Metadata2", (1, "type", "int32"), (3, "help_ref", "uint32"), (4, "unit_ref", "uint32"))
    message("TimeSeries2", (1, "labels_refs", "uint32*"), (2, "samples", "Sample2*"), (3, "histograms", "Histogram2*"),
            (4, "exemplars", "Exemplar2*"), (5, "metadata", "Metadata2"))
    message("Request", (4, "symbols", "string*"), (5, "timeseries", "TimeSeries2*"))

    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName("rw." + name))
            for name in ("WriteRequest", "Request")}


MESSAGES = _messages()
TYPE_2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
TYPE_NAMES = {0: "unknown", 1: "counter", 2: "gauge", 3: "histogram", 5: "summary"}


def is_stale(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0] == STALE


@dataclasses.dataclass
class Point:
    """A sample, or a native histogram (then `value` is its sum)."""

    time_ms: int
    value: float
    start_ms: int = 0
    histogram: object = None

    @property
    def stale(self):
        return is_stale(self.value)


@dataclasses.dataclass
class Series:
    labels: dict
    points: list
    exemplars: list  # (labels, value, time_ms)
    metadata: tuple = None  # (type, help, unit), 2.0 only


def decode_1(body):
    message = MESSAGES["WriteRequest"].FromString(body)
    series = []
    for one in message.timeseries:
        labels = [(l.name, l.value) for l in one.labels]
        points = [Point(s.timestamp, s.value) for s in one.samples]
        points += [Point(h.timestamp, h.sum, 0, h) for h in one.histograms]
        exemplars = [([(l.name, l.value) for l in e.labels], e.value, e.timestamp) for e in one.exemplars]
        series.append((labels, points, exemplars, None))
    metadata = {m.metric_family_name: (TYPE_NAMES[m.type], m.help, m.unit) for m in message.metadata}
    return series, metadata


def decode_2(body, fault):
    message = MESSAGES["Request"].FromString(body)
    symbols = list(message.symbols)
    if not symbols or symbols[0] != "":
        fault("symbols do not begin with the empty one")
    if len(set(symbols)) != len(symbols):
        fault("a symbol occurs twice")

    def pairs(refs):
        if len(refs) % 2 or any(r >= len(symbols) for r in refs):
            fault(f"bad references {list(refs)}")
            return []
        return [(symbols[refs[i]], symbols[refs[i + 1]]) for i in range(0, len(refs), 2)]

    series = []
    for one in message.timeseries:
        points = [Point(s.timestamp, s.value, s.start_timestamp) for s in one.samples]
        points += [Point(h.timestamp, h.sum, h.start_timestamp, h) for h in one.histograms]
        exemplars = [(pairs(e.labels_refs), e.value, e.timestamp) for e in one.exemplars]
        metadata = (TYPE_NAMES[one.metadata.type], symbols[one.metadata.help_ref], symbols[one.metadata.unit_ref])
        series.append((pairs(one.labels_refs), points, exemplars, metadata))
    return series, {}


class RemoteWriteReceiver:
    def __init__(self, port=0, knows="2.0"):
        self.knows = knows
        self.rules = Rules()
        self.faults = []
        self.requests = []  # (version, samples in it, answer) of every attempt, in order
        self.metadata = {}  # 1.0: by family
        self.repeated = 0  # points that came again exactly as they were
        self._changed = threading.Condition()
        self._series = {}
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with receiver._changed:
                    answer = receiver._answer(self.path, self.headers, body)
                    receiver._changed.notify_all()
                if answer is None:
                    self.close_connection = True
                    return
                code, text, headers = answer
                self.send_response(code)
                payload = text.encode()
                if code != 204:
                    self.send_header("Content-Length", str(len(payload)))
                for key, value in headers.items():
                    self.send_header(key, str(value))
                self.end_headers()
                if code != 204:
                    self.wfile.write(payload)

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
        return f"http://127.0.0.1:{self.port}/api/v1/write"

    # --- taking ---

    def _answer(self, path, headers, body):
        kind = headers.get("Content-Type")
        second = kind == TYPE_2
        version = headers.get("X-Prometheus-Remote-Write-Version")
        if path != "/api/v1/write":
            return 404, "not found", {}
        if kind not in (TYPE_2, "application/x-protobuf") or headers.get("Content-Encoding") != "snappy":
            self.faults.append(f"type {kind}, encoding {headers.get('Content-Encoding')}")
        if version != ("2.0.0" if second else "0.1.0") or not headers.get("User-Agent"):
            self.faults.append(f"version {version} of {kind}, user agent {headers.get('User-Agent')}")
        try:
            raw = bytes(cramjam.snappy.decompress_raw(body))
            if second and self.knows == "415":
                self.requests.append(("2.0", 0, 415))
                return 415, "unknown type", {}
            if second and self.knows in ("1.0", "400"):
                taken, _ = decode_1(raw)  # Nothing of it is in fields that 1.0 has.
                assert not taken
                code = 204 if self.knows == "1.0" else 400
                self.requests.append(("2.0", 0, code))
                return code, "" if code == 204 else "no series", {}
            series, metadata = decode_2(raw, self.faults.append) if second else decode_1(raw)
        except (DecodeError, cramjam.DecompressionError) as error:
            self.faults.append(str(error))
            return 400, str(error), {}

        label = "2.0" if second else "1.0"
        size = sum(len(points) for _, points, _, _ in series)
        rule = self.rules.pick("metrics", lambda: (value for labels, _, _, _ in series for _, value in labels))
        if rule is not None and rule.action != "partial":
            if rule.action == "half_close":
                self.requests.append((label, size, None))
                return None
            code = {"reject": 400, "exhausted": 429, "unavailable": 503, "error": 500}[rule.action]
            self.requests.append((label, size, code))
            return code, "out of order sample" if code == 400 else "later", (
                {"Retry-After": str(int(rule.retry_after))} if rule.retry_after else {})
        left_out = set()
        if rule is not None:  # Everything but the series that match.
            left_out = {i for i, (labels, _, _, _) in enumerate(series)
                        if any(rule.matching in value for _, value in labels)}
        written = [0, 0, 0]
        for i, one in enumerate(series):
            self._check(one)
            if i not in left_out:
                self._take(one, written)
        self.metadata.update(metadata)
        code = 400 if left_out else 204
        self.requests.append((label, size, code))
        answers = {}
        if second:
            answers = {f"X-Prometheus-Remote-Write-{what}-Written": count
                       for what, count in zip(("Samples", "Histograms", "Exemplars"), written)}
        return code, "some are out of order" if left_out else "", answers

    def _check(self, one):
        labels, points, exemplars, metadata = one
        names = [name for name, _ in labels]
        if names != sorted(set(names)) or not all(name and value for name, value in labels):
            self.faults.append(f"labels {labels}")
        if "__name__" not in names:
            self.faults.append(f"no name in {labels}")
        if not points or len({p.histogram is None for p in points}) != 1:
            self.faults.append(f"values of {labels}: {points}")
        for held, _, time_ms in exemplars:
            names = [name for name, _ in held]
            if names != sorted(set(names)) or time_ms == 0:
                self.faults.append(f"exemplar {held} at {time_ms} of {labels}")
        if metadata is not None and metadata[0] == "unknown" and "odd" not in dict(labels)["__name__"]:
            self.faults.append(f"no type for {labels}")

    def _take(self, one, written):
        labels, points, exemplars, metadata = one
        key = tuple(labels)
        series = self._series.setdefault(key, Series(dict(labels), [], []))
        series.metadata = metadata
        for point in points:
            written[1 if point.histogram is not None else 0] += 1
            if series.points and series.points[-1].time_ms >= point.time_ms:
                last = series.points[-1]
                same = last.time_ms == point.time_ms and (last.value == point.value or
                                                          math.isnan(last.value) and math.isnan(point.value))
                if same:
                    self.repeated += 1
                else:
                    self.faults.append(f"out of order: {labels} {point} after {last}")
                continue
            series.points.append(point)
        for exemplar in exemplars:
            written[2] += 1
            series.exemplars.append(exemplar)

    # --- asking ---

    def series(self, name, **labels):
        """Series of a name with these labels."""
        with self._changed:
            return [s for s in self._series.values() if s.labels["__name__"] == name and
                    all(s.labels.get(k) == v for k, v in labels.items())]

    def one(self, name, **labels):
        found = self.series(name, **labels)
        assert len(found) <= 1, [s.labels for s in found]
        return found[0] if found else None

    def latest(self, name, **labels):
        """The last point of the one series, or None."""
        one = self.one(name, **labels)
        return one.points[-1] if one else None

    def names(self):
        with self._changed:
            return {s.labels["__name__"] for s in self._series.values()}

    def all(self):
        with self._changed:
            return list(self._series.values())

    def wait_for(self, condition, seconds=20):
        """Until condition(self) is true; fails with what came."""
        end = time.monotonic() + seconds
        while True:
            value = condition(self)
            if value:
                return value
            with self._changed:
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {seconds} s; {sorted(self._series)[:20]}, {self.requests[-5:]}, "
                                         f"{self.faults[:5]}")
                self._changed.wait(min(left, 0.2))
