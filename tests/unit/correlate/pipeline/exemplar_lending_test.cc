// Spans as exemplars of histograms that arrive without: from requests of both, through decode, fold and
// verdict, to the page.

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "correlate/derive/exemplar_candidates.h"
#include "correlate/derive/exemplar_match.h"
#include "correlate/derive/metric_ingest.h"
#include "otlp.pb.h"
#include "tests/support/shard_harness.h"

namespace braid::test {
namespace {

using correlate::DeriveOptions;
using correlate::ExemplarCandidates;
using correlate::MetricIngest;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000 * kMs;
constexpr uint64_t kStart = 1'000 * kSecond;  // of the histograms
constexpr uint64_t kNow = 1'100 * kSecond;    // their last point, and when spans end

const Attributes kOk = {{"http.request.method", "GET"}, {"http.response.status_code", "200"}};

class ExemplarLendingTest : public testing::Test {
 protected:
  ExemplarLendingTest() { Start({}); }

  void Start(const ExemplarCandidates::Options& options, bool enabled = true,
             correlate::Shard::Options shard = ShardHarness::SmallOptions()) {
    auto derive = std::make_shared<DeriveOptions>();
    derive->lend.enabled = enabled;
    derive->lend.metrics = std::make_shared<re2::RE2>("duration");
    derive_ = derive;
    shard.derive = derive_;
    harness_ = std::make_unique<ShardHarness>(shard);
    candidates_ = std::make_unique<ExemplarCandidates>(options);
    MetricIngest::Options ingest;
    ingest.seed = harness_->epoch().seed;
    if (enabled) {
      ingest.lend = &derive_->lend;
      ingest.candidates = candidates_.get();
    }
    ingest_ = std::make_unique<MetricIngest>(ingest);
    harness_->out().candidates = candidates_.get();
    harness_->out().ingest = ingest_.get();
    next_span_ = 1;
  }

  // One root span of a trace of its own. Returns the trace's low half and the span's ID.
  uint64_t Serve(uint64_t duration_ns, const Attributes& attributes = kOk,
                 const std::string& service = "shop", uint64_t end_ns = kNow, const Attributes& resource = {},
                 int kind = 2) {
    const uint64_t id = next_span_++;
    harness_->Send(Signal::kTraces, Traces(service,
                                           {{.trace = {7, id},
                                             .span = id,
                                             .kind = kind,
                                             .start_ns = end_ns - duration_ns,
                                             .end_ns = end_ns,
                                             .attributes = attributes}},
                                           resource));
    return id;
  }

  // Verdicts fall, and shards hand over.
  void Settle() { harness_->Pass(4'000); }

  // Protobuf text of a point's attribute.
  static std::string Text(const std::string& key, const std::string& value) {
    return R"( attributes { key: ")" + key + R"(" value { )" + value + " } }";
  }
  static std::string Status(int code) {
    return Text("http.response.status_code", "int_value: " + std::to_string(code));
  }
  static std::string Times(uint64_t time_ns = kNow, uint64_t start_ns = kStart) {
    return " start_time_unix_nano: " + std::to_string(start_ns) +
           " time_unix_nano: " + std::to_string(time_ns);
  }

  struct Metric {
    std::string name = "http.server.request.duration";
    std::string unit = "s";
    std::string resource = "";  // further attributes
    std::string service = "shop";
  };
  void SendMetric(const Metric& metric, const std::string& data) {
    oracle::ExportMetricsServiceRequest request;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        R"(resource_metrics { resource { attributes { key: "service.name" value { string_value: ")" +
            metric.service + "\" } }" + metric.resource + "} scope_metrics { metrics { name: \"" +
            metric.name + "\" unit: \"" + metric.unit + "\" " + data + " } } }",
        &request));
    harness_->Send(Signal::kMetrics, request.SerializeAsString());
  }

  // Buckets up to 10 and 100 ms and beyond, in the metric's unit.
  static std::string Point(const std::string& rest, const std::string& counts = "1, 1, 1",
                           const std::string& bounds = "0.01, 0.1") {
    return "histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE data_points {"
           " bucket_counts: [" +
           counts + "] explicit_bounds: [" + bounds + "] count: " + std::to_string(Sum(counts)) + rest +
           " } }";
  }
  static std::string Usual() { return Point(Times() + Status(200)); }

  RecordingWriter Page() {
    RecordingWriter writer;
    ingest_->Write(writer);
    return writer;
  }
  RecordingWriter::Point Only(const std::string& family = "http_server_request_duration_seconds") {
    const RecordingWriter page = Page();
    RecordingWriter::Point found;
    int count = 0;
    for (const auto& [key, point] : page.points) {
      if (!key.starts_with(family + "{")) continue;
      found = point;
      ++count;
    }
    EXPECT_EQ(count, 1) << family;
    return found;
  }

  // Span IDs by bucket.
  std::map<size_t, uint64_t> Spans(const std::string& family = "http_server_request_duration_seconds") {
    std::map<size_t, uint64_t> spans;
    for (const auto& [bucket, exemplar] : Only(family).exemplars) spans[bucket] = exemplar.span;
    return spans;
  }

  static uint64_t Sum(const std::string& counts) {
    uint64_t sum = 0;
    for (size_t at = 0; at < counts.size();) {
      size_t used = 0;
      sum += std::stoull(counts.substr(at), &used);
      at += used + 1;
    }
    return sum;
  }

  std::shared_ptr<const DeriveOptions> derive_;
  std::unique_ptr<ShardHarness> harness_;
  std::unique_ptr<ExemplarCandidates> candidates_;
  std::unique_ptr<MetricIngest> ingest_;
  uint64_t next_span_ = 1;
};

// Scenario: a service's spans of three durations and two status codes; its histograms of both codes come
// without exemplars.
// Guarantees: each bucket that counted something has the span that agrees with its labels, with trace ID, end
// time and exact value; a bucket that no span fits has none. The code is a number in one and text in the
// other.
TEST_F(ExemplarLendingTest, FillsBuckets) {
  const uint64_t fast = Serve(5 * kMs);
  const uint64_t slow = Serve(30 * kMs + 1, kOk, "shop", kNow - kSecond);
  const Attributes failed = {{"http.request.method", "GET"}, {"http.response.status_code", "500"}};
  const uint64_t bad = Serve(40 * kMs, failed);
  Settle();
  SendMetric({}, Point(Times() + Status(200)));
  SendMetric({}, Point(Times() + Status(500)));
  const RecordingWriter page = Page();
  const auto& ok =
      page.points.at("http_server_request_duration_seconds{http_response_status_code=200,job=shop}");
  ASSERT_THAT(ok.exemplars, SizeIs(2));
  EXPECT_EQ(ok.exemplars.at(0).span, fast);
  EXPECT_EQ(ok.exemplars.at(0).value, 0.005);
  EXPECT_EQ(ok.exemplars.at(0).trace, (TraceId{7, fast}));
  EXPECT_EQ(ok.exemplars.at(0).time_ns, kNow);
  EXPECT_EQ(ok.exemplars.at(1).span, slow);
  EXPECT_EQ(ok.exemplars.at(1).value, 0.030000001);
  EXPECT_EQ(ok.exemplars.at(1).time_ns, kNow - kSecond);
  const auto& errors =
      page.points.at("http_server_request_duration_seconds{http_response_status_code=500,job=shop}");
  ASSERT_THAT(errors.exemplars, SizeIs(1));
  EXPECT_EQ(errors.exemplars.at(1).span, bad);
  EXPECT_EQ(candidates_->stats().candidates, 3u);
  EXPECT_EQ(candidates_->stats().lent, 3u);
}

// Scenario: spans are lent; then nothing is for longer than candidates live.
// Guarantees: the traces that the page points to are among those to be kept fetchable, and only as long.
TEST_F(ExemplarLendingTest, WhatIsLentIsKept) {
  const auto shown = [this] {
    std::vector<correlate::ShownTrace> traces;
    ingest_->ShownTraces(&traces);
    std::vector<uint64_t> ids;
    for (const auto& trace : traces) ids.push_back(trace.trace_lo);
    return ids;
  };
  const uint64_t lent = Serve(5 * kMs);
  const uint64_t other = Serve(5 * kMs, {{"http.request.method", "PUT"}});
  Settle();
  SendMetric({}, Point(Times() + Status(200)));
  EXPECT_THAT(shown(), testing::IsEmpty());
  Page();
  EXPECT_THAT(shown(), testing::ElementsAre(lent));
  EXPECT_THAT(shown(), testing::Not(testing::Contains(other)));
  candidates_->Advance(20'000);
  EXPECT_THAT(shown(), testing::IsEmpty());
}

// Scenario: a trace is under way while its service's histogram is on the page.
// Guarantees: the span is not lent before its trace's verdict.
TEST_F(ExemplarLendingTest, WaitsForTheVerdict) {
  SendMetric({}, Usual());
  Serve(5 * kMs);
  harness_->Pass(1'500);
  EXPECT_THAT(Spans(), IsEmpty());
  Settle();
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, 1)));
}

// Scenario: spans that each miss in one respect: service, kind, a value that both have, or all of them; and
// namespace or instance, where both have one.
// Guarantees: none is lent; those of which one side does not say the namespace or instance are.
TEST_F(ExemplarLendingTest, WhatDoesNotMatch) {
  Serve(5 * kMs, kOk, "other");
  Serve(5 * kMs, kOk, "shop", kNow, {}, 3);
  Serve(5 * kMs, {{"http.request.method", "GET"}, {"http.response.status_code", "404"}});
  Serve(5 * kMs, {{"http.request.method", "GET"}});
  Serve(5 * kMs, {{"user.id", "200"}});
  Serve(5 * kMs, kOk, "shop", kNow, {{"service.namespace", "us"}});
  Serve(5 * kMs, kOk, "shop", kNow, {{"service.instance.id", "i-2"}});
  Settle();
  const Metric here{.resource = Text("service.namespace", "string_value: \"eu\"") +
                                Text("service.instance.id", "string_value: \"i-1\"")};
  SendMetric(here, Usual());
  EXPECT_THAT(Spans(), IsEmpty());
  const uint64_t plain = Serve(5 * kMs);
  Settle();
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, plain)));
  const uint64_t full = Serve(6 * kMs, kOk, "shop", kNow + kSecond,
                              {{"service.namespace", "eu"}, {"service.instance.id", "i-1"}});
  Settle();
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, full)));
}

// Scenario: histograms that are not to have any: of another name, another unit, without a matching attribute.
// Guarantees: none is lent.
TEST_F(ExemplarLendingTest, OtherMetrics) {
  Serve(5 * kMs);
  Settle();
  SendMetric({.name = "http.server.latency"}, Usual());
  SendMetric({.name = "http.server.body.duration", .unit = "By"}, Usual());
  SendMetric({.name = "x.duration"}, Point(Times()));
  SendMetric({.name = "y.duration", .unit = ""}, Usual());
  for (const auto& [key, point] : Page().points) EXPECT_THAT(point.exemplars, IsEmpty()) << key;
  EXPECT_EQ(candidates_->stats().lent, 0u);
}

// Scenario: the same duration in histograms of every unit of time, one of which has it in its name only.
// Guarantees: the span lies in the bucket that is right in that unit, with its value in it.
TEST_F(ExemplarLendingTest, Units) {
  Serve(5 * kMs);
  Settle();
  const std::map<std::string, std::tuple<std::string, std::string, std::string, double>> units = {
      {"a_duration_seconds", {"a.duration", "s", "0.004, 0.006", 0.005}},
      {"b_duration_milliseconds", {"b.duration", "ms", "4, 6", 5}},
      {"c_duration_microseconds", {"c.duration", "us", "4000, 6000", 5000}},
      {"d_duration_nanoseconds", {"d.duration", "ns", "4000000, 6000000", 5e6}},
      {"e_duration_seconds", {"e_duration_seconds", "", "0.004, 0.006", 0.005}}};
  for (const auto& [family, what] : units) {
    const auto& [name, unit, bounds, value] = what;
    SendMetric({.name = name, .unit = unit}, Point(Times() + Status(200), "1, 1, 1", bounds));
    const auto point = Only(family);
    ASSERT_THAT(point.exemplars, SizeIs(1)) << family;
    EXPECT_EQ(point.exemplars.begin()->first, 1u) << family;
    EXPECT_EQ(point.exemplars.begin()->second.value, value) << family;
  }
}

// Scenario: a histogram from remote write, where attributes are label names and the instance an address; the
// span says its instance in OpenTelemetry's way.
// Guarantees: it gets the span.
TEST_F(ExemplarLendingTest, FromPrometheus) {
  const uint64_t span = Serve(5 * kMs, kOk, "shop", kNow, {{"service.instance.id", "i-1"}});
  Settle();
  const std::string metadata =
      R"( metadata { key: "prometheus.name" value { string_value: "a_duration_seconds" } }
                                   metadata { key: "prometheus.type" value { string_value: "histogram" } })";
  SendMetric({.name = "a_duration_seconds",
              .unit = "",
              .resource = Text("service.instance.id", "string_value: \"10.0.0.1:80\"")},
             metadata + Point(Times() + Text("http_response_status_code", "string_value: \"200\"")));
  EXPECT_THAT(Spans("a_duration_seconds"), ElementsAre(Pair(0, span)));
}

// Scenario: durations on the bounds and a nanosecond beyond; a bucket in which nothing was counted.
// Guarantees: bounds are inclusive; the empty bucket gets nothing.
TEST_F(ExemplarLendingTest, BoundsAreInclusive) {
  const uint64_t on = Serve(10 * kMs);
  const uint64_t beyond = Serve(100 * kMs + 1);
  Settle();
  SendMetric({}, Usual());
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, on), Pair(2, beyond)));
  SendMetric({}, Point(Times(kNow + 1) + Status(200), "0, 1, 1"));
  EXPECT_THAT(Spans(), ElementsAre(Pair(2, beyond)));
}

// Scenario: the sender has an exemplar in one bucket, an older one than the span that would fit.
// Guarantees: its own stays; the other bucket is filled.
TEST_F(ExemplarLendingTest, TheSendersOwnWins) {
  Serve(5 * kMs);
  const uint64_t slow = Serve(30 * kMs);
  Settle();
  SendMetric({}, Point(Times() + Status(200) + R"( exemplars { as_double: 0.002 time_unix_nano: )" +
                       std::to_string(kStart + 1) + R"( span_id: "\000\000\000\000\000\000\001\000" })"));
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, 256), Pair(1, slow)));
  EXPECT_EQ(Only().exemplars.at(0).value, 0.002);
}

// Scenario: spans that ended before the series began, or long before or after its last point.
// Guarantees: none is lent; the first that ended with the series' start is.
TEST_F(ExemplarLendingTest, LiesWithinTheSeriesTime) {
  const uint64_t start = kNow - 100 * kSecond;
  Serve(5 * kMs, kOk, "shop", start - 1);
  Serve(30 * kMs, kOk, "shop", kNow + 301 * kSecond);
  Settle();
  SendMetric({}, Point(Times(kNow, start) + Status(200)));
  EXPECT_THAT(Spans(), IsEmpty());
  harness_->Pass(5'000);
  const uint64_t first = Serve(5 * kMs, kOk, "shop", start);
  Settle();
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, first)));
  // It becomes too old for the later points.
  SendMetric({}, Point(Times(start + 300 * kSecond, start) + Status(200)));
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, first), Pair(1, 2)));
  SendMetric({}, Point(Times(start + 300 * kSecond + 1, start) + Status(200)));
  EXPECT_THAT(Spans(), ElementsAre(Pair(1, 2)));
}

// Scenario: an exponential histogram with two buckets, one of which has the sender's exemplar; spans in
// both, in a bucket without a count, and of no duration.
// Guarantees: the bucket without one gets one, the zero bucket too, in the order of their times.
TEST_F(ExemplarLendingTest, NativeHistograms) {
  const uint64_t second = Serve(3 * kSecond, kOk, "shop", kNow - 2);
  Serve(1'500 * kMs);
  Serve(9 * kSecond);
  const uint64_t zero = Serve(0, kOk, "shop", kNow - 1);
  Settle();
  SendMetric({},
             "exponential_histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE"
             " data_points { count: 3 zero_count: 1 scale: 0 positive { offset: 0 bucket_counts: [1, 1] }"
             " exemplars { as_double: 1.25 time_unix_nano: 5 span_id: "
             "\"\\000\\000\\000\\000\\000\\000\\001\\000\" }" +
                 Times() + Status(200) + " } }");
  std::vector<std::pair<uint64_t, double>> spans;
  for (const auto& e : Only().native_exemplars) spans.emplace_back(e.span, e.value);
  EXPECT_THAT(spans, ElementsAre(Pair(256, 1.25), Pair(second, 3), Pair(zero, 0)));
}

// Scenario: spans of two bursts within one bucket; then none for longer than candidates are kept.
// Guarantees: the latest is lent; after its time none is, and its memory comes back.
TEST_F(ExemplarLendingTest, TheLatestAndThenNone) {
  Start({.max_age_ticks = 400});
  SendMetric({}, Usual());
  Serve(5 * kMs, kOk, "shop", kNow - 9 * kSecond);
  harness_->Pass(6'000);
  const uint64_t later = Serve(5 * kMs, kOk, "shop", kNow - 1);
  Settle();
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, later)));
  EXPECT_GT(candidates_->stats().bytes, 0u);
  candidates_->Advance(400);
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, later)));
  candidates_->Advance(900);
  EXPECT_THAT(Spans(), IsEmpty());
  EXPECT_EQ(candidates_->stats().bytes, 0u);
  EXPECT_EQ(candidates_->stats().expired, 1u);
}

// Scenario: a thousand spans that agree in everything, one trace each.
// Guarantees: few of them are read: one of each quarter octave, in each five seconds.
TEST_F(ExemplarLendingTest, FewSpansAreRead) {
  for (int i = 0; i < 1'000; ++i) Serve(5 * kMs + static_cast<uint64_t>(i));
  Settle();
  EXPECT_THAT(harness_->out().offered, SizeIs(1));
  harness_->Pass(5'000);
  Serve(5 * kMs);
  Serve(50 * kMs);
  Settle();
  EXPECT_THAT(harness_->out().offered, SizeIs(3));
}

// Scenario: more different values than the sets of a service, or the bytes, allow.
// Guarantees: bytes stay within their bound, what found no room is counted, what was there stays.
TEST_F(ExemplarLendingTest, SetsAreBounded) {
  const auto serve_many = [this] {
    for (int i = 0; i < 50; ++i) {
      Serve(5 * kMs, {{"http.route", "/" + std::to_string(i)}, {"http.response.status_code", "200"}});
    }
    Settle();
  };
  Start({.max_sets_per_service = 10});
  serve_many();
  EXPECT_EQ(candidates_->stats().candidates, 10u);
  EXPECT_EQ(candidates_->stats().refused, 40u);
  SendMetric({}, Usual());
  EXPECT_THAT(Spans(), SizeIs(1));

  Start({.max_bytes = 8'192});
  serve_many();
  EXPECT_LE(candidates_->stats().bytes, 8'192u);
  EXPECT_GT(candidates_->stats().candidates, 10u);
  EXPECT_EQ(candidates_->stats().candidates + candidates_->stats().refused, 50u);
}

// Scenario: more candidates between two hand-overs than a shard keeps, and more sets of values than half of
// the table of nodes.
// Guarantees: those beyond are counted as refused.
TEST_F(ExemplarLendingTest, ShardsAreBounded) {
  correlate::Shard::Options shard = ShardHarness::SmallOptions();
  shard.series.max_candidates = 7;
  Start({}, true, shard);
  for (int i = 0; i < 50; ++i) {
    Serve(5 * kMs, {{"http.route", "/" + std::to_string(i)}});
  }
  Settle();
  EXPECT_EQ(candidates_->stats().candidates, 7u);
  EXPECT_EQ(candidates_->stats().refused, 43u);

  shard = ShardHarness::SmallOptions();
  shard.series.max_series = 20;
  Start({}, true, shard);
  for (int i = 0; i < 30; ++i) Serve(5 * kMs, {{"http.route", "/" + std::to_string(i)}});
  Settle();
  EXPECT_EQ(candidates_->stats().candidates, 20u);
  EXPECT_EQ(candidates_->stats().refused, 10u);
}

// Scenario: nothing is to be lent, the default.
// Guarantees: spans are not told apart by the attributes, none is offered, no bucket is filled.
TEST_F(ExemplarLendingTest, OffByDefault) {
  EXPECT_FALSE(DeriveOptions().lend.enabled);
  Start({}, false);
  for (int i = 0; i < 20; ++i) Serve(5 * kMs, {{"http.route", "/" + std::to_string(i)}});
  Settle();
  EXPECT_EQ(harness_->shard().gauges().signatures, 1u);
  EXPECT_THAT(harness_->out().offered, IsEmpty());
  SendMetric({}, Point(Times() + Text("http.route", "string_value: \"/1\"")));
  EXPECT_THAT(Spans(), IsEmpty());
}

// Scenario: spans leave unstamped at once instead of waiting for a verdict.
// Guarantees: they are lent just the same.
TEST_F(ExemplarLendingTest, WithoutWaiting) {
  correlate::Shard::Options shard = ShardHarness::SmallOptions();
  shard.spans_wait = false;
  Start({}, true, shard);
  const uint64_t span = Serve(5 * kMs);
  Settle();
  SendMetric({}, Usual());
  EXPECT_THAT(Spans(), ElementsAre(Pair(0, span)));
}

// Scenario: durations over the whole range.
// Guarantees: cells rise with them, none leaves its range, and neighbours within a quarter octave share one.
TEST(DurationCellTest, RisesToTheEnd) {
  size_t last = 0;
  for (uint64_t ns = 1; ns < uint64_t{1} << 62; ns += ns / 5 + 1) {
    const size_t cell = correlate::DurationCell(ns);
    EXPECT_GE(cell, last);
    EXPECT_LT(cell, correlate::kDurationCells);
    last = cell;
  }
  EXPECT_EQ(correlate::DurationCell(0), 0u);
  EXPECT_EQ(correlate::DurationCell(~uint64_t{0}), correlate::kDurationCells - 1);
  EXPECT_EQ(correlate::DurationCell(1'048'576), correlate::DurationCell(1'310'719));
  EXPECT_EQ(correlate::DurationCell(1'048'576) + 1, correlate::DurationCell(1'310'720));
}

}  // namespace
}  // namespace braid::test
