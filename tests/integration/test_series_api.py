"""What the API says of derived series: who makes them, and which names count together."""

import json

import pytest

from braid import Braid, eventually
from traffic import CLIENT, ERROR, post, span, spans_request, trace_id

CARDINALITY, NAMES = "/api/v1/metrics/cardinality", "/api/v1/metrics/names"


def asked(braid, path):
    code, body = braid.get(path)
    assert code == 200, (code, body)
    return json.loads(body)


def send(braid, service, names, status=0, **attributes):
    """A trace of its own for each name."""
    spans = [span(trace_id(), name, status=status, **attributes) for name in names]
    assert post(braid.http, spans_request(service, spans))[0] == 200


# Scenario: three services with 30, 7 and 1 label sets, of which one has a dimension that runs away; each span comes again
# in another trace; the dialect names the labels.
# Guarantees: services by their series and labels by their distinct values, most first, with just those numbers; ?top
# bounds both lists and refuses what is no number; the sum is the number of series that /metrics tells.
@pytest.mark.parametrize("dialect,service", [("tempo", "service"), ("otel", "service_name")])
def test_cardinality(dialect, service):
    metrics = {"dialect": dialect, "max_series": 500, "dimensions": ["user.id", "zone"], "graph": {"enabled": False}}
    with Braid({"threads": {"cores": 2}, "metrics": metrics}) as braid:
        for _ in range(2):
            for user in range(10):
                send(braid, "noisy", ["a", "b", "c"], **{"user.id": f"u{user}", "zone": f"z{user % 2}"})
            send(braid, "middle", [f"op {n}" for n in range(7)], ERROR)
            send(braid, "quiet", ["a"])
        seen = eventually(lambda: (found := asked(braid, CARDINALITY))["series"] == 38 and found)
        assert seen["maxSeries"] == 500
        assert seen["services"] == [{"service": "noisy", "series": 30}, {"service": "middle", "series": 7},
                                    {"service": "quiet", "series": 1}]
        values = {"user_id": 10, "span_name": 10, service: 3, "zone": 2}
        assert {one["label"]: one["values"] for one in seen["labels"]} == values
        assert [one["values"] for one in seen["labels"]] == sorted(values.values(), reverse=True)
        assert asked(braid, CARDINALITY + "?top=1") == {**seen, "services": seen["services"][:1], "labels": seen["labels"][:1]}
        assert "braid_series_derived_series 38" in braid.metrics(only="self")
        for wrong in ("0", "-1", "x", "10001", ""):
            code, body = braid.get(f"{CARDINALITY}?top={wrong}")
            assert code == 400 and "1 to 10000" in body, (wrong, code, body)


# Scenario: edges of the service graph, of which one side only is known by name, and resources.
# Guarantees: an edge is its client's, but the server's where only an attribute names the client; resources are in the
# sum and nobody's.
def test_cardinality_of_the_graph():
    metrics = {"target_info": True, "self_time": False, "graph": {"wait": "100ms"}}
    with Braid({"threads": {"cores": 1}, "metrics": metrics}) as braid:
        trace = trace_id()
        root = span(trace, "serves")
        calls = span(trace, "calls", root.span_id, CLIENT)
        answers = span(trace, "answers", calls.span_id)
        assert post(braid.http, spans_request("front", [root, calls], **{"host.name": "h"}))[0] == 200
        assert post(braid.http, spans_request("back", [answers], **{"host.name": "h"}))[0] == 200
        # Spans: 2 of front, 1 of back. Edges, as server and client see them: user to front, front to back.
        seen = eventually(lambda: (found := asked(braid, CARDINALITY))["series"] == 3 + 4 + 2 and found)
        assert seen["services"] == [{"service": "front", "series": 6}, {"service": "back", "series": 1}]
        values = {one["label"]: one["values"] for one in seen["labels"]}
        assert (values["client"], values["server"], values["service"], values["span_name"]) == (2, 2, 2, 3)


# Scenario: names with IDs in them, of two services, and names without.
# Guarantees: with dry_run and with templates the same is listed: each template by service, how many names it stands for,
# up to three of them; dry_run changes no series, templates leave one for each template. Where names are raw nothing is.
@pytest.mark.parametrize("names", ["raw", "dry_run", "templates"])
def test_merged_names(names):
    with Braid({"threads": {"cores": 1}, "metrics": {"names": names, "graph": {"enabled": False}}}) as braid:
        carts, orders = [f"GET /cart/{n}" for n in range(20)], [f"order {n} paid" for n in range(5)]
        for _ in range(2):
            send(braid, "shop", carts + ["checkout"])
            send(braid, "till", carts[:3] + orders)
        series = 5 - 1 if names == "templates" else 20 + 1 + 3 + 5
        eventually(lambda: asked(braid, CARDINALITY)["series"] == series)
        listed = asked(braid, NAMES)["names"]
        if names == "raw":
            assert listed == []
            return
        by_key = {(one["service"], one["name"]): one for one in listed}
        assert by_key.keys() == {("shop", "GET /cart/{id}"), ("till", "GET /cart/{id}"), ("till", "order {id} paid")}
        for key, sent in ((("shop", "GET /cart/{id}"), carts), (("till", "GET /cart/{id}"), carts[:3]),
                          (("till", "order {id} paid"), orders)):
            assert by_key[key]["merged"] == len(sent), by_key[key]
            assert len(by_key[key]["examples"]) == 3 and set(by_key[key]["examples"]) <= set(sent)
        assert [one["merged"] for one in listed] == [20, 5, 3]
        page = braid.metrics(only="derived")
        assert ('span_name="GET /cart/{id}"' in page) == (names == "templates")
        assert ('span_name="GET /cart/7"' in page) == (names == "dry_run")
