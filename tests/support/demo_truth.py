"""What `braid demo -o json` says it did, as sums over operations and connections, to hold dashboards against.

Prometheus never knows what a counter had at its first scrape, so that is taken off the demo's numbers: what is left is what
a query over all of the time can find, but for the half scrape at both ends that increase() and rate() extrapolate.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field

SERVED = ("SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER")
CONNECTION = {"http": "", "grpc": "", "database": "database", "messaging": "messaging_system", "external": "virtual_node"}

# By what share of itself increase() and rate() extrapolate one counter of three minutes more than another: those that began
# at 0 are not extrapolated at their beginning.
EXTRAPOLATED = 0.003


@dataclass
class Totals:
    """Of some spans, or some calls."""

    requests: float = 0
    errors: float = 0
    seconds: float = 0  # all durations together
    at_most: dict = field(default_factory=lambda: defaultdict(float))  # {bound in ms: how many took no longer}

    def add(self, other, sign=1):
        self.requests += sign * other.requests
        self.errors += sign * other.errors
        self.seconds += sign * other.seconds
        for bound, count in other.at_most.items():
            self.at_most[bound] += sign * count
        return self

    @property
    def error_ratio(self):
        return self.errors / self.requests

    @property
    def mean(self):
        """In seconds."""
        return self.seconds / self.requests

    def buckets_of(self, q, bounds):
        """[(low, high)] in ms: the buckets in one of which a histogram with these bounds has to find the quantile. It is one,
        unless the quantile's rank is so near to a bucket's border that extrapolation may move it across."""
        slack = EXTRAPOLATED * self.requests + 1e-6
        rank = q * self.requests
        found, low, below = [], 0.0, 0.0
        for bound in (*bounds, math.inf):
            count = self.requests if bound == math.inf else self.at_most[bound]
            if count >= rank - slack and below < rank + slack:
                found.append((low, bound))
            low, below = bound, count
        return found


class Seen:
    """What of the demo's `truth` Prometheus could see, in the `seconds` before `end`."""

    def __init__(self, truth, dialect, prometheus, end, seconds):
        self.seconds = seconds
        self.operations = {}  # (service, span name, kind): Totals
        self.edges = {}  # (client, server, connection type): {"client": Totals, "server": Totals}
        service, calls, latency, unit = {
            "tempo": ("service", "traces_spanmetrics_calls_total", "traces_spanmetrics_latency", 1),
            "otel": ("service_name", "traces_span_metrics_calls_total", "traces_span_metrics_duration_milliseconds", 1000),
        }[dialect]

        def first(selector):
            """[(labels, value at the first scrape)] of counters."""
            query = f"min_over_time({selector}[{math.ceil(seconds)}s])"
            return [(row["metric"], float(row["value"][1])) for row in prometheus.api("query", query=query, time=end)["result"]]

        def unseen(requests, failed, durations, key_of, per_second):
            """{key: Totals of what was there at the first scrapes}"""
            found = defaultdict(Totals)
            for labels, value in first(requests):
                found[key_of(labels)].requests += value
            for labels, value in first(failed):
                found[key_of(labels)].errors += value
            for labels, value in first(f"{durations}_sum"):
                found[key_of(labels)].seconds += value / per_second
            for labels, value in first(f"{durations}_bucket"):
                if labels["le"] != "+Inf":
                    found[key_of(labels)].at_most[round(float(labels["le"]) * 1000 / per_second)] += value
            return found

        missing = unseen(calls, calls + '{status_code="STATUS_CODE_ERROR"}', latency,
                         lambda labels: (labels[service], labels["span_name"], labels["span_kind"]), unit)
        for row in truth["operations"]:
            key = (row["service"], row["span_name"], row["span_kind"])
            self.operations[key] = _totals(row["spans"], row["errors"], row, truth).add(missing[key], -1)

        def ends(labels):
            return labels["client"], labels["server"], labels.get("connection_type", "")

        rows = {(row["client"], row["server"], CONNECTION[row["type"]]): row for row in truth["edges"]}
        # The browsers that call the shop, of which the demo does not speak: nobody else calls the front end.
        frontend = Totals()
        for row in truth["operations"]:
            if row["service"] == "frontend" and row["span_kind"] in SERVED:
                frontend.add(_totals(row["spans"], row["errors"], row, truth))
        graph = "traces_service_graph_request"
        for side in ("client", "server"):
            missing = unseen(f"{graph}_total", f"{graph}_failed_total", f"{graph}_{side}_seconds", ends, 1)
            made = {key: _totals(row["calls"], row["failed"], row[f"{side}_time"], truth) for key, row in rows.items()}
            made["user", "frontend", "virtual_node"] = Totals().add(frontend)
            for key, totals in made.items():
                self.edges.setdefault(key, {})[side] = totals.add(missing[key], -1)

    def served(self, *by, **only):
        """{values of `by`: Totals} of the requests that services serve; both of service and span_name."""
        found = defaultdict(Totals)
        for (service, name, kind), totals in self.operations.items():
            row = {"service": service, "span_name": name}
            if kind in SERVED and all(row[key] == value for key, value in only.items()):
                found[tuple(row[key] for key in by)].add(totals)
        return dict(found)

    def calls(self, side, *by, **only):
        """{values of `by`: Totals} of connections, with the times of that side; both of client, server and
        connection_type."""
        found = defaultdict(Totals)
        for (client, server, kind), sides in self.edges.items():
            row = {"client": client, "server": server, "connection_type": kind}
            if all(row[key] == value for key, value in only.items()):
                found[tuple(row[key] for key in by)].add(sides[side])
        return dict(found)


def _totals(requests, errors, durations, truth):
    return Totals(requests, errors, durations["duration_ns"] / 1e9,
                  defaultdict(float, zip(truth["bounds_ms"], durations["at_most"])))
