"""What the Grafana dashboards look at in tests and in the pictures of docs/dashboards.md: a gateway with sinks, the demo's
traffic, and a Prometheus that scrapes it and evaluates the rules of the example's SLOs.

    scene = Scene("tempo", folder, seconds=180, rate=20)
    scene.finish()                       # the demo is over, and everything is scraped
    scene.view("braid-services")         # the dashboard, opened on all of the time
    scene.seen                           # what the demo says of what Prometheus could see
"""

import contextlib
import json
import math
import pathlib
import re
import subprocess
import time

from braid import BINARY, CHECKOUT, Braid, eventually
from dashboards import View, load
from demo_truth import Seen
from loki_receiver import LokiReceiver
from otlp_receiver import OtlpReceiver
from prometheus import Prometheus

OTEL_BOUNDS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000)  # ms


class Scene:
    """Begins with the constructor; stop() ends all of it. `interval` is how often the SLO rules are evaluated, `rules` are paths of
    more rule files."""

    def __init__(self, dialect, folder, seconds, rate, seed=11, interval="2s", rules=()):
        self.dialect = dialect
        self.seconds = seconds
        self.truth = None
        with contextlib.ExitStack() as stack:
            self.otlp = stack.enter_context(OtlpReceiver())
            self.loki = stack.enter_context(LokiReceiver())
            self.braid = stack.enter_context(Braid({"metrics": {"dialect": dialect}, "sinks": {
                "backend": {"type": "otlp_grpc", "endpoint": self.otlp.grpc_endpoint},
                "loki": {"type": "loki", "endpoint": self.loki.endpoint}}}))
            self.prometheus = stack.enter_context(Prometheus(
                folder / "prometheus", self.braid.web_address, rules=[self._rules(folder, interval), *rules])).scraping()
            self.demo = self.play(stack, seconds, rate, seed)
            self.start = time.time()
            self.stop = stack.pop_all().close

    def play(self, stack, seconds, rate, seed):
        """A demo that sends to the gateway. Its process, which ends with `stack`."""
        demo = subprocess.Popen(
            [BINARY, "demo", "--endpoint", self.braid.grpc.removeprefix("http://"), "--rate", str(rate), "--seed", str(seed),
             "--duration", f"{seconds}s", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        stack.callback(demo.kill)
        return demo

    def _rules(self, folder, interval):
        """Those of the example's SLOs, evaluated more often than one would."""
        self.objectives = (pathlib.Path(CHECKOUT) / "config" / "examples" / "slo.yaml").read_text()
        if self.dialect == "otel":  # Thresholds are bounds of buckets, and those of the example are tempo's.
            self.objectives = re.sub(r"(?<=threshold: )(\d+)ms",
                                     lambda m: f"{min(OTEL_BOUNDS, key=lambda b: abs(b - int(m[1])))}ms", self.objectives)
        mine = folder / "slo.yaml"
        mine.write_text(self.objectives)
        made = self.braid.run("rules", "export", "--only", "slo", "--slo", str(mine), "--dialect", self.dialect)
        assert made.returncode == 0, made.stderr
        path = folder / "slo-rules.yaml"
        path.write_text(re.sub(r"interval: \w+", f"interval: {interval}", made.stdout))
        return path

    def finish(self):
        """Waits for the demo's end, and until all of it has been scraped."""
        out, _ = self.demo.communicate(timeout=self.seconds + 60)
        self.truth = json.loads(out)
        calls = "traces_spanmetrics_calls_total" if self.dialect == "tempo" else "traces_span_metrics_calls_total"
        eventually(lambda: self.prometheus.value(f"sum({calls})") == self.truth["spans"], 30)
        # Calls that nothing answered become edges only after metrics.graph.wait.
        edges = 'sum(traces_service_graph_request_total{client!="user"})'
        eventually(lambda: self.prometheus.value(edges) == sum(edge["calls"] for edge in self.truth["edges"]), 60)
        self.end = time.time()
        self.seen = Seen(self.truth, self.dialect, self.prometheus, self.end, self.end - self.start)

    def view(self, uid, **chosen):
        return View(load(self.dialect)[uid], self.prometheus, self.end, self.end - self.start, chosen or None)

    def whole(self, uid, **chosen):
        """The same of a data source that says it scrapes so rarely that $__rate_interval is all of the time: then the last
        value of each graph, which is one at `end`, is of the whole time."""
        quarter = 15 * math.ceil((self.end - self.start) / 60)
        return View(load(self.dialect)[uid], self.prometheus, self.end, 4 * quarter, chosen or None, scrape_interval=quarter)
