"""Braid's Grafana dashboards as Grafana sees them: every query of every panel and variable, filled in, and run.

    board = load("tempo")["braid-services"]
    view = View(board, prometheus, end=time.time(), seconds=180)
    for target in board.targets():
        view.run(target)          # the result, or QueryError

A view chooses what Grafana would on opening the dashboard: All where there is All, else the first value.
"""

import json
import os
import re
import urllib.error
from dataclasses import dataclass, field

import grafana_variables as grafana
from braid import CHECKOUT

FOLDER = os.path.join(CHECKOUT, "dashboards", "grafana")
DIALECTS = ("tempo", "otel")

# Grafana's `interval` of a Prometheus data source that does not say how often it scrapes.
SCRAPE_INTERVAL = 15
# The width of a panel in pixels bounds its points; about what half of a screen has.
MAX_POINTS = 600


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    board: str
    panel: str
    panel_type: str
    ref: str
    source: str  # prometheus, loki or tempo
    query: str
    instant: bool = False
    form: str = "time_series"  # or table, heatmap
    exemplar: bool = False
    legend: str = ""
    min_interval: str = ""

    def __str__(self):
        return f"{self.board}: {self.panel}: {self.ref}"


@dataclass
class Board:
    """One dashboard."""

    uid: str
    dialect: str
    model: dict
    _panels: list = field(default_factory=list)

    def panels(self):
        """All that show something, those in collapsed rows included."""
        def walk(panels):
            for panel in panels:
                if panel["type"] == "row":
                    yield from walk(panel.get("panels", []))
                else:
                    yield panel

        if not self._panels:
            self._panels = list(walk(self.model["panels"]))
        return self._panels

    def targets(self):
        for panel in self.panels():
            for target in panel.get("targets", []):
                source = target.get("datasource", panel.get("datasource"))["type"]
                yield Target(self.uid, panel["title"], panel["type"], target["refId"], source,
                             target["query"] if source == "tempo" else target["expr"], target.get("instant", False),
                             target.get("format", "time_series"), target.get("exemplar", False),
                             target.get("legendFormat", ""), panel.get("interval", ""))

    def variables(self):
        return self.model["templating"]["list"]

    def links(self):
        """(where, link) of every link: of the dashboard, of fields, of columns."""
        for one in self.model.get("links", []):
            yield "dashboard", one
        for panel in self.panels():
            config = panel.get("fieldConfig", {})
            for one in config.get("defaults", {}).get("links", []):
                yield panel["title"], one
            for override in config.get("overrides", []):
                for entry in override["properties"]:
                    if entry["id"] == "links":
                        for one in entry["value"]:
                            yield f"{panel['title']}: {override['matcher']['options']}", one


def load(dialect):
    """{uid: Board} of a dialect."""
    boards = {}
    folder = os.path.join(FOLDER, dialect)
    for name in sorted(os.listdir(folder)):
        if name.endswith(".json"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                model = json.load(file)
            boards[model["uid"]] = Board(model["uid"], dialect, model)
    return boards


class QueryError(Exception):
    """Prometheus did not like a query."""


def seconds_of(duration):
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h|d)", duration))


class View:
    """A dashboard open in a browser: `seconds` up to `end`, its variables filled from `prometheus` in their order.
    `chosen` ({name: value or list}) overrides what is chosen at first."""

    def __init__(self, board, prometheus, end, seconds, chosen=None, scrape_interval=SCRAPE_INTERVAL):
        self.board = board
        self.prometheus = prometheus
        self.end = end
        self.seconds = round(seconds)
        self.scrape_interval = scrape_interval
        self.variables = {}
        for model in board.variables():
            options = self._options(model)
            if model["type"] == "datasource":
                options = [f"braid-{model['query']}"]
            self.variables[model["name"]] = grafana.Variable(model, options, (chosen or {}).get(model["name"]))

    def _options(self, model):
        if model["type"] == "custom":
            return [option["value"] for option in model["options"]]
        if model["type"] != "query":
            return []
        query = self.fill(model["query"], "prometheus")
        match = re.fullmatch(r"label_values\((.+),\s*(\w+)\)", query)
        assert match, f"{self.board.uid}: variable {model['name']}: {query}"
        return sorted(self.prometheus.api(f"label/{match[2]}/values", **{"match[]": match[1]},
                                          start=self.end - self.seconds, end=self.end))

    def interval(self, min_interval=""):
        """The step of a graph: the time shown over its points, no shorter than the panel or the data source says."""
        least = seconds_of(min_interval) if min_interval else self.scrape_interval
        return max(round(self.seconds / MAX_POINTS), least, 1)

    def built_in(self, min_interval=""):
        step = self.interval(min_interval)
        return {
            "__interval": f"{step:g}s",
            "__interval_ms": f"{step * 1000:g}",
            "__rate_interval": f"{max(step + self.scrape_interval, 4 * self.scrape_interval):g}s",
            "__range": f"{self.seconds}s",
            "__range_s": self.seconds,
            "__range_ms": self.seconds * 1000,
            "__from": round((self.end - self.seconds) * 1000),
            "__to": round(self.end * 1000),
        }

    def fill(self, text, source, min_interval=""):
        return grafana.fill(text, source, self.variables, self.built_in(min_interval))

    def expand(self, target):
        """The query as the data source gets it."""
        return self.fill(target.query, target.source, target.min_interval)

    def run(self, target):
        """[{"metric": labels, "value" or "values": ...}] as Prometheus answers; samples that are not a number are
        left out, and series that have no other. Raises QueryError."""
        assert target.source == "prometheus", target
        query = self.expand(target)
        try:
            if target.instant:
                result = self.prometheus.api("query", query=query, time=self.end)["result"]
            else:
                result = self.prometheus.api("query_range", query=query, start=self.end - self.seconds, end=self.end,
                                             step=self.interval(target.min_interval))["result"]
        except urllib.error.HTTPError as error:
            raise QueryError(f"{target}: {json.load(error).get('error')}\n{query}") from error
        return [kept for series in result if (kept := _numbers(series))]

    def exemplars(self, target):
        """The exemplars that Grafana draws with a target, as Prometheus answers."""
        return self.prometheus.api("query_exemplars", query=self.expand(target), start=self.end - self.seconds,
                                   end=self.end)


def _numbers(series):
    samples = series.get("values", [series["value"]] if "value" in series else [])
    samples = [(at, float(text)) for at, text in samples if text != "NaN"]
    return {"metric": series["metric"], "samples": samples} if samples else None
