#!/usr/bin/env python3
"""Draws the dashboards for docs/dashboards.md: runs the demo for some minutes, asks every panel's queries, and writes one SVG
for each dashboard. The numbers are a running gateway's; so every run draws other ones, and no test compares them.

    .cache/venv/bin/python tests/support/draw_dashboards.py --out docs/dashboards

So that there is something to see, half way through a second demo doubles the traffic for a while, and then the trace backend
refuses everything for a minute.
"""

import argparse
import contextlib
import os
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules
from dashboard_scene import Scene
from dashboards import View, load
from misbehaviour import Rule
from pictures import board

RATE = 10
CHOSEN = {"braid-service": {"service": "checkout"}}
NOTE = "Drawn from the demo's traffic; not a picture of Grafana."


def play(folder, minutes):
    """A scene that is over, still running."""
    seconds = 60 * minutes
    scene = Scene("tempo", folder, seconds, RATE, interval="5s", rules=[rules.ALERTS])
    with contextlib.ExitStack() as more:
        def until(share):
            time.sleep(max(0, scene.start + share * seconds - time.time()))

        until(0.4)
        scene.play(more, round(0.2 * seconds), RATE, seed=12)
        until(0.7)
        scene.otlp.rules.set(Rule("unavailable"))
        until(0.7 + 1 / minutes)
        scene.otlp.rules.clear()
        scene.demo.wait(seconds)
    scene.end = time.time()
    return scene


def error_lines(scene):
    """Answers the one form of LogQL that is on the dashboards from what the Loki sink sent."""
    def answer(logql):
        service = re.match(r'\{service_name="([^"]*)"\}', logql)[1]
        found = [(entry.time_ns / 1e9, entry.line) for labels, entry in scene.loki.entries()
                 if labels.get("service_name") == service and int(entry.metadata.get("severity_number", 0)) >= 17]
        return sorted(found, reverse=True)

    return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the pictures")
    parser.add_argument("--minutes", type=int, default=12)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        scene = play(pathlib.Path(folder), arguments.minutes)
        try:
            for uid, one in load("tempo").items():
                view = View(one, scene.prometheus, scene.end, 60 * arguments.minutes, CHOSEN.get(uid))
                text = board.draw(view, error_lines(scene), NOTE)
                (arguments.out / f"{uid}.svg").write_text(text, encoding="utf-8")
                print(f"{uid}.svg: {len(text.encode()) / 1000:.1f} kB")
        finally:
            scene.stop()


if __name__ == "__main__":
    main()
