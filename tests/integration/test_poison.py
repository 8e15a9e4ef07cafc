"""A strict backend, and items that it will never take."""

import pytest

from braid import check_account, eventually
from misbehaviour import Rule
from traffic import GrpcSender, span, spans_request, trace_id

SPANS = 10_000


# Scenario: 10,000 spans, one of which the backend refuses together with every request that holds it.
# Guarantees: 9,999 arrive, once each; the one is counted; and it costs few requests (bisection, not one by one).
@pytest.mark.parametrize("kind", ["otlp_grpc", "otlp_http"])
def test_one_among_ten_thousand(kind, start_braid, otlp):
    endpoint = otlp.grpc_endpoint if kind == "otlp_grpc" else otlp.http_endpoint
    braid = start_braid({"correlate": {"settle": "100ms"},
                         "sinks": {"strict": {"type": kind, "endpoint": endpoint, "signals": ["traces"]}}})
    otlp.rules.set(Rule("reject", matching="poison"))
    with GrpcSender(braid.grpc) as sender:
        for batch in range(SPANS // 500):
            spans = [span(trace_id(), "poison" if batch == 7 and i == 123 else "fine") for i in range(500)]
            assert not sender.send(spans_request("shop", spans)).partial_success.rejected_spans
    assert otlp.wait_for("traces", SPANS - 1) == SPANS - 1
    row = eventually(lambda: (r := braid.status()["account"]["sinks"]["strict"]["traces"])["queued"] + r["held"] == 0 and r)
    assert row["delivered"] == SPANS - 1
    assert row["deadLettered"] + sum(row["dropped"].values()) == 1
    assert len({s.span_id for s, _ in otlp.spans()}) == SPANS - 1
    # 5 to 40 requests of up to 2,048 spans; of one, log2(2048) halvings.
    assert otlp.requests["traces"] < 100, otlp.requests
    check_account(braid.status())


# Scenario: the same, with a dead-letter file.
# Guarantees: the refused item is in the file, and counted as dead-lettered, not as dropped.
def test_dead_letter(start_braid, otlp, tmp_path):
    letters = tmp_path / "letters.jsonl"
    braid = start_braid({"correlate": {"settle": "100ms"},
                         "sinks": {"strict": {"type": "otlp_grpc", "endpoint": otlp.grpc_endpoint,
                                              "dead_letter": str(letters)}}})
    otlp.rules.set(Rule("reject", matching="poison"))
    with GrpcSender(braid.grpc) as sender:
        sender.send(spans_request("shop", [span(trace_id(), "poison" if i == 50 else "fine") for i in range(100)]))
    assert otlp.wait_for("traces", 99) == 99
    row = eventually(lambda: (r := braid.status()["account"]["sinks"]["strict"]["traces"])["deadLettered"] == 1 and r)
    assert not sum(row["dropped"].values())
    text = eventually(lambda: letters.exists() and letters.read_text())
    assert "poison" in text and '"fine"' not in text


# Scenario: the backend accepts a request, but says in partial_success that it rejected one span.
# Guarantees: nothing is sent again; the span is counted as dropped by the receiver.
def test_partial_success(start_braid, otlp):
    braid = start_braid({"correlate": {"settle": "100ms"},
                         "sinks": {"strict": {"type": "otlp_http", "endpoint": otlp.http_endpoint,
                                              "signals": ["traces"]}}})
    otlp.rules.set(Rule("partial", times=1))
    with GrpcSender(braid.grpc) as sender:
        sender.send(spans_request("shop", [span(trace_id(), "fine") for _ in range(100)]))
    row = eventually(lambda: (r := braid.status()["account"]["sinks"]["strict"]["traces"])["delivered"] == 99 and r)
    assert sum(row["dropped"].values()) == 1
    # A shard sends its own requests; none of their spans came twice.
    assert len({s.span_id for s, _ in otlp.spans()}) == otlp.counts()["traces"] == 100
    check_account(braid.status())
