"""The fixtures themselves: a receiver that never refuses, or a check that never fails, would prove nothing."""

import urllib.error
import urllib.request

import cramjam
import grpc
import pytest

from braid import check_account
from loki_receiver import PushRequest
from misbehaviour import Rule
from otlp_receiver import attributes
from traffic import GrpcSender, post, span, spans_request, trace_id


# Scenario: the OTLP receiver gets requests over both protocols, well behaved and with each rule.
# Guarantees: it keeps exactly what it confirmed, and answers as the rule says.
def test_otlp_receiver(otlp):
    fine = spans_request("shop", [span(trace_id(), "fine") for _ in range(3)])
    poisoned = spans_request("shop", [span(trace_id(), "fine"), span(trace_id(), "poison")])
    with GrpcSender(otlp.grpc_endpoint) as sender:
        sender.send(fine)
        assert post(otlp.http_endpoint, fine)[0] == 200
        assert otlp.counts() == {"traces": 6, "logs": 0, "metrics": 0}

        otlp.rules.set(Rule("reject", matching="poison"))
        with pytest.raises(grpc.RpcError) as refused:
            sender.send(poisoned)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert post(otlp.http_endpoint, poisoned)[0] == 400
        sender.send(fine)
        assert otlp.counts()["traces"] == 9

        otlp.rules.set(Rule("unavailable", times=1, retry_after=2))
        with pytest.raises(grpc.RpcError) as later:
            sender.send(fine)
        assert later.value.code() == grpc.StatusCode.UNAVAILABLE
        assert any(k == "grpc-status-details-bin" and b"RetryInfo" in v for k, v in later.value.trailing_metadata())
        otlp.rules.set(Rule("exhausted", times=1, retry_after=2), Rule("half_close", times=1), Rule("partial", times=1))
        assert post(otlp.http_endpoint, fine)[0] == 429
        with pytest.raises(OSError):
            post(otlp.http_endpoint, fine)
        status, answer = post(otlp.http_endpoint, fine)
        assert status == 200 and answer.partial_success.rejected_spans == 1
        assert otlp.counts()["traces"] == 12
    assert all(resource == {"service.name": "shop"} for _, resource in otlp.spans())


# Scenario: a request that no protobuf parser takes, and a span with one attribute twice.
# Guarantees: the first is answered with 400, the second is noticed.
def test_receiver_notices_damage(otlp):
    request = urllib.request.Request(otlp.http_endpoint + "/v1/traces", b"\x0a\xff", {"Content-Type": "application/x-protobuf"})
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(request)
    assert answer.value.code == 400
    twice = span(trace_id(), "twice", key="a")
    twice.attributes.append(twice.attributes[0])
    with pytest.raises(AssertionError):
        attributes(twice.attributes)


# Scenario: pushes to the Loki receiver: one that is right, and some that Loki would not take.
# Guarantees: the right one is kept as it was sent, the others are answered with 400 and remembered as malformed.
def test_loki_receiver(loki):
    def push(body):
        request = urllib.request.Request(loki.endpoint + "/loki/api/v1/push", body, {"Content-Type": "application/x-protobuf"})
        try:
            return urllib.request.urlopen(request).status
        except urllib.error.HTTPError as error:
            return error.code

    def body(labels):
        made = PushRequest()
        entry = made.streams.add(labels=labels).entries.add(line="hello")
        entry.timestamp.seconds = 5
        entry.structured_metadata.add(name="trace_id", value="x")
        return bytes(cramjam.snappy.compress_raw(made.SerializeToString()))

    assert push(body('{a="b\\"c", d="e"}')) == 204
    ((labels, entry),) = loki.entries()
    assert labels == {"a": 'b"c', "d": "e"}
    assert (entry.time_ns, entry.line, entry.metadata) == (5 * 10**9, "hello", {"trace_id": "x"})
    for bad in (body("{}"), body('a="b"'), body('{a="b", a="c"}'), b"not snappy"):
        assert push(bad) == 400
    assert len(loki.entries()) == 1 and len(loki.malformed) == 4


# Scenario: status pages whose account is off by one, at each place of an identity.
# Guarantees: check_account() fails for each, and passes the one that adds up.
def test_check_account():
    def status(**changes):
        ingress = {"received": 10, "refused": 1, "rejected": {"utf8": 2}, "backlog": 3, "accepted": 4}
        sink = {"accepted": 21, "held": 1, "queued": 2, "delivered": 3, "deadLettered": 4,
                "dropped": {"duplicate": 5, "sampled": 6}, "balanced": True}
        for path, value in changes.items():
            (ingress if path.startswith("i_") else sink)[path[2:]] = value
        return {"account": {"ingress": {"traces": ingress}, "sinks": {"backend": {"traces": sink}}}}

    assert check_account(status()) == 2
    for change in ({"i_received": 11}, {"i_refused": 0}, {"i_rejected": {"utf8": 1}}, {"i_backlog": 0}, {"i_accepted": 5},
                   {"s_accepted": 22}, {"s_held": 0}, {"s_queued": 1}, {"s_delivered": 4}, {"s_deadLettered": 0},
                   {"s_dropped": {"duplicate": 5}}, {"s_balanced": False}):
        with pytest.raises(AssertionError):
            check_account(status(**change))
