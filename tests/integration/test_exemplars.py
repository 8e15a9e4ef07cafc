"""Exemplars keep their traces: whatever /metrics points to can be fetched, however much has come since."""

import re
import threading
import time

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

import prometheus_pages as pages
import pytest
from braid import Braid, check_account, eventually, samples
from remote_write_receiver import RemoteWriteReceiver
from traffic import CLIENT, ERROR, SERVER, log, logs_request, post, rng, span, spans_request, trace_id

OPERATIONS = 1000
# One for each of ten buckets of the tempo dialect (2 ms and powers of two from there).
MILLISECONDS = [1.5 * 2 ** n for n in range(10)]
STORE = 32 << 20
PACE = STORE // 2  # a second: logs leave before their trace's verdict, and should be there when it falls
TIMES = 6
VOTED = 100

CONFIG = {"memory": {"budget": "512MiB"}, "store": {"max_bytes": "32MiB"}, "threads": {"cores": 2},
          "correlate": {"settle": "200ms", "log_hold": "1s"}}


def checkout(operation, milliseconds, filling=""):
    """A trace of two spans and a log: (id, spans, logs)."""
    trace = trace_id()
    root = span(trace, operation, milliseconds=milliseconds)
    child = span(trace, "pay", root.span_id, CLIENT, milliseconds / 2, filling=filling)
    return trace, [root, child], [log(f"paid within {operation}", child)]


def send(braid, traces):
    status, _ = post(braid.http, spans_request("shop", [s for _, spans, _ in traces for s in spans]))
    assert status == 200
    status, _ = post(braid.http, logs_request("shop", [one for _, _, logs in traces for one in logs]))
    assert status == 200
    return sum(one.ByteSize() for _, spans, logs in traces for one in spans + logs)


def metric_with_exemplars(traces):
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="paid.orders")
    metric.sum.aggregation_temporality, metric.sum.is_monotonic = AGGREGATION_TEMPORALITY_CUMULATIVE, True
    for i, trace in enumerate(traces):
        point = metric.sum.data_points.add(start_time_unix_nano=1, time_unix_nano=time.time_ns(), as_int=i)
        kind = point.attributes.add(key="order")
        kind.value.int_value = i
        point.exemplars.add(time_unix_nano=time.time_ns(), as_int=1, trace_id=trace, span_id=trace[:8])
    return request


def exemplars(page):
    return set(re.findall(r'# \{[^}]*trace_id="([0-9a-f]{32})"', page))


def value(page, name, **labels):
    return sum(v for have, v in samples(page, name) if labels.items() <= have.items())


# Scenario: ten thousand latency buckets get an exemplar, a hundred others come with an application's own metric; then
# six times the store's size of other traces follows, some of which replace exemplars.
# Guarantees: every exemplar on the page resolves, with its spans and its log, each once; nothing was given up for
# room; votes are counted and seen in the trace; the store keeps its bounds, the account balances.
def test_every_exemplar_resolves():
    with Braid(CONFIG) as braid:
        shown = [checkout(f"op {o}", ms) for o in range(OPERATIONS) for ms in MILLISECONDS]
        for at in range(0, len(shown), 200):
            send(braid, shown[at:at + 200])
        # These are too much alike to be exemplars of the latency.
        quiet = [checkout("quiet", 1.0) for _ in range(VOTED)]
        first = {trace.hex() for trace, _, _ in shown}
        voted = {trace.hex() for trace, _, _ in quiet}
        # Half of the votes come before their traces.
        assert post(braid.http, metric_with_exemplars([t for t, _, _ in quiet]))[0] == 200
        send(braid, quiet[:VOTED // 2])
        assert post(braid.http, metric_with_exemplars([t for t, _, _ in quiet]))[0] == 200
        send(braid, quiet[VOTED // 2:])
        eventually(lambda: len(exemplars(braid.metrics()) & first) >= 10_000)

        lock, began = threading.Lock(), time.monotonic()
        sent = 0

        def flood(seed):
            nonlocal sent
            random = rng(seed)
            while sent < TIMES * STORE:
                traces = []
                for i in range(100):
                    replaces = i % 20 == 0
                    traces.append(checkout(f"op {random.randrange(OPERATIONS)}" if replaces else "flood",
                                           random.choice(MILLISECONDS) * random.uniform(0.8, 1.2),
                                           "" if replaces else "x" * 4000))
                size = send(braid, traces)
                with lock:
                    sent += size
                time.sleep(max(0.0, began + sent / PACE - time.monotonic()))

        threads = [threading.Thread(target=flood, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            page = braid.metrics(only="self")
            assert value(page, "braid_store_pinned_bytes") <= STORE / 4
            assert value(page, "braid_store_bytes") <= STORE + (2 << 20)
            time.sleep(0.2)
        for thread in threads:
            thread.join()
        assert sent >= TIMES * STORE

        # What is open is decided, and the last list has been handed over.
        eventually(lambda: value(braid.metrics(only="self"), "braid_window_open_traces") == 0)
        eventually(lambda: value(braid.metrics(only="self"), "braid_store_unpinned_traces") == 0)
        page = braid.metrics()
        pointed_to = exemplars(page)
        assert len(pointed_to) >= 10_000
        assert pointed_to & first, "every exemplar was replaced: nothing old is looked for"
        assert voted <= pointed_to
        missing, incomplete = [], []
        for trace in sorted(pointed_to):
            found = braid.trace(trace)
            if found is None:
                missing.append(trace)
                continue
            logs = [one for s in found["spans"] for one in s["logs"]] + found["logs"]
            names = [s["name"] for s in found["spans"]]
            if len(names) != 2 or names.count("pay") != 1 or len(logs) != 1:
                incomplete.append((trace, names, len(logs)))
            elif logs[0]["join"]["state"] != "span":
                incomplete.append((trace, logs[0]["join"]))
            assert found["voted"] == (trace in voted), trace
        assert not missing, (len(missing), len(pointed_to), missing[:3])
        assert not incomplete, (len(incomplete), incomplete[:3])
        assert value(page, "braid_store_pins_lost_total") == 0
        assert value(page, "braid_store_pinned_traces") >= 9_000  # those of the last seconds need no pin
        assert value(page, "braid_votes_total", result="early") >= VOTED / 2
        assert value(page, "braid_votes_total", result="repeated") == VOTED
        assert value(page, "braid_votes_early_total", result="met") == value(page, "braid_votes_total", result="early")
        assert value(page, "braid_votes_early_waiting") == 0
        check_account(braid.status())


PRODUCER, CONSUMER = 4, 5


def messages_and_calls(braid):
    """Calls of 30 ms, one of 20 ms that fails, one of 5 s that does not; a message that takes 40 ms. {what: trace}."""
    traces = {}
    for what, milliseconds, status in (("usual", 30, 0), ("failing", 20, ERROR), ("slow", 5000, 0)):
        trace = traces[what] = trace_id()
        call = span(trace, "call", milliseconds=milliseconds + 1, kind=CLIENT)
        answer = span(trace, "answer", call.span_id, SERVER, milliseconds, status)
        assert post(braid.http, spans_request("front", [call]))[0] == 200
        assert post(braid.http, spans_request("back", [answer]))[0] == 200
    trace = traces["message"] = trace_id()
    sent = span(trace, "send", milliseconds=2, kind=PRODUCER)
    taken = span(trace, "take", sent.span_id, CONSUMER, 1, start=sent.end_time_unix_nano + 40_000_000)
    assert post(braid.http, spans_request("front", [sent]))[0] == 200
    assert post(braid.http, spans_request("back", [taken]))[0] == 200
    return {what: trace.hex() for what, trace in traces.items()}


# Scenario: calls, a failing one and a slow one among them, and a message, under each set of names for exemplars' labels;
# an application's own metric with an exemplar; pages in all formats, and remote write of both versions.
# Guarantees: derived exemplars have the configured labels everywhere, without a name for the span's ID only the
# trace's; ingested ones keep trace_id and span_id. Counters point to the failing call first, failures to it alone, the
# histogram of messages to the message, with its time; every exemplar of a native histogram lies in a bucket of its own.
@pytest.mark.parametrize("names, version, histograms",
                         [({}, "2.0", "both"), ({"trace_id": "traceID", "span_id": ""}, "2.0", "both"),
                          ({"trace_id": "traceID", "span_id": "spanID"}, "1.0", "native")])
def test_labels_and_order(start_braid, names, version, histograms):
    trace_name, span_name = names.get("trace_id", "trace_id"), names.get("span_id", "span_id")
    wanted = {trace_name, span_name} - {""}
    with RemoteWriteReceiver(knows=version) as receiver:
        braid = start_braid({
            "correlate": {"settle": "100ms"},
            "metrics": {"exemplar_labels": names, "histograms": histograms, "graph": {"messaging_latency": True}},
            "sinks": {"prom": {"type": "prometheus_remote_write", "endpoint": receiver.endpoint, "interval": "200ms"}}})
        traces = messages_and_calls(braid)
        assert post(braid.http, metric_with_exemplars([bytes.fromhex(traces["usual"])]))[0] == 200

        failed = "traces_service_graph_request_failed_total"
        between = "traces_service_graph_request_messaging_system_seconds"

        def by_name(page):
            found = {}
            for (name, labels), exemplars in page.exemplars.items():
                found.setdefault(name, []).extend((dict(labels), *one) for one in exemplars)
            return found

        def all_shown():
            shown = pages.read(braid, "protobuf").exemplars
            return set(traces.values()) <= {own[trace_name] for found in shown.values() for own, _ in found}

        eventually(all_shown)
        for form in ("openmetrics", "protobuf"):
            page = pages.read(braid, form, "derived,ingested")
            found = by_name(page)
            for name, exemplars in found.items():
                for _, labels, _ in exemplars:
                    assert set(labels) == ({"trace_id", "span_id"} if name == "paid_orders_total" else wanted), (name, labels)
            assert found["paid_orders_total"]
            (only,) = found[failed]
            assert only[1][trace_name] == traces["failing"] and only[2] == 1
            for labels, own, value_of in found["traces_service_graph_request_total"]:
                assert own[trace_name] == traces["message" if "connection_type" in labels else "failing"], labels
            (answers,) = [own for labels, own, _ in found["traces_spanmetrics_calls_total"]
                          if labels["span_name"] == "answer" and labels["status_code"] == "STATUS_CODE_UNSET"]
            assert answers[trace_name] == traces["slow"]
            if form == "openmetrics" or histograms == "both":
                (message,) = found[between + "_bucket"]
            else:
                (message,) = found[between]
                answered = [own[trace_name] for labels, own, _ in found["traces_spanmetrics_latency"]
                            if labels["span_name"] == "answer"]
                assert sorted(answered) == sorted(traces[what] for what in ("usual", "failing", "slow"))
            assert message[1][trace_name] == traces["message"] and abs(message[2] - 0.04) < 1e-9

        def pushed():
            found = {}
            for series in receiver.all():
                labels = series.labels
                for own, _, _ in series.exemplars:
                    found.setdefault(labels["__name__"], []).append(dict(own))
            return found

        eventually(lambda: {failed, "paid_orders_total"} <= pushed().keys())
        for name, exemplars in pushed().items():
            for own in exemplars:
                assert own.keys() == ({"trace_id", "span_id"} if name == "paid_orders_total" else wanted), (name, own)
        assert {own[trace_name] for own in pushed()[failed]} == {traces["failing"]}
        assert not receiver.faults
