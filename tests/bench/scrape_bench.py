#!/usr/bin/env python3
"""What a scrape of many derived series costs, and what it does to those who send meanwhile.

Series are made by templated requests, one for each span name (a counter, a histogram and a counter: about twenty lines).
Then the page is read in each format with nothing else to do: CPU time of the gateway's process, which is what to compare,
the wait for the first byte (a page is written before it is sent), the time until the last, bytes and lines. At last a
steady sender (open loop, latency from when a request was due) runs without scrapes and while the page is read without
pause, beside somebody who asks /livez and /api/v1/status every 50 ms. Nothing is judged by time; the exit code is 1 only
if a page was cut, a request failed or a series is missing.

    tests/bench/scrape_bench.py                                # 10,000, 100,000 and 1,000,000 series
    tests/bench/scrape_bench.py --series 100000 --only native  # cases whose name contains the word
"""
import argparse
import http.client
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
VENV = HERE.parent.parent / ".cache" / "venv"
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parent / "integration")]

TICK = os.sysconf("SC_CLK_TCK")
FORMATS = {
    "text": "text/plain; version=0.0.4",
    "openmetrics": "application/openmetrics-text; version=1.0.0",
    "protobuf": "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
}
CASES = {
    "classic": {},
    "native": {"histograms": "native"},
    "both dialects": {"dialect": "both"},
}
# More than any format needs; a page may have a quarter of the budget.
PAGE_BYTES_PER_SERIES = {"classic": 5000, "native": 5000, "both dialects": 10_000}
SPANS = 1000


def under_venv():
    """Goes on under the Python of .cache/venv, which has the packages that the tests' modules import."""
    python = VENV / "bin" / "python"
    if not python.exists():
        sys.exit(f"scrape_bench: {VENV} is missing: run tools/setup test")
    if not os.path.samefile(sys.prefix, VENV):
        os.execv(python, [str(python), *sys.argv])


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def at(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))] if sorted_values else 0


class Reader:
    """One connection to the web port; reads pages and keeps nothing of them."""

    def __init__(self, gateway):
        self._connection = http.client.HTTPConnection(gateway.web_address, timeout=600)
        self._buffer = bytearray(1 << 20)

    def read(self, path, accept="*/*", count_lines=False):
        """(seconds to the first byte, seconds, bytes, lines)"""
        begin = time.perf_counter()
        self._connection.request("GET", path, headers={"Accept": accept})
        answer = self._connection.getresponse()
        first = time.perf_counter() - begin
        assert answer.status == 200, (path, answer.status)
        size = lines = 0
        while got := answer.readinto(self._buffer):
            size += got
            if count_lines:
                lines += self._buffer.count(b"\n", 0, got)
        return first, time.perf_counter() - begin, size, lines

    def close(self):
        self._connection.close()


class Loop(threading.Thread):
    """Calls `what` until the block ends."""

    def __init__(self, what, pause=0.0):
        super().__init__(daemon=True)
        self._what, self._pause, self._over = what, pause, threading.Event()
        self.error = None

    def run(self):
        try:
            while not self._over.wait(self._pause) and not self._over.is_set():
                self._what()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()
        if self.error:
            raise self.error


class Load:
    """braid_load on its standard input and output."""

    def __init__(self, options, gateway):
        self._child = subprocess.Popen(
            [str(pathlib.Path(options.bin) / "tests/bench/braid_load"), "--signals", "traces", "--protocol", "grpc",
             "--endpoint", gateway.grpc.removeprefix("http://"), "--in-flight", "190", "--connections", "2"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._child.stdout.readline()

    def run(self, duration, rate):
        self._child.stdin.write(f"run duration={duration:g} rate={rate:g}\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    def close(self):
        self._child.terminate()
        self._child.wait(20)


class Bench:
    def __init__(self, options):
        self.options = options
        self.pages, self.ingest = [], []
        self.wrong = []

    def start(self, series, case):
        from braid import Braid
        budget = max(512 << 20, 4 * PAGE_BYTES_PER_SERIES[case] * series)
        return Braid({
            "memory": {"budget": f"{budget >> 20}MiB"}, "threads": {"cores": 1}, "store": {"max_bytes": "16MiB"},
            "correlate": {"settle": "100ms", "window": "10s", "decision_max": "5s"}, "log": {"level": "warn"},
            "metrics": {"max_series": 2 * series, "expire_after": "24h", "self_time": False, **CASES[case]},
        })

    def fill(self, gateway, series):
        """Series by the number, then a quiet gateway. Returns seconds and resident bytes."""
        from braid import eventually
        from test_cardinality import Sender, Template
        sender, template = Sender(gateway), Template(["scraped"], SPANS, distinct=True)
        begin = time.monotonic()
        for _ in range(series // SPANS):
            sender.send(template)
        sender.close()
        eventually(lambda: gateway.status()["series"]["derived"] >= series, 60, 0.2)
        took = time.monotonic() - begin
        self.settle(gateway)
        return took, gateway.rss()

    @staticmethod
    def settle(gateway):
        quiet, last = 0, cpu_seconds(gateway.process.pid)
        while quiet < 3:
            time.sleep(0.3)
            now = cpu_seconds(gateway.process.pid)
            quiet = quiet + 1 if now - last <= 0.03 else 0
            last = now

    def scrape(self, gateway, series, case, name):
        reader = Reader(gateway)
        runs, pid = [], gateway.process.pid
        for turn in range(self.options.reps + 1):
            begin = cpu_seconds(pid)
            first, seconds, size, lines = reader.read("/metrics?only=derived", FORMATS[name], name != "protobuf")
            runs.append((cpu_seconds(pid) - begin, first, seconds))
            if turn == 0:
                runs.clear()  # its memory came from the system; the next ones' from the allocator
        reader.close()
        cpu, first, seconds = (sorted(column)[len(runs) // 2] for column in zip(*runs))
        self.check_whole(gateway, series, case)
        self.pages.append({"series": series, "case": case, "format": name, "cpu_seconds": cpu, "first_byte_seconds": first,
                           "seconds": seconds, "bytes": size, "lines": lines, "rss": gateway.rss()})
        print(f"{series:9,d} {case:14s} {name:12s} CPU {cpu:7.3f} s  first byte {first:7.3f} s  all {seconds:7.3f} s  "
              f"{size / 1e6:8.1f} MB  {lines:11,d} lines"
              + (f"  {cpu * 1e9 / lines:5.0f} ns a line" if lines else f"  {cpu * 1e9 / series:5.0f} ns a series")
              + f"  RSS {gateway.rss() >> 20} MiB", flush=True)

    def check_whole(self, gateway, series, case):
        for line in gateway.metrics("self").splitlines():
            if line.startswith("braid_exposition_skipped_series_total") and 'reason="page_full"' in line and float(line.split()[-1]):
                self.wrong.append(f"{series} {case}: a page was cut: {line}")

    def disturb(self, gateway, series, case):
        """A steady sender alone, and while pages are read."""
        load = Load(self.options, gateway)
        pid = gateway.process.pid
        rate = self.options.rate
        load.run(3, 100_000)  # the sender's own series, and a warm window
        if not rate:
            begin, rate = cpu_seconds(pid), 100_000
            took = load.run(4, rate)
            rate = min(600_000, 0.5 * took["items"] / max(0.1, cpu_seconds(pid) - begin))
        for name in [None, *self.options.disturb.split(",")]:
            row = {"series": series, "case": case, "format": name, "rate": rate}
            pages, asked = [], {"/livez": [], "/api/v1/status": []}
            readers = {path: Reader(gateway) for path in asked}
            page_reader = Reader(gateway)

            def scrape():
                pages.append(page_reader.read("/metrics?only=derived", FORMATS[name])[1])

            def ask(path):
                asked[path].append(readers[path].read(path)[1])

            loops = [Loop(lambda path=path: ask(path), 0.05) for path in asked]
            if name:
                loops.append(Loop(scrape))
            for loop in loops:
                loop.__enter__()
            begin = cpu_seconds(pid)
            sent = load.run(self.options.duration * (3 if series >= 500_000 else 1), rate)
            row["busy"] = (cpu_seconds(pid) - begin) / sent["seconds"]
            for loop in loops:
                loop.__exit__()
            for reader in (page_reader, *readers.values()):
                reader.close()
            row.update(latency_ms=sent["latency_ms"], requests=sent["requests"], failed=sent["failed"],
                       capped=sent["capped"], pages=len(pages), page_seconds=at(sorted(pages), 0.5))
            for path, took in asked.items():
                row[path] = {"p50_ms": at(sorted(took), 0.5) * 1e3, "max_ms": max(took, default=0) * 1e3}
            if sent["failed"]:
                self.wrong.append(f"{series} {case} {name}: {sent['failed']} requests failed: {sent['error']}")
            self.ingest.append(row)
            ms = row["latency_ms"]
            print(f"{series:9,d} {case:14s} {name or 'no scrapes':12s} {rate:8.0f} spans/s, {row['requests']} requests: "
                  f"p50 {ms['p50']:.2f}  p99 {ms['p99']:.2f}  max {ms['max']:.1f} ms  busy {row['busy'] * 100:.0f} %  "
                  f"{row['pages']} pages of {row['page_seconds']:.2f} s  "
                  + "  ".join(f"{path} p50 {row[path]['p50_ms']:.1f} max {row[path]['max_ms']:.0f} ms" for path in asked),
                  flush=True)
        load.close()

    def run(self):
        options = self.options
        for series in options.series:
            for case in CASES:
                if options.only and options.only not in case:
                    continue
                if case == "both dialects" and series > options.both_max:
                    print(f"{series:9,d} {case}: left out (--both-max)")
                    continue
                with self.start(series, case) as gateway:
                    took, rss = self.fill(gateway, series)
                    print(f"{series:9,d} {case:14s} made in {took:.1f} s, resident {rss >> 20} MiB", flush=True)
                    for name in options.formats.split(","):
                        self.scrape(gateway, series, case, name)
                    if case == "classic" and options.disturb:
                        self.disturb(gateway, series, case)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/release", help="build folder with gateway/braid and tests/bench")
    parser.add_argument("--braid", help="another gateway binary")
    parser.add_argument("--series", type=lambda text: [int(n) for n in text.split(",")], default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--only", help="cases whose name contains it: " + ", ".join(CASES))
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--both-max", type=int, default=100_000, help="both dialects up to so many series; 8 GB a million")
    parser.add_argument("--disturb", default="openmetrics", help="formats to read while spans come; empty: none")
    parser.add_argument("--rate", type=float, default=0, help="spans a second of the steady sender; 0: half a core's worth")
    parser.add_argument("--duration", type=float, default=8, help="of the steady sender; three times that with many series")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--json", help="file for all results")
    options = parser.parse_args()
    under_venv()
    os.environ["BRAID_BINARY"] = str(pathlib.Path(options.braid or pathlib.Path(options.bin) / "gateway/braid").resolve())
    bench = Bench(options)
    bench.run()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"pages": bench.pages, "ingest": bench.ingest}, indent=1))
    for line in bench.wrong:
        print(line, file=sys.stderr)
    return 1 if bench.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
