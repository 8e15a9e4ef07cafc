"""What rules, runbooks and docs/slo.md say, tried on a running gateway that plays the demo shop, with a real Prometheus."""

import json
import os
import re
import subprocess

import pytest
import yaml

import braid as braid_support
import rules
from braid import Braid, eventually, tool
from prometheus import Prometheus
from prometheus_pages import read_text
from rules import export, rules_in

DIALECTS = ["tempo", "otel"]
NEXT_BOUND = {"256ms": "200ms", "1024ms": "1000ms", "2048ms": "2000ms"}  # of otel's buckets


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Shop:
    """The demo shop with a gateway that speaks `dialect`, twice for ten seconds; Prometheus scrapes from before the second
    time on. One sink fails, one is remote write."""

    def __init__(self, dialect, gateway, prometheus):
        self.dialect, self.gateway, self.prometheus = dialect, gateway, prometheus
        self.spans = 0
        self.calls = {"tempo": "traces_spanmetrics_calls_total", "otel": "traces_span_metrics_calls_total"}[dialect]

    def open(self, seed):
        """Samples of the page once it has every span that the shop sent."""
        done = self.gateway.run("demo", "--endpoint", self.gateway.grpc.removeprefix("http://"), "--rate", "100", "--seed", seed,
                                "--duration", "10s", "-o", "json")
        assert done.returncode == 0, done.stderr
        self.spans += json.loads(done.stdout)["spans"]

        def complete():
            samples = read_text(self.gateway.metrics(only="derived", accept=braid_support.TEXT).encode()).samples
            return samples if sum(v for (name, _), v in samples.items() if name == self.calls) == self.spans else None

        return eventually(complete)

    def play(self, prometheus):
        self.before = self.open("1")
        self.prometheus = prometheus().scraping()
        self.after = self.open("2")
        eventually(lambda: self.prometheus.value(f"sum({self.calls})") == self.spans)

    def increase(self, name):
        """{labels as a dict, frozen: increase} of the series that Prometheus saw from the beginning."""
        return {labels: value - self.before[sample, labels] for (sample, labels), value in self.after.items()
                if sample == name and (sample, labels) in self.before}


@pytest.fixture(scope="module", params=DIALECTS)
def shop(request, tmp_path_factory):
    config = {"metrics": {"dialect": request.param},
              "receivers": {"prometheus": {"remote_write": {"enabled": True, "listen": "127.0.0.1:0"}}},
              "sinks": {"fails": {"type": "otlp_http", "endpoint": "http://127.0.0.1:9"},
                        "pushed": {"type": "prometheus_remote_write", "endpoint": "http://127.0.0.1:9/w"}},
              "shutdown": {"drain_deadline": "0ms"}}
    with Braid(config) as gateway:
        scene = Shop(request.param, gateway, None)
        try:
            scene.play(lambda: Prometheus(tmp_path_factory.mktemp("prometheus") / "data", gateway.web_address, honor_labels=True))
            yield scene
        finally:
            if scene.prometheus:
                scene.prometheus.stop()


def page(gateway):
    """{name of a sample: [its labels]} of the whole page."""
    found = {}
    for name, labels in read_text(gateway.metrics(accept=braid_support.TEXT).encode()).samples:
        found.setdefault(name, []).append(dict(labels))
    return found


# --- queries against what is there ---

SELECTOR = re.compile(r'\b((?:braid|process|traces)_\w+)(?:\{([^}]*)\})?')
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')


def unknown(expr, samples):
    """What `expr` asks for that the page does not have: metrics, labels, and values that it names one by one."""
    problems = []
    for name, matchers in SELECTOR.findall(expr):
        rows = samples.get(name)
        if rows is None:
            problems.append(name)
            continue
        for label, how, value in MATCHER.findall(matchers):
            have = {row.get(label) for row in rows}
            if label not in ("slo", "service", "client") and have == {None}:
                problems.append(f"{name}: label {label}")
            alternatives = [value] if how in ("=", "!=") else value.split("|")
            for one in alternatives:
                if re.fullmatch(r"\w+", one) and label in ("outcome", "reason", "result", "what", "signal") and one not in have:
                    problems.append(f"{name}: {label}={one}")
    for labels in re.findall(r"\b(?:without|ignoring) \(([^)]*)\)", expr):
        known = {label for name, _ in SELECTOR.findall(expr) for row in samples.get(name, []) for label in row}
        problems += [f"no label {label}" for label in re.split(r",\s*", labels) if label and label not in known]
    return problems


# Scenario: Braid's alerts and the queries of the runbooks, held against the page of a gateway with all kinds of sinks.
# Guarantees: every metric, label and value that they name exists, so that none is silent because of a name.
def test_queries_name_what_exists(shop):
    samples = page(shop.gateway)
    for rule in rules_in(yaml.safe_load(read(rules.ALERTS))):
        assert unknown(rule["expr"], samples) == [], rule["alert"]
    queries = [query for block in rules.blocks(read(rules.RUNBOOKS), "promql") for query in block.splitlines() if query]
    assert len(queries) > 50
    for query in queries:
        if "traces_spanmetrics" not in query or shop.dialect == "tempo":
            assert unknown(query, samples) == [], query


# Scenario: names that are wrong.
# Guarantees: the check above sees each kind.
def test_the_check_sees_wrong_names(shop):
    samples = page(shop.gateway)
    assert unknown("braid_no_such_metric > 1", samples) == ["braid_no_such_metric"]
    assert unknown('braid_dropped_items_total{cause="x"}', samples) == ["braid_dropped_items_total: label cause"]
    assert unknown('braid_dropped_items_total{reason=~"queue_full|full"}', samples) == ["braid_dropped_items_total: reason=full"]
    assert unknown("sum without (outcome) (braid_dropped_items_total)", samples) == ["no label outcome"]


# Scenario: every query of the runbooks is put to Prometheus.
# Guarantees: none is an error; those on Braid's state have an answer, and so have those on the shop's services.
def test_runbook_queries_run(shop):
    about_services = 0
    for query in "\n".join(rules.blocks(read(rules.RUNBOOKS), "promql")).splitlines():
        answer = shop.prometheus.api("query", query=query)["result"]
        state = re.fullmatch(r"(rate\()?braid_\w+(\[\w+\]\))?( / braid_\w+)?", query)
        services = shop.dialect == "tempo" and "traces_" in query
        about_services += services
        assert answer or not (state or services), query
    assert about_services == (4 if shop.dialect == "tempo" else 0)


# --- objectives on the shop ---


# Scenario: the example's objectives, in the dialect that the gateway speaks, as queries over the seconds of the demo.
# Guarantees: each service's requests are found; the share of bad ones is what the page's counters say, for availability and
# for latency; every short window has a value, errors or not.
def test_objectives_find_their_series(shop, tmp_path):
    slos = {slo["name"]: slo for slo in yaml.safe_load(read(rules.EXAMPLE))["slos"]}
    for slo in slos.values():
        if shop.dialect == "otel" and "threshold" in slo:
            slo["threshold"] = NEXT_BOUND[slo["threshold"]]
    source = tmp_path / "slo.yaml"
    source.write_text(json.dumps({"slos": list(slos.values())}))
    shares = {}
    for rule in rules_in(json.loads(export("--slo", str(source), "--only", "slo", "--dialect", shop.dialect, "-o", "json"))):
        if not re.fullmatch(r"service:slo_error_ratio:rate(30m|1h|2h|6h)", rule.get("record", "")):
            continue
        name, service = rule["labels"]["slo"], rule["labels"]["service"]
        value, want = shop.prometheus.value(rule["expr"]), share_of_bad(shop, slos[name], service)
        assert value is not None, rule
        # Prometheus extends each series to the window by up to half a scrape's interval, by its own value.
        assert abs(value - want) <= 0.03 * want, (rule, value, want)
        shares[name, service] = want
    assert len(shares) == 10, shares
    for indicator in ("availability", "latency"):
        mine = [share for (name, _), share in shares.items() if slos[name]["indicator"] == indicator]
        assert any(mine) and not all(mine), (indicator, shares)


def share_of_bad(shop, slo, service):
    """Counted from the page's own numbers."""
    histogram, label, unit = {"tempo": ("traces_spanmetrics_latency", "service", 1000),
                              "otel": ("traces_span_metrics_duration_milliseconds", "service_name", 1)}[shop.dialect]
    operations = [slo["operation"]] if isinstance(slo.get("operation"), str) else slo.get("operation")
    kinds = {"SPAN_KIND_SERVER"} | ({"SPAN_KIND_CONSUMER"} if "kind" not in slo else set())

    def count(name, **match):
        return sum(value for labels, value in shop.increase(name).items()
                   if (have := dict(labels))[label] == service and have["span_kind"] in kinds
                   and (not operations or have["span_name"] in operations) and match.items() <= have.items())

    if slo["indicator"] == "availability":
        total, bad = count(shop.calls), count(shop.calls, status_code="STATUS_CODE_ERROR")
    else:
        total = count(histogram + "_count")
        bad = total - count(histogram + "_bucket", le=float(slo["threshold"].removesuffix("ms")) / unit)
    assert total > 0, (slo, service)
    return bad / total


# --- commands ---


def shell(script, folder, gateway=None):
    path = os.pathsep.join([os.path.dirname(braid_support.BINARY), os.path.dirname(tool("promtool")), os.environ["PATH"]])
    if gateway is not None:
        script = script.replace("127.0.0.1:9464", gateway.web_address)
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env={**os.environ, "PATH": path},
                          capture_output=True, text=True, timeout=60, check=False)


# Scenario: every command of the runbooks, where a sink has failed.
# Guarantees: it works and answers.
def test_runbook_commands_run(shop, tmp_path):
    gateway = shop.gateway
    scripts = rules.blocks(read(rules.RUNBOOKS), "sh")
    assert len(scripts) >= 8
    for script in scripts:
        for line in script.splitlines():
            done = shell(line, tmp_path, gateway)
            assert done.returncode == 0, (line, done.stderr)
            assert done.stdout or "-o /dev/null" in line or ">" in line, line
    assert '"lastError":"' in shell(next(s for s in scripts if "lastError" in s), tmp_path, gateway).stdout


# Scenario: the file and the commands of docs/slo.md.
# Guarantees: the file is right as it stands there, and the commands take it.
def test_the_page_on_objectives(tmp_path):
    text = read(braid_support.CHECKOUT + "/docs/slo.md")
    (example,) = rules.blocks(text, "yaml")
    (script,) = rules.blocks(text, "sh")
    (tmp_path / "slo.yaml").write_text(example, encoding="utf-8")
    done = shell(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    made = rules_in(yaml.safe_load(read(tmp_path / "braid-rules.yaml")))
    names = {rule["record"] for rule in made if "record" in rule}
    for name in names:
        assert name in text or name.rsplit(":rate", 1)[1] in ("30m", "1h", "2h", "6h", "3d", "30d"), name
    promised = set(re.findall(r"`(service:slo_[\w:]+)`", text))
    assert promised <= names and len(promised) == 7, promised - names
    for link in re.findall(r"\]\(runbooks\.md#([^)]*)\)", text):
        assert link in rules.anchors(read(rules.RUNBOOKS)), link


# Scenario: the scrape job, beside Braid's alerts.
# Guarantees: promtool takes it with its rule files; it is named braid and scrapes Braid's default address.
def test_scrape_job():
    path = rules.RULES + "/scrape.yaml"
    done = subprocess.run([tool("promtool"), "check", "config", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout, done.stdout
    (job,) = yaml.safe_load(read(path))["scrape_configs"]
    config = json.loads(subprocess.run([braid_support.BINARY, "print-config", "-o", "json"], capture_output=True, check=True).stdout)
    assert job["job_name"] == "braid"
    assert job["static_configs"] == [{"targets": [config["web"]["listen"]]}]
