"""The queries that dashboards hard-code, put to a real Prometheus that scrapes Braid, against the oracle.

How this can be exact although rate() extrapolates: Prometheus extrapolates from the first and last sample in the range to
the range's ends. Here the range begins at one scrape's timestamp and ends at another's, to the millisecond, so nothing is
left to extrapolate and rate() is (last - first) / range. Dashboards' variables ($__range, $__rate_interval) stand for such
durations anyway. All series are there at the first scrape, because the same traffic is sent before it, once, and after
it, several times. (Debian's Prometheus 2.42 takes the range as closed at both ends; from 3.0 on it is open at the left,
and the range below would have to be a millisecond longer.)
"""

import re
import time
from collections import defaultdict

import derived_corpus as corpus
from braid import Braid, eventually
from derived_oracle import CLIENT, CONSUMER, ERROR, PRODUCER, SERVER, UNSET, Config, derive
from prometheus import Prometheus
from test_derived import close, differences, report, send_http

GRAPH = {"connection_info": True, "dimensions": ["service.namespace"], "wait": "1500ms"}
TARGET = {"cluster": "test", "namespace": "tracing"}
MS = 10**6


# --- traffic ---


def traffic(seed, repeats, tracestate="ot=th:8"):
    """A web shop whose operations, edges and failures of edges all occur in each repeat. Each span stands for two."""
    m = corpus.Maker(seed, time.time_ns())
    r = m.random
    service = {name: m.service(name, service__namespace=namespace) for name, namespace in
               (("frontend", "web"), ("cart", "shop"), ("payment", "shop"), ("mailer", "back office"))}
    for repeat in range(repeats):
        for operation, weight in (
            ("GET /", 5),
            ("GET /cart", 4),
            ("POST /cart/{id}", 3),
            ("GET /a.b(c)|d+", 2),
            ('POST "pay"\\', 1),
        ):
            for n in range(weight + 2):
                failed = n < 2  # One failure and one success at least of each operation.
                def ns(most):
                    return r.randrange(MS, most * MS)
                root = m.span(service["frontend"], operation, kind=SERVER, ns=ns(900), status=ERROR if n == 0 else UNSET)
                call = m.span(service["frontend"], "call cart", root, CLIENT, ns(700), status=ERROR if failed else UNSET)
                cart = m.span(service["cart"], "cart.Read", call, SERVER, ns(600), status=ERROR if n == 1 else UNSET)
                m.span(service["cart"], "SELECT", cart, CLIENT, ns(90), status=ERROR if n == 1 else UNSET,
                       attributes=[("db.system", "postgresql"), ("db.name", "carts")])
                bank = m.span(service["cart"], "call bank", cart, CLIENT, ns(300), attributes=[("peer.service", "bank")])
                bank.status = ERROR if n == 2 else UNSET
                send = m.span(service["cart"], "send mail", cart, PRODUCER, ns(9))
                m.span(
                    service["mailer"],
                    "mail",
                    send,
                    CONSUMER,
                    ns(50),
                    start=send.end + 3 * MS,
                    status=ERROR if n == 0 else UNSET,
                )
                m.span(service["payment"], "pay", call, SERVER, ns(80))
    for span in m.spans:
        span.tracestate = tracestate
    return corpus.measure(m.spans)


# --- the oracle's side of PromQL ---


class Answers:
    """What queries over exactly the time between two scrapes have to give. `before` and `after` are flat samples."""

    def __init__(self, before, after, seconds):
        self.before, self.after, self.seconds = before, after, seconds

    def series(self, name, **match):
        """{labels as a dict: (increase, value after)} of the series that match; a value is text or a compiled pattern,
        anchored."""
        found = []
        for (sample, labels), value in self.after.items():
            have = dict(labels)
            if sample == name and all(
                    (want.fullmatch(have.get(k, "")) if isinstance(want, re.Pattern) else have.get(k, "") == want)
                    for k, want in match.items()):
                found.append((have, value - self.before[sample, labels], value))
        assert found, (name, match)
        return found

    def rate(self, name, by=(), **match):
        return grouped(self.series(name, **match), by, lambda have, increase, value: increase / self.seconds)

    def increase(self, name, by=(), **match):
        return grouped(self.series(name, **match), by, lambda have, increase, value: increase)

    def group(self, name, by):
        return {key: 1.0 for key in grouped(self.series(name), by, lambda *_: 1)}

    def quantile(self, q, name, by=(), **match):
        """histogram_quantile over rates of classic buckets: linear within a bucket, from 0 in the first. A rank that is
        just a bucket's cumulative count may be rounded to either side, and empty buckets may follow: then both
        neighbours' answers are right, and the value is a tuple of them."""
        rows = defaultdict(lambda: defaultdict(float))
        for have, increase, _ in self.series(name, **match):
            rows[pick(have, by)][have["le"]] += increase
        result = {}
        for key, buckets in rows.items():
            result[key] = tuple(classic_quantile(q * rounding, buckets) for rounding in (1 - 1e-12, 1 + 1e-12))
        return result


def classic_quantile(q, buckets):
    """Of {upper bound: cumulative count}."""
    bounds = sorted(buckets)
    rank = q * buckets[bounds[-1]]
    at = next((i for i, bound in enumerate(bounds) if buckets[bound] >= rank), -1)
    if bounds[at] == float("inf"):
        return bounds[-2]
    low, below = (bounds[at - 1], buckets[bounds[at - 1]]) if at else (0.0, 0.0)
    return low + (bounds[at] - low) * (rank - below) / (buckets[bounds[at]] - below)


def native_quantile(q, buckets):
    """Of {index: count} in schema 3, linear within a bucket as in Prometheus 2.42."""
    rank = q * sum(buckets.values())
    for index in sorted(buckets):
        if rank <= buckets[index]:
            low, high = 2.0 ** ((index - 1) / 8), 2.0 ** (index / 8)
            return low + (high - low) * rank / buckets[index]
        rank -= buckets[index]
    return 2.0 ** (max(buckets) / 8)


def pick(have, by):
    return frozenset((k, have[k]) for k in by if have.get(k))


def grouped(series, by, what):
    totals = defaultdict(float)
    for have, increase, value in series:
        totals[pick(have, by)] += what(have, increase, value)
    return dict(totals)


def ratio(a, b):
    return {key: a[key] / b[key] for key in a if key in b}


def check(found, expected, query, most=None):
    """Equal, or for topk: the largest `most`."""
    assert expected, query
    if most is not None and len(expected) > most:
        assert len(found) == most, (query, found)
        top = sorted((value[0] if isinstance(value, tuple) else value for value in expected.values()), reverse=True)[:most]
        assert all(close(a, b) for a, b in zip(sorted(found.values(), reverse=True), top)), (query, found, expected)
        expected = {key: expected[key] for key in found}
    assert found.keys() == expected.keys(), (query, found, expected)
    for key, value in expected.items():
        right = value if isinstance(value, tuple) else (value,)
        assert any(close(found[key], either) for either in right), (query, dict(key), found[key], value)


# --- the scene ---


def scraped_as(samples):
    """As Prometheus keeps what it scrapes: with the target's labels, le as text; buckets are compared as numbers."""
    return {(name, frozenset(labels | TARGET.items())): value for (name, labels), value in samples.items()}


def as_scraped(vector):
    found = {}
    for labels, value in vector.items():
        have = dict(labels)
        name = have.pop("__name__")
        for added in ("job", "instance"):
            have.pop(added, None)
        if "le" in have:
            have["le"] = float(have["le"])
        if not name.endswith("_created"):
            found[name, frozenset(have.items())] = value
    return found


def seen_by(prometheus, expected):
    """Waits until a scrape holds exactly these samples; returns its timestamp."""
    def look():
        now = f"{time.time():.3f}"
        lines[:] = differences(scraped_as(expected), as_scraped(prometheus.vector('{__name__=~"traces_.+"}', now)))
        times = set(prometheus.vector('timestamp({__name__=~"traces_.+_calls_total"})', now).values()) if not lines else ()
        return max(times, default=None)

    lines = []
    try:
        return eventually(look, 25, 0.25)
    except AssertionError:
        raise AssertionError(report(lines)) from None


def native_seen(prometheus, output):
    """The same for the histograms of a Prometheus that keeps them as native ones."""
    def count_of(vector):
        return {(name, labels): float(value["count"]) for (name, labels), value in as_scraped(vector).items()
                if not isinstance(value, float)}

    def look():
        now = f"{time.time():.3f}"
        want = {
            (name, frozenset(labels | TARGET.items())): float(histogram.count)
            for name, (kind, series) in output.families.items()
            if kind == "histogram"
            for labels, histogram in series.items()
        }
        lines[:] = differences(want, count_of(prometheus.vector('{__name__=~"traces_.+"}', now)))
        times = set(prometheus.vector("timestamp(traces_spanmetrics_latency)", now).values()) if not lines else ()
        return max(times, default=None)

    lines = []
    try:
        return eventually(look, 25, 0.25)
    except AssertionError:
        raise AssertionError(report(lines)) from None


def scraper(gateway, folder, *features):
    return Prometheus(folder, gateway.web_address, features, labels=TARGET, honor_labels=True).scraping()


class Scene:
    """A gateway that has seen traffic before and after; prometheus sees it in `answers`."""

    def __init__(self, metrics, folder):
        self.config = Config(metrics)
        self.gateway = Braid({"correlate": {"settle": "1s"}, "metrics": metrics})
        self.prometheus = scraper(self.gateway, folder / "classic")
        self.native = None
        if metrics.get("histograms") == "both":
            self.native = scraper(self.gateway, folder / "native", "native-histograms")
        first, second = traffic("before", 1), traffic("after", 4)
        self.outputs = []
        marks, self.native_marks = [], []
        for spans in (first, first + second):
            send_http(self.gateway, corpus.requests(spans, len(spans)))  # The first ones twice: that changes nothing.
            output = derive(spans, self.config)
            self.outputs.append(output)
            marks.append(seen_by(self.prometheus, output.samples()))
            if self.native:
                self.native_marks.append(native_seen(self.native, output))
        # Both have seen the first state until now: any scrape between will do, and this one is known.
        self.at = f"{marks[1]:.3f}"
        milliseconds = round((marks[1] - marks[0]) * 1000)
        self.range = f"{milliseconds}ms"
        self.answers = Answers(self.outputs[0].samples(), self.outputs[1].samples(), milliseconds / 1000)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in (self.prometheus, self.native):
            if server:
                server.stop()
        assert self.gateway.stop() == 0

    def ask(self, query, expected, most=None):
        query = query.replace("$R", self.range)
        check(self.prometheus.vector(query, self.at), expected, query, most)

    def ask_range(self, query, expected):
        query = query.replace("$R", self.range)
        check(self.prometheus.one_step(query, self.at), expected, query)


def escaped(name):
    """A span name inside =~"...", as Grafana writes it: escaped for the pattern, then for the string."""
    return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", name.replace("\\", "\\\\\\\\")).replace('"', '\\"')


# --- queries ---


def grafana_service_graph(scene):
    """Grafana, public/app/plugins/datasource/tempo: makePromServiceMapRequest and getFieldConfig."""
    a, prefix = scene.answers, "traces_service_graph_"
    namespaces = ("client_service_namespace", "server_service_namespace")
    metrics = [prefix + name for name in ("request_server_seconds_sum", "request_total", "request_failed_total",
                                          "request_server_seconds_bucket")]
    for metric in metrics:
        for extra in ((), namespaces):
            by = ", ".join(("client", "server") + extra)
            scene.ask(f"sum by ({by}) (rate({metric}[$R]))", a.rate(metric, ("client", "server") + extra))
            by = ", ".join(("client", "connection_type", "server") + extra)
            scene.ask(f"group by ({by}) ({metric})", a.group(metric, ("client", "connection_type", "server") + extra))
        scene.ask(
            f'sum by (client, server) (rate({metric}{{client="frontend"}}[$R])) OR '
            f'sum by (client, server) (rate({metric}{{server="cart"}}[$R]))',
            {
                **a.rate(metric, ("client", "server"), client="frontend"),
                **a.rate(metric, ("client", "server"), server="cart"),
            },
        )

    edge = {"client": "frontend", "server": "cart"}
    spaces = {"client_service_namespace": "web", "server_service_namespace": "shop"}
    total, _, failed, bucket = metrics[1], None, metrics[2], metrics[3]
    for match, by in (
        (edge, ("client", "server")),
        ({"server": "cart"}, ("client", "server")),
        ({**edge, **spaces}, ("client", "server") + namespaces),
    ):
        inside, sums = ",".join(f'{k}="{v}"' for k, v in match.items()), ", ".join(by)
        scene.ask(f"sum by ({sums})(rate({total}{{{inside}}}[$R]))", a.rate(total, by, **match))
        scene.ask(f"sum by ({sums})(rate({failed}{{{inside}}}[$R]))", a.rate(failed, by, **match))
        scene.ask(
            f"histogram_quantile(0.9, sum(rate({bucket}{{{inside}}}[$R])) by (le, {sums}))",
            a.quantile(0.9, bucket, by, **match),
        )

    # What it makes of them: mean response time and the failed share of each edge.
    mean = ratio(a.rate(metrics[0], ("client", "server")), a.rate(total, ("client", "server")))
    scene.ask(f"sum by (client, server) (rate({metrics[0]}[$R])) / sum by (client, server) (rate({total}[$R]))", mean)


def grafana_span_table(scene):
    """Grafana, the same folder: rateMetric, errorRateMetric and durationMetric in the service graph view."""
    a, calls, latency = scene.answers, "traces_spanmetrics_calls_total", "traces_spanmetrics_latency_bucket"
    server = {"span_kind": "SPAN_KIND_SERVER"}
    names = sorted(dict(key)["span_name"] for key in a.rate(calls, ("span_name",), **server))
    scene.ask(
        f'topk(5, sum(rate({calls}{{span_kind="SPAN_KIND_SERVER"}}[$R])) by (span_name))',
        a.rate(calls, ("span_name",), **server),
        5,
    )
    scene.ask(f'topk(5, sum(rate({calls}{{service="cart",span_kind="SPAN_KIND_SERVER"}}[$R])) by (span_name))',
              a.rate(calls, ("span_name",), service="cart", **server), 5)
    listed = "|".join(escaped(name) for name in names)
    one_of = re.compile("|".join(re.escape(name) for name in names))
    scene.ask(f'topk(5, sum(rate({calls}{{status_code="STATUS_CODE_ERROR",span_name=~"{listed}"}}[$R])) by (span_name))',
              a.rate(calls, ("span_name",), status_code="STATUS_CODE_ERROR", span_name=one_of), 5)
    for name in names:
        scene.ask(
            f'histogram_quantile(.9, sum(rate({latency}{{span_name=~"{escaped(name)}"}}[$R])) by (le))',
            a.quantile(0.9, latency, span_name=name),
        )
        plain = name.replace("\\", "\\\\").replace('"', '\\"')
        scene.ask(f'sum(rate({calls}{{span_name="{plain}"}}[$R]))', a.rate(calls, span_name=name))


def tempo_mixin(scene):
    """Tempo, operations/tempo-mixin/dashboards/tempo-service-graph.json, with every variable at All or chosen."""
    info = "traces_service_graph_connection_info"
    rows = scene.answers.series(info)
    for client_namespace, server_namespace in ((".*", ".*"), ("web", "shop")):
        chosen = [have for have, _, _ in rows if re.fullmatch(client_namespace, have.get("client_service_namespace", ""))
                  and re.fullmatch(server_namespace, have.get("server_service_namespace", ""))]
        selector = (f'{info}{{cluster=~"test", namespace=~"tracing", client_service_namespace=~"{client_namespace}", '
                    f'server_service_namespace=~"{server_namespace}"}}')
        for side in ("client", "server"):
            scene.ask(
                f'label_replace(label_replace(label_replace(max by ({side}) ({selector}), "id", "$1", "{side}", "(.*)"), '
                f'"title", "$1", "{side}", "(.*)"), "color", "#1F3A6E", "", "")',
                {
                    frozenset({side: have[side], "id": have[side], "title": have[side], "color": "#1F3A6E"}.items()): 1.0
                    for have in chosen
                },
            )
        found = scene.prometheus.vector(
            f'label_replace(label_replace(label_join({selector}, "id", "->", "client", "server"), "source", "$1", "client", "(.*)"), '
            f'"target", "$1", "server", "(.*)")',
            scene.at,
        )
        assert {(dict(k)["id"], dict(k)["source"], dict(k)["target"], value) for k, value in found.items()} == {
            (f"{have['client']}->{have['server']}", have["client"], have["server"], 1.0) for have in chosen}
    for label in ("client_service_namespace", "server_service_namespace"):
        assert set(scene.prometheus.api(f"label/{label}/values", **{"match[]": info})) == {
            have[label] for have, _, _ in rows if label in have
        }


def grafana_native(scene):
    """What Grafana asks where its data source is set to native histograms: the same without _bucket."""
    first, last = scene.native_marks
    at, span = f"{last:.3f}", round((last - first) * 1000)
    edges, latency = "traces_service_graph_request_server_seconds", "traces_spanmetrics_latency"

    def increases(family, **match):
        """{labels: (schema 3 buckets of what came between the marks)}"""
        before, after = (output.families[family][1] for output in scene.outputs)
        for labels, histogram in after.items():
            if all(dict(labels).get(k) == v for k, v in match.items()):
                zeros, buckets = histogram.native(3)
                assert not zeros
                old = before[labels].native(3)[1]
                yield dict(labels), {i: float(n - old.get(i, 0)) for i, n in buckets.items()}

    def quantile(q, rows):
        total = defaultdict(float)
        for _, buckets in rows:
            for index, count in buckets.items():
                total[index] += count
        return tuple(native_quantile(q * rounding, total) for rounding in (1 - 1e-12, 1 + 1e-12))

    def ask(query, expected):
        check(scene.native.vector(query, at), expected, query)

    for by in (("client", "server"), ("client", "server", "client_service_namespace", "server_service_namespace")):
        query = f"sum by ({', '.join(by)}) (rate({edges}[{span}ms]))"
        want = defaultdict(float)
        for have, buckets in increases(edges):
            want[pick(have, by)] += sum(buckets.values()) * 1000 / span
        found = {labels: float(value["count"]) for labels, value in scene.native.vector(query, at).items()}
        check(found, dict(want), query)
    ask(f"group by (client, connection_type, server) ({edges})",
        {pick(have, ("client", "connection_type", "server")): 1.0 for have, _ in increases(edges)})
    ask(
        f'histogram_quantile(0.9, sum(rate({edges}{{client="frontend",server="cart"}}[{span}ms])) by (le, client, server))',
        {
            frozenset({"client": "frontend", "server": "cart"}.items()): quantile(
                0.9, increases(edges, client="frontend", server="cart")
            )
        },
    )
    for name in ("GET /", "GET /cart"):
        ask(f'histogram_quantile(.9, sum(rate({latency}{{span_name=~"{escaped(name)}"}}[{span}ms])) by (le))',
            {frozenset(): quantile(0.9, increases(latency, span_name=name))})


def jaeger_monitor(scene):
    """Jaeger, internal/storage/metricstore/prometheus/metricstore/reader.go, with normalize_calls and normalize_duration."""
    a, calls, buckets = scene.answers, "traces_span_metrics_calls_total", "traces_span_metrics_duration_milliseconds_bucket"
    failed = {"status_code": "STATUS_CODE_ERROR"}
    for services in (["frontend"], ["cart", "payment"]):
        for kinds in (["SPAN_KIND_SERVER"], ["SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER"], []):
            if kinds and "SERVER" not in kinds[0] and "payment" in services:
                continue
            inside = f'service_name =~ "{"|".join(services)}"'
            kind = f'span_kind =~ "{"|".join(kinds)}"' if kinds else ""
            match = {"service_name": re.compile("|".join(services)), "span_kind": re.compile("|".join(kinds) or ".*")}
            for by in (("service_name",), ("service_name", "span_name")):
                sums = ",".join(by)
                for q in (0.5, 0.75, 0.95):
                    scene.ask_range(
                        f"histogram_quantile({q:.2f}, sum(rate({buckets}{{{inside}, {kind}}}[$R])) by ({sums},le))",
                        a.quantile(q, buckets, by, **match),
                    )
                scene.ask_range(f"sum(rate({calls}{{{inside}, {kind}}}[$R])) by ({sums})", a.rate(calls, by, **match))
                scene.ask_range(
                    f'sum(rate({calls}{{{inside}, status_code = "STATUS_CODE_ERROR", {kind}}}[$R])) by ({sums}) / '
                    f"sum(rate({calls}{{{inside}, {kind}}}[$R])) by ({sums})",
                    ratio(a.rate(calls, by, **match, **failed), a.rate(calls, by, **match)),
                )


def opentelemetry_demo(scene):
    """OpenTelemetry demo, src/grafana/provisioning/dashboards/demo/spanmetrics-dashboard.json, with both variables at All
    and at choices."""
    a, calls, duration = scene.answers, "traces_span_metrics_calls_total", "traces_span_metrics_duration_milliseconds"
    for service, span_name in ((".*", ".*"), ("(frontend|cart)", "(GET /|call cart|cart.Read)")):
        inside = f'service_name=~"{service}", span_name=~"{span_name}"'
        match = {"service_name": re.compile(service), "span_name": re.compile(span_name)}
        failed = {"status_code": "STATUS_CODE_ERROR"}
        for q in ("0.50", "0.95", "0.99", "0.999"):
            query = f"histogram_quantile({q}, sum(rate({duration}_bucket{{{inside}}}[$R])) by (le,service_name))"
            want = a.quantile(float(q), duration + "_bucket", ("service_name",), **match)
            scene.ask(query, want)
            scene.ask(f"topk(7,{query})", want, 7)
        scene.ask(f"topk(7,histogram_quantile(0.95, sum(rate({duration}_bucket{{{inside}}}[$R])) by (le,span_name)))",
                  a.quantile(0.95, duration + "_bucket", ("span_name",), **match), 7)
        scene.ask(
            f"topk(7,sum by (service_name) (rate({calls}{{{inside}}}[$R])))", a.rate(calls, ("service_name",), **match), 7
        )
        scene.ask(f'topk(7,sum(rate({calls}{{status_code="STATUS_CODE_ERROR",{inside}}}[$R])) by (service_name))',
                  a.rate(calls, ("service_name",), **match, **failed), 7)
        both = ("span_name", "service_name")
        scene.ask(
            f"topk(7, sum(rate({calls}{{{inside}}}[$R])) by (span_name,service_name)) ", a.rate(calls, both, **match), 7
        )
        scene.ask(f'topk(7, sum(rate({calls}{{status_code="STATUS_CODE_ERROR",{inside}}}[$R])) by (span_name,service_name))',
                  a.rate(calls, both, **match, **failed), 7)
        means = defaultdict(float)  # Of each series first, then summed: over kinds and statuses, as the panel has it.
        counts = {frozenset(have.items()): increase for have, increase, _ in a.series(duration + "_count", **match)}
        for have, increase, _ in a.series(duration + "_sum", **match):
            means[pick(have, both)] += increase / counts[frozenset(have.items())]
        scene.ask(
            f"topk(7, sum by (span_name,service_name)(increase({duration}_sum{{{inside}}}[$R]) / increase({duration}_count{{{inside}}}[$R\n])))",
            dict(means),
            7,
        )
    # The variables themselves.
    found = scene.prometheus.vector(f"count by (service_name)(count_over_time({calls}[{scene.range}]))", scene.at)
    assert found.keys() == a.group(calls, ("service_name",)).keys()
    scene.ask(f'sum ({{__name__=~".*{calls}",service_name=~".*"}})  by (span_name)',
              grouped(a.series(calls), ("span_name",), lambda have, increase, value: value))


# --- tests ---


# Scenario: a shop sends traffic twice, Prometheus scrapes Braid in the tempo dialect, as text and with native histograms.
# Guarantees: each query of Grafana's service graph and span table and of the Tempo mixin's graph finds exactly what the
# oracle says, in classic and in native mode.
def test_tempo_dialect(tmp_path):
    with Scene({"dialect": "tempo", "histograms": "both", "graph": GRAPH}, tmp_path) as scene:
        grafana_service_graph(scene)
        grafana_span_table(scene)
        tempo_mixin(scene)
        grafana_native(scene)


# Scenario: the same in the otel dialect.
# Guarantees: each query of Jaeger's Monitor tab and of the OpenTelemetry demo's dashboard finds exactly what the oracle
# says; Grafana's service graph does too, on the same names with a label more.
def test_otel_dialect(tmp_path):
    with Scene({"dialect": "otel", "graph": GRAPH}, tmp_path) as scene:
        jaeger_monitor(scene)
        opentelemetry_demo(scene)
        grafana_service_graph(scene)


# Scenario: spans that stand for 4/3 of one are scraped by a Prometheus that keeps native histograms.
# Guarantees: it takes the page, sees each histogram as a native one, and has their fractional counts. (It recognises a
# family of native histograms by its first series, and refuses a page on which a count is less than its buckets' sum.)
def test_native_fractions(tmp_path):
    metrics = {"dialect": "tempo", "histograms": "both", "graph": GRAPH}
    spans = traffic("fractions", 1, "ot=th:4")
    output = derive(spans, Config(metrics))
    with Braid({"correlate": {"settle": "300ms"}, "metrics": metrics}) as gateway:
        send_http(gateway, corpus.requests(spans, "fractions"))
        with scraper(gateway, tmp_path / "native", "native-histograms") as prometheus:
            native_seen(prometheus, output)
