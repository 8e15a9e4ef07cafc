"""What the metrics derived from spans have to be: every series and value, computed slowly and exactly.

This is the second opinion that tests hold the gateway against, so it shares nothing with it: plain data classes in,
`fractions.Fraction` throughout, no hashing, no increments; each quantity is computed from its definition over the whole
list of spans. docs/metrics.md says what the metrics are. Where that leaves a choice, a comment beginning with
"Reading:" says which one was taken here, and the corpora of derived_corpus.py stay clear of it unless a test is about it.

Time: durations are integer nanoseconds. `Span.arrival` is when the gateway got the span, in seconds on any scale; it
matters for two things only, how long a client waits for its server (`graph.wait`) and whether a span was there when its
trace was decided (`settle`). Spans that arrived together may have any common value.
"""

import base64
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(6)
KINDS = {INTERNAL: "INTERNAL", SERVER: "SERVER", CLIENT: "CLIENT", PRODUCER: "PRODUCER", CONSUMER: "CONSUMER"}
UNSET, OK, ERROR = range(3)
STATUSES = {OK: "OK", ERROR: "ERROR"}

# Span.flags: whether the parent is in another process is known, and is so.
REMOTE_KNOWN, REMOTE = 0x100, 0x200

MAX_VALUE_BYTES = 2048
NATIVE_SCHEMA = 3
NATIVE_BUCKETS = 160

GRPC_CODES = {name: number for number, name in enumerate((
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"))}
GRPC_SERVER_ERRORS = {2, 4, 12, 13, 14, 15}
ERROR_SOURCES = ("status", "http_5xx", "http_4xx", "grpc")

# --- spans ---


@dataclass(eq=False)
class Resource:
    attributes: list  # [(key, value)], in the order sent; a key may come twice

    def service(self):
        """The last service.name, if that is a string with something in it. Reading: also where one before it was one."""
        name = None
        for key, value in self.attributes:
            if key == "service.name":
                name = value
        return name if isinstance(name, str) and name else None


@dataclass(eq=False)
class Event:
    name: str
    time: int = 0
    attributes: list = field(default_factory=list)


@dataclass(eq=False)
class Link:
    trace: bytes
    span: bytes


@dataclass(eq=False)
class Span:
    resource: Resource
    trace: bytes
    id: bytes
    name: str
    parent: bytes = b""
    kind: int = INTERNAL
    start: int = 0
    end: int = 0
    status: int = UNSET
    message: str = ""
    tracestate: str = ""
    flags: int = 0
    attributes: list = field(default_factory=list)
    events: list = field(default_factory=list)
    links: list = field(default_factory=list)
    size: int = 0  # bytes of the protobuf message
    arrival: float = 0.0
    refused: bool = False  # broken so that the edge has to refuse it (partial success): it counts nowhere

    @property
    def duration(self):
        return max(0, self.end - self.start)

    @property
    def service(self):
        return self.resource.service()

    @property
    def key(self):
        return self.trace, self.id


def text(value):
    """An attribute's value as a label value; None for a value that is not there."""
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return _scalar(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return _compact(value)


def _scalar(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # Reading: the shortest form of 3.0 is 3, as in JSON.
    return repr(value)


def _compact(value):
    """Reading: map keys stay in the order they were sent in, bytes are base64 strings."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return json.dumps(base64.b64encode(value).decode())
    if isinstance(value, dict):
        return "{" + ",".join(_compact(k) + ":" + _compact(v) for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_compact(v) for v in value) + "]"
    return _scalar(value)


def cut(value):
    """A label value of at most MAX_VALUE_BYTES, cut between characters."""
    return value.encode()[:MAX_VALUE_BYTES].decode(errors="ignore")


def find(key, *places):
    """The text of the first attribute of that key, looking through the places in order; None if there is none."""
    for attributes in places:
        for have, value in attributes:
            if have == key and value is not None:
                return text(value)
    return None


def first(keys, *places):
    """The text of the first of the keys that is there and not empty."""
    for key in keys:
        value = find(key, *places)
        if value:
            return value
    return None


def weight(tracestate):
    """How many spans this one stands for: 2^56 / (2^56 - T), with T from `ot=th:...`."""
    for member in tracestate.split(","):
        name, _, value = member.strip(" \t").partition("=")
        if name != "ot":
            continue
        threshold = None
        for part in value.split(";"):
            name, colon, digits = part.partition(":")
            if name == "th" and colon:
                threshold = digits
        # Reading: the last th decides, also where it is malformed and an earlier one was not.
        if threshold is None or not re.fullmatch("[0-9a-f]{1,14}", threshold):
            return Fraction(1)
        return Fraction(2**56, 2**56 - int(threshold.ljust(14, "0"), 16))
    return Fraction(1)


# --- configuration ---

DEFAULTS = {
    "dialect": "tempo", "max_series": 20000, "size": True, "calls": True, "latency": True, "histograms": "classic",
    "status_message": False, "dimensions": [], "mappings": {}, "include": [], "exclude": [], "target_info": False,
    "events": False, "exceptions": False, "self_time": True, "errors": ["status"], "names": "raw",
    "graph": {
        "enabled": True, "wait": "10s", "dimensions": [], "virtual_node_label": False, "messaging_latency": False,
        "connection_info": False,
        "peer_attributes": ["peer.service", "service.peer.name", "db.name", "db.system", "db.system.name",
                            "server.address"],
        "database_attributes": ["db.namespace", "db.name", "db.system", "db.system.name"],
    },
}


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", duration).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


class Config:
    """The `metrics` part of a gateway's configuration, with the defaults filled in, and `correlate.settle`."""

    def __init__(self, metrics=None, settle=2.0):
        metrics = dict(metrics or {})
        graph = dict(DEFAULTS["graph"], **metrics.pop("graph", {}))
        unknown = (set(metrics) - set(DEFAULTS) - {"exemplars", "expire_after", "ingested"}) | (
            set(graph) - set(DEFAULTS["graph"]))
        assert not unknown, f"the oracle knows no {unknown}"
        for key, default in DEFAULTS.items():
            setattr(self, key, metrics.get(key, default))
        self.graph = graph
        self.settle = settle

    @property
    def dialects(self):
        return [TEMPO, OTEL] if self.dialect == "both" else [{"tempo": TEMPO, "otel": OTEL}[self.dialect]]

    @property
    def graph_dialect(self):
        return OTEL if self.dialect == "otel" else TEMPO


@dataclass(frozen=True)
class Dialect:
    name: str
    service: str
    prefix: str
    latency: str
    unit: int  # nanoseconds
    bounds: tuple  # nanoseconds
    graph_bounds: tuple
    overflow: str

    def look_up(self, key, span):
        resource, own = span.resource.attributes, span.attributes
        return find(key, resource, own) if self.name == "tempo" else find(key, own, resource)


_OTEL_MS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000)
TEMPO = Dialect("tempo", "service", "traces_spanmetrics", "traces_spanmetrics_latency", 10**9,
                tuple(2_000_000 * 2**n for n in range(14)), tuple(100_000_000 * 2**n for n in range(8)),
                "metric_overflow")
OTEL = Dialect("otel", "service_name", "traces_span_metrics", "traces_span_metrics_duration_milliseconds", 10**6,
               tuple(ms * 10**6 for ms in _OTEL_MS), tuple(ms * 10**6 for ms in _OTEL_MS), "otel_metric_overflow")


def label_name(key, taken=()):
    """Reading: one underscore for each character that may not be there, of however many bytes."""
    name = re.sub("[^a-zA-Z0-9_]", "_", key)
    if name[:1].isdigit():
        name = "_" + name
    return "__" + name if name in taken else name


# --- what comes out ---


class Histogram:
    """Weighted observations of whole nanoseconds."""

    def __init__(self, bounds, unit):
        self.bounds, self.unit = bounds, unit
        self.observations = defaultdict(Fraction)  # {ns: weight}
        self._natives = {}

    def observe(self, ns, how_often):
        self.observations[ns] += how_often
        self._natives.clear()

    @property
    def count(self):
        return sum(self.observations.values(), Fraction(0))

    @property
    def sum(self):
        return sum((ns * w for ns, w in self.observations.items()), Fraction(0)) / self.unit

    def classic(self):
        """[(upper bound in the unit as a double, cumulative count)], +Inf last."""
        rows, waiting, so_far = [], sorted(self.observations.items(), reverse=True), Fraction(0)
        for bound in self.bounds:
            while waiting and waiting[-1][0] <= bound:
                so_far += waiting.pop()[1]
            rows.append((float(Fraction(bound, self.unit)), so_far))
        return rows + [(float("inf"), self.count)]

    def native(self, schema):
        """(count of zeros, {index: count}): bucket i holds 2^((i-1)/2^schema) < v <= 2^(i/2^schema)."""
        if schema not in self._natives:
            zeros, buckets = Fraction(0), defaultdict(Fraction)
            for ns, w in self.observations.items():
                if ns == 0:
                    zeros += w
                else:
                    buckets[native_index(Fraction(ns, self.unit), schema)] += w
            self._natives[schema] = zeros, dict(buckets)
        return self._natives[schema]

    def native_schemas(self):
        """The schemas that may be used for these values: 3, or less where that takes more than 160 buckets.

        Reading: whether empty buckets between the first and the last count towards the 160 is open (Prometheus counts
        those in use, OpenTelemetry the range), so up to two answers are right.
        """
        def fitting(measure):
            schema = NATIVE_SCHEMA
            while measure(self.native(schema)[1]) > NATIVE_BUCKETS:
                schema -= 1
            return schema
        by_range = fitting(lambda buckets: max(buckets) - min(buckets) + 1 if buckets else 0)
        return range(by_range, fitting(len) + 1)


def native_index(value, schema):
    """The least i with value <= 2^(i/2^schema), exactly."""
    doublings = 1 if schema > 0 else 2**-schema  # value <= 2^(i/2^s) just when value^(2^s) <= 2^i
    power = value ** (2**schema) if schema > 0 else value
    index = (power.numerator.bit_length() - power.denominator.bit_length() - 1) // doublings - 1  # too low by a few
    while Fraction(2) ** (doublings * index) < power:
        index += 1
    return index


class Output:
    """Families by name: {name: (type, {frozenset(labels): Fraction or Histogram})}."""

    def __init__(self):
        self.families = {}

    def _series(self, name, kind, labels, make):
        have, series = self.families.setdefault(name, (kind, {}))
        assert have == kind
        key = frozenset((k, cut(v)) for k, v in labels.items() if v)
        if key not in series:
            series[key] = make()
        return series, key

    def count(self, name, labels, amount):
        series, key = self._series(name, "counter", labels, Fraction)
        series[key] += amount

    def gauge(self, name, labels, value):
        series, key = self._series(name, "gauge", labels, Fraction)
        series[key] = Fraction(value)

    def observe(self, name, labels, bounds, unit, ns, how_often):
        series, key = self._series(name, "histogram", labels, lambda: Histogram(bounds, unit))
        series[key].observe(ns, how_often)

    def samples(self, histograms="classic"):
        """{(sample name, labels): the double nearest to the exact value}, as in the text formats; `le` is a double too.

        Of histograms that are native only, text can show the count, the sum and the bucket of all.
        """
        flat = {}
        for name, (kind, series) in self.families.items():
            for labels, value in series.items():
                if kind != "histogram":
                    flat[name, labels] = float(value)
                    continue
                flat[name + "_count", labels] = float(value.count)
                flat[name + "_sum", labels] = float(value.sum)
                for bound, count in value.classic():
                    if histograms != "native" or bound == float("inf"):
                        flat[name + "_bucket", labels | {("le", bound)}] = float(count)
        return flat

    def totals(self, name, by):
        """{tuple of the labels' values: Fraction}: a counter, or a histogram's count, summed."""
        table = defaultdict(Fraction)
        for labels, value in self.families.get(name, ("", {}))[1].items():
            have = dict(labels)
            table[tuple(have.get(label, "") for label in by)] += value.count if isinstance(value, Histogram) else value
        return dict(table)


# --- errors and rules ---


def _number(value):
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isdigit():
        return int(value)  # Reading: a number sent as text is a number.
    return None


def _attribute(span, key):
    for have, value in span.attributes:
        if have == key:
            return value
    return None


def error_source(span, sources):
    """What makes the span an error, the first that applies of those configured; None if it is none."""
    http = _number(_attribute(span, "http.response.status_code"))
    if http is None:
        http = _number(_attribute(span, "http.status_code"))
    grpc = _number(_attribute(span, "rpc.grpc.status_code"))
    if grpc is None:
        named = _attribute(span, "rpc.response.status_code")
        grpc = GRPC_CODES.get(named, _number(named)) if isinstance(named, str) else _number(named)
    applies = {
        "status": span.status == ERROR,
        "http_5xx": http is not None and 500 <= http <= 599,
        "http_4xx": http is not None and 400 <= http <= 499,
        "grpc": grpc is not None and (grpc in GRPC_SERVER_ERRORS if span.kind == SERVER else grpc != 0),
    }
    for source in ERROR_SOURCES:
        if source in sources and applies[source]:
            return source
    return None


def _matches(rule, span, config):
    """Whether every key of an include or exclude entry holds. Patterns are searched for, not anchored."""
    for key, wanted in rule.items():
        if key == "matches":
            continue
        if key == "kind":
            holds = KINDS.get(span.kind, "UNSPECIFIED").lower() == wanted
        elif key == "status":
            # Reading: the status as the label shows it, so after `errors`.
            failed = error_source(span, config.errors) is not None
            holds = ("error" if failed else STATUSES.get(span.status, "UNSET").lower()) == wanted
        elif key == "service":
            holds = re.search(wanted, span.service or "") is not None
        elif key == "span_name":
            holds = re.search(wanted, span.name) is not None
        else:
            places = {"attribute": span.attributes, "resource": span.resource.attributes}[key]
            value = find(wanted, places)
            holds = value is not None and re.search(rule["matches"], value) is not None
        if not holds:
            return False
    return True


def counts(span, config):
    """Reading: a span that include and exclude leave out has no metrics of any family and is no end of an edge, as if it
    had never come; only its parent's self time is still less for it, and its trace no less complete."""
    if any(_matches(rule, span, config) for rule in config.exclude):
        return False
    return not config.include or any(_matches(rule, span, config) for rule in config.include)


def unique(spans):
    """The spans that count: the first to arrive of each (trace, span ID), without those refused at the edge."""
    seen = {}
    for span in sorted(spans, key=lambda s: s.arrival):
        if not span.refused:
            seen.setdefault(span.key, span)
    return list(seen.values())


def derive(spans, config):
    """Everything that has to be on the page for these spans."""
    output = Output()
    spans = unique(spans)
    counted = [span for span in spans if counts(span, config)]
    for dialect in config.dialects:
        _span_metrics(counted, config, dialect, output)
    if config.target_info:
        _target_info(counted, output)
    if config.self_time:
        _self_time(spans, config, output)
    if config.graph["enabled"]:
        _graph(counted, config, output)
    return output


# --- span metrics ---


def _job(resource):
    name = resource.service()
    namespace = find("service.namespace", resource.attributes)
    return f"{namespace}/{name}" if name and namespace else name


def _intrinsic(dialect):
    """Reading: the names that an attribute cannot take are those of all labels that the family can have by itself."""
    return {dialect.service, "span_name", "span_kind", "status_code", "status_message", "job", "instance",
            "error_source"}


def _base_labels(span, config, dialect):
    source = error_source(span, config.errors)
    status = "ERROR" if source else STATUSES.get(span.status, "UNSET")
    labels = {dialect.service: span.service, "span_name": span.name,
              "span_kind": "SPAN_KIND_" + KINDS.get(span.kind, "UNSPECIFIED"), "status_code": "STATUS_CODE_" + status}
    # Reading: exceptions have these too; what they do not have is dimensions, mappings and status_message.
    if list(config.errors) != ["status"]:
        labels["error_source"] = source
    if config.target_info:
        labels["job"] = _job(span.resource)
        labels["instance"] = find("service.instance.id", span.resource.attributes)
    return labels


def span_labels(span, config, dialect):
    labels = {}
    taken = _intrinsic(dialect)
    # Of several dimensions with one label name the last one configured counts, and one without a value takes the
    # label away: what the label builder of Tempo's modules/generator/registry does.
    for key in config.dimensions:
        labels[label_name(key, taken)] = dialect.look_up(key, span) or ""
    for name, mapping in config.mappings.items():
        values = [dialect.look_up(key, span) for key in mapping["from"]]
        joined = mapping.get("join", "/").join(value for value in values if value)
        labels[label_name(name, taken)] = joined
    labels = {name: value for name, value in labels.items() if value}
    labels.update(_base_labels(span, config, dialect))
    if config.status_message:
        labels["status_message"] = span.message
    return labels


def _span_metrics(spans, config, dialect, output):
    for span in spans:
        labels, stands_for = span_labels(span, config, dialect), weight(span.tracestate)
        if config.calls:
            output.count(dialect.prefix + "_calls_total", labels, stands_for)
        if config.latency:
            output.observe(dialect.latency, labels, dialect.bounds, dialect.unit, span.duration, stands_for)
        if config.size:
            output.count(dialect.prefix + "_size_total", labels, span.size * stands_for)
        for event in span.events:
            if config.events:
                output.count(dialect.prefix + "_events_total", dict(labels, event_name=event.name), stands_for)
            if config.exceptions and event.name == "exception":
                output.count(
                    dialect.prefix + "_exceptions_total",
                    dict(_base_labels(span, config, dialect), exception_type=find("exception.type", event.attributes)),
                    stands_for,
                )


def _target_info(spans, output):
    for span in spans:
        attributes = span.resource.attributes
        identity = {"job": _job(span.resource), "instance": find("service.instance.id", attributes)}
        others = {label_name(key, ("job", "instance")): text(value) for key, value in attributes
                  if key not in ("service.name", "service.namespace", "service.instance.id")}
        if any(identity.values()) and any(others.values()):
            output.gauge("traces_target_info", {**others, **identity}, 1)


def _covered(intervals):
    """Length of the union of (start, end) intervals."""
    covered, reached = 0, None
    for start, end in sorted(intervals):
        if reached is None or start > reached:
            covered, reached = covered + end - start, end
        elif end > reached:
            covered, reached = covered + end - reached, end
    return covered


def self_duration(span, children):
    intervals = [(max(child.start, span.start), min(child.end, span.end)) for child in children]
    return span.duration - _covered([(start, end) for start, end in intervals if start < end])


def _self_time(spans, config, output):
    """Reading: a trace is judged by what had arrived when it was decided; what comes later neither adds nor takes back."""
    traces = defaultdict(list)
    for span in spans:
        traces[span.trace].append(span)
    for members in traces.values():
        roots = [span for span in members if not span.parent]
        if not roots:
            continue
        decided = min(root.arrival for root in roots) + config.settle
        members = [span for span in members if span.arrival <= decided]
        known = {span.id for span in members}
        if sum(not span.parent for span in members) != 1 or any(s.parent and s.parent not in known for s in members):
            continue
        for span in members:
            if not counts(span, config):
                continue
            own = self_duration(span, [child for child in members if child.parent == span.id])
            for dialect in config.dialects:
                labels, stands_for = span_labels(span, config, dialect), weight(span.tracestate)
                output.count(dialect.prefix + "_self_seconds_total", labels, Fraction(own, 10**9) * stands_for)
                output.count(dialect.prefix + "_self_spans_total", labels, stands_for)


# --- service graph ---


@dataclass
class Edge:
    client: str
    server: str
    kind: str  # connection_type; "" for a plain call
    failed: bool
    weight: Fraction
    client_ns: int
    server_ns: int
    client_span: Span = None
    server_span: Span = None
    messaging_ns: int = None
    virtual: str = ""


def _is_remote(span):
    return span.flags & REMOTE_KNOWN and span.flags & REMOTE


def _database(span, graph):
    """The name of the database that this client span calls, or None."""
    if span.kind != CLIENT:
        return None
    places = (span.attributes, span.resource.attributes)
    marker = first(graph["database_attributes"], *places)
    if not marker:
        return None
    address, port = find("network.peer.address", *places), find("network.peer.port", *places)
    peer = f"{address}:{port}" if address and port else address
    return first(("peer.service", "service.peer.name", "server.address"), *places) or peer or marker


def _callee(span, graph):
    """(name, connection_type) of whom a client or producer calls, from its own attributes; None if they do not say."""
    named = first(graph["peer_attributes"], span.attributes)
    if span.kind == PRODUCER and find("messaging.system", span.attributes):
        return named or first(("messaging.destination.name", "messaging.system"), span.attributes), "messaging_system"
    return (named, "virtual_node") if named else None


def _pair(child, parent):
    """Whether child and parent make an edge, as (rule, failed by the parent too?); None if they do not."""
    if child.kind in (SERVER, CONSUMER) and parent.kind in (CLIENT, PRODUCER):
        return 1
    if child.service == parent.service:
        return None
    if child.kind == INTERNAL and not _is_remote(child):
        return None
    return 2


def edges(spans, config):
    """Every edge of unique spans."""
    graph, by_key, found = config.graph, {span.key: span for span in spans}, []
    wait = seconds(graph["wait"])
    failed = {span.key: error_source(span, config.errors) is not None for span in spans}

    # Rules 1 to 3: who has which parents.
    pairs = []  # (child, parent, rule)
    for child in spans:
        parents = {}
        if child.parent and (parent := by_key.get((child.trace, child.parent))) and parent is not child:
            if rule := _pair(child, parent):
                parents[parent.key] = (parent, rule)
        if child.kind in (SERVER, CONSUMER):
            for link in child.links:
                parent = by_key.get((link.trace, link.span))
                if parent and parent is not child and parent.kind in (CLIENT, PRODUCER):
                    parents.setdefault(parent.key, (parent, 3))
        # Reading: a span that makes a database edge makes no other as a parent, whatever its children's service.
        pairs += [(child, parent, rule) for parent, rule in parents.values()
                  if child.service and parent.service and not _database(parent, graph)]

    # Rule 5: whom nobody answered in time. Reading: a linked child is an answer too.
    in_time = {parent.key for child, parent, _ in pairs if child.arrival <= parent.arrival + wait}
    given_up = set()
    for span in spans:
        if span.kind not in (CLIENT, PRODUCER) or not span.service or _database(span, graph) or span.key in in_time:
            continue
        if callee := _callee(span, graph):
            given_up.add(span.key)
            found.append(Edge(span.service, callee[0], callee[1], failed[span.key], weight(span.tracestate), span.duration,
                              span.duration, client_span=span, virtual="server"))

    for child, parent, rule in pairs:
        # Reading: after a parent without peer attribute was given up as unpaired, a late child still makes its edge.
        if parent.key in given_up:
            continue
        messaging = {child.kind, parent.kind} & {PRODUCER, CONSUMER}
        found.append(Edge(
            parent.service, child.service, "messaging_system" if messaging else "",
            failed[child.key] or (rule != 2 and failed[parent.key]),
            max(weight(child.tracestate), weight(parent.tracestate)),
            child.duration if rule == 2 else parent.duration, child.duration, parent, child,
            messaging_ns=max(0, child.start - parent.end) if (parent.kind, child.kind) == (PRODUCER, CONSUMER) else None))

    for span in spans:
        if not span.service:
            continue
        if name := _database(span, graph):  # Rule 4.
            found.append(Edge(span.service, name, "database", failed[span.key], weight(span.tracestate), span.duration,
                              span.duration, client_span=span))
        if not span.parent and (span.kind == SERVER or (span.kind == CONSUMER and not span.links)):  # Rule 6.
            # Reading: a consumer of a named system is called by that system, whatever its peer attributes.
            if span.kind == CONSUMER and find("messaging.system", span.attributes):
                caller = first(("messaging.destination.name", "messaging.system"), span.attributes)
                kind = "messaging_system"
            else:
                # Reading: server.address on a server's span is its own address and does not name its caller.
                naming = [key for key in graph["peer_attributes"] if key != "server.address"]
                caller, kind = first(naming, span.attributes) or "user", "virtual_node"
            found.append(Edge(caller, span.service, kind, failed[span.key], weight(span.tracestate), span.duration,
                              span.duration, server_span=span, virtual="client"))
    return found


def _graph(spans, config, output):
    graph, dialect, prefix = config.graph, config.graph_dialect, "traces_service_graph_"
    for edge in edges(spans, config):
        labels = {"client": edge.client, "server": edge.server, "connection_type": edge.kind}
        if dialect is OTEL:
            labels["failed"] = "true" if edge.failed else "false"
        if graph["virtual_node_label"]:
            labels["virtual_node"] = edge.virtual
        for key in graph["dimensions"]:
            for side, span in (("client_", edge.client_span), ("server_", edge.server_span)):
                # Reading: the resource before the span in either dialect, as both peers have it in the graph.
                if span and (value := TEMPO.look_up(key, span)):
                    labels[side + re.sub("[^a-zA-Z0-9_]", "_", key)] = value

        def observe(name, ns):
            output.observe(prefix + name, labels, dialect.graph_bounds, 10**9, ns, edge.weight)

        output.count(prefix + "request_total", labels, edge.weight)
        if edge.failed:
            output.count(prefix + "request_failed_total", labels, edge.weight)
        observe("request_server_seconds", edge.server_ns)
        observe("request_client_seconds", edge.client_ns)
        if graph["messaging_latency"] and edge.messaging_ns is not None:
            observe("request_messaging_system_seconds", edge.messaging_ns)
        if graph["connection_info"]:
            output.gauge(prefix + "connection_info", labels, 1)
