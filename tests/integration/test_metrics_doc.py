"""docs/metrics.md against a gateway with every option on, and against the sources."""

import collections
import glob
import os
import re

import pytest

import prometheus_pages as pages
from braid import CHECKOUT, Braid, free_ports
from every_metric import everything, feed

DOCUMENT = os.path.join(CHECKOUT, "docs", "metrics.md")
# A row of the tables of Braid's own metrics: name, labels, meaning.
ROW = re.compile(r"\| `((?:braid|process)_\w+)` \| ((?:`\w+`(?:, )?)*) *\| .+ \|")
# Named in the document, but not ours: of a peer, or what a peer asks for.
FOREIGN = {"traces_host_info", "traces_span_metrics_calls", "traces_span_metrics_duration"}
NAME = re.compile(r"\b(?:braid|process|traces)_[a-z0-9_]+\b(?!\()")


@pytest.fixture(scope="module")
def gateway():
    with Braid(everything(free_ports(4))) as braid:
        braid.may_end_with.add(1)
        feed(braid)
        yield braid


def document():
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read()


def shown(kind, family):
    """The name by which a family of the text format is documented."""
    return family + "_total" if kind == "counter" else family


# Scenario: a gateway with every option on, and traffic for each of them.
# Guarantees: every derived family that it shows is named in the document, and it shows every one that is named.
def test_derived_families(gateway):
    page = pages.read(gateway, "text", "derived")
    named = {name for name in NAME.findall(document()) if name.startswith("traces_")} - FOREIGN
    have = {shown(kind, name) for name, kind in page.types.items()}
    assert have == named, (sorted(have - named), sorted(named - have))


# Scenario: the same gateway's own metrics.
# Guarantees: the tables have every family and no other, and for each the labels that it has.
def test_own_families(gateway):
    page = pages.read(gateway, "text", "self")
    labels = collections.defaultdict(set)
    for sample, pairs in page.samples:
        labels[re.sub("_(bucket|count|sum)$", "", sample) if sample not in page.types else sample] |= {k for k, _ in pairs}
    have = {shown(kind, name): labels[shown(kind, name)] - {"le"} for name, kind in page.types.items()}
    rows = [(name, set(re.findall(r"\w+", told))) for name, told in ROW.findall(document())]
    assert len(rows) == len(dict(rows)), "a metric has two rows"
    told = dict(rows)
    assert have.keys() == told.keys(), (sorted(have.keys() - told.keys()), sorted(told.keys() - have.keys()))
    for name, wanted in have.items():
        assert told[name] == wanted, (name, told[name], wanted)


# Scenario: every name of a metric in the documents.
# Guarantees: some source has it, in full or without a suffix that the page appends; one that ends in an underscore
# stands for all that begin so.
def test_documented_names_exist():
    sources = ""
    for folder in ("base", "config", "correlate", "exporters", "gateway", "ingest"):
        for path in glob.glob(os.path.join(CHECKOUT, folder, "**", "*.cc"), recursive=True):
            with open(path, encoding="utf-8") as file:
                sources += file.read()
    literals = set(re.findall(r'"((?:braid|process|traces)_[a-z0-9_]+)"', sources))
    assert len(literals) > 100
    for path in glob.glob(os.path.join(CHECKOUT, "docs", "**", "*.md"), recursive=True) + [os.path.join(CHECKOUT, "README.md")]:
        with open(path, encoding="utf-8") as file:
            names = set(NAME.findall(file.read())) - FOREIGN
        for name in names:
            known = name in literals or re.sub("_(total|bucket|count|sum)$", "", name) in literals
            if name.endswith("_"):
                known = any(literal.startswith(name) for literal in literals)
            assert known, (os.path.basename(path), name)
