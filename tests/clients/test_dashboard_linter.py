"""Grafana's own dashboard-linter reads the dashboards. (dashboards/grafana/checks has the same rules for where no Go is.)"""

import glob
import json
import os
import shutil
import subprocess

import pytest

from braid import CHECKOUT

HERE = os.path.dirname(os.path.abspath(__file__))
GRAFANA = os.path.join(CHECKOUT, "dashboards", "grafana")
EXCLUSIONS = os.path.join(GRAFANA, "lint.json")
RULES = 17


@pytest.fixture(scope="module")
def lint():
    if not shutil.which("go"):
        pytest.skip("no go here")
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    folder = os.path.join(HERE, "dashboard_linter")
    have = subprocess.run(["go", "list", "-m"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if have.returncode:
        pytest.skip(f"another go here: {have.stderr.strip()}")
    binary = os.path.join(CHECKOUT, "build", "clients-go", "dashboard_linter")
    # Its rules bring Loki and Prometheus with them: the first build takes minutes.
    subprocess.run(["go", "build", "-mod=readonly", "-o", binary, "."], cwd=folder, check=True, env=environment, timeout=800)

    def run(files, configuration=EXCLUSIONS):
        run = subprocess.run([binary, configuration, *files], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        *findings, summary = map(json.loads, run.stdout.splitlines())
        assert summary["rules"] == RULES
        return findings, summary["results"]

    return run


# Scenario: the linter reads every committed dashboard with our list of exclusions.
# Guarantees: no error and no warning, as with its --strict; what the list excludes is really found by the rules that our
# own checks know it from, in those dashboards and no others.
def test_dashboards_are_clean(lint):
    files = sorted(glob.glob(os.path.join(GRAFANA, "*", "braid-*.json")))
    assert len(files) == 12
    findings, results = lint(files)
    assert results > 12 * RULES
    assert [f for f in findings if f["severity"] != "excluded"] == []
    with open(EXCLUSIONS, encoding="utf-8") as file:
        exclusions = json.load(file)["exclusions"]
    listed = {(rule, entry["dashboard"]) for rule, entries in exclusions.items() for entry in entries["entries"]}
    titles = {}
    for path in files:
        with open(path, encoding="utf-8") as file:
            titles[path] = json.load(file)["title"]
    found = {(f["rule"], titles[f["file"]]) for f in findings}
    # Theirs does not see counters that have matchers; ours does, and so that one is on the list.
    assert found == listed - {("target-counter-agg-rule", "Braid / Operations")}


# Scenario: a dashboard with one fault after the other.
# Guarantees: the linter that we run is one that finds them.
@pytest.mark.parametrize("rule", ["uneditable-dashboard", "panel-units-rule", "target-job-rule", "target-promql-rule",
                                  "target-rate-interval-rule", "template-instance-rule"])
def test_faults_are_found(lint, rule, tmp_path):
    with open(os.path.join(GRAFANA, "tempo", "braid-services.json"), encoding="utf-8") as file:
        board = json.load(file)
    graph = next(panel for panel in board["panels"] if panel["type"] == "timeseries")
    query = graph["targets"][0]
    if rule == "uneditable-dashboard":
        board["editable"] = True
    elif rule == "panel-units-rule":
        graph["fieldConfig"]["defaults"]["unit"] = "parsec"
    elif rule == "target-job-rule":
        query["expr"] = query["expr"].replace('job=~"$job", ', "")
    elif rule == "target-promql-rule":
        query["expr"] += ")"
    elif rule == "target-rate-interval-rule":
        query["expr"] = query["expr"].replace("$__rate_interval", "5m")
    else:
        board["templating"]["list"] = [v for v in board["templating"]["list"] if v["name"] != "instance"]
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(board))
    findings, _ = lint([str(broken)])
    assert {f["rule"] for f in findings if f["severity"] == "error"} == {rule}
