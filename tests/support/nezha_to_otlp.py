#!/usr/bin/env python3
"""Turns the nezha-trainticket data set into a file for `braid replay`.

    nezha_to_otlp.py --out nezha.otlp [--order time|logs-first|logs-last|shuffle] [--seed 1]

The mapping is the one of the data set's SOURCE.md; where that leaves a choice, it is made here:
  - A log's time is TimeUnixNano; 124 lines have -6795364578871345152 there (the zero time), and get
    the time at which the container runtime wrote them.
  - Two lines are torn: what follows their JSON object belongs to no line and is left out.
  - The `Class#line` token leaves the body and becomes code.function and code.lineno.
  - Exact duplicates (8,794 spans, 4,681 logs) stay: to recognise them is the gateway's task.

Requests hold up to 512 items of one signal, in event-time order: a span's is its end, since that is
when it is exported. `shuffle` moves each item by up to 60 s either way before requests are formed, so
that spans and logs of one trace lie far apart; `braid replay --order shuffle` moves whole requests.

Format (little-endian): "BRDOTLP1", then records of u32 length, u8 signal (0 traces, 1 logs, 2
metrics), 7 zero bytes, u64 event time in ns, and a serialised Export*ServiceRequest.
"""

import argparse
import calendar
import collections
import csv
import glob
import json
import lzma
import os
import random
import re
import struct
import sys
import time

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRACES, LOGS, METRICS = 0, 1, 2
RESOURCES = ("resource_spans", "resource_logs", "resource_metrics")
SCOPES = ("scope_spans", "scope_logs", "scope_metrics")
ITEMS = ("spans", "log_records", "metrics")
ITEMS_PER_REQUEST = 512
SHUFFLE_NS = 60 * 10**9
CLIENT_PREFIXES = ("HTTP ", "SELECT ", "INSERT ", "UPDATE ", "DELETE ")
SEVERITY = {"ERROR": 17, "WARN": 13, "INFO": 9, "DEBUG": 5}
LOG_LINE = re.compile(r"^(?P<clock>\d\d:\d\d:\d\d\.\d{3}) (?P<severity>[A-Z]+) +(?P<code>\S+)#(?P<line>\d+) (?P<text>.*)$", re.S)
COLUMN = re.compile(r"^(?P<name>\w+)(?:\((?P<unit>[^)]*)\))?$")
UNITS = {"m": "m{cpu}", "%": "%", "Mi": "MiBy", "s": "s", "Ops": "{operation}"}


def default_datasets():
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.environ.get("BRAID_DATASETS") or os.path.join(checkout, "..", "shared", "datasets")


def rows(folder, part, pattern):
    """All rows of the minute files of one kind, each file once (the two parts overlap in no name)."""
    for path in sorted(glob.glob(os.path.join(folder, part, "*", *pattern))):
        with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


def all_rows(folder, kind):
    for part in ("construct_data", "rca_data"):
        yield from rows(folder, part, (kind, f"*_{kind}.csv.xz"))


def service_of(pod):
    return "-".join(pod.split("-")[:-2])


def set_attributes(target, **values):
    for key, value in values.items():
        pair = target.add(key=key.replace("__", "."))
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value


def rfc3339_ns(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction.ljust(9, "0")[:9])


# One item: (event time, signal, pod, node or None, serialised message). Kept serialised: it is small.
Item = collections.namedtuple("Item", "time signal pod node payload")


def read_spans(folder):
    raw = [(r["TraceID"], r["SpanID"], r["ParentID"], r["PodName"], r["OperationName"],
            int(r["StartTimeUnixNano"]), int(r["EndTimeUnixNano"])) for r in all_rows(folder, "trace")]
    pod_of = {(trace, span): pod for trace, span, _, pod, *_ in raw}
    calls_out = {(trace, parent) for trace, _, parent, pod, *_ in raw
                 if pod_of.get((trace, parent), pod) != pod}
    for trace, span, parent, pod, name, start, end in raw:
        if parent == "root" or pod_of.get((trace, parent), pod) != pod:
            kind = Span.SPAN_KIND_SERVER
        elif (trace, span) in calls_out or name.startswith(CLIENT_PREFIXES):
            kind = Span.SPAN_KIND_CLIENT
        else:
            kind = Span.SPAN_KIND_INTERNAL
        message = Span(trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(span), name=name, kind=kind,
                       parent_span_id=b"" if parent == "root" else bytes.fromhex(parent),
                       start_time_unix_nano=start, end_time_unix_nano=end)
        yield Item(end, TRACES, pod, None, message.SerializeToString())


def read_logs(folder):
    for row in all_rows(folder, "log"):
        wrapped, _ = json.JSONDecoder().raw_decode(row["Log"])
        text = wrapped["log"].rstrip("\n")
        at = int(row["TimeUnixNano"])
        if at < 0:
            at = rfc3339_ns(wrapped["time"])
        message = LogRecord(time_unix_nano=at, observed_time_unix_nano=at, trace_id=bytes.fromhex(row["TraceID"]),
                            span_id=bytes.fromhex(row["SpanID"]))
        match = LOG_LINE.match(text)
        if match:
            message.severity_text = match["severity"]
            message.severity_number = SEVERITY.get(match["severity"], 0)
            set_attributes(message.attributes, code__function=match["code"], code__lineno=int(match["line"]))
            text = f"{match['clock']} {match['severity']} {match['text']}"
        message.body.string_value = text
        yield Item(at, LOGS, row["PodName"], row["Node"], message.SerializeToString())


def read_metrics(folder):
    for row in rows(folder, "rca_data", ("metric", "*.csv.xz")):
        at = int(row["TimeStamp"]) * 10**9
        pod = row.get("PodName") or row["ServiceName"]
        for column, value in row.items():
            match = COLUMN.match(column or "")
            if column in ("Time", "TimeStamp", "PodName", "ServiceName") or not match or value in ("", None):
                continue
            message = Metric(name=match["name"], unit=UNITS.get(match["unit"], match["unit"] or ""))
            message.gauge.data_points.add(time_unix_nano=at, as_double=float(value))
            yield Item(at, METRICS, pod, None, message.SerializeToString())


def request(signal, items):
    """One Export*ServiceRequest, grouped by resource in order of first appearance."""
    groups = {}
    for item in items:
        groups.setdefault((item.pod, item.node), []).append(item.payload)
    made = (ExportTraceServiceRequest, ExportLogsServiceRequest, ExportMetricsServiceRequest)[signal]()
    for (pod, node), payloads in groups.items():
        top = getattr(made, RESOURCES[signal]).add()
        named = {"service__name": service_of(pod) or pod, "service__instance__id": pod, "k8s__pod__name": pod}
        if node:
            named["k8s__node__name"] = node
        set_attributes(top.resource.attributes, **named)
        target = getattr(getattr(top, SCOPES[signal]).add(), ITEMS[signal])
        for payload in payloads:
            target.add().ParseFromString(payload)
    return made.SerializeToString()


def ordered(items, order, seed):
    """The items as they are to be sent, each with the time that its request is filed under."""
    if order == "shuffle":
        rng = random.Random(seed)
        items = [item._replace(time=max(0, item.time + rng.randint(-SHUFFLE_NS, SHUFFLE_NS))) for item in items]
    items.sort(key=lambda item: (item.time, item.signal, item.pod))
    if order in ("logs-first", "logs-last"):
        first = LOGS if order == "logs-first" else TRACES
        items.sort(key=lambda item: item.signal != first)  # Stable: by time within each.
    return items


def write(items, path, keep_time_order):
    """Cuts the items into requests. In time order, a request takes what follows each other closely."""
    counts = collections.Counter()
    requests = 0
    with open(path + ".part", "wb") as file:
        file.write(b"BRDOTLP1")

        def flush(signal, batch):
            nonlocal requests
            body = request(signal, batch)
            # A request can leave when its last item has happened.
            file.write(struct.pack("<IB7xQ", len(body), signal, batch[-1].time))
            file.write(body)
            counts[signal] += len(batch)
            requests += 1

        pending = {TRACES: [], LOGS: [], METRICS: []}
        for item in items:
            if keep_time_order:
                # No request may wait for long while others pass it by: a second is what SDKs do.
                for signal, batch in pending.items():
                    if batch and item.time - batch[0].time > 10**9:
                        flush(signal, batch)
                        pending[signal] = []
            batch = pending[item.signal]
            batch.append(item)
            if len(batch) == ITEMS_PER_REQUEST:
                flush(item.signal, batch)
                pending[item.signal] = []
        for signal, batch in pending.items():
            if batch:
                flush(signal, batch)
    os.replace(path + ".part", path)
    return counts, requests


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", default=default_datasets(), help="folder with nezha-trainticket/")
    parser.add_argument("--out", required=True)
    parser.add_argument("--order", choices=("time", "logs-first", "logs-last", "shuffle"), default="time")
    parser.add_argument("--seed", type=int, default=1, help="of the shuffle")
    parser.add_argument("--no-metrics", action="store_true")
    args = parser.parse_args()

    folder = os.path.join(args.datasets, "nezha-trainticket")
    if not os.path.isdir(folder):
        print(f"no data set at {folder} (set BRAID_DATASETS)", file=sys.stderr)
        return 77
    started = time.monotonic()

    def progress(text):
        print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr, flush=True)

    items = list(read_spans(folder))
    progress(f"{len(items):,} spans read")
    logs = list(read_logs(folder))
    progress(f"{len(logs):,} logs read")
    items += logs
    if not args.no_metrics:
        metrics = list(read_metrics(folder))
        progress(f"{len(metrics):,} metric points read")
        items += metrics
    counts, requests = write(ordered(items, args.order, args.seed), args.out, args.order in ("time", "shuffle"))
    progress(f"{requests:,} requests, {os.path.getsize(args.out) / 1e6:.0f} MB written to {args.out}")
    print(json.dumps({"spans": counts[TRACES], "logs": counts[LOGS], "points": counts[METRICS], "requests": requests}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
