"""The account of DESIGN D9, sampled while things go wrong."""

import threading
import time

import pytest

from braid import check_account, eventually, nonzero
from misbehaviour import Rule
from traffic import GrpcSender, checkout, log, logs_request, post, span, spans_request, trace_id


class Sampler:
    """Asks for the status page all the time, on a thread, and checks every identity on it."""

    def __init__(self, braid, every=0.01):
        self.samples, self.error, self.worst_rss = 0, None, 0
        self._braid, self._every, self._stop = braid, every, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set():
            try:
                code, _ = self._braid.get("/readyz")
                if code == 0:
                    return  # It has shut down.
                check_account(self._braid.status())
                self.worst_rss = max(self.worst_rss, self._braid.rss())
                self.samples += 1
            except (OSError, ValueError):
                return  # The same, in the middle of a request.
            except AssertionError as error:
                if "(0, '')" in str(error):
                    return
                self.error = error
                return
            self._stop.wait(self._every)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join()
        if kind is None and self.error:
            raise self.error


def send_load(braid, batches, size=200, service="shop"):
    """Spans and logs, as fast as they go; returns (spans, logs) that were accepted."""
    spans = logs = 0
    with GrpcSender(braid.grpc) as sender:
        for _ in range(batches):
            made = [checkout(refused=i % 10 == 0) for i in range(size // 2)]
            sender.send(logs_request(service, [record for _, _, records in made for record in records]))
            sender.send(spans_request(service, [s for root, pay, _ in made for s in (pay, root)]))
            spans += size
            logs += sum(len(records) for _, _, records in made)
    return spans, logs


def sinks(otlp, **more):
    return {"backend": {"type": "otlp_http", "endpoint": otlp.http_endpoint, "signals": ["traces", "logs"],
                        "retry": {"initial": "20ms", "max": "200ms"}, "timeout": "500ms", **more}}


TROUBLE = {
    "none": [],
    "dead": None,
    "refuses": [Rule("reject")],
    "refuses_some": [Rule("reject", matching="card refused")],
    "unavailable_then_well": [Rule("unavailable", times=30)],
    "hangs": [Rule("hang", times=8, seconds=5)],
    "half_closes": [Rule("half_close", times=20)],
    "endless_answers": [Rule("huge", times=5, seconds=64)],
}


# Scenario: load, while the sink is well, dead, refuses all or some, hangs, closes half-way or answers without end.
# Guarantees: every identity holds in every sample; in the end every item is accounted for, and what the sink says it
# has is what is counted as delivered (a sink that hung or closed may have more: it took what it did not confirm).
@pytest.mark.parametrize("trouble", TROUBLE)
def test_identities_hold(trouble, start_braid, otlp):
    dead = TROUBLE[trouble] is None
    config = {"correlate": {"settle": "100ms"}, "sinks": sinks(otlp), "shutdown": {"drain_deadline": "2s"}}
    if dead:
        config["sinks"]["backend"]["endpoint"] = "http://127.0.0.1:9"  # Discard: nobody listens.
    else:
        otlp.rules.set(*TROUBLE[trouble])
    braid = start_braid(config)
    with Sampler(braid) as sampler:
        rounds = spans = logs = 0
        while not rounds or (sampler.samples <= 20 and rounds < 50):  # A busy machine samples seldom.
            more_spans, more_logs = send_load(braid, 20)
            rounds, spans, logs = rounds + 1, spans + more_spans, logs + more_logs

        def settled():
            row = braid.status()["account"]["sinks"]["backend"]
            return row if not any(row[s]["held"] or (row[s]["queued"] and not dead) for s in ("traces", "logs")) else None
        row = eventually(settled, 60)
        assert sampler.samples > 20
    for signal, sent in (("traces", spans), ("logs", logs)):
        account = row[signal]
        given_up = account["deadLettered"] + sum(account["dropped"].values())
        assert account["accepted"] == sent
        if dead:
            assert account["queued"] + given_up == sent and not account["delivered"]
        elif trouble == "refuses":
            assert given_up == sent and otlp.counts()[signal] == 0
        elif trouble == "refuses_some" and signal == "logs":
            assert given_up == rounds * 20 * 10 and otlp.counts()[signal] == account["delivered"] == sent - given_up
        else:
            assert account["delivered"] == sent and given_up == 0
            if trouble in ("none", "unavailable_then_well", "refuses_some"):
                assert otlp.counts()[signal] == sent


# Scenario: one sink is dead, another is well.
# Guarantees: the well one gets everything without delay; the dead one's queue stays within its bound and what
# goes over it is counted.
def test_a_dead_sink_slows_nobody(start_braid, otlp):
    config = {"correlate": {"settle": "100ms"},
              "sinks": {**sinks(otlp), "dead": {"type": "otlp_grpc", "endpoint": "http://127.0.0.1:9", "signals": ["traces", "logs"],
                                                "queue": {"max_bytes": "1MiB"}}},
              "shutdown": {"drain_deadline": "1s"}}
    braid = start_braid(config)
    with Sampler(braid):
        spans, logs = send_load(braid, 60)
        assert otlp.wait_for("traces", spans) == spans and otlp.wait_for("logs", logs) == logs
        rows = eventually(lambda: (r := braid.status()["account"]["sinks"]["dead"]) and not r["traces"]["held"] and r)
    for signal, sent in (("traces", spans), ("logs", logs)):
        assert rows[signal]["accepted"] == sent and rows[signal]["queued"] + sum(rows[signal]["dropped"].values()) == sent
    assert sum(sum(rows[s]["dropped"].values()) for s in rows) > 0


# Scenario: items that can never be right among good ones: a bad string, IDs of wrong length, a repeated request.
# Guarantees: the good ones are delivered; the bad ones are in `rejected` by reason, the repeated in dropped{duplicate}.
def test_bad_items_and_repeats(start_braid, otlp):
    braid = start_braid({"correlate": {"settle": "100ms"}, "sinks": sinks(otlp)})
    good = [span(trace_id(), "fine") for _ in range(10)]
    request = spans_request("shop", good)
    broken = span(trace_id(), "BROKEN-NAME").SerializeToString().replace(b"BROKEN-NAME", b"BROKEN\xff\xfeAME")
    # Written by hand: no protobuf library makes a string that is not UTF-8.
    scope = b"\x12" + bytes([len(broken)]) + broken
    top = b"\x12" + bytes([len(scope)]) + scope
    body = request.SerializeToString() + b"\x0a" + bytes([len(top)]) + top

    import urllib.request
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
    answer = urllib.request.urlopen(urllib.request.Request(braid.http + "/v1/traces", body,
                                                           {"Content-Type": "application/x-protobuf"}), timeout=10)
    response = ExportTraceServiceResponse.FromString(answer.read())
    assert response.partial_success.rejected_spans == 1 and "UTF-8" in response.partial_success.error_message
    assert post(braid.http, request)[0] == 200  # Its ten spans once more.

    assert otlp.wait_for("traces", 10) == 10
    status = eventually(lambda: (s := braid.status())["account"]["sinks"]["backend"]["traces"]["delivered"] == 10 and s)
    ingress = status["account"]["ingress"]["traces"]
    assert ingress["received"] == 21 and sum(ingress["rejected"].values()) == 1
    assert nonzero(status["account"]["sinks"]["backend"]["traces"]["dropped"]) == {"duplicate": 10}
    assert otlp.counts()["traces"] == 10
    check_account(status)


# Scenario: more than the budget holds, at a sink that hangs, from senders that obey refusals.
# Guarantees: identities hold in every sample; memory stays near its budget; refusals are counted where they happen;
# nothing that was accepted is lost without a count.
def test_overload(start_braid, otlp):
    otlp.rules.set(Rule("hang", seconds=60))
    budget = 64 << 20
    braid = start_braid({"memory": {"budget": "64MiB"}, "store": {"max_bytes": "4MiB"},
                         "sinks": {"backend": {"type": "otlp_http", "endpoint": otlp.http_endpoint, "signals": ["traces"],
                                               "timeout": "60s", "queue": {"max_bytes": "8MiB"}}},
                         "shutdown": {"drain_deadline": "1s"}})
    base = braid.rss()
    sent = refused = 0
    padding = "x" * 2000
    with Sampler(braid) as sampler:
        end = time.monotonic() + 8
        while time.monotonic() < end:
            spans = [span(trace_id(), "big", padding=padding) for _ in range(500)]
            code, _ = post(braid.http, spans_request("shop", spans))
            assert code in (200, 429, 503), code
            sent += 500
            refused += 500 if code != 200 else 0
        assert sampler.samples > 20
    status = braid.status()
    ingress = status["account"]["ingress"]["traces"]
    assert ingress["received"] == sent and ingress["refused"] == refused
    assert sampler.worst_rss < base + 1.5 * budget, (base, sampler.worst_rss)
    check_account(status)
