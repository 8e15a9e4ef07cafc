"""Debian's Prometheus scrapes an application and remote-writes (1.0) to Braid: what comes out of Braid must be what
Prometheus has."""

import http.server
import json
import math
import subprocess
import threading
import urllib.parse
import urllib.request

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser

from braid import check_account, eventually, free_ports, nonzero, tool
from otlp_receiver import attributes, points
from remote_write import field, post, series, varint, write_request, zigzag

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

# An application's page, with names that OpenTelemetry's rules would change.
PAGE = f"""\
# TYPE orders counter
# HELP orders Orders taken.
orders_total{{kind="new"}} 42.0 # {{trace_id="{TRACE}",span_id="{SPAN}"}} 1.0
orders_created{{kind="new"}} 1600000000.5
orders_total{{kind="old"}} 7.0
# TYPE total_of_total_bytes counter
total_of_total_bytes_total 5.0
# TYPE room_celsius gauge
# UNIT room_celsius celsius
# HELP room_celsius How "hot" it is.
room_celsius{{room="a\\\\b"}} -21.5
room_celsius{{room="no"}} NaN
room_celsius{{room="hell"}} +Inf
# TYPE share gauge
share 0.25
# TYPE _odd__name: gauge
_odd__name:{{_label="x"}} 3.0
# TYPE mystery unknown
mystery{{le="x"}} 9.0
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
wait_seconds_bucket{{path="/",le="0.1"}} 3.0
wait_seconds_bucket{{path="/",le="1.0"}} 7.0 # {{trace_id="{TRACE}",span_id="{SPAN}"}} 0.5 1600000000.25
wait_seconds_bucket{{path="/",le="+Inf"}} 9.0
wait_seconds_count{{path="/"}} 9.0
wait_seconds_sum{{path="/"}} 6.25
wait_seconds_bucket{{path="/cart",le="0.1"}} 0.0
wait_seconds_bucket{{path="/cart",le="1.0"}} 0.0
wait_seconds_bucket{{path="/cart",le="+Inf"}} 2.0
wait_seconds_count{{path="/cart"}} 2.0
wait_seconds_sum{{path="/cart"}} 40.0
# TYPE rpc_seconds summary
rpc_seconds{{quantile="0.5"}} 0.25
rpc_seconds{{quantile="0.99"}} NaN
rpc_seconds_count 4.0
rpc_seconds_sum 1.5
# TYPE build info
build_info{{version="1.2"}} 1.0
# TYPE mode stateset
mode{{mode="on"}} 1.0
mode{{mode="off"}} 0.0
# TYPE sizes gaugehistogram
sizes_bucket{{le="1.0"}} 4.0
sizes_bucket{{le="+Inf"}} 6.0
sizes_gcount 6.0
sizes_gsum 12.0
# EOF
"""


def native_page():
    """A native histogram in the delimited protobuf format, as io.prometheus.client.MetricFamily."""
    def span(offset, length):
        return field(1, b"")[:0] + varint(1 << 3) + zigzag(offset) + field(2, length)

    def deltas(number, values):
        return b"".join(varint(number << 3) + zigzag(value) for value in values)

    histogram = (field(1, 12) + field(2, 18.5) + varint(5 << 3) + zigzag(1) + field(6, 0.001) + field(7, 2)
                 + field(9, span(0, 1)) + deltas(10, [1])
                 + field(12, span(-1, 2)) + field(12, span(1, 1)) + deltas(13, [3, 1, -2]))
    family = (field(1, b"native") + field(2, b"Sparse.") + field(3, 4)
              + field(4, field(1, field(1, b"path") + field(2, b"/")) + field(7, histogram)))
    return varint(len(family)) + family


class Application:
    """Serves PAGE at /metrics and a native histogram at /native, until told to fail."""

    def __init__(self):
        application = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                native = self.path == "/native"
                body = native_page() if native else PAGE.encode()
                self.send_response(500 if application.failing else 200)
                self.send_header("Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
                                 "encoding=delimited" if native else
                                 "application/openmetrics-text; version=1.0.0; charset=utf-8")
                self.end_headers()
                if not application.failing:
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.failing = False
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class Prometheus:
    def __init__(self, target, write_url, folder):
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"

        def job(name, path):
            return {"job_name": name, "metrics_path": path, "static_configs": [{"targets": [target]}]}
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms"},
            "scrape_configs": [job("shop/app", "/metrics"), job("native", "/native")],
            "remote_write": [{"url": write_url, "send_exemplars": True, "send_native_histograms": True,
                              "metadata_config": {"send": True, "send_interval": "1s"},
                              "queue_config": {"batch_send_deadline": "100ms", "max_shards": 1}}],
        }))
        self._log = open(folder / "prometheus.log", "wb")
        self._log_path = folder / "prometheus.log"
        self._process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage,native-histograms"],
            stdout=self._log, stderr=subprocess.STDOUT)
        eventually(self._ready, 30)

    def _ready(self):
        assert self._process.poll() is None, self.log()
        try:
            return urllib.request.urlopen(self.url + "/-/ready", timeout=1).status == 200
        except OSError:
            return False

    def log(self):
        return self._log_path.read_text()[-4000:]

    def stop(self):
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def query(self, query):
        with urllib.request.urlopen(f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": query}), timeout=10) as a:
            body = json.load(a)
        assert body["status"] == "success", body
        return body["data"]["result"]


@pytest.fixture
def application():
    running = Application()
    yield running
    running.stop()


@pytest.fixture
def receiving(start_braid, otlp):
    (port,) = free_ports(1)
    braid = start_braid({
        "receivers": {"prometheus": {"remote_write": {"enabled": True, "listen": f"127.0.0.1:{port}"}}},
        "sinks": {"backend": {"type": "otlp_http", "endpoint": otlp.http_endpoint}},
    })
    return braid, f"http://127.0.0.1:{port}/api/v1/write"


def key_of(name, labels):
    """A series' identity. How a bound is spelt is the page's business: 1 is 1.0."""
    def value(label, text):
        try:
            return float(text) if label in ("le", "quantile") else text
        except ValueError:
            return text
    return name, tuple(sorted((label, value(label, text)) for label, text in labels.items()))


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9)


def prometheus_series(prometheus, job):
    found = {}
    for result in prometheus.query(f'{{job="{job}",__name__!~"up|scrape_.*"}}'):
        labels = dict(result["metric"])
        if "value" in result:
            found[key_of(labels.pop("__name__"), labels)] = float(result["value"][1])
    return found


def braid_series(braid, job):
    found = {}
    for family in openmetrics_parser.text_string_to_metric_families(braid.metrics("ingested")):
        for sample in family.samples:
            if sample.labels.get("job") == job and not sample.name.startswith(("up", "scrape_")):
                assert key_of(sample.name, sample.labels) not in found
                found[key_of(sample.name, sample.labels)] = sample.value
    return found


# Scenario: Prometheus scrapes an OpenMetrics page with every type there is and a native histogram, and writes them on
# with exemplars and metadata.
# Guarantees: Braid's page has the same series, names, labels and values as Prometheus' own storage, none more, none
# less, with types, help and exemplars; the OTLP receiver gets each as what it is; what ends leaves the page; nothing is
# rejected and the account adds up.
def test_round_trip(application, receiving, otlp, tmp_path):
    braid, url = receiving
    prometheus = Prometheus(application.address, url, tmp_path)
    try:
        # Types come with the first metadata, a second after the first samples.
        eventually(lambda: braid.status()["remoteWrite"]["families"] >= 10, 30)
        eventually(lambda: "# TYPE room_celsius gauge" in braid.metrics("ingested"), 30)
        page = eventually(lambda: (text := braid.metrics("ingested")) and "# TYPE native histogram" in text and text, 30)

        theirs = prometheus_series(prometheus, "shop/app")
        assert len(theirs) == 31, theirs
        ours = braid_series(braid, "shop/app")
        assert set(ours) == set(theirs), (sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs)))
        assert [key for key in ours if not same(ours[key], theirs[key])] == []

        for line in ("# TYPE orders counter", "# HELP orders Orders taken.", "# TYPE room_celsius gauge",
                     "# UNIT room_celsius celsius", '# HELP room_celsius How \\"hot\\" it is.', "# TYPE share gauge",
                     "# TYPE wait_seconds histogram", "# TYPE rpc_seconds summary", "# TYPE mystery unknown"):
            assert line in page, line
        exemplars = [line for line in page.splitlines() if TRACE in line and SPAN in line]
        assert any(line.startswith("orders_total{") for line in exemplars), exemplars
        assert any(line.startswith("wait_seconds_bucket{") and 'le="1.0"' in line for line in exemplars), exemplars

        check_otlp(otlp)
        status = braid.status()
        assert check_account(status) > 0
        assert nonzero(status["remoteWrite"]["rejected"]) == {}, status["remoteWrite"]
        assert nonzero(status["account"]["ingress"]["metrics"]["rejected"]) == {}
        assert status["remoteWrite"]["histogramsWritten"] > 0 and status["remoteWrite"]["exemplarsWritten"] >= 2
        assert "level=error" not in prometheus.log() and "non-recoverable" not in prometheus.log(), prometheus.log()

        # The application fails: Prometheus writes stale markers.
        application.failing = True
        eventually(lambda: not braid_series(braid, "shop/app"), 30)
        eventually(lambda: "# TYPE native " not in braid.metrics("ingested"), 30)
    finally:
        prometheus.stop()


KINDS = {
    "orders_total": "sum", "total_of_total_bytes_total": "sum", "room_celsius": "gauge", "share": "gauge",
    "_odd__name:": "gauge", "mystery": "gauge", "wait_seconds": "histogram", "rpc_seconds": "summary",
    "build_info": "sum", "mode": "sum", "sizes_bucket": "gauge", "sizes_gcount": "gauge", "sizes_gsum": "gauge",
    "native": "exponential_histogram",
}


def latest_kinds(otlp):
    """The latest metric of each name, and what it is. The first ones come before their metadata."""
    latest = {}
    for metric, resource in otlp.metrics():
        if resource.get("service.name") in ("app", "native") and not metric.name.startswith(("up", "scrape_")):
            latest[metric.name] = (metric, resource)
    return latest, {name: metric.WhichOneof("data") for name, (metric, _) in latest.items()}


def check_otlp(otlp):
    eventually(lambda: latest_kinds(otlp)[1] == KINDS)
    latest, _ = latest_kinds(otlp)
    metric, resource = latest["orders_total"]
    assert resource["service.namespace"] == "shop" and ":" in resource["service.instance.id"]
    assert metric.sum.is_monotonic and not latest["mode"][0].sum.is_monotonic
    assert latest["room_celsius"][0].unit == "Cel"
    created = {attributes(p.attributes)["kind"]: p.start_time_unix_nano for p in points(metric)}
    assert created["new"] == 1600000000500000000
    (point,) = points(latest["native"][0])[:1]
    assert (point.scale, point.count, point.sum, point.zero_count) == (1, 12, 18.5, 2)
    assert point.positive.offset == -2 and list(point.positive.bucket_counts) == [3, 4, 0, 2]
    assert point.negative.offset == -1 and list(point.negative.bucket_counts) == [1]
    waits = {attributes(p.attributes)["path"]: p for p in points(latest["wait_seconds"][0])}
    assert list(waits["/"].bucket_counts) == [3, 4, 2] and waits["/cart"].sum == 40


# Scenario: Braid has no room: its one sink refuses to lose anything and is down.
# Guarantees: 503 with Retry-After, nothing is lost on the way: when the sink is back, every sample that was answered
# with 204 arrives there exactly once.
def test_pressure(start_braid, otlp):
    (port,) = free_ports(1)
    braid = start_braid({
        "receivers": {"prometheus": {"remote_write": {"enabled": True, "listen": f"127.0.0.1:{port}"}}},
        "sinks": {"backend": {"type": "otlp_http", "endpoint": otlp.http_endpoint, "timeout": "1s",
                              "retry": {"initial": "50ms", "max": "100ms"},
                              "queue": {"max_bytes": "1MiB", "on_full": "refuse"}}},
    })
    url = f"http://127.0.0.1:{port}/api/v1/push"
    from misbehaviour import Rule
    otlp.rules.set(Rule("unavailable"))
    taken, refused, number = 0, 0, 0
    while refused == 0 and number < 400:
        number += 1
        body = write_request([series({"__name__": "pressed", "n": f"{number}-{i}", "x": "y" * 200}, [(1, 1_700_000_000_000)])
                              for i in range(100)])
        status, text = post(url, body)
        assert status in (204, 503), (status, text)
        taken += 100 * (status == 204)
        refused += status == 503
    assert refused, "never refused"
    otlp.rules.clear()
    assert otlp.wait_for("metrics", taken) == taken
    assert check_account(braid.status()) > 0
