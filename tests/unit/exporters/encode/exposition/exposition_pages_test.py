"""Has independent parsers read the pages that exposition_page prints.

Scenario: one page with derived, ingested and own families, hostile characters, collisions and repeated series.
Guarantees: Debian's python3-prometheus-client accepts it as OpenMetrics and as text, promtool accepts the text form,
both carry the same samples, and the values are those that went in.
"""

import math
import pathlib
import subprocess
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[4] / "support"))
from braid import tool  # pylint: disable=wrong-import-position


def page(maker, form):
    return subprocess.run([maker, form], check=True, capture_output=True).stdout.decode()


def samples(families):
    return {(s.name, tuple(sorted((k, float(v) if k in ("le", "quantile") else v) for k, v in s.labels.items()))): s
            for family in families for s in family.samples}


def check(condition, what):
    if not condition:
        sys.exit(f"FAILED: {what}")


def main(maker):
    text, openmetrics = page(maker, "text"), page(maker, "openmetrics")

    promtool = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    # Exit code 3 is lint, which the made-up application families earn; Braid's own and derived ones must not.
    check(promtool.returncode in (0, 3), f"promtool: {promtool.stdout}{promtool.stderr}")
    for line in (promtool.stdout + promtool.stderr).splitlines():
        ours = line.startswith(("braid_", "process_", "traces_"))
        # Grafana and Tempo fix the derived names; a summary or gauge of an app may end as it likes.
        check(not ours or line.startswith("traces_spanmetrics_"), f"promtool: {line}")

    om = samples(parse_openmetrics(openmetrics))
    plain = samples(parse_text(text))
    check(len(om) > 250, f"only {len(om)} samples")

    # The same samples in both, but for what only one format has.
    only_text = {k for k in plain if k not in om}
    check(all(k[0] in ("app_latency_seconds_count", "app_native_seconds_count", "app_sizes_sum") for k in only_text), f"only in text: {only_text}")
    only_om = {k for k in om if k not in plain}
    check(all(k[0].endswith("_created") for k in only_om), f"only in OpenMetrics: {only_om}")
    for key in set(om) & set(plain):
        a, b = float(om[key].value), float(plain[key].value)
        check(a == b or (math.isnan(a) and math.isnan(b)) or key[0].startswith("process_"), f"{key}: {a} and {b}")

    odd = "C:\\x\n\"y\""
    check(om[("app_requests_total", (("job", "shop"), ("path", odd)))].value == 12.5, "counter")
    check(om[("app_temperature_celsius", (("job", "c"),))].value == 5e-324, "smallest double")
    alone = {k[0]: om[k].value for k in om if k[0].startswith("app_native") and k[1][0] == ("job", "alone")}
    check(alone == {"app_native_seconds_bucket": 13, "app_native_seconds_sum": 3, "app_native_seconds_count": 13,
                    "app_native_seconds_created": 1.6e9}, f"native {alone}")
    check(om[("app_native_seconds_bucket", (("job", "alone"), ("le", math.inf)))].exemplar.value == 0.5, "its exemplar")
    check(om[("app_native_seconds_bucket", (("job", "below"), ("le", math.inf)))].value == 10, "native below 0")
    names = {dict(k[1]).get("span_name") for k in om if k[0] == "traces_spanmetrics_calls_total"}
    check(names == {"GET /", 'a"b', "c\\d", "e\nf", "\u00e9\U0001f600", None}, f"span names {names}")
    overflow = [k for k in om if ("metric_overflow", "true") in k[1] and k[0] == "traces_spanmetrics_calls_total"]
    check(len(overflow) == 1 and ("service", "shop") in overflow[0][1], f"overflow {overflow}")

    exemplars = [s.exemplar for s in om.values() if s.exemplar]
    check(len(exemplars) > 40, f"only {len(exemplars)} exemplars")
    for exemplar in exemplars:
        check(len(exemplar.labels["trace_id"]) == 32 and "long" not in exemplar.labels, f"{exemplar}")
        check(exemplar.timestamp is not None, f"{exemplar}")
    latency = [s for k, s in om.items() if k[0] == "traces_spanmetrics_latency_bucket" and s.exemplar]
    check(latency and all(s.exemplar.value <= float(s.labels["le"]) for s in latency), "exemplars lie in their buckets")

    account = {dict(k[1])["outcome"]: s.value for k, s in om.items() if k[0] == "braid_account_items_total"}
    pending = {dict(k[1])["place"]: s.value for k, s in om.items() if k[0] == "braid_account_pending_items"}
    dropped = sum(s.value for k, s in om.items() if k[0] == "braid_dropped_items_total")
    check(account["accepted"] == 10 == pending["held"] + pending["queued"] + account["delivered"]
          + account["dead_lettered"] + dropped, "the account adds up")
    print(f"{len(om)} samples, {len(exemplars)} exemplars")


main(sys.argv[1])
