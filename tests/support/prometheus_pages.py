"""Reads the pages of /metrics with parsers that share no code with Braid.

Text and OpenMetrics go through Debian's python3-prometheus-client, protobuf through google.protobuf with a descriptor
made here from the field numbers of prometheus/client_model's metrics.proto. All three give the same shape:

    page = read_protobuf(body)
    page.samples    {(sample name, frozenset of (label, value)): number}; `le` is a double
    page.types      {family: "counter", "gauge", "histogram", ...}
    page.natives    {(family, labels): Native}; of protobuf only
    page.exemplars  {(sample name, labels): [(labels of the exemplar as a dict, value)]}; of a native histogram under the
                    family's own name
"""

import math
import re
import urllib.request
from dataclasses import dataclass, field

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.decoder import _DecodeVarint
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from braid import OPENMETRICS, TEXT

PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


@dataclass
class Native:
    schema: int
    zero_threshold: float
    zero_count: float
    buckets: dict  # {index: count}, positive ones
    negative: dict
    count: float
    sum: float
    floats: bool  # carried as doubles rather than integers


@dataclass
class Page:
    samples: dict = field(default_factory=dict)
    types: dict = field(default_factory=dict)
    natives: dict = field(default_factory=dict)
    exemplars: dict = field(default_factory=dict)

    def add(self, name, labels, value):
        key = name, frozenset((k, float(v) if k == "le" else v) for k, v in labels.items())
        assert key not in self.samples, f"twice on the page: {key}"
        assert all(v != "" for v in labels.values()), f"an empty label: {key}"
        self.samples[key] = value

    def add_exemplar(self, name, labels, own, value):
        key = name, frozenset((k, float(v) if k == "le" else v) for k, v in labels.items())
        self.exemplars.setdefault(key, []).append((own, value))

    def add_exemplar_message(self, name, labels, message):
        self.add_exemplar(name, labels, {label.name: label.value for label in message.label}, message.value)


def _from_families(families):
    page = Page()
    for family in families:
        page.types[family.name] = family.type
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                page.add(sample.name, sample.labels, sample.value)
            if exemplar := getattr(sample, "exemplar", None):
                page.add_exemplar(sample.name, sample.labels, exemplar.labels, exemplar.value)
    return page


def read_text(body):
    return _from_families(parse_text(body.decode()))


# A sample whose value has a fraction: name with labels, whole part, fraction, and what may follow.
_FRACTION = re.compile(r'((\w+)\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\} )(\d+)(\.\d*(?:e[+-]?\d+)?|e[+-]?\d+)( .*)?', re.DOTALL)


def read_openmetrics(body):
    """OpenMetrics 1.0 has only whole numbers in _bucket and _count, and this parser insists on it. Weighted counts are not
    whole, and Prometheus, whom this format is for, takes them as they are. So the parser judges the page without the
    fractions, and the numbers are those on the page."""
    strict, exact = [], []
    for line in body.decode().split("\n"):
        match = _FRACTION.fullmatch(line)
        if match and match[2].endswith(("_bucket", "_count")):
            number = float(match[3] + match[4])
            exact.append(f"{match[1]}{number!r}")
            line = f"{match[1]}{math.floor(number)}{match[5] or ''}"
        strict.append(line)
    page = _from_families(parse_openmetrics("\n".join(strict)))
    weighted = _from_families(parse_text("\n".join(exact) + "\n")).samples
    assert len(weighted) == len(exact) and weighted.keys() <= page.samples.keys()
    page.samples.update(weighted)
    return page


def _metric_family():
    proto = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="scrape.proto", package="scrape", syntax="proto2")
    scalars = {"string": proto.TYPE_STRING, "double": proto.TYPE_DOUBLE, "uint64": proto.TYPE_UINT64,
               "int64": proto.TYPE_INT64, "int32": proto.TYPE_INT32, "uint32": proto.TYPE_UINT32,
               "sint32": proto.TYPE_SINT32, "sint64": proto.TYPE_SINT64}

    def message(name, /, **fields):
        made = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            repeated = kind.startswith("*")
            kind = kind.lstrip("*")
            f = made.field.add(name=field_name, number=number,
                               label=proto.LABEL_REPEATED if repeated else proto.LABEL_OPTIONAL)
            if kind in scalars:
                f.type = scalars[kind]
            else:
                f.type, f.type_name = proto.TYPE_MESSAGE, ".scrape." + kind

    message("Time", seconds=(1, "int64"), nanos=(2, "int32"))
    message("Label", name=(1, "string"), value=(2, "string"))
    message("Exemplar", label=(1, "*Label"), value=(2, "double"), timestamp=(3, "Time"))
    message("Value", value=(1, "double"), exemplar=(2, "Exemplar"), created=(3, "Time"))
    message("Quantile", quantile=(1, "double"), value=(2, "double"))
    message("Summary", count=(1, "uint64"), sum=(2, "double"), quantile=(3, "*Quantile"))
    message("Bucket", count=(1, "uint64"), bound=(2, "double"), exemplar=(3, "Exemplar"), count_float=(4, "double"))
    message("BucketSpan", offset=(1, "sint32"), length=(2, "uint32"))
    message("Histogram", count=(1, "uint64"), sum=(2, "double"), bucket=(3, "*Bucket"), count_float=(4, "double"),
            schema=(5, "sint32"), zero_threshold=(6, "double"), zero_count=(7, "uint64"), zero_count_float=(8, "double"),
            negative_span=(9, "*BucketSpan"), negative_delta=(10, "*sint64"), negative_count=(11, "*double"),
            positive_span=(12, "*BucketSpan"), positive_delta=(13, "*sint64"), positive_count=(14, "*double"),
            created=(15, "Time"), exemplars=(16, "*Exemplar"))
    message("Metric", label=(1, "*Label"), gauge=(2, "Value"), counter=(3, "Value"), summary=(4, "Summary"),
            untyped=(5, "Value"), timestamp_ms=(6, "int64"), histogram=(7, "Histogram"))
    message("MetricFamily", name=(1, "string"), help=(2, "string"), type=(3, "int32"), metric=(4, "*Metric"),
            unit=(5, "string"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("scrape.MetricFamily"))


MetricFamily = _metric_family()
TYPES = ["counter", "gauge", "summary", "unknown", "histogram", "gaugehistogram"]


def _indices(spans):
    index = 0
    for span in spans:
        index += span.offset
        for _ in range(span.length):
            yield index
            index += 1


def _buckets(spans, deltas, counts):
    """{index: count} of the integer form (differences) or the float form."""
    if counts:
        absolute = list(counts)
    else:
        absolute, now = [], 0
        for delta in deltas:
            now += delta
            absolute.append(now)
    indices = list(_indices(spans))
    assert len(indices) == len(absolute), "the spans name other buckets than there are"
    return {index: count for index, count in zip(indices, absolute) if count}


def _add_histogram(page, name, labels, histogram):
    count = histogram.count_float if histogram.HasField("count_float") else histogram.count
    native = histogram.HasField("schema")
    if native:
        zero = histogram.zero_count_float if histogram.HasField("zero_count_float") else histogram.zero_count
        made = Native(histogram.schema, histogram.zero_threshold, zero,
                      _buckets(histogram.positive_span, histogram.positive_delta, histogram.positive_count),
                      _buckets(histogram.negative_span, histogram.negative_delta, histogram.negative_count),
                      count, histogram.sum, histogram.HasField("count_float"))
        key = name, frozenset(labels.items())
        assert key not in page.natives, f"twice on the page: {key}"
        page.natives[key] = made
        for exemplar in histogram.exemplars:
            page.add_exemplar_message(name, labels, exemplar)
    if histogram.bucket or not native:
        page.add(name + "_count", labels, count)
        page.add(name + "_sum", labels, histogram.sum)
        for bucket in histogram.bucket:
            page.add(name + "_bucket", dict(labels, le=bucket.bound),
                     bucket.count_float if bucket.HasField("count_float") else bucket.count)
            if bucket.HasField("exemplar"):
                page.add_exemplar_message(name + "_bucket", dict(labels, le=bucket.bound), bucket.exemplar)
        if histogram.bucket and histogram.bucket[-1].bound != float("inf"):
            page.add(name + "_bucket", dict(labels, le=float("inf")), count)  # May be left out in this format.


def read_protobuf(body):
    page, at = Page(), 0
    while at < len(body):
        size, at = _DecodeVarint(body, at)
        family = MetricFamily.FromString(body[at:at + size])
        at += size
        assert family.name not in page.types, f"twice on the page: {family.name}"
        page.types[family.name] = TYPES[family.type]
        for metric in family.metric:
            labels = {label.name: label.value for label in metric.label}
            assert len(labels) == len(metric.label), f"a label twice: {metric}"
            if metric.HasField("histogram"):
                _add_histogram(page, family.name, labels, metric.histogram)
            elif metric.HasField("summary"):
                page.add(family.name + "_count", labels, metric.summary.count)
                page.add(family.name + "_sum", labels, metric.summary.sum)
                for quantile in metric.summary.quantile:
                    page.add(family.name, dict(labels, quantile=str(quantile.quantile)), quantile.value)
            else:
                (value,) = [getattr(metric, kind).value for kind in ("counter", "gauge", "untyped") if metric.HasField(kind)]
                page.add(family.name, labels, value)
                if metric.counter.HasField("exemplar"):
                    page.add_exemplar_message(family.name, labels, metric.counter.exemplar)
    return page


READERS = {"text": (TEXT, read_text), "openmetrics": (OPENMETRICS, read_openmetrics), "protobuf": (PROTOBUF, read_protobuf)}


def fetch(gateway, form, only="derived"):
    """The page of a running gateway, as bytes."""
    request = urllib.request.Request(f"{gateway.web}/metrics?only={only}", headers={"Accept": READERS[form][0]})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def read(gateway, form, only="derived"):
    return READERS[form][1](fetch(gateway, form, only))
