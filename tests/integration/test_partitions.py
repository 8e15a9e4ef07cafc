"""Several gateways that each get a part of the spans: whether what they show adds up to the whole."""

import concurrent.futures
import random
import time

import pytest

import derived_corpus as corpus
import prometheus_pages as pages
from braid import Braid
from derived_oracle import Config, derive
from test_derived import (GRAPH_OFF, REPLICAS, SETTLE, WAIT, TooSlow, close, differences, gateway_config, report, show,
                          whole_corpus)

METRICS = {
    "dialect": "both",
    "histograms": "both",
    "dimensions": corpus.DIMENSIONS,
    "status_message": True,
    "target_info": True,
    "events": True,
    "exceptions": True,
    "errors": ["status", "http_5xx", "grpc"],
    "sampling": {"ratio_attribute": corpus.RATIO},
    "graph": {"messaging_latency": True, "connection_info": True, "dimensions": ["host.name"]},
}


def whole_traces(spans):
    """[spans]: a list for each trace."""
    groups = {}
    for span in spans:
        groups.setdefault(span.trace, []).append(span)
    return list(groups.values())


def linked_traces(spans):
    """[spans]: a list for all traces that links lead from one to another."""
    home = {span.trace: span.trace for span in spans}

    def find(trace):
        while home[trace] != trace:
            trace = home[trace]
        return trace

    for span in spans:
        for link in span.links:
            if link.trace in home:
                home[find(span.trace)] = find(link.trace)
    groups = {}
    for span in spans:
        groups.setdefault(find(span.trace), []).append(span)
    return list(groups.values())


def single_spans(spans):
    return [[span] for span in spans]


# How the spans are spread: (what stays together, metrics).
SPREADS = {
    "linked traces": (linked_traces, METRICS),
    "whole traces": (whole_traces, {**METRICS, "graph": GRAPH_OFF}),
    "single spans": (single_spans, {**METRICS, "graph": GRAPH_OFF, "self_time": False}),
}


def added_up(read):
    """Samples of several pages: counters and what belongs to histograms as sums, gauges once."""
    total = {}
    for page in read:
        for (name, labels), value in page.samples.items():
            gauge = page.types.get(name) == "gauge"
            total[name, labels] = value if gauge else total.get((name, labels), 0) + value
    return total


def at_schema(native, schema):
    """{index: count} of a native histogram at a schema that is as coarse or coarser."""
    buckets = {}
    for index, count in native.buckets.items():
        coarse = -(-index >> (native.schema - schema))  # rounded up: the bucket that has its upper bound
        buckets[coarse] = buckets.get(coarse, 0) + count
    return buckets


def native_differences(expected, read):
    lines = []
    for name, (kind, series) in expected.families.items():
        for labels, histogram in series.items() if kind == "histogram" else ():
            have = [page.natives[name, labels] for page in read if (name, labels) in page.natives]
            schema = min(native.schema for native in have)
            zeros, buckets = histogram.native(schema)
            summed = {}
            for native in have:
                for index, count in at_schema(native, schema).items():
                    summed[index] = summed.get(index, 0) + count
            same = summed.keys() == buckets.keys() and all(close(float(n), summed[i]) for i, n in buckets.items())
            if not same or not close(float(zeros), sum(native.zero_count for native in have)):
                lines.append(f"native   {show((name, labels))}: {summed}, should be {buckets}")
    return lines


# Scenario: the corpus of all derived metrics goes to two gateways, each span to one of them: so that traces stay whole
# and with those that they link to; so that traces stay whole; or one by one.
# Guarantees: what both show adds up to what the oracle says of all spans in one place, weights included: everything in
# the first case, everything but the graph in the second, in the third neither that nor self time.
@pytest.mark.parametrize("spread", SPREADS)
def test_pages_add_up(spread):
    together, metrics = SPREADS[spread]
    spans = whole_corpus()
    for span in spans:
        span.arrival = 0.0
    parts = ([], [])
    choose = random.Random(spread)
    for group in together(spans):
        parts[choose.randrange(2)].extend(group)
    assert min(len(part) for part in parts) > len(spans) / 5

    for factor in (1, 4, 16):
        settle, wait = SETTLE * factor, WAIT * factor
        config = gateway_config(metrics, 2, settle, wait)
        expected = derive(spans, Config(config["metrics"], settle))
        want = expected.samples("both")
        gateways = [Braid(gateway_config(metrics, cores, settle, wait)) for _, cores, _ in REPLICAS]
        try:
            def send(replica):
                gateway, (send, _, seed), part = replica
                began = time.monotonic()
                send(gateway, corpus.requests(part, seed))
                if time.monotonic() - began > 0.7 * settle:
                    raise TooSlow()

            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                list(pool.map(send, zip(gateways, REPLICAS, parts)))
            until = time.monotonic() + 3 * settle + 8
            while True:
                lines = differences(want, added_up([pages.read(gateway, "text") for gateway in gateways]))
                if not lines or time.monotonic() > until:
                    break
                time.sleep(0.2)
            assert not lines, report(lines)
            read = [pages.read(gateway, "protobuf") for gateway in gateways]
            assert not (lines := differences(want, added_up(read))), report(lines)
            assert not (lines := native_differences(expected, read)), report(lines)
            # Neither gateway has it all.
            assert all(differences(want, page.samples) for page in read)
            return
        except TooSlow:
            pass
        finally:
            assert [gateway.stop() for gateway in gateways] == [0, 0]
    pytest.fail("the machine is too slow to send this at once")
