"""tests/support/grafana_variables.py fills variables in as Grafana does."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "support"))

from dashboards import load, seconds_of  # noqa: E402
from grafana_variables import ALL, Variable, fill, references  # noqa: E402


def variable(name="v", chosen=None, options=("a", "b"), **model):
    return Variable({"name": name, "type": "query", **model}, options, chosen)


def filled(text, source="prometheus", built_in=None, **variables):
    return fill(text, source, variables, built_in or {})


SEVERAL = {"multi": True, "includeAll": True}


# Scenario: a variable that can have several values, in a Prometheus query.
# Guarantees: All is the custom value as it stands; values are escaped for the regular expression and the string around it;
# several are grouped, one is not.
def test_prometheus_several():
    every = variable(chosen=[ALL], allValue=".+", **SEVERAL)
    assert filled('{v=~"$v"}', v=every) == '{v=~".+"}'
    assert filled('{v=~"$v"}', v=variable(chosen=[ALL], **SEVERAL)) == '{v=~"(a|b)"}'
    assert filled('{v=~"$v"}', v=variable(chosen=["a.b", "c"], **SEVERAL)) == r'{v=~"(a\\.b|c)"}'
    assert filled('{v=~"$v"}', v=variable(chosen=["GET /x(1)|y"], **SEVERAL)) == r'{v=~"GET /x\\(1\\)\\|y"}'
    assert filled('{v=~"$v"}', v=variable(chosen=["a\\b"], **SEVERAL)) == r'{v=~"a\\\\b"}'


# Scenario: a variable of one value.
# Guarantees: it is escaped for a string, not for a regular expression.
def test_prometheus_single():
    assert filled('{v="$v"}', v=variable(chosen="a.b")) == '{v="a.b"}'
    assert filled('{v="$v"}', v=variable(chosen="a\\b")) == r'{v="a\\b"}'


# Scenario: the same variable in queries of the three data sources, and in a link.
# Guarantees: each has its own way.
def test_sources():
    two = variable(chosen=["a.b", "c"], **SEVERAL)
    assert filled("$v", "loki", v=two) == r"a\\.b|c"
    assert filled("$v", "loki", v=variable(chosen="it's")) == r"it\\'s"
    assert filled("$v", "tempo", v=two) == "a.b|c"
    assert filled("$v", "link", v=variable(chosen="a b")) == "a%20b"


# Scenario: ${name:format}.
# Guarantees: the format counts, whatever the source; custom values for All are not formatted, but text and percentencode are.
@pytest.mark.parametrize("form,expected", [
    ("regex", r"(a\.b|c\/d)"), ("pipe", "a.b|c/d"), ("csv", "a.b,c/d"), ("glob", "{a.b,c/d}"), ("raw", "a.b,c/d"),
    ("percentencode", "%7Ba.b%2Cc%2Fd%7D"), ("doublequote", '"a.b","c/d"'), ("singlequote", "'a.b','c/d'"),
    ("text", "a.b + c/d"), ("queryparam", "var-v=a.b&var-v=c%2Fd"),
])
def test_formats(form, expected):
    for source in ("prometheus", "loki", "tempo", "link"):
        assert filled("${v:%s}" % form, source, v=variable(chosen=["a.b", "c/d"], **SEVERAL)) == expected
    assert filled("${v:regex}", v=variable(chosen=["a.b"], **SEVERAL)) == r"a\.b"
    every = variable(chosen=[ALL], allValue=".+", **SEVERAL)
    assert filled("${v:regex}", v=every) == ".+"
    assert filled("${v:queryparam}", v=every) == "var-v=%24__all"


# Scenario: the three ways to write a reference, built-in ones, and what only looks like one.
# Guarantees: all are filled in; unknown ones stay, and so does $1 of label_replace.
def test_references():
    one = variable(chosen="x")
    text = 'a $v [[v]] ${v} [[v:raw]] $vv ${nothing} label_replace(b, "c", "$1", "d", "(.+)")[$__rate_interval]'
    assert filled(text, built_in={"__rate_interval": "60s"}, v=one) == \
        'a x x x x $vv ${nothing} label_replace(b, "c", "$1", "d", "(.+)")[60s]'
    assert references(text) == {"v", "vv", "nothing", "1", "__rate_interval"}
    assert references("${__data.fields.service:percentencode} ${__org.id}") == {"__data", "__org"}


def test_seconds():
    assert (seconds_of("15s"), seconds_of("1h30m"), seconds_of("250ms")) == (15, 5400, 0.25)


# Scenario: the module enumerates the committed dashboards.
# Guarantees: it sees every query that is in the files, of all three languages, and every link.
@pytest.mark.parametrize("dialect", ["tempo", "otel"])
def test_everything_is_enumerated(dialect):
    boards = load(dialect)
    assert sorted(boards) == ["braid-correlation", "braid-map", "braid-operations", "braid-service", "braid-services", "braid-slo"]
    targets = [target for board in boards.values() for target in board.targets()]
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(HERE))), "dashboards", "grafana", dialect)
    text = "".join(open(os.path.join(folder, name), encoding="utf-8").read() for name in sorted(os.listdir(folder)))
    assert len(targets) == text.count('"refId":')
    assert {target.source for target in targets} == {"prometheus", "loki", "tempo"}
    assert len({str(target) for target in targets}) == len(targets)
    links = [link for board in boards.values() for _, link in board.links()]
    assert len(links) == text.count('"url":') + len(boards)
    assert any(target.exemplar and target.form == "heatmap" for target in targets)
