"""`braid rules export`, and Debian's promtool to judge what it makes."""

import json
import subprocess

import braid as braid_support
from braid import tool

RULES = braid_support.CHECKOUT + "/dashboards/prometheus"
ALERTS = RULES + "/braid-alerts.yaml"
ALERT_TESTS = RULES + "/braid-alerts-test.yaml"
RUNBOOKS = braid_support.CHECKOUT + "/docs/runbooks.md"
EXAMPLE = braid_support.CHECKOUT + "/config/examples/slo.yaml"


def export(*arguments):
    """What `braid rules export` prints."""
    done = subprocess.run([braid_support.BINARY, "rules", "export", *arguments], capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    return done.stdout


def export_slos(folder, slos, *arguments, name="slo"):
    """The rules for `slos`, a list as in the SLO file, as a file in `folder`; returns its path."""
    source = folder / f"{name}-objectives.yaml"
    source.write_text(json.dumps({"slos": slos}), encoding="utf-8")  # JSON is YAML.
    file = folder / f"{name}-rules.yaml"
    file.write_text(export("--slo", str(source), "--only", "slo", *arguments), encoding="utf-8")
    return file


def check_rules(file):
    """How many rules promtool finds in it, with nothing to complain about."""
    done = subprocess.run([tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(file)], capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout and done.stderr == "", done.stdout + done.stderr
    return int(done.stdout.split("SUCCESS: ")[1].split()[0])


def test_rules(file):
    """Runs promtool's unit tests of rules; returns what it said, or nothing if all are right."""
    done = subprocess.run([tool("promtool"), "test", "rules", str(file)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


test_rules.__test__ = False  # Not pytest's.


def rules_in(document):
    """All rules of a parsed rule file."""
    return [rule for group in document["groups"] for rule in group["rules"]]


def anchors(markdown):
    """The anchors of a page's headings, as code hosts make them."""
    found = []
    for line in markdown.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("#").strip().lower()
            found.append("".join(c for c in heading if c.isalnum() or c in " -_").replace(" ", "-"))
    return found


def blocks(markdown, language):
    """The fenced blocks of one language."""
    return [part.split("\n```")[0] for part in markdown.split(f"\n```{language}\n")[1:]]
