// Options that change what labels spans have and how many spans one stands for, read from the page.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <optional>
#include <string>
#include <vector>

#include "base/wire.h"
#include "correlate/derive/any_value.h"
#include "correlate/derive/series_owner.h"
#include "correlate/derive/series_table.h"
#include "tests/support/recording_writer.h"
#include "tests/support/span_counter.h"

namespace braid::correlate {
namespace {

using test::RecordingWriter;
using test::SpanSpec;
using testing::Contains;
using testing::Key;
using testing::Not;
using testing::SizeIs;

constexpr uint64_t kMs = 1'000'000;

// Spans that go through decode, a shard's table and the owner.
class SpanOptions {
 public:
  explicit SpanOptions(DeriveOptions derive, SeriesTable::Options table = {})
      : derive_(std::move(derive)), counter_(derive_), table_(table, derive_, 1), owner_({}, derive_) {}

  SeriesTable::Id Span(const SpanSpec& spec, const test::Attributes& resource = {},
                       const std::string& service = "shop") {
    const SeriesTable::Id row = counter_.Place(table_, service, spec, resource).row;
    table_.Count(row, 3 * kMs, 100);
    return row;
  }
  RecordingWriter Page() {
    tick_ += 20;
    owner_.Merge(table_.TakeDelta(tick_), 0);
    RecordingWriter writer;
    owner_.Write(writer);
    EXPECT_EQ(writer.repeated, 0);
    return writer;
  }
  SeriesTable& table() { return table_; }
  SeriesOwner& owner() { return owner_; }

 private:
  const DeriveOptions derive_;
  test::SpanCounter counter_;
  SeriesTable table_;
  SeriesOwner owner_;
  uint64_t tick_ = 0;
};

SpanSpec Server(std::string name, test::Attributes attributes = {}) {
  SpanSpec spec;
  spec.name = std::move(name);
  spec.attributes = std::move(attributes);
  return spec;
}

std::string Calls(const std::string& labels) { return "traces_spanmetrics_calls{" + labels + "}"; }

std::string Op(const std::string& name) {
  return Calls("service=shop,span_kind=SPAN_KIND_SERVER,span_name=" + name +
               ",status_code=STATUS_CODE_UNSET");
}

// Scenario: attribute values of every type.
// Guarantees: numbers, and text that is nothing but one, are numbers; everything else is none.
TEST(NumberOfAnyValueTest, ReadsNumbersAndDecimalText) {
  const auto any = [](auto write) {
    std::string out;
    wire::Writer w(&out);
    write(w);
    return NumberOfAnyValue(out);
  };
  const auto text = [&](std::string_view value) { return any([&](wire::Writer& w) { w.Bytes(1, value); }); };
  EXPECT_EQ(any([](wire::Writer& w) { w.Varint(3, 7); }), 7);
  EXPECT_EQ(any([](wire::Writer& w) { w.Varint(3, static_cast<uint64_t>(int64_t{-2})); }), -2);
  EXPECT_EQ(any([](wire::Writer& w) { w.Fixed64(4, std::bit_cast<uint64_t>(0.1)); }), 0.1);
  EXPECT_EQ(text("0.25"), 0.25);
  EXPECT_EQ(text("1e-2"), 0.01);
  EXPECT_EQ(text("1"), 1);
  for (const char* none : {"", " 1", "1 ", "+1", "0x1", "1/10", "10%", "one"}) {
    EXPECT_EQ(text(none), std::nullopt) << none;
  }
  EXPECT_EQ(any([](wire::Writer& w) { w.Varint(2, 1); }), std::nullopt);
  EXPECT_EQ(any([](wire::Writer& w) { w.Bytes(7, "1"); }), std::nullopt);
  EXPECT_EQ(NumberOfAnyValue(""), std::nullopt);
}

// Scenario: spans that tell the share that was kept in an attribute, in their tracestate, or in both.
// Guarantees: each counts as often as 1 / share; a threshold above 0 comes first, the span before the
// resource; what is no share counts once and is counted as unreadable. Neither depends on which came first.
TEST(RatioAttributeTest, Weighs) {
  DeriveOptions derive;
  derive.ratio_attribute = "SampleRatio";
  SpanOptions spans(derive);
  const auto ratio = [](std::string name, std::string value, std::string tracestate = "") {
    SpanSpec spec = Server(std::move(name), {{"SampleRatio", std::move(value)}});
    spec.tracestate = std::move(tracestate);
    return spec;
  };
  spans.Span(Server("plain"));
  spans.Span(ratio("quarter", "0.25"));
  spans.Span(ratio("quarter", "0.5"));
  spans.Span(ratio("tenth", "0.1"));
  spans.Span(ratio("tenth", "1"));
  spans.Span(ratio("both", "0.01", "ot=th:8"));
  spans.Span(ratio("none kept back", "0.5", "ot=th:0"));
  spans.Span(Server("of resource"), {{"SampleRatio", "0.125"}});
  spans.Span(ratio("of both", "0.5"), {{"SampleRatio", "0.125"}});
  EXPECT_EQ(spans.owner().stats().thresholds_malformed, 0u);
  for (const char* bad : {"0", "-0.5", "1.5", "nan", "inf", "x", "1e-30"}) spans.Span(ratio("bad", bad));
  const RecordingWriter page = spans.Page();
  EXPECT_EQ(page.points.at(Op("plain")).value, 1);
  EXPECT_EQ(page.points.at(Op("quarter")).value, 6);
  // 0.1 of 2^56 is no whole number; the nearest is.
  EXPECT_EQ(page.points.at(Op("tenth")).value, 1 + 0x1p56 / 7205759403792794.0);
  EXPECT_EQ(page.points.at(Op("both")).value, 2);
  EXPECT_EQ(page.points.at(Op("none kept back")).value, 2);
  EXPECT_EQ(page.points.at(Op("of resource")).value, 8);
  EXPECT_EQ(page.points.at(Op("of both")).value, 2);
  EXPECT_EQ(page.points.at(Op("bad")).value, 7);
  EXPECT_EQ(spans.owner().stats().thresholds_malformed, 7u);
}

// Scenario: the same spans where no attribute is configured. Guarantees: it is an attribute like any other.
TEST(RatioAttributeTest, IsOffByDefault) {
  SpanOptions spans({});
  spans.Span(Server("op", {{"SampleRatio", "0.25"}}));
  EXPECT_EQ(spans.Page().points.at(Op("op")).value, 1);
}

// Scenario: dimensions with a default, with a name of their own, and with one that collides.
// Guarantees: the default stands in where neither span nor resource has the attribute, and only there; in
// both dialects; names obey the same rules as others.
TEST(DimensionTest, DefaultsAndLabels) {
  DeriveOptions derive;
  derive.dialect = DeriveOptions::Dialect::kBoth;
  derive.dimensions = {{.key = "zone", .fallback = "nowhere"},
                       {.key = "http.route", .label = "route"},
                       {.key = "user", .fallback = "nobody", .label = "span_name"}};
  SpanOptions spans(derive);
  spans.Span(Server("op"));
  spans.Span(Server("op", {{"zone", "z1"}, {"http.route", "/a"}, {"user", "u"}}));
  spans.Span(Server("op", {{"zone", ""}}), {{"user", "of resource"}});
  const RecordingWriter page = spans.Page();
  const std::string rest = "span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET";
  EXPECT_THAT(page.points, Contains(Key(Calls("__span_name=nobody,service=shop," + rest + ",zone=nowhere"))));
  EXPECT_THAT(page.points, Contains(Key(Calls("__span_name=u,route=/a,service=shop," + rest + ",zone=z1"))));
  EXPECT_THAT(page.points, Contains(Key(Calls("__span_name=of resource,service=shop," + rest))));
  EXPECT_THAT(page.points, Contains(Key("traces_span_metrics_calls{__span_name=nobody,service_name=shop," +
                                        rest + ",zone=nowhere}")));
}

// Scenario: spans whose labels differ in the other dialect only, or in a dimension whose label a later one
// takes. Guarantees: each dialect shows one series with all counts, and the exemplar that tells most; nothing
// is on the page twice (Page() checks).
TEST(DimensionTest, WhatLooksAlikeIsOneSeries) {
  DeriveOptions derive;
  derive.dialect = DeriveOptions::Dialect::kBoth;
  derive.histograms = DeriveOptions::Histograms::kBoth;
  derive.dimensions = {{.key = "zone"}, {.key = "a.b"}, {.key = "a_b"}};
  SpanOptions spans(derive);
  uint64_t id = 0;
  for (const char* zone : {"one", "two", "two", "three"}) {
    const SeriesTable::Id row = spans.Span(Server("op", {{"zone", zone}}), {{"zone", "of resource"}});
    spans.table().CountSelf(row, 1000);
    ++id;
    spans.table().Offer(row, {.duration_ns = 3 * kMs + id, .time_ns = id, .trace = {id, id}, .span = id});
  }
  for (const char* unseen : {"x", "y"})
    spans.Span(Server("shadowed", {{"a.b", unseen}, {"a_b", "seen"}}), {{"zone", "z"}});
  const RecordingWriter page = spans.Page();
  const std::string rest = "span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET,zone=";
  const std::string tempo = "{service=shop," + rest + "of resource}";
  EXPECT_EQ(page.points.at("traces_spanmetrics_calls" + tempo).value, 4);
  EXPECT_EQ(page.points.at("traces_spanmetrics_calls" + tempo).exemplars.at(0).span, 4u);
  EXPECT_EQ(page.points.at("traces_spanmetrics_self_spans" + tempo).value, 4);
  EXPECT_EQ(page.points.at("traces_spanmetrics_size" + tempo).value, 400);
  const auto& latency = page.points.at("traces_spanmetrics_latency" + tempo);
  EXPECT_EQ(latency.counts[1], 4);
  EXPECT_EQ(latency.exemplars.at(1).span, 4u);
  EXPECT_THAT(latency.positive, SizeIs(1));
  EXPECT_EQ(latency.positive[0].count, 4);
  EXPECT_THAT(latency.native_exemplars, SizeIs(1));  // of three series that were put together, in one bucket
  EXPECT_EQ(latency.native_exemplars[0].span, 4u);
  const std::string otel = "traces_span_metrics_calls{service_name=shop," + rest;
  EXPECT_EQ(page.points.at(otel + "one}").value, 1);
  EXPECT_EQ(page.points.at(otel + "two}").value, 2);
  EXPECT_EQ(page.points
                .at(Calls("a_b=seen,service=shop,span_kind=SPAN_KIND_SERVER,span_name=shadowed,"
                          "status_code=STATUS_CODE_UNSET,zone=z"))
                .value,
            2);
  EXPECT_EQ(spans.owner().stats().series, 4u);  // three zones, and one for both that look alike
}

// Scenario: two dimensions of the graph become one label. Guarantees: the later counts, and the earlier tells
// nothing apart.
TEST(DimensionTest, OfTheGraphToo) {
  DeriveOptions derive;
  derive.graph.dimensions = {"host.name", "host_name"};
  test::SpanCounter counter(derive);
  SeriesTable table({}, derive, 1);
  SpanSpec spec = Server("op", {{"host.name", "a"}, {"host_name", "h"}});
  spec.kind = 3;
  const auto first = counter.Place(table, "shop", spec);
  spec.attributes[0].second = "b";
  const auto second = counter.Place(table, "shop", spec);
  EXPECT_EQ(first.node, second.node);
  std::string expected;
  label_block::Append(&expected, "");
  label_block::Append(&expected, "h");
  EXPECT_EQ(table.strings()[table.node(first.node).dimensions], expected);
}

// Scenario: labels are left out, one by one and all.
// Guarantees: series that differ in nothing else are one, with all counts; the row still knows what the span
// was, for stamps and the graph; overflow goes without them too.
TEST(ExcludeLabelsTest, EqualSeriesAreOne) {
  const auto page = [](DeriveOptions::Without without, SeriesTable::Options table = {}) {
    DeriveOptions derive;
    derive.without = without;
    derive.dimensions = {{.key = "zone"}};
    SpanOptions spans(derive, table);
    for (const char* service : {"shop", "cart"}) {
      for (const char* name : {"a", "b"}) {
        for (const int kind : {2, 3}) {
          for (const int status : {0, 2}) {
            SpanSpec spec = Server(name, {{"zone", "z"}});
            spec.kind = kind;
            spec.status = status;
            const SeriesTable::Dims dims = spans.table().dims(spans.Span(spec, {}, service));
            EXPECT_EQ(dims.service, service);
            if (dims.overflow) continue;
            EXPECT_EQ(dims.name, name);
            EXPECT_EQ(dims.kind, kind);
            EXPECT_EQ(dims.status, status);
          }
        }
      }
    }
    RecordingWriter calls;
    for (const auto& [key, point] : spans.Page().points) {
      if (key.starts_with("traces_spanmetrics_calls")) calls.points.emplace(key, point);
    }
    return calls.points;
  };
  EXPECT_THAT(page({}), SizeIs(16));
  const auto no_name = page({.span_name = true});
  EXPECT_THAT(no_name, SizeIs(8));
  EXPECT_EQ(
      no_name.at(Calls("service=cart,span_kind=SPAN_KIND_CLIENT,status_code=STATUS_CODE_ERROR,zone=z")).value,
      2);
  EXPECT_EQ(page({.service = true})
                .at(Calls("span_kind=SPAN_KIND_SERVER,span_name=a,status_code=STATUS_CODE_UNSET,zone=z"))
                .value,
            2);
  EXPECT_EQ(page({.span_kind = true, .status_code = true}).at(Calls("service=shop,span_name=b,zone=z")).value,
            4);
  const auto none = page({.service = true, .span_name = true, .span_kind = true, .status_code = true});
  EXPECT_THAT(none, SizeIs(1));
  EXPECT_EQ(none.at(Calls("zone=z")).value, 16);
  double total = 0;
  const auto capped = page({.span_kind = true}, {.max_series = 2});
  for (const auto& [key, point] : capped) {
    EXPECT_EQ(key.find("span_kind"), std::string::npos) << key;
    total += point.value;
  }
  EXPECT_EQ(total, 16);
  EXPECT_EQ(capped.count(Calls("metric_overflow=true,service=shop,status_code=STATUS_CODE_UNSET")), 1u);
}

// Scenario: state kept with all labels is restored where one is left out.
// Guarantees: nothing is on the page twice, and no count is lost.
TEST(ExcludeLabelsTest, RestoredStateIsNarrowedToo) {
  SpanOptions before({});
  before.Span(Server("a"));
  before.Span(Server("b"));
  before.Page();
  DeriveOptions derive;
  derive.without.span_name = true;
  SpanOptions after(derive);
  after.Span(Server("c"));
  ASSERT_TRUE(after.owner().Restore(before.owner().Serialize(), 0).ok());
  EXPECT_EQ(after.Page()
                .points.at(Calls("service=shop,span_kind=SPAN_KIND_SERVER,status_code=STATUS_CODE_UNSET"))
                .value,
            3);
}

// Scenario: exceptions of equal type and different messages, with and without the label, one of them too
// long. Guarantees: they are told apart only where it is on; both values are cut by themselves; an exception
// without either counts without labels; overflow has neither.
TEST(ExceptionTest, MessageIsOptional) {
  const auto page = [](bool message, size_t max_series = 100) {
    DeriveOptions derive;
    derive.exceptions = true;
    derive.exception_message = message;
    SpanOptions spans(derive, {.max_series = max_series, .max_value_bytes = 8});
    const SeriesTable::Id span = spans.Span(Server("op", {}));
    const auto throws = [&](std::string_view type, std::string_view text) {
      spans.table().CountOne(spans.table().DetailRow(RowKind::kExceptions, span, type, text));
    };
    throws("E", "one");
    throws("E", "two");
    throws("E", "two");
    throws("", "");
    throws("LongerThanThat", "a message as well");
    std::map<std::string, double> exceptions;
    const std::string rest =
        ",service=shop,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET}";
    for (const auto& [key, point] : spans.Page().points) {
      if (!key.starts_with("traces_spanmetrics_exceptions{")) continue;
      const size_t at = key.find("service=shop");
      exceptions[key.substr(30, at - 30)] += point.value;
    }
    return exceptions;
  };
  EXPECT_THAT(page(true),
              testing::UnorderedElementsAre(
                  testing::Pair("exception_message=one,exception_type=E,", 1),
                  testing::Pair("exception_message=two,exception_type=E,", 2), testing::Pair("", 1),
                  testing::Pair("exception_message=a messag,exception_type=LongerTh,", 1)));
  EXPECT_THAT(page(false),
              testing::UnorderedElementsAre(testing::Pair("exception_type=E,", 3), testing::Pair("", 1),
                                            testing::Pair("exception_type=LongerTh,", 1)));
  EXPECT_THAT(page(true, 1), testing::UnorderedElementsAre(testing::Pair("metric_overflow=true,", 5)));
}

}  // namespace
}  // namespace braid::correlate
