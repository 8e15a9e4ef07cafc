"""The train ticket data set, replayed through the real receiver: 517,503 spans and 272,399 logs, every log of a span."""

import json
import os
import subprocess
import sys

import pytest

from braid import CACHE, CHECKOUT, DATASETS, check_account, eventually, nonzero, samples

SPANS, DISTINCT_SPANS, LOGS, TRACES = 517_503, 508_610, 272_399, 7_088


def converted(order):
    """The replay file, made once for each state of the converter."""
    converter = os.path.join(CHECKOUT, "tests", "support", "nezha_to_otlp.py")
    path = os.path.join(CACHE, f"nezha-{order}-{int(os.path.getmtime(converter))}.otlp")
    if not os.path.exists(path):
        subprocess.run([sys.executable, converter, "--datasets", DATASETS, "--order", order, "--no-metrics", "--out", path],
                       check=True, timeout=300)
    return path


def derived(braid):
    """The derived counters, without exemplars: {series: value}."""
    return {(name, tuple(sorted(labels.items()))): value
            for name in ("traces_spanmetrics_calls_total", "traces_spanmetrics_latency_bucket", "traces_spanmetrics_latency_sum")
            for labels, value in samples(braid.metrics("derived"), name)}


def settled(braid):
    """The sink's account once nothing is held or queued any more, or None."""
    sink = braid.status()["account"]["sinks"]["backend"]
    left = sum(sink[s]["held"] + sink[s]["queued"] for s in ("traces", "logs"))
    ingress = braid.status()["account"]["ingress"]
    return sink if left == 0 and not ingress["traces"]["backlog"] + ingress["logs"]["backlog"] else None


# Scenario: all of it at full pace, with the logs where they happened, all before, all after, or each item moved by up
# to 60 s; then the same once more.
# Guarantees: every log joins its span, whichever came first; duplicate spans are counted once; the second time no
# counter of RED moves and nothing is delivered, and all of it shows as dropped{duplicate}; the account adds up.
@pytest.mark.parametrize("order", ["time", "logs-first", "logs-last", "shuffle"])
def test_every_log_joins(order, start_braid, otlp):
    if not os.path.isdir(os.path.join(DATASETS, "nezha-trainticket")):
        pytest.skip(f"no data set at {DATASETS}: set BRAID_DATASETS")
    path = converted(order)
    # All payload of the data set is about 300 MB, and here it arrives within seconds.
    braid = start_braid({
        "memory": {"budget": "2GiB"},
        "correlate": {"window": "10m", "log_hold": "60s"},
        "sinks": {"backend": {"type": "otlp_grpc", "endpoint": otlp.grpc_endpoint, "queue": {"max_bytes": "1GiB"}}},
    })
    replay = braid.run("replay", "--endpoint", braid.grpc, "--pace", "max", path)
    assert replay.returncode == 0, replay.stdout + replay.stderr

    sink = eventually(lambda: settled(braid), 120, 0.5)
    assert sink["traces"]["accepted"] == SPANS and sink["logs"]["accepted"] == LOGS
    assert sink["traces"]["delivered"] == DISTINCT_SPANS, sink["traces"]
    assert nonzero(sink["traces"]["dropped"]) == {"duplicate": SPANS - DISTINCT_SPANS}
    assert sink["logs"]["delivered"] == LOGS, sink["logs"]
    assert otlp.counts() == {"traces": DISTINCT_SPANS, "logs": LOGS, "metrics": 0}
    check_account(braid.status())

    joined, without = 0, 0
    for record, _ in otlp.logs():
        stamps = {a.key: a.value.string_value for a in record.attributes}
        if stamps.get("correlation.state") == "span" and stamps.get("span.name"):
            joined += 1
        else:
            without += 1
    assert (joined, without) == (LOGS, 0)
    counters = derived(braid)
    calls = sum(value for (name, _), value in counters.items() if name == "traces_spanmetrics_calls_total")
    assert calls == DISTINCT_SPANS

    again = braid.run("replay", "--endpoint", braid.grpc, "--pace", "max", path)
    assert again.returncode == 0, again.stdout + again.stderr
    after = eventually(lambda: settled(braid), 120, 0.5)
    assert after["traces"]["accepted"] == 2 * SPANS and after["logs"]["accepted"] == 2 * LOGS
    for signal in ("traces", "logs"):
        assert after[signal]["delivered"] == sink[signal]["delivered"]
        more = after[signal]["accepted"] - sink[signal]["accepted"]
        assert after[signal]["dropped"]["duplicate"] - sink[signal]["dropped"].get("duplicate", 0) == more
    assert derived(braid) == counters
    assert otlp.counts() == {"traces": DISTINCT_SPANS, "logs": LOGS, "metrics": 0}
    check_account(braid.status())


# Scenario: some of the recorded traces are asked for after a replay.
# Guarantees: the API shows each with all its logs under their spans, none left over.
def test_traces_with_their_logs(start_braid):
    folder = os.path.join(DATASETS, "nezha-trainticket")
    if not os.path.isdir(folder):
        pytest.skip(f"no data set at {DATASETS}: set BRAID_DATASETS")
    sys.path.insert(0, os.path.join(CHECKOUT, "tests", "support"))
    import nezha_to_otlp
    logs_of, spans_of = {}, {}
    for row in nezha_to_otlp.rows(folder, "rca_data", ("log", "08_4?_log.csv.xz")):
        logs_of.setdefault(row["TraceID"], []).append(row["SpanID"])
    for row in nezha_to_otlp.rows(folder, "rca_data", ("trace", "08_4?_trace.csv.xz")):
        spans_of.setdefault(row["TraceID"], set()).add(row["SpanID"])

    braid = start_braid({"memory": {"budget": "2GiB"}, "store": {"max_bytes": "1GiB"}})
    replay = braid.run("replay", "--endpoint", braid.grpc, "--pace", "max", converted("time"))
    assert replay.returncode == 0, replay.stdout + replay.stderr
    wanted = sorted(logs_of)[:40]
    assert len(wanted) == 40
    for trace_id in wanted:
        def complete():
            trace = braid.trace(trace_id)
            return trace and {s["spanId"] for s in trace["spans"]} >= spans_of[trace_id] and trace
        trace = eventually(complete, 60)
        assert not trace["logs"], json.dumps(trace["logs"])[:500]
        under = [log["spanId"] for s in trace["spans"] for log in s["logs"]]
        assert sorted(under) == sorted(logs_of[trace_id])
        assert all(log["spanId"] == s["spanId"] for s in trace["spans"] for log in s["logs"])
