"""Remote write 2.0 as Prometheus's own Go types marshal it, through Braid, to /metrics and an OTLP receiver."""

import json
import os
import re
import shutil
import subprocess

import pytest

from braid import CHECKOUT, check_account, eventually, free_ports, samples
from otlp_receiver import attributes, points
from remote_write import post, series, write_request

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = {"job": "shop/cart", "instance": "go:1"}


@pytest.fixture(scope="module")
def client():
    if not shutil.which("go"):
        pytest.skip("no go here")
    folder = os.path.join(HERE, "go_remote_write")
    with open(os.path.join(folder, "go.mod"), encoding="utf-8") as file:
        wanted = re.search(r"^go (\d+)\.(\d+)", file.read(), re.M).groups()
    have = re.search(r"go(\d+)\.(\d+)", subprocess.check_output(["go", "version"], text=True)).groups()
    if tuple(map(int, have)) < tuple(map(int, wanted)):
        pytest.skip(f"go {'.'.join(have)} here, the pinned Prometheus wants {'.'.join(wanted)}")
    binary = os.path.join(CHECKOUT, "build", "clients-go", "remote_write")
    subprocess.run(["go", "build", "-mod=readonly", "-o", binary, "."], cwd=folder, check=True,
                   env={**os.environ, "GOTOOLCHAIN": "local"}, timeout=600)
    return binary


@pytest.fixture
def receiving(start_braid, otlp):
    (port,) = free_ports(1)
    braid = start_braid({
        "receivers": {"prometheus": {"remote_write": {"enabled": True, "listen": f"127.0.0.1:{port}"}}},
        "sinks": {"backend": {"type": "otlp_grpc", "endpoint": otlp.grpc_endpoint}},
    })
    return braid, f"http://127.0.0.1:{port}/api/v1/write"


def send(client, url, *arguments):
    run = subprocess.run([client, url, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


# Scenario: counters, gauges, classic and native histograms of every kind, exemplars, start times, inline metadata.
# Guarantees: 204 with exact counts; the page shows the same names, labels and values; the OTLP receiver gets what
# OpenTelemetry has for each, types, units, start times and trace IDs included.
def test_version_2(client, receiving, otlp):
    braid, url = receiving
    sent = send(client, url)
    assert sent["answer"]["status"] == 204, sent
    assert sent["answer"]["written"] == {"Samples": "7", "Histograms": "3", "Exemplars": "1"}

    page = eventually(lambda: (text := braid.metrics("ingested")) and "native_custom_count" in text and text)
    assert samples(page, "orders_total") == [({**TARGET, "kind": "new"}, 42)]
    assert 'trace_id="0af7651916cd43dd8448eb211c80319c",span_id="b7ad6b7169203331"' in page
    assert samples(page, "room_celsius") == [(TARGET, 21.5)]
    assert "# UNIT room_celsius celsius" in page and "# HELP room_celsius How hot." in page
    buckets = {labels.pop("le"): value for labels, value in samples(page, "wait_seconds_bucket")}
    assert buckets == {"0.1": 3, "1.0": 7, "+Inf": 9}
    assert samples(page, "wait_seconds_sum") == [(TARGET, 6.25)]
    assert samples(page, "wait_seconds_count") == [(TARGET, 9)]
    assert samples(page, "wait_seconds_created") == [(TARGET, pytest.approx(sent["start"] / 1e3))]
    custom = {labels["le"]: value for labels, value in samples(page, "native_custom_bucket")}
    assert custom == {"0.5": 0, "1.0": 1, "2.5": 3, "+Inf": 6}

    # 2 numbers, 1 classic histogram of 5 samples, 3 native ones.
    assert otlp.wait_for("metrics", 6) == 6
    arrived = {metric.name: metric for metric, _ in otlp.metrics()}
    resources = [resource for _, resource in otlp.metrics()]
    assert all(r == {"service.namespace": "shop", "service.name": "cart", "service.instance.id": "go:1"} for r in resources)
    (orders,) = points(arrived["orders_total"])
    assert arrived["orders_total"].sum.is_monotonic and orders.as_double == 42
    assert attributes(orders.attributes) == {"kind": "new"}
    assert orders.time_unix_nano == sent["time"] * 1_000_000 and orders.start_time_unix_nano == sent["start"] * 1_000_000
    (exemplar,) = orders.exemplars
    assert exemplar.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c" and exemplar.span_id.hex() == "b7ad6b7169203331"
    assert arrived["room_celsius"].unit == "Cel" and arrived["room_celsius"].HasField("gauge")
    (wait,) = points(arrived["wait_seconds"])
    assert list(wait.bucket_counts) == [3, 4, 2] and list(wait.explicit_bounds) == [0.1, 1]
    assert wait.sum == 6.25 and wait.count == 9 and arrived["wait_seconds"].unit == "s"
    for name in ("native_int", "native_float"):
        (point,) = points(arrived[name])
        assert arrived[name].HasField("exponential_histogram")
        assert (point.scale, point.count, point.sum, point.zero_count) == (1, 12, 18.5, 2)
        assert point.zero_threshold == 0.001
        assert point.positive.offset == -2 and list(point.positive.bucket_counts) == [3, 4, 0, 2]
        assert point.negative.offset == -1 and list(point.negative.bucket_counts) == [1]
    assert points(arrived["native_int"])[0].start_time_unix_nano == sent["start"] * 1_000_000
    (bounded,) = points(arrived["native_custom"])
    assert list(bounded.bucket_counts) == [0, 1, 2, 3] and list(bounded.explicit_bounds) == [0.5, 1, 2.5]
    assert check_account(braid.status()) > 0


# Scenario: the same with a fractional histogram and a reference beyond the symbols.
# Guarantees: 400 that names both and says how much was written; everything else arrives; the account adds up.
def test_partial(client, receiving, otlp):
    braid, url = receiving
    sent = send(client, url, "partial")
    assert sent["answer"]["status"] == 400, sent
    assert sent["answer"]["written"] == {"Samples": "7", "Histograms": "3", "Exemplars": "1"}
    assert '"native_fraction": fractional counts' in sent["answer"]["body"]
    assert "timeseries[11]: label 0: label references" in sent["answer"]["body"], sent["answer"]["body"]
    assert otlp.wait_for("metrics", 6) == 6
    status = braid.status()
    assert check_account(status) > 0
    assert status["account"]["ingress"]["metrics"]["rejected"]["bad_series"] == 2
    assert status["remoteWrite"]["rejected"]["fractional_histogram"] == 1
    assert status["remoteWrite"]["rejected"]["reference"] == 1


# Scenario: a sender did not get the answer and sends the same bytes again.
# Guarantees: taken again, counted as a duplicate, not forwarded twice.
def test_retry_counts_once(receiving, otlp):
    braid, url = receiving
    body = write_request([series({"__name__": "again_total"}, [(5, 1_700_000_000_000)])])
    for _ in range(3):
        assert post(url, body) == (204, "")
    metrics = eventually(lambda: (row := braid.status()["account"]["sinks"]["backend"]["metrics"])["accepted"] == 3 and row)
    assert metrics["dropped"]["duplicate"] == 2
    assert otlp.wait_for("metrics", 1) == 1
    assert samples(braid.metrics("ingested"), "again_total") == [({}, 5)]
