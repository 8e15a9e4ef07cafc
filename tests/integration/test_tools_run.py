"""`tools/run`, the first of the two commands, as somebody would use it."""

import json
import os
import re
import signal
import subprocess
import urllib.request

import pytest

from braid import BINARY, CHECKOUT, eventually, free_ports


@pytest.fixture
def running(tmp_path):
    """running(*arguments) -> (output so far as a function, web URL, Prometheus' URL, process), on ports of its own."""
    started = []

    def start(*arguments):
        web, grpc, http, prometheus = free_ports(4)
        log = open(tmp_path / f"run{len(started)}.log", "w+b")
        process = subprocess.Popen(
            [os.path.join(CHECKOUT, "tools", "run"), *arguments, "--", "--set", f"web.listen=127.0.0.1:{web}",
             "--set", f"receivers.otlp.grpc.listen=127.0.0.1:{grpc}", "--set", f"receivers.otlp.http.listen=127.0.0.1:{http}"],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=tmp_path, start_new_session=True,
            env={**os.environ, "BRAID_PROMETHEUS_PORT": str(prometheus), "TMPDIR": str(tmp_path)})
        started.append(process)

        def output():
            assert process.poll() is None, open(log.name, encoding="utf-8").read()
            return open(log.name, encoding="utf-8").read()

        return output, f"http://127.0.0.1:{web}", f"http://127.0.0.1:{prometheus}", process

    yield start
    for process in started:
        if process.poll() is None:  # A test that failed. What it started is in groups of its own: it has to end them.
            process.terminate()
            process.wait(60)


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


# The command builds and starts the release preset's.
same_binary = pytest.mark.skipif(
    os.path.realpath(BINARY) != os.path.join(os.path.realpath(CHECKOUT), "build", "release", "gateway", "braid"),
    reason="BRAID_BINARY is not what tools/run builds")


# Scenario: the command without arguments, Ctrl-C when all of it runs.
# Guarantees: it says where to look, and each of those places answers: a trace, Prometheus, which scrapes Braid and has
# Braid's alerts and the example's objectives, and the doctor, who finds nothing wrong. Ctrl-C ends everything and leaves
# nothing behind.
@same_binary
def test_run(running, tmp_path):
    output, web, prometheus, process = running()
    text = eventually(lambda: "stop           Ctrl-C" in output() and output(), 120)
    (trace,) = re.findall(r"a trace +(\S+)", text)
    assert get(trace)["spans"]
    assert f"Prometheus     {prometheus}, which scrapes Braid" in text

    def rules():
        return {rule["name"]: rule["health"] for group in get(prometheus + "/api/v1/rules")["data"]["groups"]
                for rule in group["rules"]}

    assert {"BraidDown", "SLOFastBurn", "service:slo_error_ratio:rate5m"} <= rules().keys()
    # Each group waits for a moment of its own in its interval, which is minutes for some.
    eventually(lambda: list(rules().values()).count("ok") > 20, 60, 0.5)
    assert "err" not in rules().values()
    (doctor,) = re.findall(r"is all well\? +(.+)", text)
    words = doctor.split()
    words[0] = os.path.join(tmp_path, words[0])  # It is given relative to where the command was called.

    def complaints():
        said = subprocess.run([*words, "-o", "json"], capture_output=True, text=True, check=False)
        return [check for check in json.loads(said.stdout)["checks"] if check["verdict"] in ("fail", "warn")]

    eventually(lambda: not complaints(), 60, 1)  # Among them that the first scrape has not come yet.
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(40) == 0
    for url in (web + "/livez", prometheus + "/-/ready"):
        with pytest.raises(OSError):
            urllib.request.urlopen(url, timeout=2)
    assert not list(tmp_path.glob("braid-prometheus*"))


# Scenario: somebody wants no Prometheus.
# Guarantees: none is started, and the output says so.
@same_binary
def test_without_prometheus(running):
    output, _, prometheus, process = running("--no-prometheus")
    text = eventually(lambda: "stop           Ctrl-C" in output() and output(), 120)
    assert "not started (--no-prometheus)" in text
    with pytest.raises(OSError):
        urllib.request.urlopen(prometheus + "/-/ready", timeout=2)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(40) == 0
