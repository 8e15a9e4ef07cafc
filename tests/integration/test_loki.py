"""Braid's Loki push, decoded by an implementation that is not Braid's."""

import collections

from braid import check_account, eventually
from misbehaviour import Rule
from traffic import WARN, checkout, log, logs_request, post, span, spans_request, trace_id


def config(loki, **sink):
    return {"correlate": {"settle": "100ms", "log_hold": "1s"},
            "sinks": {"loki": {"type": "loki", "endpoint": loki.endpoint, **sink}}}


# Scenario: logs of several services, joined, without their span, and without any context.
# Guarantees: each arrives once with its line, time and IDs; only the configured labels make streams; joined ones
# carry what their span knew, the others say why not.
def test_enriched_lines(start_braid, loki):
    braid = start_braid(config(loki))
    root, pay, logs = checkout(refused=True)
    alone = log("no context at all", None, WARN)
    ghost = span(trace_id(), "never sent")
    orphan = log("its span never comes", ghost)
    assert post(braid.http, logs_request("cart", logs + [orphan], **{"service.namespace": "shop"}))[0] == 200
    assert post(braid.http, logs_request("cron", [alone]))[0] == 200
    assert post(braid.http, spans_request("cart", [pay, root], **{"service.namespace": "shop"}))[0] == 200

    assert loki.wait_for(4) == 4, loki.malformed
    by_line = {entry.line: (labels, entry) for labels, entry in loki.entries()}
    assert set(by_line) == {"paying", "card refused", "no context at all", "its span never comes"}

    for record in logs:
        labels, entry = by_line[record.body.string_value]
        assert labels == {"service_name": "cart", "namespace": "shop"}
        assert entry.time_ns == record.time_unix_nano
        assert entry.metadata["trace_id"] == pay.trace_id.hex() and entry.metadata["span_id"] == pay.span_id.hex()
        assert entry.metadata["correlation_state"] == "span"
        assert entry.metadata["span_name"] == "pay" and entry.metadata["span_status"] == "error"
        assert float(entry.metadata["span_duration_ms"]) == 20
    labels, entry = by_line["its span never comes"]
    assert entry.metadata["correlation_state"] == "orphan" and entry.metadata["trace_id"] == ghost.trace_id.hex()
    labels, entry = by_line["no context at all"]
    assert labels == {"service_name": "cron"} and "trace_id" not in entry.metadata
    check_account(braid.status())


# Scenario: one stream's logs arrive out of order, in many requests, while Loki answers some with 503 and 429.
# Guarantees: every entry arrives once; retries carry byte-identical entries; nothing is counted as dropped.
def test_retries(start_braid, loki):
    braid = start_braid(config(loki, retry={"initial": "20ms", "max": "100ms"}))
    loki.rules.set(Rule("unavailable", times=3), Rule("exhausted", times=2, retry_after=0))
    for batch in range(10):
        records = [log(f"line {batch * 50 + i}") for i in range(50)]
        assert post(braid.http, logs_request("cart", records))[0] == 200
    assert loki.wait_for(500) == 500
    lines = collections.Counter(entry.line for _, entry in loki.entries())
    assert len(lines) == 500 and set(lines.values()) == {1}
    row = eventually(lambda: (r := braid.status()["account"]["sinks"]["loki"]["logs"])["delivered"] == 500 and r)
    assert not any(row["dropped"].values()) and row["deadLettered"] == 0


# Scenario: one line that Loki will never take, among others in the same request.
# Guarantees: all others arrive; that one alone is counted as given up.
def test_poisoned_line(start_braid, loki):
    braid = start_braid(config(loki))
    loki.rules.set(Rule("reject", matching="poison"))
    records = [log(f"line {i}") for i in range(300)]
    records[137].body.string_value = "poison"
    assert post(braid.http, logs_request("cart", records))[0] == 200
    assert loki.wait_for(299) == 299
    row = eventually(lambda: (r := braid.status()["account"]["sinks"]["loki"]["logs"])["queued"] == 0 and r)
    assert row["delivered"] == 299 and row["deadLettered"] + sum(row["dropped"].values()) == 1
    check_account(braid.status())
