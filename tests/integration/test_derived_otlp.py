"""Derived metrics as OTLP sinks get them, read with opentelemetry-proto and held against the oracle of test_derived.py."""

import random
import socket
import time
from collections import defaultdict

import pytest

import derived_corpus as corpus
from braid import Braid, check_account, eventually, merged
from derived_oracle import Config, Histogram, derive
from otlp_receiver import OtlpReceiver, attributes
from test_derived import REPLICAS, SEED, SETTLE, WAIT, Run, TooSlow, feed, gateway_config, report, send_http, whole_corpus

CUMULATIVE = 2
NO_RECORDED_VALUE = 1
# How far the count up to a bound may be off where spans weigh fractions (docs/metrics.md): buckets may not fall.
SPREAD = 3

CONFIGURATIONS = {
    "tempo": {"graph": {"messaging_latency": True, "connection_info": True}, "target_info": True, "events": True},
    "native": {"dialect": "both", "histograms": "native", "graph": {"messaging_latency": True}},
    "otel_native_and_classic": {"dialect": "otel", "histograms": "both", "exceptions": True},
}


def sink(receiver, kind="otlp_http", interval="100ms", **more):
    endpoint = receiver.http_endpoint if kind == "otlp_http" else receiver.grpc_endpoint
    return {"type": kind, "signals": ["metrics"], "endpoint": endpoint,
            "derived_metrics": {"enabled": True, "interval": interval, **more}}


def close(a, b):
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))


class Series:
    """What came of one gateway: {(metric name, labels): [(metric, point)]} in order. Checks what holds of every point."""

    def __init__(self, receiver, instance):
        self.points = defaultdict(list)
        for metric, resource in receiver.metrics():
            assert resource["service.name"] == "braid", resource
            if resource["service.instance.id"] != instance:
                continue
            kind = metric.WhichOneof("data")
            if kind != "gauge":
                assert getattr(metric, kind).aggregation_temporality == CUMULATIVE
            for point in getattr(metric, kind).data_points:
                self.points[metric.name, frozenset(attributes(point.attributes).items())].append((metric, point))
        for key, points in self.points.items():
            for (_, before), (metric, now) in zip(points, points[1:]):
                assert before.time_unix_nano < now.time_unix_nano, key
                if before.flags or now.flags:
                    continue
                assert before.start_time_unix_nano == now.start_time_unix_nano, key
                never_falls(key, metric, before, now)

    def latest(self):
        """{key: (metric, point)} of the series that have not ended."""
        return {key: points[-1] for key, points in self.points.items() if not points[-1][1].flags}


def exponential(point, scale):
    """{index: count} of the positive buckets at a coarser scale, and the zeros."""
    found, wider = defaultdict(int), 1 << (point.scale - scale)
    for number, count in enumerate(point.positive.bucket_counts):
        if count:
            found[-(-(point.positive.offset + 1 + number) // wider)] += count
    return dict(found), point.zero_count


def never_falls(key, metric, before, now):
    kind = metric.WhichOneof("data")
    if kind == "sum":
        assert metric.sum.is_monotonic and now.as_double >= before.as_double, key
    if kind == "histogram":
        assert all(a <= b for a, b in zip(before.bucket_counts, now.bucket_counts)), (key, before, now)
        assert now.sum >= before.sum
    if kind == "exponential_histogram":
        assert now.scale <= before.scale, key
        (old, old_zeros), (new, new_zeros) = exponential(before, now.scale), exponential(now, now.scale)
        assert all(new.get(index, 0) >= count for index, count in old.items()), (key, before, now)
        assert new_zeros >= old_zeros


def check_counts(where, exact, sent, count):
    """`exact` and `sent` by bucket, in order."""
    lines = []
    if count != sum(sent):
        lines.append(f"count    {where}: {count}, its buckets {sum(sent)}")
    if all(n.denominator == 1 for n in exact):
        if [int(n) for n in exact] != sent:
            lines.append(f"buckets  {where}: {sent}, should be {[int(n) for n in exact]}")
        return lines
    if abs(float(sum(exact)) - count) > 0.5 + 1e-9:
        lines.append(f"count    {where}: {count}, should be {float(sum(exact))} to a half")
    exact_up_to = sent_up_to = 0
    for one, other in zip(exact, sent):
        exact_up_to, sent_up_to = exact_up_to + one, sent_up_to + other
        if abs(float(exact_up_to) - sent_up_to) > SPREAD:
            lines.append(f"spread   {where}: {sent}, should be {[float(n) for n in exact]}")
            break
    return lines


def differences(expected, latest, histograms):
    """Both ways, between the oracle's output and {(metric, labels): (metric, point)}."""
    lines, left = [], dict(latest)
    for name, (kind, series) in expected.families.items():
        metric_name = name.removesuffix("_total") if kind == "counter" else name
        for labels, value in series.items():
            where = f"{metric_name} {sorted(labels)}"
            if (metric_name, labels) not in left:
                lines.append(f"missing  {where}")
                continue
            metric, point = left.pop((metric_name, labels))
            sent_as = metric.WhichOneof("data")
            if kind in ("counter", "gauge"):
                if sent_as != {"counter": "sum", "gauge": "gauge"}[kind] or not close(float(value), point.as_double):
                    lines.append(f"wrong    {where}: {sent_as} {point.as_double}, should be {float(value)}")
                continue
            assert isinstance(value, Histogram)
            if not close(float(value.sum), point.sum):
                lines.append(f"sum      {where}: {point.sum}, should be {float(value.sum)}")
            if histograms == "classic":
                rows, before, exact = value.classic(), 0, []
                for _, up_to in rows:
                    exact.append(up_to - before)
                    before = up_to
                if sent_as != "histogram" or list(point.explicit_bounds) != [bound for bound, _ in rows[:-1]]:
                    lines.append(f"bounds   {where}: {sent_as} {list(point.explicit_bounds)}")
                lines += check_counts(where, exact, list(point.bucket_counts), point.count)
                continue
            if sent_as != "exponential_histogram" or point.scale not in value.native_schemas():
                lines.append(f"scale    {where}: {sent_as} {point.scale}, should be in {value.native_schemas()}")
                continue
            zeros, buckets = value.native(point.scale)
            sent, sent_zeros = exponential(point, point.scale)
            order = sorted(buckets.keys() | sent.keys())
            lines += check_counts(where, [zeros] + [buckets.get(i, zeros * 0) for i in order],
                                  [sent_zeros] + [sent.get(i, 0) for i in order], point.count)
            if not sent.keys() <= buckets.keys() or point.zero_threshold > 1e-9:
                lines.append(f"buckets  {where}: {sent}, should be {buckets}")
    # (An edge that never failed shows a zero, or nothing.)
    return lines + [f"extra    {key}" for key, (_, point) in left.items()
                    if key[0] != "traces_service_graph_request_failed" or point.as_double]


def instance_of(gateway):
    """What docs/metrics.md says it is made of."""
    return f"{socket.gethostname()}:{gateway.web_address.split(':')[1]}"


# Scenario: two thousand spans of every kind, some of which weigh fractions, go to two gateways, in two orders; then more of
# them that were sampled. Both send what they derive to one receiver ten times a second.
# Guarantees: of each gateway, told apart by service.instance.id, every series of every family comes, the graph's too, and
# nothing else; with the oracle's values: counters and sums to 1e-9, counts of whole spans exactly, others to a half, and up
# to each bound within SPREAD. In between nothing falls, and start times stay.
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_equals_oracle(name):
    metrics = CONFIGURATIONS[name]
    histograms = metrics.get("histograms", "classic")
    sampled = [span for _, kept in corpus.sampled(SEED, time.time_ns(), 60) for span in kept]
    phases = [whole_corpus(), corpus.measure(sampled[::2]), corpus.measure(sampled[1::2])]
    for factor in (1, 4, 16):
        settle, wait = SETTLE * factor, WAIT * factor
        configs = [gateway_config(metrics, cores, settle, wait) for _, cores, _ in REPLICAS]
        run = Run(config=Config(configs[0]["metrics"], settle))
        with OtlpReceiver() as receiver:
            try:
                run.gateways += [Braid(merged(config, {"sinks": {"backend": sink(receiver, interval="400ms")}})) for config in configs]
                expected = feed(run, phases, 0.7 * settle)

                def told(gateway):
                    return differences(expected, Series(receiver, instance_of(gateway)).latest(), histograms)

                for gateway in run.gateways:
                    until = time.monotonic() + 20
                    while lines := told(gateway):
                        assert time.monotonic() < until, report(lines)
                        time.sleep(0.3)
                    assert check_account(gateway.status()) > 0
            except TooSlow as slow:
                print(slow)
                continue
            finally:
                codes = [gateway.stop() for gateway in run.gateways]
            assert codes == [0] * len(codes), codes
            for gateway in run.gateways:
                assert not Series(receiver, instance_of(gateway)).latest(), "at the end every series ends"
            return
    pytest.fail("the machine is too slow to send this at once")


# Scenario: a few spans of weights 4/3, 5/2 and 1/0.382 at a time, in many rounds, into one classic or native histogram.
# Guarantees: buckets never fall from round to round, the count of each round is that of its buckets, and in the end
# within a half of what was counted; sums are exact.
@pytest.mark.parametrize("histograms", ["classic", "native"])
def test_weights_in_many_rounds(otlp, histograms):
    metrics = {"histograms": histograms, "graph": {"enabled": False}, "self_time": False}
    thresholds = [f"ot=th:{corpus.threshold(p):014x}".rstrip("0") for p in (0.75, 0.4, 0.382)]
    r = random.Random(SEED)
    m = corpus.Maker(SEED, time.time_ns())
    spans = []
    config = {"correlate": {"settle": "100ms"}, "metrics": metrics, "sinks": {"backend": sink(otlp)}}
    with Braid(config) as gateway:
        for _ in range(24):
            part = [m.span("shop", "weighs", ns=int(1.5 ** r.uniform(20, 55)), tracestate=r.choice(thresholds))
                    for _ in range(r.randrange(1, 4))]
            corpus.measure(part)
            spans += part
            send_http(gateway, [(corpus.body(part), 0)])
            time.sleep(0.45)  # Counts come to the page once a second.
        expected = derive(spans, Config(metrics))

        def wrong():
            return differences(expected, Series(otlp, instance_of(gateway)).latest(), histograms)

        try:
            eventually(lambda: not wrong(), 10, 0.2)
        except AssertionError:
            raise AssertionError(report(wrong())) from None
        rounds = [points for (name, _), points in Series(otlp, instance_of(gateway)).points.items()
                  if name == "traces_spanmetrics_latency"]
        assert len(rounds) == 1 and len({point.count for _, point in rounds[0]}) > 6
        for metric, point in rounds[0]:
            if histograms == "classic":
                assert point.count == sum(point.bucket_counts)
            else:
                assert point.count == point.zero_count + sum(point.positive.bucket_counts)


# Scenario: one service's spans come once, another's again and again.
# Guarantees: when the first one's series end, each gets one point without a recorded value, of its kind, with its start,
# and bounds or scale. What goes on gets none, before the end of all.
@pytest.mark.parametrize("histograms", ["classic", "native"])
def test_ends(start_braid, otlp, histograms):
    gateway = start_braid({
        "correlate": {"settle": "100ms", "window": "1s", "decision_max": "1s", "log_hold": "500ms"},
        "metrics": {"histograms": histograms, "expire_after": "2s", "target_info": True, "graph": {"wait": "500ms"}},
        "sinks": {"backend": sink(otlp, "otlp_grpc")}})
    m = corpus.Maker(SEED, time.time_ns())

    def send(service):
        caller = m.span(m.service(service, service__instance__id="1", zone="eu"), "call", kind=corpus.CLIENT)
        called = m.span(service + "-backend", "answer", kind=corpus.SERVER, parent=caller)
        send_http(gateway, [(corpus.body([caller, called]), 0)])

    send("once")
    send("again")

    def of(service, points):
        return {key: value for key, value in points.items() if any(service in str(v) for _, v in key[1])}

    families = 8 + 1  # calls, latency, size, self time and its spans, the graph's four; target_info
    eventually(lambda: len({name for name, _ in of("once", Series(otlp, instance_of(gateway)).latest())}) >= families, 20, 0.2)

    def ended():
        send("again")
        return not of("once", Series(otlp, instance_of(gateway)).latest())

    eventually(ended, 30, 0.3)
    series = Series(otlp, instance_of(gateway))
    assert '"once"' not in gateway.metrics("derived")
    for key, points in of("once", series.points).items():
        assert [point.flags for _, point in points[-2:]] == [0, NO_RECORDED_VALUE], key
        assert sum(point.flags for _, point in points) == NO_RECORDED_VALUE, key
        (metric, last), (_, end) = points[-2:]
        assert end.start_time_unix_nano == last.start_time_unix_nano
        assert not end.exemplars
        kind = metric.WhichOneof("data")
        if kind == "histogram":
            assert list(end.explicit_bounds) == list(last.explicit_bounds) and not any(end.bucket_counts)
        if kind == "exponential_histogram":
            assert end.scale == last.scale and not end.count
    for key, points in of("again", series.points).items():
        assert not any(point.flags for _, point in points), key
    assert gateway.stop() == 0
    series = Series(otlp, instance_of(gateway))
    assert series.points and not series.latest()
    for key, points in series.points.items():
        assert sum(point.flags for _, point in points) == NO_RECORDED_VALUE, key


# Scenario: attributes of the resource are configured, one of them in the place of Braid's own.
# Guarantees: exactly those come; the self metrics count points and markers of the sink.
def test_resource_attributes(start_braid, otlp):
    more = {"deployment.environment.name": "prod", "service.instance.id": "edge-1", "service.namespace": "observability"}
    gateway = start_braid({"sinks": {"backend": sink(otlp, resource_attributes=more)}})
    m = corpus.Maker(SEED, time.time_ns())
    send_http(gateway, [(corpus.body([m.span("shop", "x")]), 0)])
    otlp.wait_for("metrics", 3)
    assert {tuple(sorted(resource.items())) for _, resource in otlp.metrics()} == {
        tuple(sorted({"service.name": "braid", **more}.items()))}
    eventually(lambda: 'braid_push_points{sink="backend"} 3' in gateway.metrics("self"), 10)
    assert 'braid_push_stale_markers_total{sink="backend"} 0' in gateway.metrics("self")
