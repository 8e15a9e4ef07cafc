"""`braid doctor` against real and stand-in servers: what is well is ok, what is not is found, with what to change."""

import json
import os
import re
import subprocess
import threading
import time

import pytest

import braid as braid_support
from backends import NO_STRUCTURED_METADATA, RATE_LIMITED, Broken, Jaeger, Loki, Tempo
from braid import eventually, free_ports
from prometheus import Prometheus
from traffic import GrpcSender, checkout, logs_request, spans_request

DOCS = os.path.join(braid_support.CHECKOUT, "docs", "doctor.md")
PROVISIONING = os.path.join(braid_support.CHECKOUT, "dashboards", "grafana", "provisioning", "datasources")
QUICK = {"correlate": {"settle": "100ms"}}
ALERT = {"name": "braid", "rules": [{"alert": "BraidMemoryPressure", "expr": "braid_memory_pressure_level > 2"}]}


class Findings:
    """What one run said."""

    def __init__(self, ended, seconds):
        self.code = ended.returncode
        self.seconds = seconds
        assert ended.stderr == "", ended.stderr
        answer = json.loads(ended.stdout)
        self.ok = answer["ok"]
        self.checks = answer["checks"]
        for check in self.checks:
            assert set(check) == {"id", "target", "verdict", "message", "advice"}
            assert check["verdict"] in ("ok", "warn", "fail", "skipped")
            assert check["message"] and (check["advice"] or check["verdict"] in ("ok", "skipped")), check
        assert self.ok == (not self.with_verdict("fail"))

    def with_verdict(self, *verdicts):
        return [check["id"] for check in self.checks if check["verdict"] in verdicts]

    def __getitem__(self, name):
        (found,) = [check for check in self.checks if check["id"] == name]
        return found

    def verdict(self, name):
        return self[name]["verdict"]


def doctor(*arguments, env=None):
    start = time.monotonic()
    ended = subprocess.run([braid_support.BINARY, "doctor", "-o", "json", *map(str, arguments)], capture_output=True, text=True,
                           timeout=120, check=False, env={**os.environ, **(env or {})})
    return Findings(ended, time.monotonic() - start)


class Traffic:
    """Sends a shop's traces, with logs, until it is stopped."""

    def __init__(self, braid):
        self._stop = threading.Event()
        self._braid = braid
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        number = 0
        with GrpcSender(self._braid.grpc) as sender:
            while not self._stop.wait(0.02):
                root, pay, logs = checkout(refused=number % 4 == 0, milliseconds=5 + number % 40)
                sender.send(spans_request("cart", [root, pay]))
                sender.send(logs_request("cart", logs))
                number += 1

    def stop(self):
        self._stop.set()
        self._thread.join(20)


@pytest.fixture
def busy_braid(start_braid):
    """busy_braid(config) -> a Braid with traffic, whose page has exemplars."""
    running = []

    def start(config=None):
        braid = start_braid(braid_support.merged(QUICK, config or {}))
        running.append(Traffic(braid))
        eventually(lambda: "trace_id=" in braid.metrics("derived"))
        return braid

    yield start
    for traffic in running:
        traffic.stop()


@pytest.fixture
def prometheus(tmp_path):
    """prometheus(target, ...) -> a running one, stopped after the test."""
    running = []

    def start(target, **more):
        running.append(Prometheus(tmp_path / f"prometheus{len(running)}", target, **more))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def has_calls(prometheus):
    """Waits until the metrics derived from spans have been scraped twice."""
    eventually(lambda: prometheus.vector("count_over_time(traces_spanmetrics_calls_total[1m]) > 1"), 40)


# --- Prometheus ---


# Scenario: Debian's Prometheus scrapes a Braid with traffic, keeps exemplars, and has an alert about it.
# Guarantees: every check of Braid and Prometheus is ok (native histograms are not needed), in half a minute; exit code 0;
# text says the same, without colours into a pipe.
def test_all_well(busy_braid, prometheus):
    braid = busy_braid()
    scraper = prometheus(braid.web_address, rule_groups=[ALERT])
    has_calls(scraper)
    eventually(lambda: scraper.api("rules")["groups"][0]["rules"][0]["health"] == "ok")
    found = doctor("--url", braid.web, "--prometheus", scraper.url)
    assert found.code == 0 and found.with_verdict("warn", "fail") == [], found.checks
    mine = [check for check in found.checks if check["id"].startswith(("braid.", "prometheus."))]
    assert [check["id"] for check in mine if check["verdict"] != "ok"] == ["prometheus.native_histograms"]
    assert "version 2.42" in found["prometheus.reachable"]["message"]
    assert re.match(r"(\d+) of \1 traces", found["prometheus.exemplar_traces"]["message"])
    assert found.seconds < 30
    text = braid.run("doctor", "--url", braid.web.replace("127.0.0.1", "localhost"), "--prometheus", scraper.url + "/")
    assert text.returncode == 0 and "\x1b" not in text.stdout
    assert re.search(r"^ok       prometheus\.exemplars ", text.stdout, re.M)
    assert "--loki http://HOST:3100" in text.stdout
    assert re.search(r"\n\d+ ok, 0 warnings, 0 failed, \d+ skipped\n$", text.stdout)


# Scenario: the same without exemplar storage, and without an alert.
# Guarantees: one failure, which names the flag; a warning about the alert; exit code 1.
def test_exemplar_storage_off(busy_braid, prometheus):
    braid = busy_braid()
    scraper = prometheus(braid.web_address, features=())
    has_calls(scraper)
    found = doctor("--url", braid.web, "--prometheus", scraper.url)
    assert found.code == 1 and found.with_verdict("fail") == ["prometheus.exemplar_storage"]
    assert "--enable-feature=exemplar-storage" in found["prometheus.exemplar_storage"]["advice"]
    assert found.verdict("prometheus.exemplars") == "skipped"
    assert found.with_verdict("warn") == ["prometheus.rules"]
    assert "braid rules export" in found["prometheus.rules"]["advice"]


# Scenario: Prometheus scrapes nothing; a port where nobody is, under the name braid; another Braid.
# Guarantees: a failure of the scrape that says which, and the job to write with this Braid's address.
def test_not_scraped(busy_braid, start_braid, prometheus):
    braid = busy_braid()
    (nobody,) = free_ports(1)
    other = start_braid()
    none, wrong = prometheus(None), prometheus(f"127.0.0.1:{nobody}")
    another = prometheus(other.web_address).scraping()
    eventually(lambda: wrong.vector("up == 0"), 40)
    for scraper, says in ((none, "scrapes no Braid"), (wrong, f"http://127.0.0.1:{nobody}/metrics, which is down"),
                          (another, f'scrapes another Braid (job="braid", instance="{other.web_address}")')):
        found = doctor("--url", braid.web, "--prometheus", scraper.url)
        assert found.code == 1 and found.with_verdict("fail") == ["prometheus.scrape"], found.checks
        check = found["prometheus.scrape"]
        assert says in check["message"]
        assert f"scrape_configs:\n    - job_name: braid\n      static_configs:\n        - targets: ['{braid.web_address}']" \
            in check["advice"]


# Scenario: the job takes too little: a sample limit, a part of the page, metrics dropped by relabelling; and a rule fails.
# Guarantees: each is found where it belongs, with the setting.
def test_scrape_that_loses(busy_braid, prometheus):
    braid = busy_braid()
    limited = prometheus(braid.web_address, job={"sample_limit": 10})
    own = prometheus(braid.web_address, job={"params": {"only": ["self"]}}, rule_groups=[
        {"name": "sick", "rules": [{"record": "x", "expr": "braid_build_info * on () group_left () braid_receiver_bytes_total"}]}])
    dropped = prometheus(braid.web_address, job={"metric_relabel_configs": [
        {"source_labels": ["__name__"], "regex": "traces_spanmetrics_latency.*", "action": "drop"}]})
    derived = prometheus(braid.web_address, job={"params": {"only": ["derived"]}})
    eventually(lambda: limited.vector("up == 0"), 40)
    for scraper in (own, dropped, derived):
        scraper.scraping()
    eventually(lambda: own.api("rules")["groups"][0]["rules"][0]["health"] == "err")

    found = doctor("--url", braid.web, "--prometheus", limited.url)
    assert "sample limit exceeded" in found["prometheus.scrape"]["message"]
    assert "sample_limit: 0" in found["prometheus.scrape"]["advice"]
    found = doctor("--url", braid.web, "--prometheus", own.url)
    assert found.with_verdict("fail") == ["prometheus.derived", "prometheus.exemplars", "prometheus.rule_health"], found.checks
    assert "params" in found["prometheus.derived"]["advice"]
    assert "rule 'x' of group 'sick' fails" in found["prometheus.rule_health"]["message"]
    found = doctor("--url", braid.web, "--prometheus", dropped.url)
    assert "metric_relabel_configs drop" in found["prometheus.samples"]["message"]
    found = doctor("--url", braid.web, "--prometheus", derived.url)
    assert "without Braid's own metrics" in found["prometheus.scrape"]["message"]
    assert found.verdict("prometheus.scrape") == "warn" and found.verdict("prometheus.exemplars") == "ok"


# Scenario: two Braids are scraped; then the one that is looked at stops.
# Guarantees: a warning that names both; exit code 69, and the rest is looked at all the same.
def test_two_braids_then_one(busy_braid, start_braid, prometheus):
    braid, other = busy_braid(), start_braid()
    scraper = prometheus(braid.web_address, job={
        "static_configs": [{"targets": [braid.web_address, other.web_address]}]})
    eventually(lambda: len(scraper.vector("braid_build_info")) == 2, 40)
    has_calls(scraper)
    found = doctor("--url", other.web, "--prometheus", scraper.url)
    assert found.verdict("prometheus.scrape") == "ok" and other.web_address in found["prometheus.scrape"]["message"]
    check = found["prometheus.one_braid"]
    assert check["verdict"] == "warn" and braid.web_address in check["message"] and other.web_address in check["message"]
    other.stop()
    with Loki() as loki:
        found = doctor("--url", other.web, "--prometheus", scraper.url, "--loki", loki.url)
    assert found.code == 69 and found.verdict("braid.ready") == "fail"
    assert found.verdict("prometheus.reachable") == "ok" and found.verdict("loki.read") == "ok"


# Scenario: Braid shows native histograms only, to a Prometheus that knows them and to one that does not.
# Guarantees: ok; a failure that names the flag and the other way.
def test_native_histograms(busy_braid, prometheus):
    braid = busy_braid({"metrics": {"histograms": "native"}})
    knows = prometheus(braid.web_address, features=("exemplar-storage", "native-histograms"))
    does_not = prometheus(braid.web_address)
    for scraper in (knows, does_not):
        has_calls(scraper)
    found = doctor("--url", braid.web, "--prometheus", knows.url)
    assert found.verdict("prometheus.native_histograms") == "ok" and found.code == 0, found.checks
    found = doctor("--url", braid.web, "--prometheus", does_not.url)
    assert found.with_verdict("fail") == ["prometheus.native_histograms"]
    advice = found["prometheus.native_histograms"]["advice"]
    assert "--enable-feature=native-histograms" in advice and "histograms: both" in advice


# Scenario: Braid is restarted; Prometheus has the exemplars of before.
# Guarantees: a warning with how many traces are there and how far the store reaches back; and that no span has come in.
def test_exemplars_of_before_a_restart(start_braid, prometheus):
    braid = start_braid(QUICK)
    traffic = Traffic(braid)
    scraper = prometheus(braid.web_address)
    try:
        eventually(lambda: "trace_id=" in braid.metrics("derived"))
        has_calls(scraper)
    finally:
        traffic.stop()
    assert braid.stop() == 0
    again = start_braid(braid_support.merged(QUICK, {"web": {"listen": braid.web_address}}), ready=False)
    again.web, again.web_address = braid.web, braid.web_address
    again.wait_ready()
    started = braid_support.samples(again.metrics("self"), "process_start_time_seconds")[0][1]
    eventually(lambda: abs(scraper.value("process_start_time_seconds") - started) < 0.01)
    found = doctor("--url", again.web, "--prometheus", scraper.url)
    check = found["prometheus.exemplar_traces"]
    assert check["verdict"] == "warn" and re.match(r"only 0 of \d+ traces", check["message"]), found.checks
    assert "its store reaches back" in check["message"] and "max_bytes" in check["advice"]
    assert found.verdict("braid.spans") == "warn" and "OTEL_EXPORTER_OTLP_ENDPOINT" in found["braid.spans"]["advice"]


# --- Braid itself ---


# Scenario: a sink whose server is not there.
# Guarantees: a failure with the sink's name and its error.
def test_failing_sink(start_braid):
    (nobody,) = free_ports(1)
    braid = start_braid({**QUICK, "sinks": {"backend": {"type": "otlp_http", "endpoint": f"http://127.0.0.1:{nobody}"}}})
    traffic = Traffic(braid)
    try:
        eventually(lambda: any(lane["consecutiveFailures"] for lane in braid.status()["lanes"]))
        found = doctor("--url", braid.web)
    finally:
        traffic.stop()
        braid.process.kill()  # it would try to drain into nothing
        braid.may_end_with.add(-9)
    assert found.code == 1 and found.with_verdict("fail") == ["braid.sinks"]
    assert "sink 'backend' has failed" in found["braid.sinks"]["message"]
    assert "Connection refused" in found["braid.sinks"]["message"]


# --- Loki ---


# Scenario: a Loki that takes structured metadata, and finds it at the third look.
# Guarantees: all ok; exactly one line was written, with IDs as metadata.
def test_loki_accepts():
    config = ("schema_config:\n  configs:\n  - {from: \"2020-01-01\", store: tsdb, schema: v13}\n"
              "limits_config:\n  allow_structured_metadata: true\n")
    with Loki(config=config, late=2) as loki:
        found = doctor("--url", "", "--loki", loki.url)
    assert found.code == 0
    assert [c["id"] for c in found.checks if c["verdict"] == "ok"] == [f"loki.{x}" for x in ("reachable", "version", "config", "write", "read")]
    ((labels, _, line, metadata),) = loki.entries
    assert labels == {"service_name": "braid-doctor"} and "braid doctor" in line
    assert set(metadata) == {"trace_id", "span_id"} and len(metadata["trace_id"]) == 32 and len(metadata["span_id"]) == 16
    assert "wrote one line" in found["loki.write"]["message"]


# Scenario: it refuses structured metadata in Loki's words, asks for a tenant, is at its limit, drops the metadata, is down.
# Guarantees: one failure each, with the setting to change; with --org-id the tenant is known.
def test_loki_refuses():
    def only_failure(name, *arguments):
        found = doctor("--url", "", "--loki", *arguments)
        assert found.code == 1 and found.with_verdict("fail") == [name], found.checks
        return found[name]

    with Loki(refuse=NO_STRUCTURED_METADATA) as loki:
        check = only_failure("loki.write", loki.url)
        assert "status 400" in check["message"] and "this feature is disallowed" in check["message"]
        assert "limits_config:\n    allow_structured_metadata: true" in check["advice"] and "schema: v13" in check["advice"]
    with Loki(tenants=True) as loki:
        assert "X-Scope-OrgID" in only_failure("loki.write", loki.url)["advice"]
        assert doctor("--url", "", "--loki", loki.url, "--org-id", "shop").code == 0
    with Loki(refuse=RATE_LIMITED) as loki:
        assert "ingestion_rate_mb" in only_failure("loki.write", loki.url)["advice"]
    with Loki(keeps_metadata=False) as loki:
        assert "thrown away" in only_failure("loki.read", loki.url, "--timeout", "1s")["message"]
    with Loki(config="limits_config: {allow_structured_metadata: false}\nschema_config: {configs: [{schema: v11}]}\n") as loki:
        assert "allow_structured_metadata is false" in only_failure("loki.config", loki.url, "--no-write")["message"]
        assert [method for method, _ in loki.requests if method != "GET"] == []
    assert "Connection refused" in only_failure("loki.reachable", f"http://127.0.0.1:{free_ports(1)[0]}")["message"]


# Scenario: a Loki behind https, with a certificate that the system does not know, then with SSL_CERT_FILE.
# Guarantees: a failure that names the variable; ok.
def test_https(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
                   check=True, capture_output=True)
    with Loki(tls=(certificate, key)) as loki:
        found = doctor("--url", "", "--loki", loki.url, "--timeout", "2s", env={"SSL_CERT_FILE": str(certificate)})
        assert found.code == 0 and found.verdict("loki.read") == "ok", found.checks
        other = tmp_path / "other.pem"
        other.write_text("none\n")
        found = doctor("--url", "", "--loki", loki.url, env={"SSL_CERT_FILE": str(other)})
        assert found.verdict("loki.reachable") == "fail" and str(other) in found["loki.reachable"]["message"]
        found = doctor("--url", "", "--loki", loki.url.replace("https", "http"))
        assert found.verdict("loki.reachable") == "fail"


# --- traces ---


# Scenario: a Tempo and a Jaeger that have Braid's traces, or have none; with and without a sink in Braid.
# Guarantees: ok; a failure that says what to look at.
def test_trace_backends(busy_braid, start_braid, otlp):
    braid = busy_braid()
    there = lambda trace: braid.trace(trace) is not None
    with Tempo(there) as tempo, Jaeger(there) as jaeger:
        found = doctor("--url", braid.web, "--tempo", tempo.url, "--jaeger", jaeger.url)
        assert found.code == 0 and found.verdict("tempo.trace") == found.verdict("jaeger.trace") == "ok", found.checks
    with Tempo(there, v2=False) as tempo:
        assert doctor("--url", braid.web, "--tempo", tempo.url).verdict("tempo.trace") == "ok"
    with Tempo(lambda _: False) as tempo, Jaeger(lambda _: False, services=()) as jaeger:
        found = doctor("--url", braid.web, "--tempo", tempo.url, "--jaeger", jaeger.url)
        assert found.code == 1 and found.with_verdict("fail") == ["tempo.trace", "jaeger.trace"]
        assert found.verdict("jaeger.services") == "warn"
        assert "No sink of Braid takes traces" in found["tempo.trace"]["advice"]

        forwarding = busy_braid({"sinks": {"backend": {"type": "otlp_http", "endpoint": otlp.http_endpoint, "signals": ["traces"]}}})
        advice = doctor("--url", forwarding.web, "--tempo", tempo.url)["tempo.trace"]["advice"]
        assert "sinks that take traces: backend" in advice and "samplers" in advice


# --- whatever answers ---


# Scenario: in the place of each server there is one that is broken, in every way.
# Guarantees: a failed check for it, none ok, within two timeouts and a bit; no crash.
@pytest.mark.parametrize("how", ["garbage", "html", "endless", "slow", "silent", "closes"])
def test_broken_servers(how):
    for flag, name in (("--url", "braid.ready"), ("--prometheus", "prometheus.reachable"), ("--loki", "loki.reachable"),
                       ("--tempo", "tempo.reachable"), ("--jaeger", "jaeger.reachable")):
        with Broken(how) as broken:
            arguments = [flag, broken.url] if flag == "--url" else ["--url", "", flag, broken.url]
            found = doctor(*arguments, "--timeout", "1s")
        if name == "loki.reachable" and how in ("html", "endless"):
            # Whatever answers /ready may be a gateway; then the rest fails.
            assert found.verdict("loki.write") == "fail" or found.verdict("loki.read") == "fail", found.checks
            assert found.seconds < 12
            continue
        assert found.verdict(name) == "fail", (flag, how, found.checks)
        assert found.code == (69 if flag == "--url" else 1)
        assert found.seconds < 4, (flag, how)


# --- the list of checks, and the files in this tree ---


def documented():
    with open(DOCS, encoding="utf-8") as file:
        return re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", file.read(), re.M)


# Scenario: nothing is there; everything is.
# Guarantees: the same IDs in both, each once, and in the same order as docs/doctor.md has them.
def test_ids_are_stable(busy_braid, prometheus, tmp_path):
    ids = documented()
    assert len(ids) == len(set(ids)) and len(ids) > 30
    nothing = doctor("--url", "")
    assert [check["id"] for check in nothing.checks] == ids and nothing.code == 0
    assert nothing.with_verdict("ok", "warn", "fail") == []

    braid = busy_braid()
    scraper = prometheus(braid.web_address)
    has_calls(scraper)
    sources = tmp_path / "sources.yaml"
    sources.write_text("apiVersion: 1\ndatasources: [{name: P, type: prometheus, uid: p}]\n")
    there = lambda trace: braid.trace(trace) is not None
    with Loki() as loki, Tempo(there) as tempo, Jaeger(there) as jaeger:
        found = doctor("--url", braid.web, "--prometheus", scraper.url, "--loki", loki.url, "--tempo", tempo.url,
                       "--jaeger", jaeger.url, "--datasources", sources)
    assert sorted(check["id"] for check in found.checks) == sorted(ids)


# Scenario: the data source files that come with Braid.
# Guarantees: the doctor finds nothing to fail or warn of.
def test_provisioned_datasources(busy_braid):
    if not os.path.isdir(PROVISIONING):
        pytest.skip(f"there is no {os.path.relpath(PROVISIONING, braid_support.CHECKOUT)}")
    braid = busy_braid()
    found = doctor("--url", braid.web, "--datasources", PROVISIONING)
    wrong = [c for c in found.checks if c["id"].startswith("datasources.") and c["verdict"] not in ("ok", "skipped")]
    assert wrong == []
    assert found.verdict("datasources.references") == "ok"
