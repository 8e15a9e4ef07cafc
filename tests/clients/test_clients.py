"""Official OpenTelemetry SDKs, through Braid, to receivers that share no code with either."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from braid import CHECKOUT, check_account, eventually, samples
from otlp_receiver import attributes, points

HERE = os.path.dirname(os.path.abspath(__file__))
TRACES = 20
REFUSED = TRACES // 5


class Python:
    protocols = ["grpc", "http/protobuf"]

    @staticmethod
    def command():
        return [sys.executable, os.path.join(HERE, "python", "client.py")]


class JavaScript:
    protocols = ["grpc", "http/protobuf", "http/json"]

    @staticmethod
    def command():
        # Python and JavaScript are not optional: tools/setup test installs both.
        assert shutil.which("node"), "node is missing: run tools/setup test"
        return ["node", os.path.join(HERE, "js", "client.mjs")]


class Go:
    protocols = ["grpc", "http/protobuf"]

    @staticmethod
    def command():
        if not shutil.which("go"):
            pytest.skip("no go here")
        with open(os.path.join(HERE, "go", "go.mod"), encoding="utf-8") as file:
            wanted = re.search(r"^go (\d+)\.(\d+)", file.read(), re.M).groups()
        have = re.search(r"go(\d+)\.(\d+)", subprocess.check_output(["go", "version"], text=True)).groups()
        if tuple(map(int, have)) < tuple(map(int, wanted)):
            pytest.skip(f"go {'.'.join(have)} here, the pinned SDK wants {'.'.join(wanted)}")
        binary = os.path.join(CHECKOUT, "build", "clients-go", "client")
        subprocess.run(["go", "build", "-mod=readonly", "-o", binary, "."], cwd=os.path.join(HERE, "go"), check=True,
                       env={**os.environ, "GOTOOLCHAIN": "local"}, timeout=600)
        return [binary]


class Java:
    protocols = ["grpc", "http/protobuf"]

    @staticmethod
    def command():
        if not shutil.which("mvn") or not shutil.which("java"):
            pytest.skip("no mvn and java here")
        built = os.path.join(CHECKOUT, "build", "clients-java")
        subprocess.run(["mvn", "-q", "-B", "compile", "dependency:build-classpath"], cwd=os.path.join(HERE, "java"),
                       check=True, timeout=600)
        with open(os.path.join(built, "classpath.txt"), encoding="utf-8") as file:
            return ["java", "-cp", os.path.join(built, "classes") + ":" + file.read().strip(), "Client"]


LANGUAGES = {"python": Python, "js": JavaScript, "go": Go, "java": Java}
CASES = [(language, protocol) for language, kind in LANGUAGES.items() for protocol in kind.protocols]


@pytest.fixture(scope="session")
def command_of():
    made = {}

    def command(language):
        if language not in made:
            made[language] = LANGUAGES[language].command()
        return made[language]

    return command


# Scenario: an official SDK sends its three signals with nothing but endpoint and protocol set.
# Guarantees: every span, log and data point arrives once at an independent OTLP receiver and every log at an
# independent Loki, with the stamps; the API shows each trace with its logs under their spans; the account adds up.
@pytest.mark.parametrize("wait_for", ["span", "verdict"])
@pytest.mark.parametrize("language,protocol", CASES, ids=[f"{l}-{p.replace('/', '-')}" for l, p in CASES])
def test_client(language, protocol, wait_for, command_of, start_braid, otlp, loki):
    command = command_of(language)
    braid = start_braid({
        # The default settle time: an SDK may flush its logs a moment after its spans, as Java's does.
        "correlate": {"logs": {"wait_for": wait_for}},
        "sinks": {"backend": {"type": "otlp_grpc", "endpoint": otlp.grpc_endpoint},
                  "loki": {"type": "loki", "endpoint": loki.endpoint}},
    })
    run = subprocess.run(command + [str(TRACES)], capture_output=True, text=True, timeout=120, check=False, env={
        **{k: v for k, v in os.environ.items() if not k.startswith("OTEL_")},
        "OTEL_EXPORTER_OTLP_ENDPOINT": braid.grpc if protocol == "grpc" else braid.http,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
    })
    assert run.returncode == 0, run.stderr
    traces = json.loads(run.stdout.splitlines()[-1])["traces"]
    assert len(set(traces)) == TRACES

    logs_expected = TRACES + REFUSED
    assert otlp.wait_for("traces", 2 * TRACES) == 2 * TRACES, run.stderr
    assert otlp.wait_for("logs", logs_expected) == logs_expected, run.stderr
    assert loki.wait_for(logs_expected) == logs_expected, loki.malformed
    otlp.wait_for("metrics", 3)

    spans = check_spans(otlp, traces, language)
    check_logs(otlp, spans, language, wait_for)
    check_loki(loki, spans, language, wait_for)
    check_metrics(otlp, braid, language)
    for trace_id in traces:
        check_trace(braid.trace(trace_id), trace_id)
    # Nothing comes twice, and nothing else.
    assert otlp.counts()["traces"] == 2 * TRACES and otlp.counts()["logs"] == logs_expected
    assert check_account(braid.status()) > 0


def check_spans(otlp, traces, language):
    spans = {}
    for span, resource in otlp.spans():
        assert resource["service.name"] == f"client-{language}"
        spans[span.trace_id.hex(), span.name] = span
    assert set(spans) == {(t, name) for t in traces for name in ("checkout", "pay")}
    for number, trace_id in enumerate(traces):
        checkout, pay = spans[trace_id, "checkout"], spans[trace_id, "pay"]
        assert not checkout.parent_span_id and checkout.kind == 2
        assert pay.parent_span_id == checkout.span_id and pay.kind == 3
        knows = attributes(pay.attributes)
        assert knows["log.count.info"] == 1
        assert "log.count.info" not in attributes(checkout.attributes)
        if number % 5 == 0:
            assert knows["log.count.error"] == 1 and knows["log.first_error"] == "card refused"
            assert pay.status.code == 2
        else:
            assert "log.count.error" not in knows and "log.first_error" not in knows
    return spans


def stamps_expected(span, language, refused, wait_for):
    expected = {
        "correlation.state": "span", "span.service": f"client-{language}", "span.name": "pay", "span.kind": "client",
        "span.status": "error" if refused else "unset",
        "span.duration_ms": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
    }
    if wait_for == "verdict":
        expected |= {"trace.root.name": "checkout", "trace.root.service": f"client-{language}", "trace.error": refused}
    return expected


def check_logs(otlp, spans, language, wait_for):
    seen = set()
    for record, resource in otlp.logs():
        assert resource["service.name"] == f"client-{language}"
        span = spans[record.trace_id.hex(), "pay"]
        assert record.span_id == span.span_id
        refused = span.status.code == 2
        knows = attributes(record.attributes)
        for key, value in stamps_expected(span, language, refused, wait_for).items():
            # A false trace.error may be left out: absent means that no error was seen.
            got = knows.get(key, False if key == "trace.error" else None)
            assert got == (pytest.approx(value) if isinstance(value, float) else value), (key, knows)
        seen.add((record.trace_id, record.body.string_value))
    assert len(seen) == TRACES + REFUSED


def check_loki(loki, spans, language, wait_for):
    for labels, entry in loki.entries():
        assert labels == {"service_name": f"client-{language}"}
        span = spans[entry.metadata["trace_id"], "pay"]
        assert entry.metadata["span_id"] == span.span_id.hex()
        for key, value in stamps_expected(span, language, span.status.code == 2, wait_for).items():
            got = entry.metadata.get(key.replace(".", "_"))
            if key == "trace.error":
                assert got in (("true",) if value else ("false", None)), entry
            elif isinstance(value, float):
                assert float(got) == pytest.approx(value), entry
            else:
                assert got == value, (key, entry)
        assert entry.line.startswith("paying order ") or entry.line == "card refused"


def check_metrics(otlp, braid, language):
    latest = {}
    for metric, resource in otlp.metrics():
        if resource.get("service.name") == f"client-{language}":
            latest[metric.name] = metric
    orders = {attributes(p.attributes)["refused"]: p.as_int or p.as_double for p in points(latest["client.orders"])}
    assert orders == {True: REFUSED, False: TRACES - REFUSED}
    (duration,) = points(latest["client.order.duration"])
    assert duration.count == TRACES and duration.sum == sum(10 + n for n in range(TRACES))

    def exposed():
        found = samples(braid.metrics("ingested"), "client_orders_total")
        return sum(value for _, value in found) == TRACES
    eventually(exposed)


def check_trace(trace, trace_id):
    assert trace is not None, f"{trace_id} is not in the store"
    assert trace["traceId"] == trace_id and not trace["logs"]
    named = {span["name"]: span for span in trace["spans"]}
    assert set(named) == {"checkout", "pay"} and len(trace["spans"]) == 2
    assert named["pay"]["parentSpanId"] == named["checkout"]["spanId"]
    assert not named["checkout"]["logs"]
    refused = "rror" in str(named["pay"]["status"])
    assert [log["body"] for log in named["pay"]["logs"]][1:] == (["card refused"] if refused else [])
    assert all(log["join"]["state"] == "span" for log in named["pay"]["logs"])
