"""Seeded spans for the metrics derived from them, and their OTLP requests.

Each generator returns a list of derived_oracle.Span for one subject; `everything()` is all of them. The same seed gives
the same spans. Requests are made with the official protobuf classes.
"""

import random
from collections import defaultdict

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from derived_oracle import (CLIENT, CONSUMER, ERROR, INTERNAL, OK, PRODUCER, REMOTE, REMOTE_KNOWN, SERVER, UNSET, UNSPECIFIED,
                            Event, Link, OTEL, Resource, Span, TEMPO)

MS, SECOND = 10**6, 10**9

# Stands in a string that is not to be UTF-8; the protobuf classes would not write one.
INVALID = "@@UTF-8@@"
_BROKEN = b"\xff\xfe\xc0" + INVALID.encode()[3:]


class Maker:
    """Makes spans with IDs and times of its own random stream."""

    def __init__(self, seed, now):
        self.random, self.now = random.Random(seed), now
        self.spans = []

    def trace(self):
        return self.random.randbytes(16)

    def service(self, name, **attributes):
        return Resource([("service.name", name)] + [(k.replace("__", "."), v) for k, v in attributes.items()])

    def span(self, resource, name="op", parent=None, kind=INTERNAL, ns=5 * MS, start=None, trace=None, **more):
        """A span under `parent` (a Span, or an ID that may be unknown), in its trace or a new one."""
        if isinstance(resource, str):
            resource = self.service(resource)
        if isinstance(parent, Span):
            trace, parent_id = parent.trace, parent.id
            start = parent.start if start is None else start
        else:
            parent_id = parent or b""
        start = self.now - self.random.randrange(10 * SECOND) if start is None else start
        made = Span(
            resource, trace or self.trace(), self.random.randbytes(8), name, parent_id, kind, start, start + ns, **more
        )
        self.spans.append(made)
        return made


# --- span metrics ---


def edges_of_buckets():
    """Durations exactly on each bound of both dialects, and one nanosecond to either side; nothing; very long."""
    bounds = sorted({bound for d in (TEMPO, OTEL) for bound in d.bounds + d.graph_bounds})
    around = [ns for bound in bounds for ns in (bound - 1, bound, bound + 1)]
    return [0, 1, 2, 999, 1000, 3600 * SECOND] + around + [SECOND * 2**n // 2**6 for n in range(12)]


def red(seed, now):
    """Every kind and status, odd names, services that are missing or no names, clocks that are off, and durations
    on every edge. Each span is a trace of its own."""
    m = Maker(seed, now)
    shop = m.service("shop", deployment__environment__name="prod", host__name="node-1")
    for kind in (UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER, 9):
        for status in (UNSET, OK, ERROR, 7):
            for n in range(2):
                m.span(shop, f"kind {kind}", kind=kind, ns=m.random.randrange(1, 3 * SECOND), status=status,
                       message=("", "card refused")[n] if status == ERROR else "")
    for ns in edges_of_buckets():
        m.span(shop, "edges", ns=ns)
        m.span(shop, "edges served", kind=SERVER, ns=ns)

    for attributes in ([], [("service.name", 5)], [("service.name", "")], [("service.name", None)],
                       [("service.name", "first"), ("service.name", "last")], [("host.name", "only a host")]):
        resource = Resource(attributes)
        for kind in (INTERNAL, SERVER, CLIENT, CONSUMER):
            m.span(resource, "whose", kind=kind)

    for name in ("", 'quo"ted', "back\\slash", "line\nbreak", "\u00e9\u4e2d\U0001f600", "a b", "{}", "x" * 2048, "x" * 2049,
                 "\u00e9" * 1100, "y" * 2046 + "\U0001f600"):
        m.span(shop, name, ns=7 * MS)
        m.span(m.service(name), "service with a name", ns=7 * MS)

    # Clocks: a span may end before it starts, start at 0, or lie seconds in the past or the future.
    for start, end in (
        (now, now - 1),
        (now, now - 5 * SECOND),
        (now, now),
        (0, 0),
        (0, 5),
        (5, 0),
        (now - 3600 * SECOND, now),
        (now + 5 * SECOND, now + 5 * SECOND + 3 * MS),
        (now - 5 * SECOND, now - 5 * SECOND + 3 * MS),
        (2**63 - 1, 2**63 + 5),
    ):
        for kind in (INTERNAL, SERVER):
            m.span(shop, "clocks", kind=kind, start=start, ns=end - start)

    for number in range(3):
        m.span(shop, f"broken {INVALID} {number}", kind=SERVER, refused=True)
        m.span(shop, "broken attribute", attributes=[("key", INVALID)], refused=True)
        m.span(shop, "broken neighbour", ns=number)
    return m.spans


# What the dimensions of the tests are taken from.
DIMENSIONS = [
    "http.request.method",
    "deployment.environment.name",
    "2nd",
    "service",
    "span_name",
    "typed",
    "a.b",
    "a_b",
    "not.there",
]
MAPPINGS = {"endpoint": {"from": ["http.request.method", "url.path"], "join": " "},
            "place": {"from": ["deployment.environment.name", "not.there", "zone"]}}


def dimensions(seed, now):
    """Attributes of every type, on span, resource or both, with names that need changing or collide."""
    m = Maker(seed, now)
    places = [m.service("dims", deployment__environment__name="of resource", zone="z1"),
              m.service("dims", deployment__environment__name="of resource", zone=""),
              m.service("dims"), m.service("dims", service="an attribute", typed="of resource")]
    values = [
        "text",
        "",
        0,
        -7,
        2**63 - 1,
        True,
        False,
        0.5,
        -2.25,
        3.0,
        0.1,
        b"\x00\xffbytes",
        [],
        ["a", 1, True, 0.5],
        {"k": ["v"], "a": 2},
        [{"x": None}, b"ab"],
        None,
        "\u00e9" * 1200,
        'q"\\\n',
        [['\u00e9"']],
    ]
    for n, value in enumerate(values):
        attributes = [("typed", value)] if value != "" or n % 2 else []
        m.span(places[n % 3], "typed", attributes=attributes)
    for n in range(24):
        attributes = [("http.request.method", ("GET", "POST")[n % 2])]
        if n % 3:
            attributes.append(("url.path", f"/p{n % 3}"))
        if n % 4 == 1:
            attributes.append(("deployment.environment.name", "of span"))
        if n % 5 == 1:
            attributes += [("2nd", n % 2), ("service", "of span")]
        if n % 6 == 2:
            attributes += [("a.b", "dot"), ("a_b", "underscore")]
        if n % 6 == 3:
            attributes += [("span_name", "attribute"), ("a.b", "only dot")]
        if n % 6 == 5:
            attributes += [("a.b", f"unseen {n // 12}"), ("a_b", "underscore")]
        m.span(places[n % 4], "dims", kind=(SERVER, CLIENT, INTERNAL)[n % 3], attributes=attributes)

    for resource in (
        m.service("ti", service__namespace="ns", service__instance__id="i-1", host__name="h", k8s__pod__name="p"),
        m.service("ti", service__instance__id="i-2"),
        m.service("ti", host__name="h2", process__pid=77),
        Resource([("service.instance.id", "i-3"), ("host.name", "h3")]),
        Resource([("host.name", "h4")]),
        Resource([("service.namespace", "ns"), ("host.name", "h5")]),
        m.service("ti", job="attribute", instance="attribute", x__y=[1, 2]),
        m.service("ti", empty=""),
    ):
        m.span(resource, "told", kind=SERVER)
    return m.spans


def errors(seed, now):
    """Protocol status codes beside the span's own."""
    m = Maker(seed, now)
    cases = [[("http.response.status_code", code)] for code in (100, 200, 399, 400, 404, 499, 500, 503, 599, 600)]
    cases += [[("http.status_code", code)] for code in (200, 429, 502)]
    cases += [[("http.response.status_code", 200), ("http.status_code", 500)]]
    cases += [[("rpc.grpc.status_code", code)] for code in range(17)]
    cases += [
        [("rpc.response.status_code", code)]
        for code in ("OK", "UNAVAILABLE", "NOT_FOUND", "14", "5", "0", 14, 5, 0, "no such name")
    ]
    cases += [
        [("http.response.status_code", 503), ("rpc.grpc.status_code", 14)],
        [("rpc.grpc.status_code", 0), ("http.response.status_code", 404)],
    ]
    for attributes in cases:
        for kind in (SERVER, CLIENT):
            for status in (UNSET, ERROR):
                m.span("codes", "called", kind=kind, status=status, attributes=attributes)
    caller = m.span("codes", "calls", kind=CLIENT, attributes=[("http.response.status_code", 500)])
    m.span("codes answering", "answers", caller, SERVER, attributes=[("http.response.status_code", 404)])
    return m.spans


def events(seed, now):
    """Events and exceptions, on spans that have dimensions and messages of their own, and on such that have none."""
    m = Maker(seed, now)
    thrown = [Event("exception", now, [("exception.type", kind)]) for kind in ("ValueError", "java.io.IOException", "")]
    thrown += [
        Event("exception", now, [("exception.type", kind), ("exception.message", message)])
        for kind, message in (
            ("ValueError", "no such item"), ("ValueError", "no such\nuser"), ("", "nameless"), ("KeyError", ""),
            ("KeyError", 7), ("KeyError", "\u00e9" * 1500), ("k" * 3000, "m" * 3000), ("KeyError", ["a", 1]))
    ]
    placed = m.service("eventful", deployment__environment__name="of resource", zone="z1")
    for n in range(48):
        attributes = [("http.request.method", ("GET", "POST")[n % 2])] if n % 3 else []
        if n % 4 == 1:
            attributes.append(("deployment.environment.name", "of span"))
        some = [Event("retry", now), Event("exception", now, [("exception.type", "E"), ("exception.message", f"m{n % 3}")])]
        m.span(placed if n % 5 else "eventful", "with both", kind=(SERVER, CLIENT)[n % 2], attributes=attributes,
               status=ERROR if n % 4 else UNSET, message=("", "card refused", "out of stock")[n % 3] if n % 4 else "",
               events=some[n % 3:] + m.random.sample(thrown, n % 4), tracestate="ot=th:c" if n % 7 == 0 else "")
    for n in range(20):
        some = [Event(name, now) for name in m.random.sample(["retry", "cache miss", "x\ny", ""], n % 4)]
        some += m.random.sample(thrown, n % 3) + [Event("exception")] * (n % 2)
        m.span("eventful", "with events", kind=SERVER, status=(UNSET, ERROR)[n % 2], events=some,
               tracestate="ot=th:8" if n % 5 == 0 else "")
    return m.spans


# --- weights ---

PROBABILITIES = (0.75, 0.4, 0.382, 0.1, 0.01)

ODD_TRACESTATES = (
    "ot=th:",
    "ot=th:xyz",
    "ot=th:ABC",
    "ot=th:123456789012345",
    "ot=th:-8",
    "ot=rv:1234567890abcd;th:8",
    "other=th:8",
    "ot=th:8,ot=th:c",
    "ot=th:8;th:c",
    "ot=th:8;th:zz",
    "x=y, ot=th:8 ,z=1",
    "ot=th:0",
    "ot=th:00000000000000",
    "OT=th:8",
    "ot=",
    "ot",
    "ot=8",
    "ot=th",
    "rojo=00f067aa0ba902b7,ot=th:c;p:8",
    "ot=th:fffffff",
    "ot=xth:8",
    ",,ot=th:8",
    "ot=th: 8",
)


def threshold(probability):
    return round((1 - probability) * 2**56)


def weights(seed, now):
    """Sampled spans with and without rv, tracestates of all sorts, and edges whose ends differ in weight."""
    m = Maker(seed, now)
    for probability in PROBABILITIES:
        digits = f"{threshold(probability):014x}"
        for n in range(30):
            state = "ot=th:" + (digits.rstrip("0") or "0")
            if n % 2:
                state += f";rv:{m.random.randrange(threshold(probability), 2**56):014x}"
            m.span("sampled", f"p{n % 3}", kind=(SERVER, CLIENT, INTERNAL)[n % 3], ns=m.random.randrange(2 * SECOND),
                   status=(UNSET, ERROR)[n % 4 == 0], tracestate=state)
    for state in ODD_TRACESTATES:
        m.span("sampled", "odd", kind=SERVER, ns=m.random.randrange(SECOND), tracestate=state)
    m.span("sampled", "nearly never", tracestate="ot=th:fffffffffffff8")
    for mine, theirs in (("ot=th:8", ""), ("", "ot=th:c"), ("ot=th:8", "ot=th:c"), ("ot=th:4", "ot=th:4")):
        caller = m.span("sampled", "calls", kind=CLIENT, ns=20 * MS, tracestate=mine)
        m.span("also sampled", "answers", caller, SERVER, ns=10 * MS, tracestate=theirs)
    return m.spans


RATIO = "SampleRatio"
ODD_RATIOS = (1, 1.0, 0, 2, -0.5, 1.0000000000000002, float("nan"), float("inf"), "0.5", "1", ".25", "5.", "1e-3", "1E-3", "2", "0",
              "-0.5", "", " 0.5", "0.5 ", "+0.5", "0x1p-1", "1/2", "50%", "half", "nan", "inf", True, None, b"0.5", [0.5], 2.0**-56,
              1.5 * 2.0**-56, 2.5 * 2.0**-56, 2.0**-58, 1e-300, 1 - 2.0**-53)


def ratios(seed, now):
    """Spans that tell the share that was kept in an attribute, of their own or of the resource, with and without a
    threshold in the tracestate; edges whose ends differ in weight by that."""
    m = Maker(seed, now)
    for n in range(90):
        probability = PROBABILITIES[n % 5]
        m.span("rated", f"p{n % 3}", kind=(SERVER, CLIENT, INTERNAL)[n % 3], ns=m.random.randrange(2 * SECOND),
               status=(UNSET, ERROR)[n % 4 == 0], attributes=[(RATIO, probability if n % 2 else str(probability))],
               events=[Event("retry")] * (n % 2))
    for n, value in enumerate(ODD_RATIOS):
        m.span("rated", f"odd {n}", kind=SERVER, ns=m.random.randrange(SECOND), attributes=[(RATIO, value)])
    states = ("ot=th:8", "ot=th:c;rv:d0000000000000", "ot=th:0", "ot=th:zz", "ot=rv:12345678901234", "other=x")
    for n, state in enumerate(states):
        m.span("rated", f"state {n}", kind=SERVER, attributes=[(RATIO, 0.01)], tracestate=state)
    by_resource = m.service("rated resource", SampleRatio=0.125)
    m.span(by_resource, "by resource")
    m.span(by_resource, "by resource", attributes=[(RATIO, 0.5)])
    m.span(by_resource, "by resource", attributes=[(RATIO, "wrong")])
    m.span(by_resource, "by resource", tracestate="ot=th:8")
    for mine, theirs in ((0.5, None), (None, 0.25), (0.1, 0.25), (0.5, 0.5)):
        attributes = [[(RATIO, ratio)] if ratio else [] for ratio in (mine, theirs)]
        caller = m.span("rated", "calls", kind=CLIENT, ns=20 * MS, attributes=attributes[0])
        m.span("also rated", "answers", caller, SERVER, ns=10 * MS, attributes=attributes[1])
        m.span("rated", "asks", caller, CLIENT, 5 * MS, attributes=attributes[0] + [("db.system", "postgresql")])
    return m.spans


def sampled(seed, now, offered):
    """A consistent probability sampler over `offered` spans for each probability. Returns [(p, its kept spans)]."""
    m = Maker(seed, now)
    result = []
    for number, probability in enumerate(PROBABILITIES):
        t, kept = threshold(probability), []
        state = "ot=th:" + f"{t:014x}".rstrip("0")
        for n in range(offered):
            value = m.random.randrange(2**56)
            if value >= t:
                more = f";rv:{value:014x}" if n % 2 else ""
                kept.append(m.span("sampler", f"p={probability}", kind=INTERNAL, ns=n, tracestate=state + more))
        result.append((probability, kept))
    return result


# --- traces and the graph ---


def shop(seed, now, traces=60):
    """Random traces through named services: nested, overlapping and escaping children, clocks 5 s off, a link here and
    there, leaves that call databases, brokers, named and unnamed peers. About 15 spans each, so that they can be spread
    over many requests."""
    m = Maker(seed, now)
    r = m.random
    names = ["web", "cart", "stock", "pay", "mail"]
    resources = {
        name: [m.service(name, service__instance__id=f"{name}-{n}", host__name=f"h{n}") for n in range(2)] for name in names
    }
    skew = {name: (0, 0, 5 * SECOND, -5 * SECOND, 0)[n] for n, name in enumerate(names)}
    producers = []
    for _ in range(traces):
        state = r.choice(["", "", "", "ot=th:8", "ot=th:4", "ot=th:fd70a3d70a3d7"])
        size = r.randrange(1, 26)
        name = r.choice(names)
        root_kind = r.choice([SERVER, SERVER, SERVER, CLIENT, INTERNAL, CONSUMER])
        root = m.span(
            r.choice(resources[name]),
            f"{name} root",
            kind=root_kind,
            ns=r.randrange(1, 2 * SECOND),
            tracestate=state,
            attributes=(
                [("messaging.system", "kafka"), ("messaging.destination.name", "orders")] if root_kind == CONSUMER else []
            ),
        )
        members, of, leaves = [root], {root.id: name}, set()
        while len(members) < size:
            parent = r.choice([span for span in members if span.id not in leaves])
            at = of[parent.id]
            kind, leaf, attributes = INTERNAL, False, []
            if parent.kind in (CLIENT, PRODUCER) and r.random() < 0.8:
                at, kind = r.choice(names), SERVER if parent.kind == CLIENT else CONSUMER
            elif parent.kind == SERVER and r.random() < 0.1:
                at, kind = r.choice(names), SERVER  # A proxy that reports no client span.
            else:
                kind = r.choice([INTERNAL, CLIENT, CLIENT, PRODUCER])
                if kind == CLIENT and r.random() < 0.5:
                    leaf = True
                    attributes = r.choice(
                        [
                            [("db.system", "postgresql"), ("db.namespace", "shop")],
                            [("peer.service", "bank")],
                            [],
                            [("server.address", "api.example")],
                            [("db.system.name", "redis"), ("server.address", "cache")],
                        ]
                    )
                if kind == PRODUCER and r.random() < 0.3:
                    leaf = True
                    attributes = [("messaging.system", "kafka"), ("messaging.destination.name", "mails")]
            start = parent.start + skew[at] - skew[of[parent.id]] + r.randrange(-100 * MS, max(1, parent.duration) + 100 * MS)
            made = m.span(
                r.choice(resources[at]),
                f"{at} {r.randrange(4)}",
                parent,
                kind,
                r.randrange(-5 * MS, 1 + parent.duration),
                start,
                status=r.choice([UNSET] * 5 + [OK, ERROR]),
                attributes=attributes,
                tracestate=state if r.random() < 0.9 else "ot=th:8",
                flags=r.choice([0, 0x301 if kind == SERVER else 0x101]),
            )
            if kind == PRODUCER and not leaf:
                producers.append(made)
            if kind == CONSUMER and producers and r.random() < 0.5:
                made.links.append(Link(*r.choice(producers).key))
            members.append(made)
            of[made.id] = at
            if leaf:
                leaves.add(made.id)
    return m.spans


def fan_out(seed, now, consumers=100):
    """One producer and many consumers by parent; another, and as many consumers by links in traces of their own."""
    m = Maker(seed, now)
    by_parent = m.span("publisher", "publish", kind=PRODUCER, ns=3 * MS)
    for _ in range(consumers):
        m.span(
            "subscriber",
            "handle",
            by_parent,
            CONSUMER,
            m.random.randrange(50 * MS),
            by_parent.end + m.random.randrange(-5 * MS, SECOND),
        )
    linked = m.span("linking publisher", "publish", kind=PRODUCER, ns=3 * MS, attributes=[("messaging.system", "kafka")])
    for _ in range(consumers):
        m.span("linked subscriber", "handle", None, CONSUMER, m.random.randrange(50 * MS), links=[Link(*linked.key)],
               status=ERROR if m.random.random() < 0.2 else UNSET, attributes=[("messaging.system", "kafka")])
    return m.spans


def graph(seed, now):
    """One small case after another for the rules of the service graph."""
    m = Maker(seed, now)
    # Plain pairs: failing on either side, to itself, and without names.
    for mine, theirs in ((UNSET, UNSET), (ERROR, UNSET), (UNSET, ERROR), (ERROR, ERROR)):
        m.span(
            "callee", "answer", m.span("caller", "call", kind=CLIENT, ns=80 * MS, status=mine), SERVER, 60 * MS, status=theirs
        )
    m.span("narcissus", "answer", m.span("narcissus", "call", kind=CLIENT), SERVER)
    nobody = Resource([("host.name", "nameless")])
    m.span(nobody, "answer", m.span("caller", "call nobody", kind=CLIENT), SERVER)
    m.span("callee", "answer", m.span(nobody, "call", kind=CLIENT), SERVER)
    # Several children of one client span.
    call = m.span("caller", "call twice", kind=CLIENT)
    m.span("callee", "first", call, SERVER)
    m.span("callee", "second", call, SERVER, status=ERROR)
    m.span("caller", "connect", call, INTERNAL)

    # No client or no server span in between.
    front = m.span("gateway", "front", kind=SERVER)
    m.span("backend", "server to server", front, SERVER, 7 * MS, status=ERROR)
    m.span("gateway", "same service", front, SERVER)
    failing = m.span("gateway", "failing front", kind=SERVER, status=ERROR)
    m.span("backend", "well", failing, SERVER)  # Their parent's fault is not theirs.
    outer = m.span("sdk", "outer", kind=CLIENT)
    inner = m.span("sidecar", "client to client", outer, CLIENT, 9 * MS)
    m.span("backend", "answer", inner, SERVER)
    m.span("sidecar", "remote internal", m.span("sdk", "call", kind=CLIENT), INTERNAL, flags=REMOTE_KNOWN | REMOTE)
    m.span("sidecar", "local internal", m.span("sdk", "call", kind=CLIENT), INTERNAL, flags=REMOTE_KNOWN)
    m.span("sidecar", "unknown internal", m.span("sdk", "call", kind=CLIENT), INTERNAL)
    m.span("worker", "in a job", m.span("scheduler", "job", kind=INTERNAL), SERVER)
    m.span("bus", "forwards", m.span("scheduler", "job", kind=INTERNAL), PRODUCER)

    # Databases: what names them, beside what, and what happens to their children.
    named = [
        [("db.name", "orders")],
        [("db.namespace", "orders"), ("db.name", "old")],
        [("db.system", "mysql")],
        [("db.system.name", "redis")],
        [("db.system", "mysql"), ("peer.service", "the db")],
        [("db.system", "mysql"), ("service.peer.name", "new name")],
        [("db.system", "mysql"), ("server.address", "db.example"), ("server.port", 3306)],
        [("db.system", "mysql"), ("network.peer.address", "10.0.0.7"), ("network.peer.port", 3306)],
        [("db.system", "mysql"), ("network.peer.address", "10.0.0.8")],
        [("db.system", "mysql"), ("peer.service", "first"), ("service.peer.name", "second"), ("server.address", "third")],
    ]
    for attributes in named:
        m.span(
            "uses db",
            "query",
            kind=CLIENT,
            ns=m.random.randrange(SECOND),
            attributes=attributes,
            status=m.random.choice([UNSET, ERROR]),
        )
    m.span("the db", "traced database", m.span("uses db", "query", kind=CLIENT, attributes=[("db.system", "mysql")]), SERVER)
    m.span(m.service("uses db", db__system="of resource"), "query", kind=CLIENT)
    m.span("uses db", "not a client", kind=SERVER, attributes=[("db.system", "mysql")])
    m.span("uses db", "not a client", kind=INTERNAL, attributes=[("db.system", "mysql")])
    m.span(nobody, "query", kind=CLIENT, attributes=[("db.system", "mysql")])

    # Nobody there: virtual peers, brokers, users.
    for attributes in (
        [],
        [("peer.service", "bank")],
        [("service.peer.name", "bank 2")],
        [("server.address", "bank.example")],
        [("peer.service", "")],
        [("server.address", "later"), ("peer.service", "earlier")],
    ):
        m.span("alone", "calls out", kind=CLIENT, ns=m.random.randrange(SECOND), attributes=attributes)
        m.span("alone", "serves", kind=SERVER, ns=m.random.randrange(SECOND), attributes=attributes, status=ERROR)
        m.span("alone", "consumes", kind=CONSUMER, attributes=attributes)
        m.span("alone", "produces", kind=PRODUCER, attributes=attributes, status=ERROR)
    kafka, topic = ("messaging.system", "kafka"), ("messaging.destination.name", "topic")
    for attributes in ([kafka], [kafka, topic], [topic], [kafka, ("messaging.destination.name", "")]):
        m.span("broken off", "produces", kind=PRODUCER, attributes=attributes)
        m.span("broken off", "consumes", kind=CONSUMER, attributes=attributes)
    m.span("broken off", "produces", kind=PRODUCER, attributes=[kafka, topic, ("peer.service", "named broker")])
    # A broker has one name on both sides, whatever names it.
    address = ("server.address", "kafka-1")
    for attributes in ([kafka, address], [kafka, topic, address], [kafka, topic, address, ("peer.service", "named broker")]):
        for kind in (PRODUCER, CONSUMER, SERVER, CLIENT):
            m.span("broken off", "either side", kind=kind, ns=m.random.randrange(SECOND), attributes=attributes)
    m.span(nobody, "calls out", kind=CLIENT, attributes=[("peer.service", "bank")])
    m.span(nobody, "serves", kind=SERVER)
    m.span(
        "answered", "answers", m.span("alone", "answered", kind=CLIENT, attributes=[("peer.service", "not virtual")]), SERVER
    )
    m.span("orphan", "parent never comes", m.random.randbytes(8), SERVER)
    m.span("orphan", "parent never comes", m.random.randbytes(8), CONSUMER, attributes=[kafka])

    # Messages.
    sent = m.span("sender", "send", kind=PRODUCER, ns=4 * MS)
    m.span("receiver", "receive", sent, CONSUMER, start=sent.end + 30 * MS)
    early = m.span("sender", "send", kind=PRODUCER, ns=400 * MS, status=ERROR)
    m.span("receiver", "receives before it is sent", early, CONSUMER, start=early.end - 5 * SECOND)
    m.span("receiver", "served", m.span("sender", "send", kind=PRODUCER), SERVER)
    m.span("receiver", "consumed", m.span("sender", "call", kind=CLIENT), CONSUMER)

    # Messages through brokers that both sides name, that one of them names, and what else is under them.
    for mine, theirs in (([kafka, topic], [kafka, topic]), ([kafka, topic], []), ([], [kafka, address]),
                         ([kafka, address], [kafka, topic])):
        sent = m.span("brokered sender", "send", kind=PRODUCER, ns=4 * MS, attributes=mine,
                      status=m.random.choice([UNSET, ERROR]))
        for delay in (30 * MS, -SECOND):
            taken = m.span("brokered receiver", "receive", sent, CONSUMER, 7 * MS, sent.end + delay, attributes=theirs,
                           status=m.random.choice([UNSET, ERROR]))
        m.span("brokered receiver", "by a link", None, CONSUMER, 9 * MS, sent.end + SECOND, attributes=theirs,
               links=[Link(*sent.key)], tracestate="ot=th:8")
        m.span("brokered server", "serves", sent, SERVER, 5 * MS)
        m.span("brokered server", "serves the consumer", taken, SERVER, 6 * MS)
        m.span("brokered sender", "goes on", taken, PRODUCER, attributes=mine)
        m.span("brokered bridge", "forwards", sent, PRODUCER, attributes=mine)
        m.span("brokered sender", "within", sent, INTERNAL, flags=REMOTE_KNOWN)
        for peer in ([], [("peer.service", "front of the broker")]):
            asked = m.span("brokered client", "asks", kind=CLIENT, attributes=peer)
            m.span("brokered receiver", "asked", asked, CONSUMER, 3 * MS, attributes=theirs)
        m.span(nobody, "receive", sent, CONSUMER, attributes=theirs)
        m.span("brokered receiver", "from nobody", m.span(nobody, "send", kind=PRODUCER, attributes=mine), CONSUMER,
               attributes=theirs)

    # Links: to one, to several, to the parent too, to the same twice, to what is no producer, to nothing.
    a, b = (m.span("link sender", "send", kind=PRODUCER, ns=n * MS, attributes=[kafka]) for n in (1, 2))
    m.span("link receiver", "batch", None, CONSUMER, links=[Link(*a.key), Link(*b.key)])
    m.span("link receiver", "also parent", a, CONSUMER, links=[Link(*a.key)])
    m.span("link receiver", "parent and another", a, CONSUMER, links=[Link(*b.key)])
    m.span("link receiver", "twice", None, CONSUMER, links=[Link(*b.key), Link(*b.key)])
    m.span("link receiver", "nothing", None, CONSUMER, links=[Link(m.trace(), m.random.randbytes(8))])
    m.span("link receiver", "no producer", None, CONSUMER, links=[Link(*front.key)])
    m.span("link receiver", "internal", None, INTERNAL, links=[Link(*a.key)])
    asked = m.span("link caller", "asks", kind=CLIENT, attributes=[("peer.service", "not virtual")])
    m.span("link server", "linked", m.span("link server", "root", kind=INTERNAL), SERVER, links=[Link(*asked.key)])
    return m.spans


def self_times(seed, now):
    """Traces for self time: covered, nested, overlapping, escaping and empty children, two roots, holes."""
    m = Maker(seed, now)

    def trace(*children, root_ns=100 * MS):
        root = m.span("timed", "root", kind=SERVER, ns=root_ns, start=now)
        for first, last in children:
            m.span("timed", "child", root, ns=(last - first) * MS, start=now + first * MS)
        return root

    trace()
    trace((0, 100))
    trace((10, 20), (20, 30), (50, 51))
    trace((10, 40), (20, 30), (35, 60))
    trace((-50, 10), (90, 200))
    trace((-50, 200))
    trace((200, 300), (-20, -10))
    trace((30, 20), (50, 50))
    trace((0, 50), root_ns=-5)
    root = trace((10, 20))
    m.span("timed", "second root", None, kind=SERVER, trace=root.trace)
    root = trace((10, 20))
    m.span("timed", "hole above", m.random.randbytes(8), trace=root.trace)
    deep = trace()
    for _ in range(30):
        deep = m.span("timed", "deeper", deep, ns=max(0, deep.duration - MS))
    return m.spans


# What Tempo's own tests of its service graph feed it (modules/generator/processor/servicegraphs/testdata), told
# again: {name of the file: (attributes of the database call or None, edges that its tests expect)}.
_ASKED, _QUEUED = ("mythical-requester", "mythical-server", ""), (
    "mythical-requester",
    "mythical-recorder",
    "messaging_system",
)


def _with_database(name):
    return {_ASKED: (1, 0), _QUEUED: (1, 0), ("mythical-server", name, "database"): (1, 0)}


_HOST = "mythical-database"
TEMPO_DATABASES = {
    "trace-with-queue-database": ([("db.name", "postgres"), ("db.system", "postgresql")], "postgres"),
    "trace-with-queue-database2": (
        [("db.name", "postgres"), ("db.system", "postgresql"), ("server.address", _HOST), ("server.port", 5432)],
        _HOST,
    ),
    "trace-with-queue-database3": (
        [("db.name", "postgres"), ("db.system", "postgresql"), ("peer.service", _HOST), ("server.port", 5432)],
        _HOST,
    ),
    "trace-with-queue-database4": (
        [("db.name", "postgres"), ("db.system", "postgresql"), ("network.peer.address", _HOST), ("network.peer.port", 5432)],
        _HOST + ":5432",
    ),
    "trace-with-queue-database5": (
        [("db.name", "postgres"), ("db.system", "postgresql"), ("network.peer.address", _HOST)],
        _HOST,
    ),
    "trace-without-database-name": ([("db.system", "postgresql"), ("server.address", _HOST), ("server.port", 5432)], _HOST),
    "trace-with-db-namespace": ([("db.namespace", "mydb"), ("db.system", "postgresql")], "mydb"),
    "trace-with-both-db-attributes": (
        [("db.name", "postgres"), ("db.namespace", "priority-db"), ("db.system", "postgresql")],
        "priority-db",
    ),
    "trace-with-db-system-name": ([("db.system.name", "postgresql")], "postgresql"),
    "trace-with-db-system-and-system-name": ([("db.system", "mssql"), ("db.system.name", "microsoft.sql_server")], "mssql"),
}


def tempo_cases(seed, now):
    """{name: (spans, {(client, server, connection type): (total, failed)})}."""
    cases = {}
    m = Maker(seed, now)

    def mythical(database, failing=False):
        status = ERROR if failing else OK
        asks = m.span(
            "mythical-requester",
            "requester",
            kind=CLIENT,
            ns=45 * MS,
            status=status,
            attributes=[("beast", "manticore"), ("god", "ares")],
        )
        m.span("mythical-requester", "tcp.connect", asks, attributes=[("net.peer.name", "mythical-server")])
        serves = m.span(
            "mythical-server",
            "GET /:endpoint",
            asks,
            SERVER,
            29 * MS,
            status=status,
            attributes=[("god", "zeus"), ("http.route", "/:endpoint")],
        )
        m.span("mythical-server", "middleware - query", serves, ns=20_992)
        m.span(
            "mythical-server", "pg.query", serves, CLIENT, 23 * MS, status=ERROR if failing else UNSET, attributes=database
        )
        pushes = m.span(
            "mythical-server", "HTTP POST", serves, CLIENT, 3 * MS, status=OK, attributes=[("net.peer.name", "loki")]
        )
        m.span("mythical-server", "dns.lookup", pushes, CLIENT, 802_304, attributes=[("peer.ipv4", "172.22.0.6")])
        m.span("mythical-requester", "log_to_loki", asks, CLIENT, 13 * MS, status=OK)
        if not failing:
            publishes = m.span("mythical-requester", "publish_to_queue", asks, ns=MS, status=OK)
            sends = m.span("mythical-requester", "messages send", publishes, PRODUCER, 68_864,
                           attributes=[("messaging.system", "rabbitmq"), ("messaging.destination", "")])
            gets = m.span("mythical-recorder", "messages process", sends, CONSUMER, 699_392, sends.end + 9_881_600,
                          attributes=[("messaging.system", "rabbitmq"), ("messaging.operation", "process")])
            m.span("mythical-recorder", "process_message", gets, ns=37 * MS)

    def finish(name, edges):
        cases[name] = m.spans, edges
        m.spans = []

    for name, (attributes, server) in TEMPO_DATABASES.items():
        mythical(attributes)
        finish(name, _with_database(server))
    mythical([("db.name", "postgres"), ("db.system", "postgresql")], failing=True)
    finish("trace-with-failed-requests", {_ASKED: (1, 1), ("mythical-server", "postgres", "database"): (1, 1)})

    m.span("mythical-server", "requester", kind=SERVER, ns=45 * MS, status=OK)
    m.span(
        "mythical-requester",
        "HTTP GET /ready",
        kind=CLIENT,
        ns=705_792,
        attributes=[("peer.service", "external-payments-platform")],
    )
    m.span("internal-consumer", "Consumed", kind=CONSUMER, ns=705_792, attributes=[("peer.service", "external-producer")])
    finish("trace-with-virtual-nodes", {("user", "mythical-server", "virtual_node"): (1, 0),
                                        ("mythical-requester", "external-payments-platform", "virtual_node"): (1, 0),
                                        ("external-producer", "internal-consumer", "virtual_node"): (1, 0)})

    root = m.span("mythical-server", "server-root", kind=SERVER, ns=45 * MS, status=OK)
    matched = m.span("mythical-server", "client-matched", root, CLIENT, 45 * MS, status=OK)
    m.span("mythical-requester", "server-matched", matched, SERVER, 705_792)
    m.span("mythical-requester", "db-access", matched, CLIENT, 705_792, attributes=[("db.system", "mysql")])
    m.span("mythical-requester", "unmatched", m.random.randbytes(8), SERVER, 705_792, trace=root.trace)
    # Tempo has one call from mythical-server to mythical-requester. Here there are two: db-access is a span of
    # another service under client-matched as well, and every child counts.
    finish(
        "trace-with-expired-edges",
        {
            ("user", "mythical-server", "virtual_node"): (1, 0),
            ("mythical-server", "mythical-requester", ""): (2, 0),
            ("mythical-requester", "mysql", "database"): (1, 0),
        },
    )
    return cases


def collector_cases(seed, now):
    """What the Collector's tests of its service graph feed it (connector/servicegraphconnector: its testdata and the happy
    case of connector_test.go), told again: {name: (spans, options of `metrics.graph`, [edge])}, an edge being
    (its labels, calls, seconds as the server saw them, seconds as the client saw them).

    Where the Collector expects something else, it is said beside the case.
    """
    cases = {}
    m = Maker(seed, now)
    us = 1000

    def finish(name, graph, *edges):
        cases[name] = m.spans, graph, list(edges)
        m.spans = []

    def edge(client, server, calls=1, seconds=1e-6, kind="", failed="false", **more):
        labels = {"client": client, "server": server, "connection_type": kind, "failed": failed, **more}
        return {name: value for name, value in labels.items() if value}, calls, seconds, seconds

    asks = m.span("some-service", "client span", kind=CLIENT, ns=SECOND, attributes=[("some-attribute", "val")])
    m.span("some-service", "server span", asks, SERVER, SECOND)
    finish("common case", {"dimensions": ["some-attribute", "non-existing-attribute"]},
           edge("some-service", "some-service", seconds=1, client_some_attribute="val"))

    for status in (UNSET, UNSET, ERROR):
        m.span("bar", "answers", m.span("foo", "asks", kind=CLIENT, ns=SECOND), SERVER, SECOND, status=status)
    # The Collector has no request_failed_total where nothing failed; here it is 0.
    finish("failed-label-not-work", {}, edge("foo", "bar", 2, 2), edge("foo", "bar", 1, 1, failed="true"))

    asks = m.span("foo-server", "server", kind=CLIENT, ns=us, attributes=[("messaging.system", "kafka")])
    m.span("bar-requester", "HTTP GET /ready", asks, SERVER, us, attributes=[("db.system", "postgresql")])
    finish("extra-dimensions-queue-db", {"dimensions": ["db.system", "messaging.system"]},
           edge("foo-server", "bar-requester", client_messaging_system="kafka", server_db_system="postgresql"))

    m.span("bar-requester", "HTTP GET /ready", m.span("foo-server", "server", kind=CLIENT, ns=us), SERVER, us)
    # The Collector shows a messaging histogram without observations; here there is none.
    finish("messaging-system", {"messaging_latency": True}, edge("foo-server", "bar-requester"))

    m.span("bar-requester", "HTTP GET /ready", kind=SERVER, ns=us, attributes=[("peer.service.name", "external-platform")])
    # The side without spans has 0 s there; here both histograms have the other's duration.
    finish("virtual-node-label-client", {"virtual_node_label": True, "dimensions": ["peer.service.name"]},
           edge("user", "bar-requester", kind="virtual_node", virtual_node="client",
                server_peer_service_name="external-platform"))

    m.span("foo-server", "server", kind=CLIENT, ns=us)
    # There it calls `unknown`; here a call that nobody answered and that names nobody is no edge, but counted as no_server.
    finish("virtual-node-label-server", {"virtual_node_label": True})

    m.span("foo-server", "server", kind=CLIENT, ns=us)
    m.span("bar-requester", "HTTP GET /ready", kind=SERVER, ns=us, attributes=[("peer.service", "external-platform")])
    # There the caller is always `user`; here it is the peer that it names, as in Tempo.
    finish("virtual-node-label", {"dimensions": ["peer.service"]},
           edge("external-platform", "bar-requester", kind="virtual_node", server_peer_service="external-platform"))
    return cases


def everything(seed, now):
    spans = []
    for make in (red, dimensions, errors, events, weights, ratios, shop, fan_out, graph, self_times):
        spans += make(f"{seed} {make.__name__}", now)
    for case, _ in tempo_cases(f"{seed} tempo", now).values():
        spans += case
    for case, _, _ in collector_cases(f"{seed} collector", now).values():
        spans += case
    return spans


def late(seed, now):
    """(spans, spans that come after `graph.wait` and the verdict)."""
    m = Maker(seed, now)
    gone = m.span("patient", "given up", kind=CLIENT, ns=30 * MS, attributes=[("peer.service", "assumed")])
    unnamed = m.span("patient", "unpaired", kind=CLIENT, ns=30 * MS)
    half = m.span("patient", "half answered", kind=CLIENT, ns=30 * MS, attributes=[("peer.service", "assumed")])
    m.span("prompt", "answers", half, SERVER, 10 * MS)
    sent = m.span(
        "patient",
        "sent",
        kind=PRODUCER,
        attributes=[("messaging.system", "kafka"), ("messaging.destination.name", "assumed")],
    )
    hole_id, hole_trace = m.random.randbytes(8), m.trace()
    root = m.span("patient", "root", kind=INTERNAL, trace=hole_trace)
    m.span("patient", "leaf under a hole", hole_id, trace=hole_trace)
    whole = m.span("patient", "whole root", kind=INTERNAL)
    m.span("patient", "whole leaf", whole)
    reverse_id, reverse_trace = m.random.randbytes(8), m.trace()
    m.span("prompt", "came before its client", reverse_id, SERVER, 10 * MS, trace=reverse_trace)
    early, m.spans = m.spans, []

    m.span("tardy", "answers", gone, SERVER, 10 * MS)
    m.span("tardy", "answers", unnamed, SERVER, 10 * MS)
    m.span("tardy", "answers", half, SERVER, 10 * MS)
    m.span("tardy", "consumes", None, CONSUMER, links=[Link(*sent.key)])
    m.span("patient", "the hole", root).id = hole_id
    m.span(
        "patient", "its client", None, CLIENT, 30 * MS, trace=reverse_trace, attributes=[("peer.service", "assumed")]
    ).id = reverse_id
    return early, m.spans


# --- OTLP ---


def _set_value(target, value):
    if value is None:
        return
    if isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for key, inner in value.items():
            pair = target.kvlist_value.values.add(key=key)
            _set_value(pair.value, inner)
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for inner in value:
            _set_value(target.array_value.values.add(), inner)
    else:
        kind = {bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value", str: "string_value"}[
            type(value)
        ]
        setattr(target, kind, value)


def _set_attributes(target, attributes):
    for key, value in attributes:
        pair = target.add(key=key)
        if value is None:
            pair.value.SetInParent()
        _set_value(pair.value, value)


def to_proto(span):
    made = trace_pb2.Span(
        trace_id=span.trace,
        span_id=span.id,
        parent_span_id=span.parent,
        name=span.name,
        kind=span.kind,
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        trace_state=span.tracestate,
        flags=span.flags,
    )
    if span.status or span.message:
        made.status.code, made.status.message = span.status, span.message
    _set_attributes(made.attributes, span.attributes)
    for event in span.events:
        added = made.events.add(name=event.name, time_unix_nano=event.time)
        _set_attributes(added.attributes, event.attributes)
    for link in span.links:
        made.links.add(trace_id=link.trace, span_id=link.span)
    return made


def measure(spans):
    """Sets each span's size, which the oracle needs."""
    for span in spans:
        span.size = to_proto(span).ByteSize()
    return spans


def body(spans):
    """One request's bytes. Spans are grouped by resource, in the order in which those come first."""
    groups = defaultdict(list)
    for span in spans:
        groups[id(span.resource)].append(span)
    request = ExportTraceServiceRequest()
    for members in groups.values():
        top = request.resource_spans.add()
        _set_attributes(top.resource.attributes, members[0].resource.attributes)
        top.scope_spans.add(schema_url="").spans.extend(to_proto(span) for span in members)
    return request.SerializeToString().replace(INVALID.encode(), _BROKEN)


def requests(spans, seed, mean=40, again=0.1):
    """[(bytes, spans to be refused)]: the spans in a random order, cut into requests of 1 to 2 * mean spans. A tenth of
    the spans come a second time, and a tenth of the requests too, some right after themselves."""
    r = random.Random(seed)
    order = list(spans)
    r.shuffle(order)
    for span in r.sample(order, int(len(order) * again)):
        order.insert(r.randrange(len(order) + 1), span)
    made, at = [], 0
    while at < len(order):
        size = r.randrange(1, 2 * mean)
        part = order[at:at + size]
        at += size
        made.append((body(part), sum(span.refused for span in part)))
    for request in r.sample(made, int(len(made) * again)):
        made.insert(r.randrange(len(made) + 1), request)
    return made
