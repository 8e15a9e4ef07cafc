"""Braid's own alerts and what `braid rules export` makes of an SLO file, judged by Debian's promtool.

What fires and what does not is tested on both sides of each threshold, with shares that are exact in binary or a
sixteenth away from it: Prometheus 2.42 compares floating point numbers as they are.
"""

import json
import re

import pytest
import yaml

import rules
from rules import check_rules, export, export_slos, rules_in

OBJECTIVES = [99, 99.9, 99.99]
DIALECTS = ["tempo", "otel"]
CALLS = {"tempo": "traces_spanmetrics_calls_total", "otel": "traces_span_metrics_calls_total"}
LATENCY = {"tempo": "traces_spanmetrics_latency", "otel": "traces_span_metrics_duration_milliseconds"}
SERVICE = {"tempo": "service", "otel": "service_name"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def committed():
    return yaml.safe_load(read(rules.ALERTS))


def for_dialect(slos, dialect):
    """Thresholds of tempo's buckets, as the next of otel's."""
    next_bound = {"256ms": "200ms", "1024ms": "1000ms", "2048ms": "2000ms"}
    for slo in slos:
        if dialect == "otel" and "threshold" in slo:
            slo["threshold"] = next_bound[slo["threshold"]]
    return slos


# --- form ---


# Scenario: the committed alerts go through promtool.
# Guarantees: nothing to complain about, and each has all that somebody on call needs.
def test_committed_alerts_are_clean():
    assert check_rules(rules.ALERTS) == len(rules_in(committed())) >= 25
    for rule in rules_in(committed()):
        assert rule["labels"] == {"severity": rule["labels"]["severity"]}, rule
        assert rule["labels"]["severity"] in ("page", "ticket"), rule
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, rule
        assert "for" in rule or rule["alert"] == "BraidRestarting", rule  # Which counts over an hour by itself.
        assert not re.search(r'\bjob\s*=', rule["expr"]), f"{rule['alert']} knows its scrape job"


# Scenario: the example's objectives, in each dialect, with Braid's own alerts; as YAML and as JSON.
# Guarantees: promtool is content with both, they say the same, and every series is one that is promised.
@pytest.mark.parametrize("dialect", DIALECTS)
def test_exported_rules_are_clean(dialect, tmp_path):
    slos = for_dialect(yaml.safe_load(read(rules.EXAMPLE))["slos"], dialect)
    source = tmp_path / "slo.yaml"
    source.write_text(json.dumps({"slos": slos}))
    as_yaml, as_json = (export("--slo", str(source), "--dialect", dialect, "-o", form) for form in ("yaml", "json"))
    assert yaml.safe_load(as_yaml) == json.loads(as_json)
    (tmp_path / "rules.yaml").write_text(as_yaml)
    (tmp_path / "rules.json").write_text(as_json)
    count = check_rules(tmp_path / "rules.yaml")
    assert count == check_rules(tmp_path / "rules.json")
    services = sum(1 if isinstance(slo["service"], str) else len(slo["service"]) for slo in slos)
    assert count == len(rules_in(committed())) + 13 * services + 2 * len(slos)
    for rule in rules_in(json.loads(as_json)):
        if "record" in rule:
            assert re.fullmatch(r"service:slo_(requests:rate5m|errors:rate5m|error_ratio:rate(5m|30m|1h|2h|6h|1d|3d|30d)|"
                                r"objective:ratio|error_budget:ratio|error_budget_remaining:ratio)", rule["record"]), rule
            assert {"service", "slo", "team"} == set(rule["labels"]), rule


# Scenario: names and texts with all that PromQL, YAML, regular expressions and templates give a meaning.
# Guarantees: the rules are valid and mean those names.
def test_awkward_names(tmp_path):
    nasty = 'a"b\\c{{ .x }}|(d)\u2028 $1 \u00e9: #'
    file = export_slos(tmp_path, [
        {"name": "nasty", "service": [nasty, "plain"], "operation": [nasty, "GET /{id}.json"], "objective": 99,
         "indicator": "availability", "description": nasty + " {{ range }}", "labels": {"team": nasty},
         "annotations": {"runbook": nasty, "dashboard": "{{"}},
        {"name": "nasty-long", "service": "s", "objective": 50.000001, "indicator": "latency", "threshold": "2ms"}])
    assert check_rules(file) == 2 * 13 + 2 + 13 + 1
    labels = {"service": nasty, "span_name": nasty, "span_kind": "SPAN_KIND_SERVER", "status_code": "STATUS_CODE_ERROR"}
    quoted = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
    recorded = {"service": nasty, "slo": "nasty", "team": nasty}
    test = {"rule_files": [str(file)], "evaluation_interval": "1m", "tests": [{
        "interval": "1m",
        "input_series": [{"series": f"traces_spanmetrics_calls_total{{{quoted}}}", "values": "0+60x20"}],
        "promql_expr_test": [{"expr": 'service:slo_error_ratio:rate5m{slo="nasty"}', "eval_time": "10m", "exp_samples": [{
            "labels": "service:slo_error_ratio:rate5m{" + ",".join(f"{n}={json.dumps(v)}" for n, v in recorded.items()) + "}",
            "value": 1}]}],
        "alert_rule_test": [{"alertname": "SLOFastBurn", "eval_time": "10m", "exp_alerts": [{
            "exp_labels": {**recorded, "severity": "page"},
            "exp_annotations": {
                "summary": nasty + ": the error budget of nasty is gone within days at this rate.",
                "description": "The objective is 99 % of requests without error over 30 days. 100% were not. " + nasty + " {{ range }}",
                "runbook_url": nasty, "dashboard_url": "{{"}}]}],
    }]}
    assert run(tmp_path, test) == ""


# --- runbooks ---


# Scenario: the links of all alerts, Braid's own and those of objectives.
# Guarantees: each leads to the section of its name, every section is about an alert that exists, and --runbooks moves them.
def test_every_alert_has_its_runbook():
    page = read(rules.RUNBOOKS)
    sections = re.findall(r"^## (\w+)$", page, re.M)
    assert len(sections) == len(set(sections))
    exported = [rule for rule in rules_in(yaml.safe_load(export("--slo", rules.EXAMPLE))) if "alert" in rule]
    assert {rule["alert"] for rule in exported} == set(sections)
    anchors = rules.anchors(page)
    for rule in exported + rules_in(committed()):
        base, anchor = rule["annotations"]["runbook_url"].split("#")
        assert base == "docs/runbooks.md" and anchor == rule["alert"].lower() and anchor in anchors, rule["alert"]
    elsewhere = yaml.safe_load(export("--slo", rules.EXAMPLE, "--runbooks", "https://example.org/books"))
    for rule in rules_in(elsewhere):
        if "alert" in rule:
            assert rule["annotations"]["runbook_url"] == f"https://example.org/books#{rule['alert'].lower()}"
    for link in re.findall(r"\]\(#([^)]*)\)", page):
        assert link in anchors, link
    for part in ("*At stake:*", "*Do:*"):
        for section in re.split(r"^## ", page, flags=re.M)[1:]:
            assert part in section or "*Look and do:*" in section, (part, section.split("\n")[0])


# --- Braid's own alerts ---


# Scenario: the committed cases.
# Guarantees: promtool gets every one as expected, labels and expanded annotations included.
def test_braid_alerts():
    assert rules.test_rules(rules.ALERT_TESTS) == ""


# Scenario: the committed cases are counted.
# Guarantees: each alert has one that fires and one that is quiet throughout; none is about an alert that is not there.
def test_braid_alerts_have_cases_on_both_sides():
    alerts = {rule["alert"] for rule in rules_in(committed())}
    fires, quiet = set(), set()
    for test in yaml.safe_load(read(rules.ALERT_TESTS))["tests"]:
        (about,) = {case["alertname"] for case in test["alert_rule_test"]}
        assert test["name"].startswith(about + ": "), test["name"]
        (fires if any(case["exp_alerts"] for case in test["alert_rule_test"]) else quiet).add(about)
    assert fires == alerts
    assert quiet == alerts


# --- objectives ---


def run(folder, test, name="cases"):
    file = folder / f"{name}.json"
    file.write_text(json.dumps(test))
    return rules.test_rules(file)


def series(dialect, service, failed, steps):
    """Input of one service: its requests and bad ones per minute, as [(minutes, requests, bad)]."""
    good, bad = (f"{CALLS[dialect]}{{{SERVICE[dialect]}=\"{service}\",span_kind=\"SPAN_KIND_SERVER\",status_code=\"{code}\"}}"
                 for code in ("STATUS_CODE_UNSET", "STATUS_CODE_ERROR"))
    result = []
    for name, column in ((good, lambda requests, bad: requests - bad), (bad, lambda requests, bad: bad)):
        if name == bad and not failed:
            continue
        values, now = [], 0
        for minutes, requests, errors in steps:
            step = column(requests, errors)
            values.append(f"{now + step}+{step}x{minutes - 1}")
            now += step * minutes
        result.append({"series": name, "values": "0 " + " ".join(values)})
    return result


def burn(objective, tenths):
    """(requests, bad) per minute that spend the budget at tenths/10 times its rate: whole numbers."""
    budget = round((100 - objective) * 10_000)  # in millionths
    requests = 160_000_000 // budget  # so that a rate of 0.1 is 16 bad ones a minute
    return requests, 16 * tenths


def nearly(objective, tenths, sixteenths):
    requests, bad = burn(objective, tenths)
    return requests, bad * sixteenths // 16


def slo_case(dialect, file, histories, expected):
    """A test of promtool's: `expected` are (alert, minute, {services that it fires for}). (Its evaluation interval stands
    for those of all groups.)"""
    return {"rule_files": [str(file)], "evaluation_interval": "5m", "tests": [{
        "interval": "1m",
        "input_series": [one for name, steps in histories.items() for one in series(dialect, name, True, steps)],
        "promql_expr_test": [
            {"expr": f'count by (service) (ALERTS{{alertname="{alert}",alertstate="firing"}})', "eval_time": f"{minute}m",
             "exp_samples": [{"labels": f'{{service="{service}"}}', "value": 1} for service in sorted(services)]}
            for alert, minute, services in expected],
    }]}


DAY = 24 * 60


def expect(folder, objective, dialect, histories, expected):
    """Services with these histories, each with the same objective, and for which of them alerts fire when."""
    file = export_slos(folder, [{"name": "slo", "service": list(histories), "objective": objective,
                                 "indicator": "availability"}], "--dialect", dialect)
    assert run(folder, slo_case(dialect, file, histories, expected)) == ""


# Scenario: services burn their budget just above and just below 14.4 and 6 times, long enough and not, and until a moment
# ago.
# Guarantees: each pair of windows fires by itself a sixteenth above its rate, not a sixteenth below, not before the long
# window has seen enough, and not after the short one is clean.
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_fast_burn(objective, dialect, tmp_path):
    clean = burn(objective, 0)
    expect(tmp_path, objective, dialect, {
        "hour-above": [(360, *clean), (60, *nearly(objective, 144, 17)), (60, *clean)],
        "hour-below": [(360, *clean), (60, *nearly(objective, 144, 15)), (60, *clean)],
        # 30 times: ten minutes later the hour's share is still 25 times, but the five minutes are clean.
        "hour-over": [(360, *clean), (60, *burn(objective, 300)), (60, *clean)],
        "six-above": [(60, *clean), (420, *nearly(objective, 60, 17))],
        "six-below": [(60, *clean), (420, *nearly(objective, 60, 15))],
        # 48 times: the six hours' share is 8 times for long, but after half an hour the short window is clean.
        "six-over": [(360, *clean), (60, *burn(objective, 480)), (60, *clean)],
    }, [
        ("SLOFastBurn", 370, set()),  # The hour is burning since ten minutes, the six hours since 310.
        ("SLOFastBurn", 420, {"hour-above", "hour-over", "six-above", "six-over"}),
        ("SLOFastBurn", 430, {"six-above", "six-over"}),
        ("SLOFastBurn", 450, {"six-above"}),
        ("SLOFastBurn", 480, {"six-above"}),
    ])


# Scenario: the same around 3 times and 1 time. (In one dialect: from here on both read the same recorded series.)
# Guarantees: likewise; and the page stays quiet.
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_slow_burn(objective, tmp_path):
    requests, _ = clean = burn(objective, 0)
    expect(tmp_path, objective, "tempo", {
        # Much traffic before, so that the share of three days stays far below 1 time.
        "day-above": [(2 * DAY, 4 * requests, 0), (DAY, *nearly(objective, 30, 17)), (240, *clean)],
        "day-below": [(2 * DAY, 4 * requests, 0), (DAY, *nearly(objective, 30, 15)), (240, *clean)],
        "three-above": [(3 * DAY + 240, *nearly(objective, 10, 17))],
        "three-below": [(3 * DAY + 240, *nearly(objective, 10, 15))],
        # Both long shares stay above for hours; first the two hours are clean, then the six.
        "over": [(3 * DAY - 180, *burn(objective, 100)), (420, *clean)],
    }, [
        ("SLOSlowBurn", 2 * DAY + 240, {"three-above", "over"}),
        ("SLOSlowBurn", 3 * DAY, {"day-above", "three-above", "over"}),
        ("SLOSlowBurn", 3 * DAY + 190, {"three-above"}),
        ("SLOFastBurn", 3 * DAY, set()),
    ])


# Scenario: requests and no series of errors, no requests for an hour, none ever, and latencies of which a sixteenth is slow.
# Guarantees: the ratio is 0, absent, absent, and a sixteenth, in every window; alerts are quiet where it is 0 or absent.
@pytest.mark.parametrize("dialect", DIALECTS)
def test_zero_is_not_absent(dialect, tmp_path):
    limit = {"tempo": ("512ms", "0.512"), "otel": ("400ms", "400")}[dialect]
    file = export_slos(tmp_path, [
        {"name": "a", "service": ["clean", "idle", "never"], "objective": 99.99, "indicator": "availability"},
        {"name": "l", "service": ["slow", "quick", "idle"], "objective": 99, "indicator": "latency", "threshold": limit[0]},
    ], "--dialect", dialect)

    def latency(service, all_, quick):
        labels = f'{SERVICE[dialect]}="{service}",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET"'
        return [{"series": f"{LATENCY[dialect]}_count{{{labels}}}", "values": all_},
                {"series": f'{LATENCY[dialect]}_bucket{{{labels},le="{limit[1]}"}}', "values": quick},
                {"series": f'{LATENCY[dialect]}_bucket{{{labels},le="+Inf"}}', "values": all_}]

    def ratios(slo, service):
        return f'{{__name__=~"service:slo_error_ratio:rate.*",slo="{slo}",service="{service}"}}'

    def case(expr, *samples, at="80m"):
        return {"expr": expr, "eval_time": at, "exp_samples": [{"labels": l, "value": v} for l, v in samples]}

    assert run(tmp_path, {"rule_files": [str(file)], "evaluation_interval": "1m", "tests": [{
        "interval": "1m",
        "input_series": series(dialect, "clean", False, [(90, 64, 0)]) + [
            {"series": f'{CALLS[dialect]}{{{SERVICE[dialect]}="idle",span_kind="SPAN_KIND_SERVER",'
                       f'status_code="{code}"}}', "values": "70x90"} for code in ("STATUS_CODE_UNSET", "STATUS_CODE_ERROR")] +
                        latency("slow", "0+64x90", "0+60x90") + latency("quick", "0+64x90", "0+64x90") +
                        latency("idle", "64x90", "60x90"),
        "promql_expr_test": [
            case(f"count({ratios('a', 'clean')} == 0)", ("{}", 8)),
            case(f"count({ratios('l', 'quick')} == 0)", ("{}", 8)),
            case(f"count({ratios('l', 'slow')} > 0.0625 - 1e-12 < 0.0625 + 1e-12)", ("{}", 8)),
            case(f"count({ratios('a', 'idle')} or {ratios('a', 'never')} or {ratios('l', 'idle')})"),
            case('service:slo_requests:rate5m{service="never"}'),
            case('service:slo_requests:rate5m{service="idle",slo="a"}',
                 ('service:slo_requests:rate5m{service="idle",slo="a"}', 0)),
            case('service:slo_error_budget_remaining:ratio{service="clean"}',
                 ('service:slo_error_budget_remaining:ratio{service="clean",slo="a"}', 1)),
            case('count by (service, alertname) (ALERTS{service!="slow"})'),
            case('count by (alertname, service) (ALERTS{alertname="SLOFastBurn"})',
                 ('{alertname="SLOFastBurn",service="slow"}', 1)),
        ],
    }]}) == ""


# Scenario: an hour of much traffic and few errors, an hour of little traffic of which half fails, hours of nothing, an hour
# without errors.
# Guarantees: the recorded shares of a day and more are errors divided by requests, counted by hand, to nine digits; and
# what is left of the budget follows. An average of shares, which weighs hours alike, would be 24 times that.
def test_long_windows_weigh_by_traffic(tmp_path):
    history = [(10, 0, 0), (60, 1024, 1), (60, 16, 8), (180, 0, 0), (60, 256, 0), (10, 0, 0)]
    requests = sum(minutes * count for minutes, count, _ in history)
    errors = sum(minutes * count for minutes, _, count in history)
    assert (requests, errors) == (77760, 540)
    by_hand = 540 / 77760  # 0.69 %
    file = export_slos(tmp_path, [{"name": "slo", "service": "uneven", "objective": 99, "indicator": "availability"}])

    def case(expr, value):
        return {"expr": f"round(1e9 * ({expr}))", "eval_time": "380m",
                "exp_samples": [{"labels": '{service="uneven",slo="slo"}', "value": round(1e9 * value)}]}

    assert run(tmp_path, {"rule_files": [str(file)], "evaluation_interval": "1m", "tests": [{
        "interval": "1m",
        "input_series": series("tempo", "uneven", True, history),
        "promql_expr_test": [case(f"service:slo_error_ratio:rate{window}", by_hand) for window in ("1d", "3d", "30d")] +
                            [case("service:slo_error_budget_remaining:ratio", 1 - by_hand / 0.01),
                             case("avg_over_time(service:slo_error_ratio:rate5m[1d]) > bool 20 * service:slo_error_ratio:rate1d", 1)],
    }]}) == ""
