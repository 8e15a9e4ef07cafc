#!/usr/bin/env python3
"""The whole path over loopback: what a span or a log costs the gateway, in CPU time of its process.

Starts the gateway on one CPU and the load generator and the sink on another, sends fresh trace IDs in a closed loop, waits
until everything has arrived, and divides the process's CPU time (/proc, all threads) by the items accepted. What a window
or queue postpones is charged to the items that caused it, because both ends are drained before and after. Repetitions of
the cases are interleaved and medians printed, because other work on the machine comes in spells; absolute figures
belong to the machine, ratios travel. Nothing is judged by wall-clock time; the exit code is 1 only if items got lost.

    tests/bench/run_bench.py --bin build/release                 # the matrix
    tests/bench/run_bench.py --bin build/release --only grpc     # cases whose name contains it
    tests/bench/run_bench.py --bin build/release --list
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

GRPC, HTTP, WEB = 16317, 16318, 16464
TICK = os.sysconf("SC_CLK_TCK")
PASS = 400 * 512  # items of the load generator's corpus

# CPU seconds per million items that the project aims at, by case; see reference figures in docs/testing.md.
TARGETS = {"grpc-forward": 0.83, "grpc-gzip-forward": 2.2, "logs-grpc-forward": 0.71}


def case(name, protocol="grpc", signals="traces", gzip=False, forward=False, **more):
    return {"name": name, "protocol": protocol, "signals": signals, "gzip": gzip, "forward": forward, **more}


CASES = [
    case("grpc"),
    case("grpc-forward", forward=True),
    case("grpc-forward-at-once", forward=True, wait="none"),
    case("http", "http"),
    case("http-forward", "http", forward=True),
    case("grpc-gzip", gzip=True),
    case("grpc-gzip-forward", gzip=True, forward=True),
    case("http-gzip", "http", gzip=True),
    case("http-gzip-forward", "http", gzip=True, forward=True),
    case("logs-grpc", signals="logs"),
    case("logs-grpc-forward", signals="logs", forward=True),
    case("both-grpc-forward", signals="traces,logs", forward=True),
    # Two core threads against one at the same offered rate. They share the CPUs with the load, so only CPU time counts.
    case("cores-1", forward=True, cores=1, spread=True),
    case("cores-2", forward=True, cores=2, spread=True),
]


def config_of(options, c, sink):
    lines = [
        "memory: {budget: %s}" % options.budget,
        "threads: {cores: %d}" % c.get("cores", 1),
        "receivers: {otlp: {grpc: {listen: '127.0.0.1:%d'}, http: {listen: '127.0.0.1:%d'}}}" % (GRPC, HTTP),
        "web: {listen: '127.0.0.1:%d'}" % WEB,
        # The corpus ends in the middle of traces, which are decided when this is over; it shortens the drain only.
        "correlate: {decision_max: 5s, spans: {wait: %s}}" % c.get("wait", "verdict"),
        "log: {level: warn}",
    ]
    if c["forward"]:
        kind = "otlp_grpc" if c["protocol"] == "grpc" else "otlp_http"
        where = sink["grpc"] if c["protocol"] == "grpc" else sink["http"]
        # The load is a closed loop and the load's CPU is shared: a sink that is late shall slow it down, not lose items.
        lines.append("sinks: {next: {type: %s, endpoint: 'http://%s', compression: %s, queue: {on_full: refuse}}}"
                     % (kind, where, "gzip" if c["gzip"] else "none"))
    return "\n".join(lines) + "\n"


def fetch(url, timeout=5):
    with urllib.request.urlopen(url, timeout=timeout) as reply:
        return reply.read().decode()


def cpu_seconds(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_bytes(pid):
    for line in pathlib.Path("/proc/%d/status" % pid).read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Process:
    """A child on its CPUs, ended with the block."""

    def __init__(self, command, cpus, **more):
        self.child = subprocess.Popen(["taskset", "-c", cpus, *command], **more)
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Memory(threading.Thread):
    """Resident memory, sampled while it runs."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.samples, self.over = pid, [], threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.25):
            try:
                self.samples.append(rss_bytes(self.pid))
            except OSError:
                return


class Bench:
    def __init__(self, options):
        self.options = options
        self.bin = pathlib.Path(options.bin)
        self.braid = options.braid or self.bin / "gateway/braid"
        self.results = {}
        self.lost = False

    def sink_counts(self):
        return json.loads(fetch("http://%s/counts" % self.sink["http"]))

    def drain(self, before, sent, patience=60):
        """Waits until the sink holds everything that was sent. Returns what is missing, by signal."""
        deadline = time.monotonic() + patience
        while True:
            now = self.sink_counts()
            missing = {s: sent[s]["items"] - (now[s]["items"] - before[s]["items"]) for s in ("traces", "logs")}
            if not any(missing.values()) or time.monotonic() > deadline:
                keys = {s: (now[s]["key_sum"] - before[s]["key_sum"] - sent[s]["key_sum"]) % 2**64 for s in missing}
                return {s: n for s, n in missing.items() if n or keys[s]}
            time.sleep(0.05)

    def settle(self, pid):
        """Without a sink: waits until the process has nothing left to do."""
        quiet, last = 0, cpu_seconds(pid)
        for _ in range(200):
            time.sleep(0.25)
            now = cpu_seconds(pid)
            quiet = quiet + 1 if now - last <= 0.02 else 0
            last = now
            if quiet == 4:
                return

    def load(self, child, command):
        child.stdin.write(command + "\n")
        child.stdin.flush()
        return json.loads(child.stdout.readline())

    def once(self, c):
        options = self.options
        sut_cpus = "0,1" if c.get("spread") else options.cpu
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder, "braid.yaml")
            config.write_text(config_of(options, c, self.sink))
            log = open(pathlib.Path(folder, "log"), "w+")
            with Process([str(self.braid), "run", "--config", str(config)], sut_cpus, stdout=log, stderr=log) as sut:
                self.wait_ready(sut, log)
                command = [str(self.bin / "tests/bench/braid_load"), "--signals", c["signals"], "--protocol", c["protocol"],
                           "--endpoint", "127.0.0.1:%d" % (GRPC if c["protocol"] == "grpc" else HTTP),
                           "--in-flight", str(options.in_flight), "--connections", "4" if c.get("spread") else "2"]
                if c["gzip"]:
                    command += ["--gzip", "--gzip-passes", str(options.gzip_passes)]
                with Process(command, options.load_cpu, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True) as load:
                    load.child.stdout.readline()
                    return self.measure(c, sut, load.child)

    def wait_ready(self, sut, log):
        deadline = time.monotonic() + 30
        while True:
            try:
                fetch("http://127.0.0.1:%d/readyz" % WEB, 1)
                return
            except (OSError, urllib.error.URLError):
                if sut.child.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit("the gateway does not get ready:\n" + log.read())
                time.sleep(0.05)

    def measure(self, c, sut, load):
        options = self.options
        rate = options.spread_rate if c.get("spread") else options.rate
        run = "run duration=%g rate=%g" % (options.duration, rate)
        warm_up = "run duration=%g rate=%g" % (options.warmup, rate)
        if c["gzip"]:
            # Compressed passes are made beforehand; none must come twice, or it counts as a duplicate, not as work.
            warm_up += " items=%d" % (2 * PASS)
            run += " items=%d" % ((options.gzip_passes - 3) * PASS)
        before = self.sink_counts()
        warm = self.load(load, warm_up)
        if warm["failed"] == warm["requests"]:
            sys.exit("nothing is accepted: " + warm["error"])
        if c["forward"]:
            self.drain(before, warm)
        self.settle(sut.pid)

        before = self.sink_counts()
        memory = Memory(sut.pid)
        begin = cpu_seconds(sut.pid)
        sent = self.load(load, run)
        sending = cpu_seconds(sut.pid)
        missing = self.drain(before, sent) if c["forward"] else {}
        self.settle(sut.pid)
        cpu = cpu_seconds(sut.pid) - begin
        memory.over.set()
        if missing or sent["failed"] or sent["rejected"]:
            self.lost = True
        return {
            "cpu_per_million": cpu / sent["items"] * 1e6,
            "items": sent["items"],
            "items_per_second": sent["items"] / sent["seconds"],
            "busy": (sending - begin) / sent["seconds"],
            "client_cpu_per_million": sent["client_cpu_seconds"] / sent["items"] * 1e6,
            "latency_ms": sent["latency_ms"],
            "capped": sent["capped"],
            "failed": sent["failed"],
            "rejected": sent["rejected"],
            "error": sent["error"],
            "missing": missing,
            "reused": sent["reused"],
            "peak_rss": max(memory.samples, default=0),
            "status": json.loads(fetch("http://127.0.0.1:%d/api/v1/status" % WEB)),
        }

    def run(self):
        options = self.options
        cases = [c for c in CASES if not options.only or any(word in c["name"] for word in options.only.split(","))]
        with Process([str(self.bin / "tests/bench/braid_sink")], options.load_cpu, stdout=subprocess.PIPE, text=True) as sink:
            self.sink = json.loads(sink.child.stdout.readline())
            for rep in range(options.reps):
                for at in range(len(cases)):
                    c = cases[(at + rep) % len(cases)]  # no case always follows the same other
                    result = self.once(c)
                    self.results.setdefault(c["name"], []).append(result)
                    print("%d/%d %-22s %6.3f CPU s/M  %8.0f items/s  busy %3.0f %%  RSS %4.0f MiB  p99 %.1f ms  %s%s"
                          % (rep + 1, options.reps, c["name"], result["cpu_per_million"], result["items_per_second"],
                             100 * result["busy"], result["peak_rss"] / 2**20, result["latency_ms"]["p99"],
                             "MISSING %s " % result["missing"] if result["missing"] else "",
                             "%d failed: %s" % (result["failed"], result["error"]) if result["failed"] else ""),
                          file=sys.stderr, flush=True)

    def median(self, name, key="cpu_per_million"):
        return statistics.median(r[key] for r in self.results[name])

    def report(self):
        mode = "open loop at %g/s" % self.options.rate if self.options.rate else "closed loop, %d in flight" % self.options.in_flight
        print("\n%s, %g s after %g s of warm-up, memory budget %s, %d repetitions (median, range)"
              % (mode, self.options.duration, self.options.warmup, self.options.budget, self.options.reps))
        print("%-22s %10s %15s %10s %6s %9s  %s" % ("case", "CPU s/M", "", "items/s", "busy", "peak RSS", "delivered"))
        for name, results in self.results.items():
            costs = [r["cpu_per_million"] for r in results]
            lost = sum(sum(r["missing"].values()) for r in results)
            failed = sum(r["failed"] for r in results)
            forward = next(c for c in CASES if c["name"] == name)["forward"]
            delivered = "MISSING %d" % lost if any(r["missing"] for r in results) else "all" if forward else "-"
            if failed:
                delivered += ", %d requests refused" % failed
            target = "  target %.2f" % TARGETS[name] if name in TARGETS else ""
            print("%-22s %10.3f %7.3f-%-7.3f %10.0f %5.0f%% %8.0fM  %s%s"
                  % (name, statistics.median(costs), min(costs), max(costs), self.median(name, "items_per_second"),
                     100 * self.median(name, "busy"), self.median(name, "peak_rss") / 2**20, delivered, target))
        for what, a, b in (("forwarding adds", "grpc-forward", "grpc"), ("HTTP to gRPC", "http", "grpc"),
                           ("gzip both ways to none", "grpc-gzip-forward", "grpc-forward"),
                           ("the whole job to forwarding at once", "grpc-forward", "grpc-forward-at-once"),
                           ("two core threads to one (target 1.15)", "cores-2", "cores-1")):
            if a in self.results and b in self.results:
                print("%-40s x %.2f" % (what, self.median(a) / self.median(b)))
        if self.results:
            self.report_memory()

    def report_memory(self):
        """What is allocated for each record of the window and the index, from the gateway's own account."""
        status = next(iter(self.results.values()))[-1]["status"]
        table, capacity = status["memory"]["windowBytes"], status["window"]["capacity"]
        print("window: %d bytes for %d records, %.1f each besides payload (target 64)" % (table, capacity, table / capacity))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/release", help="build folder with gateway/braid and tests/bench")
    parser.add_argument("--braid", help="another gateway binary")
    parser.add_argument("--only", help="words, separated by commas: cases whose name contains one")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--duration", type=float, default=6)
    parser.add_argument("--warmup", type=float, default=2)
    parser.add_argument("--rate", type=float, default=0, help="items per second, open loop; 0: closed loop")
    parser.add_argument("--spread-rate", type=float, default=200_000, help="of the cases that compare core threads")
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--gzip-passes", type=int, default=16)
    parser.add_argument("--budget", default="512MiB", help="memory.budget; at a million spans a second payload alone would need 1 GiB for its two seconds of settling")
    parser.add_argument("--cpu", default="0", help="of the gateway")
    parser.add_argument("--load-cpu", default="1", help="of load generator and sink")
    parser.add_argument("--json", help="file for all results")
    options = parser.parse_args()
    if options.list:
        print("\n".join(c["name"] for c in CASES))
        return 0
    bench = Bench(options)
    bench.run()
    bench.report()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(bench.results, indent=1))
    return 1 if bench.lost else 0


if __name__ == "__main__":
    sys.exit(main())
