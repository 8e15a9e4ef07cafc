"""Starts the built gateway for a test, and asks it things."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(CHECKOUT, ".cache")
DATASETS = os.environ.get("BRAID_DATASETS") or os.path.join(CHECKOUT, "..", "shared", "datasets")
BINARY = os.environ.get("BRAID_BINARY") or os.path.join(CHECKOUT, "build", "release", "gateway", "braid")

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TEXT = "text/plain; version=0.0.4"


def free_ports(count):
    """Ports that were free a moment ago. Held together, so that they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for s in held:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in held]
    finally:
        for s in held:
            s.close()


def eventually(what, seconds=20, every=0.05):
    """Calls `what` until it returns something true, and returns that; fails with the last value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s; last: {value!r}")
        time.sleep(every)


def tool(name):
    """A program of Debian's prometheus package, installed or unpacked by tools/setup."""
    unpacked = os.path.join(CACHE, "prometheus", "usr", "bin", name)
    if os.path.exists(unpacked):
        return unpacked
    for folder in os.environ.get("PATH", "").split(":") + ["/usr/bin"]:
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise AssertionError(f"{name} is missing: run tools/setup test")


def merged(base, over):
    result = dict(base)
    for key, value in over.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


class Braid:
    """One running gateway on ports of its own. `config` is laid over the ports."""

    def __init__(self, config=None, ready=True, arguments=()):
        grpc_port, http_port, web_port = free_ports(3)
        self.grpc = f"http://127.0.0.1:{grpc_port}"
        self.http = f"http://127.0.0.1:{http_port}"
        self.web = f"http://127.0.0.1:{web_port}"
        self.web_address = f"127.0.0.1:{web_port}"
        self.config = merged({
            "receivers": {"otlp": {"grpc": {"listen": f"127.0.0.1:{grpc_port}"},
                                   "http": {"listen": f"127.0.0.1:{http_port}"}}},
            "web": {"listen": self.web_address},
        }, config or {})
        self._folder = tempfile.TemporaryDirectory(prefix="braid-test-")
        self.folder = self._folder.name
        config_file = os.path.join(self.folder, "braid.yaml")
        with open(config_file, "w", encoding="utf-8") as file:
            json.dump(self.config, file, indent=1)  # JSON is YAML.
        self.log_path = os.path.join(self.folder, "braid.log")
        self._log = open(self.log_path, "wb")
        self.may_end_with = {0}  # A test that stops it the hard way adds to this.
        self.process = subprocess.Popen([BINARY, "run", "--config", config_file, *arguments], stdout=self._log,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.stop()
                raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        code = self.stop()
        # Whatever the test was about, the gateway has to leave in order.
        if kind is None and code not in self.may_end_with:
            raise AssertionError(f"braid ended with {code}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-20000:]

    def wait_ready(self, seconds=20):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"braid ended with {self.process.returncode}\n{self.log()}")
            return self.get("/readyz")[0] == 200
        eventually(ready, seconds)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self, seconds=40):
        """SIGTERM, and SIGKILL for one that does not listen. Returns the exit code."""
        if self._folder is None:
            return self._code
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()
        self._code = self.process.returncode
        if self._code not in self.may_end_with:
            print(self.log())
        self._folder.cleanup()
        self._folder = None
        return self._code

    # --- asking ---

    def get(self, path, accept="*/*", timeout=10):
        """(status, body as str); status 0 when nobody answers."""
        request = urllib.request.Request(self.web + path, headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def status(self):
        code, body = self.get("/api/v1/status")
        assert code == 200, (code, body)
        return json.loads(body)

    def trace(self, trace_id):
        """The trace as the API shows it, or None."""
        code, body = self.get(f"/api/v1/traces/{trace_id}")
        if code == 404:
            return None
        assert code == 200, (code, body)
        return json.loads(body)

    def metrics(self, only=None, accept=OPENMETRICS):
        code, body = self.get("/metrics" + (f"?only={only}" if only else ""), accept)
        assert code == 200, (code, body)
        return body

    def rss(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def run(self, *arguments, timeout=300):
        """The binary with other arguments, such as `trace <id>` or `replay <file>`."""
        return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=timeout, check=False)


def total(table):
    """Sum of a {reason: count} table."""
    return sum(table.values())


def nonzero(table):
    """A {reason: count} table without the reasons that did not occur."""
    return {reason: count for reason, count in table.items() if count}


def check_account(status):
    """DESIGN D9: every identity of one status page holds exactly. Returns how many were looked at."""
    looked_at = 0
    for signal_name, row in status["account"]["ingress"].items():
        right = row["refused"] + total(row["rejected"]) + row["backlog"] + row["accepted"]
        assert row["received"] == right, (signal_name, row)
        looked_at += 1
    for sink, signals in status["account"]["sinks"].items():
        for signal_name, row in signals.items():
            right = row["held"] + row["queued"] + row["delivered"] + row["deadLettered"] + total(row["dropped"])
            assert row["accepted"] == right, (sink, signal_name, row)
            assert row["balanced"], (sink, signal_name, row)
            looked_at += 1
    return looked_at


def samples(page, name):
    """[(labels, value)] of one sample name of an exposition page, by the eye rather than by a parser."""
    found = []
    for line in page.splitlines():
        match = re.match(re.escape(name) + r"(?:\{(.*?)\})? ([^ #]+)", line)
        if match:
            found.append((dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[1] or "")), float(match[2])))
    return found
