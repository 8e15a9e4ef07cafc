#include "correlate/derive/metric_ingest.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "ingest/decode/decoder.h"
#include "otlp.pb.h"
#include "tests/support/recording_writer.h"

namespace braid::correlate {
namespace {

using test::RecordingWriter;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Sends requests through the real decoder, as a gateway with one shard would.
class MetricIngestTest : public testing::Test {
 protected:
  void Start(const MetricIngest::Options& options) { ingest_ = std::make_unique<MetricIngest>(options); }

  // `resource_metrics`: the content of one, as protobuf text.
  void Send(const std::string& resource_metrics) {
    oracle::ExportMetricsServiceRequest request;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString("resource_metrics {" + resource_metrics + "}",
                                                              &request));
    const std::string bytes = request.SerializeAsString();
    Slab body = slabs_.Take(bytes.size());
    body.Append(bytes);
    Result<ingest::Submission> submission = decoder_.Decode(Signal::kMetrics, std::move(body), 0);
    ASSERT_TRUE(submission.ok()) << submission.status().ToString();
    if (submission->slices.empty() || submission->slices[0] == nullptr) return;
    const Slice& slice = *submission->slices[0];
    ingest_->Apply(slice.batch ? slice.batch : submission->batch, slice.items);
  }

  // One metric of service "shop", scope "lib".
  void SendMetric(const std::string& metric) {
    Send(R"(resource { attributes { key: "service.name" value { string_value: "shop" } } }
            scope_metrics { scope { name: "lib" } metrics { )" +
         metric + "} }");
  }

  // One point of the exponential histogram "e", as protobuf text. `kind`: CUMULATIVE or DELTA.
  void SendExponential(const std::string& kind, const std::string& point) {
    SendMetric("name: \"e\" exponential_histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_" +
               kind + " data_points {" + point + "} }");
  }
  RecordingWriter::Point Exponential() { return Page().points.at(std::string("e") + kLabels); }

  RecordingWriter Page() {
    RecordingWriter writer;
    ingest_->Write(writer);
    EXPECT_EQ(writer.repeated, 0);
    return writer;
  }

  uint64_t NotExposedBy(NotExposed reason) {
    return ingest_->stats().not_exposed[static_cast<size_t>(reason)];
  }

  static constexpr const char* kLabels = "{job=shop,otel_scope_name=lib}";

  SlabPool slabs_{SlabPool::Options{}};
  BatchPool batches_;
  SlicePool slices_;
  ingest::Decoder decoder_{Epoch{}, batches_, slices_, slabs_, nullptr};
  std::unique_ptr<MetricIngest> ingest_ = std::make_unique<MetricIngest>(MetricIngest::Options{});
};

// Scenario: a counter of a fully described service, with attributes of every kind.
// Guarantees: job, instance, scope and attributes are labels as specified; the rest of the resource is
// target_info.
TEST_F(MetricIngestTest, NamesAndLabels) {
  Send(R"(resource {
            attributes { key: "service.name" value { string_value: "shop" } }
            attributes { key: "service.namespace" value { string_value: "eu" } }
            attributes { key: "service.instance.id" value { string_value: "i-1" } }
            attributes { key: "host.name" value { string_value: "h" } } }
          scope_metrics { scope { name: "lib" version: "1.2" } metrics {
            name: "http.requests" description: "Requests." unit: "By"
            sum { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE is_monotonic: true
              data_points { start_time_unix_nano: 5 time_unix_nano: 9 as_int: 42
                attributes { key: "b" value { bool_value: true } }
                attributes { key: "a.x" value { int_value: -3 } }
                attributes { key: "a_x" value { double_value: 0.5 } }
                attributes { key: "list" value { array_value { values { string_value: "q\"" } values { int_value: 1 } } } }
                attributes { key: "empty" value { string_value: "" } } } } } })");
  const RecordingWriter page = Page();
  const std::string key =
      "http_requests_bytes{a_x=-3;0.5,b=true,instance=i-1,job=eu/shop,list=[\"q\\\"\",1],"
      "otel_scope_name=lib,otel_scope_version=1.2}";
  ASSERT_TRUE(page.points.contains(key)) << page.points.begin()->first;
  EXPECT_EQ(page.points.at(key).value, 42);
  EXPECT_EQ(page.points.at(key).created_ns, 5u);
  EXPECT_EQ(page.points.at(key).type, MetricType::kCounter);
  EXPECT_EQ(page.families.at("http_requests_bytes").help, "Requests.");
  EXPECT_EQ(page.families.at("http_requests_bytes").unit, "bytes");
  ASSERT_TRUE(page.points.contains("target_info{host_name=h,instance=i-1,job=eu/shop}"));
  EXPECT_EQ(ingest_->stats().series, 2u);
}

// Scenario: a histogram and a counter with exemplars, sent again with others.
// Guarantees: each bucket keeps its latest one with IDs and filtered attributes; buckets without a new one
// keep the old.
TEST_F(MetricIngestTest, ExemplarsAreKeptPerBucket) {
  const std::string id = R"(trace_id: "\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017\020"
                            span_id: "\000\000\000\000\000\000\000\007" )";
  SendMetric(
      R"(name: "d" unit: "s" histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE data_points {
      time_unix_nano: 10 count: 3 sum: 6 bucket_counts: [1, 1, 1] explicit_bounds: [1, 2]
      exemplars { time_unix_nano: 7 as_double: 1 )" +
      id + R"( filtered_attributes { key: "user.id" value { string_value: "u" } } }
      exemplars { time_unix_nano: 8 as_double: 5 )" +
      id + "} } }");
  SendMetric(
      R"(name: "d" unit: "s" histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE data_points {
      time_unix_nano: 20 count: 5 sum: 9 bucket_counts: [2, 1, 2] explicit_bounds: [1, 2]
      exemplars { time_unix_nano: 18 as_int: 4 )" +
      id + "} } }");
  SendMetric(R"(name: "n" sum { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE is_monotonic: true
      data_points { time_unix_nano: 20 as_int: 1 exemplars { time_unix_nano: 3 as_int: 1 )" +
             id + "} } }");
  const RecordingWriter page = Page();
  const auto& histogram = page.points.at(std::string("d_seconds") + kLabels);
  EXPECT_THAT(histogram.counts, ElementsAre(2, 1, 2));
  EXPECT_EQ(histogram.sum, 9);
  ASSERT_THAT(histogram.exemplars, SizeIs(2));
  EXPECT_EQ(histogram.exemplars.at(0).value, 1);  // "le" is inclusive
  EXPECT_EQ(histogram.exemplars.at(0).trace, (TraceId{0x0102030405060708, 0x090a0b0c0d0e0f10}));
  EXPECT_EQ(histogram.exemplars.at(0).span, 7u);
  EXPECT_EQ(histogram.exemplars.at(0).extra.at("user_id"), "u");
  EXPECT_EQ(histogram.exemplars.at(2).value, 4);
  EXPECT_EQ(histogram.exemplars.at(2).time_ns, 18u);
  EXPECT_EQ(page.points.at(std::string("n") + kLabels).exemplars.at(0).time_ns, 3u);
}

// Scenario: delta sums and histograms, one of them twice, then with other bounds.
// Guarantees: they add up from the first start time; the repeated point is refused; new bounds start afresh.
TEST_F(MetricIngestTest, DeltasAddUp) {
  const auto sum = [this](int start, int time, int value) {
    SendMetric(
        "name: \"n\" sum { aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA is_monotonic: true "
        "data_points {"
        " start_time_unix_nano: " +
        std::to_string(start) + " time_unix_nano: " + std::to_string(time) +
        " as_int: " + std::to_string(value) + "} }");
  };
  sum(1, 10, 5);
  sum(10, 20, 7);
  sum(10, 20, 7);
  EXPECT_EQ(Page().points.at(std::string("n") + kLabels).value, 12);
  EXPECT_EQ(Page().points.at(std::string("n") + kLabels).created_ns, 1u);
  EXPECT_EQ(NotExposedBy(NotExposed::kOutOfOrder), 1u);

  const auto histogram = [this](int time, const std::string& buckets) {
    SendMetric(
        "name: \"h\" histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA data_points {"
        " start_time_unix_nano: " +
        std::to_string(time - 1) + " time_unix_nano: " + std::to_string(time) + " sum: 2 " + buckets + "} }");
  };
  histogram(10, "bucket_counts: [1, 2] explicit_bounds: [5]");
  histogram(20, "bucket_counts: [3, 4] explicit_bounds: [5]");
  auto point = Page().points.at(std::string("h") + kLabels);
  EXPECT_THAT(point.counts, ElementsAre(4, 6));
  EXPECT_EQ(point.sum, 4);
  EXPECT_EQ(point.created_ns, 9u);
  histogram(30, "bucket_counts: [1, 1, 1] explicit_bounds: [5, 6]");
  point = Page().points.at(std::string("h") + kLabels);
  EXPECT_THAT(point.counts, ElementsAre(1, 1, 1));
  EXPECT_EQ(point.created_ns, 29u);
}

// Scenario: cumulative points: a restart of the sender, and one that arrives late.
// Guarantees: the restart's value and start time are shown; the late one changes nothing.
TEST_F(MetricIngestTest, RestartsAndLatePoints) {
  const auto send = [this](int start, int time, int value) {
    SendMetric(
        "name: \"n\" sum { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE is_monotonic: true "
        "data_points { start_time_unix_nano: " +
        std::to_string(start) + " time_unix_nano: " + std::to_string(time) +
        " as_int: " + std::to_string(value) + "} }");
  };
  send(1, 10, 100);
  send(50, 60, 3);
  send(1, 20, 200);
  const auto point = Page().points.at(std::string("n") + kLabels);
  EXPECT_EQ(point.value, 3);
  EXPECT_EQ(point.created_ns, 50u);
  EXPECT_EQ(NotExposedBy(NotExposed::kOutOfOrder), 1u);
}

// Scenario: gauges, non-monotonic sums and summaries.
// Guarantees: the first two are gauges without _total; a summary keeps its quantiles.
TEST_F(MetricIngestTest, OtherTypes) {
  SendMetric(R"(name: "g" gauge { data_points { time_unix_nano: 1 as_double: -0.5 } })");
  SendMetric(
      R"(name: "u" sum { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE data_points { time_unix_nano: 1 as_int: -7 } })");
  SendMetric(R"(name: "s" summary { data_points { time_unix_nano: 1 count: 9 sum: 4.5
      quantile_values { quantile: 0.5 value: 1 } quantile_values { quantile: 0.99 value: 2 } } })");
  const RecordingWriter page = Page();
  EXPECT_EQ(page.points.at(std::string("g") + kLabels).value, -0.5);
  EXPECT_EQ(page.points.at(std::string("u") + kLabels).value, -7);
  EXPECT_EQ(page.points.at(std::string("u") + kLabels).type, MetricType::kGauge);
  const auto& summary = page.points.at(std::string("s") + kLabels);
  EXPECT_THAT(summary.quantiles, ElementsAre(0.5, 0.99));
  EXPECT_EQ(summary.count, 9u);
}

// Scenario: two senders that disagree about a name, in each way they can.
// Guarantees: the first keeps the family; contradictions are counted by reason and not shown; another help
// text is counted but shown; names that Braid uses itself are refused.
TEST_F(MetricIngestTest, TheLaterContradictionLoses) {
  Start({.reserved_names = {"process_cpu_seconds"}});
  SendMetric(
      R"(name: "x" description: "first" unit: "s" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(
      R"(name: "x" unit: "s" sum { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE is_monotonic: true data_points { time_unix_nano: 2 as_int: 2 } })");
  SendMetric(
      R"(name: "x" description: "second" unit: "s" gauge { data_points { time_unix_nano: 3 as_int: 3 } })");
  SendMetric(
      R"(name: "h" histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE data_points { time_unix_nano: 1 count: 1 sum: 1 } })");
  SendMetric(R"(name: "h.count" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(R"(name: "y.seconds" unit: "seconds" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(R"(name: "y" unit: "s" gauge { data_points { time_unix_nano: 9 as_int: 2 } })");
  SendMetric(R"(name: "z.per.second" unit: "per/s" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(R"(name: "braid.records" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(R"(name: "traces.spanmetrics.calls" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(R"(name: "process.cpu.seconds" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(R"(name: "..." gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  const RecordingWriter page = Page();
  EXPECT_EQ(page.points.at(std::string("x_seconds") + kLabels).value, 3);
  EXPECT_EQ(page.families.at("x_seconds").help, "first");
  EXPECT_EQ(page.points.at(std::string("y_seconds") + kLabels).value, 2);
  EXPECT_FALSE(page.families.contains("h_count"));
  EXPECT_EQ(NotExposedBy(NotExposed::kType), 1u);
  EXPECT_EQ(NotExposedBy(NotExposed::kName), 1u);
  EXPECT_EQ(NotExposedBy(NotExposed::kReserved), 3u);
  EXPECT_EQ(NotExposedBy(NotExposed::kBadName), 1u);
  EXPECT_EQ(ingest_->stats().help_conflicts, 1u);
}

// Scenario: units that spell the same family differently.
// Guarantees: the second unit is a conflict.
TEST_F(MetricIngestTest, UnitConflict) {
  SendMetric(
      R"(name: "rate_bytes_per_second" unit: "By/s" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(
      R"(name: "rate_bytes_per_second" unit: "second" gauge { data_points { time_unix_nano: 2 as_int: 2 } })");
  EXPECT_EQ(NotExposedBy(NotExposed::kUnit), 1u);
  EXPECT_EQ(Page().points.at(std::string("rate_bytes_per_second") + kLabels).value, 1);
}

// Scenario: points that cannot be shown: too coarse, without value or temporality, with impossible buckets or
// values.
// Guarantees: each is counted, none leaves an empty family behind.
TEST_F(MetricIngestTest, WhatCannotBeShownIsCounted) {
  SendExponential("CUMULATIVE", "time_unix_nano: 1 scale: -5");
  SendExponential("CUMULATIVE", "time_unix_nano: 1 scale: -100");
  SendMetric(R"(name: "e" exponential_histogram { data_points { time_unix_nano: 1 } })");
  for (const char* bad :
       {"count: 1", "zero_count: 1", "count: 3 positive { bucket_counts: [1, 1] }",
        "count: 1 positive { bucket_counts: [1, 1] }", "count: 1 zero_threshold: -1 zero_count: 1",
        "count: 1 zero_threshold: inf zero_count: 1", "zero_threshold: nan",
        "count: 1 positive { offset: 2000 bucket_counts: 1 }",
        "count: 1 positive { offset: -2147483648 bucket_counts: 1 }",
        "count: 1 positive { bucket_counts: [18446744073709551615, 2] }"}) {
    const uint64_t before = NotExposedBy(NotExposed::kBadPoint);
    SendExponential("CUMULATIVE", std::string("time_unix_nano: 1 ") + bad);
    EXPECT_EQ(NotExposedBy(NotExposed::kBadPoint), before + 1) << bad;
  }
  const auto sum = [this](const std::string& kind, const std::string& value) {
    SendMetric("name: \"s\" sum { aggregation_temporality: AGGREGATION_TEMPORALITY_" + kind +
               " data_points { time_unix_nano: 1 as_double: " + value + "} }");
  };
  for (const char* kind : {"CUMULATIVE is_monotonic: true", "DELTA is_monotonic: true"}) {
    for (const char* value : {"-1", "nan", "inf"}) sum(kind, value);
  }
  sum("DELTA", "nan");
  sum("DELTA", "-inf");
  SendMetric(R"(name: "a" gauge { data_points { time_unix_nano: 1 } })");
  SendMetric(R"(name: "b" sum { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(
      R"(name: "c" histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE data_points { time_unix_nano: 1 bucket_counts: [1, 2, 3] explicit_bounds: [1] } })");
  SendMetric(
      R"(name: "d" histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE data_points { time_unix_nano: 1 bucket_counts: [1, 2, 3] explicit_bounds: [2, 1] } })");
  EXPECT_EQ(NotExposedBy(NotExposed::kScale), 2u);
  EXPECT_EQ(NotExposedBy(NotExposed::kBadPoint), 1u + 10 + 8 + 4);
  EXPECT_THAT(Page().families, IsEmpty());
}

// Scenario: nothing refreshes a series for five minutes; another says itself that it ended.
// Guarantees: both leave, their memory is given back, and their name may be used by another type.
TEST_F(MetricIngestTest, SeriesLeave) {
  SendMetric(R"(name: "x" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(R"(name: "y" gauge { data_points { time_unix_nano: 1 as_int: 1 } })");
  SendMetric(R"(name: "y" gauge { data_points { time_unix_nano: 2 flags: 1 } })");
  EXPECT_THAT(Page().families, SizeIs(1));
  ingest_->Advance(MetricIngest::Options().stale_ticks);
  EXPECT_THAT(Page().families, SizeIs(1));
  ingest_->Advance(MetricIngest::Options().stale_ticks + 201);
  EXPECT_THAT(Page().families, IsEmpty());
  EXPECT_EQ(ingest_->stats().series, 0u);
  EXPECT_EQ(ingest_->stats().bytes, 0u);
  EXPECT_EQ(ingest_->stats().expired_series, 1u);
  SendMetric(R"(name: "x" summary { data_points { time_unix_nano: 9 count: 1 sum: 1 } })");
  EXPECT_THAT(Page().points, SizeIs(1));
}

// Scenario: more series than the cap, and then more bytes.
// Guarantees: known series go on being refreshed, new ones are refused and counted, the bound holds.
TEST_F(MetricIngestTest, Bounds) {
  Start({.max_series = 10});
  const auto send = [this](int i, int time) {
    SendMetric("name: \"n\" gauge { data_points { time_unix_nano: " + std::to_string(time) +
               " as_int: " + std::to_string(time) +
               " attributes { key: \"i\" value { int_value: " + std::to_string(i) + "} } } }");
  };
  for (int i = 0; i < 15; ++i) send(i, 1);
  send(3, 2);
  EXPECT_EQ(ingest_->stats().series, 10u);
  EXPECT_EQ(NotExposedBy(NotExposed::kCap), 5u);
  EXPECT_EQ(Page().points.at("n{i=3,job=shop,otel_scope_name=lib}").value, 2);

  Start({.max_bytes = 4000});
  for (int i = 0; i < 100; ++i) send(i, 1);
  EXPECT_LE(ingest_->stats().bytes, 4000u);
  EXPECT_GT(ingest_->stats().series, 2u);
  EXPECT_EQ(NotExposedBy(NotExposed::kCap), 100 - ingest_->stats().series);
}

// Scenario: a cumulative exponential histogram with everything it can have, finer than schema 8.
// Guarantees: it is a native one: OTLP's bucket i is bucket i + 1, buckets that fall together are added,
// empty ones are left out, indexes beyond 32 bits are no matter; sum, zero bucket and start time are the
// sender's.
TEST_F(MetricIngestTest, ExponentialBecomesNative) {
  SendExponential("CUMULATIVE", R"(start_time_unix_nano: 3 time_unix_nano: 9 count: 28 sum: -12.5 scale: 10
      zero_count: 4 zero_threshold: 0.001
      positive { offset: -5 bucket_counts: [1, 2, 0, 4, 5, 0, 0, 0, 0, 6] }
      negative { offset: 7 bucket_counts: [0, 1, 5] })");
  const auto point = Exponential();
  EXPECT_TRUE(point.native);
  EXPECT_EQ(point.type, MetricType::kHistogram);
  EXPECT_THAT(point.bounds, IsEmpty());
  EXPECT_THAT(point.counts, IsEmpty());
  EXPECT_EQ(point.schema, 8);
  // Of four each: OTLP's -5; -4..-1; 4..7. And 8..11.
  EXPECT_THAT(point.positive, ElementsAre(NativeBucket{-1, 1}, NativeBucket{0, 11}, NativeBucket{2, 6}));
  EXPECT_THAT(point.negative, ElementsAre(NativeBucket{3, 6}));
  EXPECT_EQ(point.zero_count, 4);
  EXPECT_EQ(point.zero_threshold, 0.001);
  EXPECT_EQ(point.sum, -12.5);
  EXPECT_TRUE(point.has_sum);
  EXPECT_EQ(point.created_ns, 3u);

  SendExponential("CUMULATIVE", R"(start_time_unix_nano: 3 time_unix_nano: 10 count: 1 scale: 30
      negative { offset: 2147483647 bucket_counts: [0, 0, 1] })");
  EXPECT_THAT(Exponential().negative, ElementsAre(NativeBucket{513, 1}));
  EXPECT_FALSE(Exponential().has_sum);
  SendExponential("CUMULATIVE", R"(time_unix_nano: 11 count: 2 scale: 2147483647
      positive { offset: -2147483648 bucket_counts: 1 } negative { bucket_counts: 1 })");
  EXPECT_THAT(Exponential().positive, ElementsAre(NativeBucket{0, 1}));
  EXPECT_THAT(Exponential().negative, ElementsAre(NativeBucket{1, 1}));
  SendExponential("CUMULATIVE", R"(time_unix_nano: 12 count: 2 scale: -4
      positive { offset: -68 bucket_counts: 1 } negative { offset: 63 bucket_counts: 1 })");
  EXPECT_EQ(Exponential().schema, -4);
  EXPECT_THAT(Exponential().positive, ElementsAre(NativeBucket{-67, 1}));
  EXPECT_THAT(Exponential().negative, ElementsAre(NativeBucket{64, 1}));
  EXPECT_EQ(NotExposedBy(NotExposed::kBadPoint), 0u);
}

// Scenario: a sender without observations yet; one with far more buckets than are kept; the same as deltas,
// each of other values. Guarantees: the first is a native histogram all the same. The others are scaled down
// to 160 buckets a side, and no observation is lost.
TEST_F(MetricIngestTest, NativeBucketsAreBounded) {
  SendExponential("CUMULATIVE", "time_unix_nano: 1 scale: 20");
  EXPECT_TRUE(Exponential().native);
  EXPECT_EQ(Exponential().schema, 8);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += " bucket_counts: 1";
  SendExponential("CUMULATIVE", "time_unix_nano: 2 scale: 5 count: 1001 positive {" + many +
                                    "} negative { offset: 3 bucket_counts: 1 }");
  auto point = Exponential();
  EXPECT_EQ(point.schema, 2);  // 1000 / 2^3 = 125
  EXPECT_THAT(point.positive, SizeIs(125));
  EXPECT_THAT(point.negative, ElementsAre(NativeBucket{1, 1}));
  double sum = 0;
  for (const NativeBucket& bucket : point.positive) sum += bucket.count;
  EXPECT_EQ(sum, 1000);

  SendExponential("CUMULATIVE", "time_unix_nano: 3 flags: 1");
  for (int i = 0; i < 400; ++i) {
    SendExponential("DELTA", "start_time_unix_nano: " + std::to_string(i + 3) +
                                 " time_unix_nano: " + std::to_string(i + 4) +
                                 " scale: 3 count: 1 positive { offset: " + std::to_string(i) +
                                 " bucket_counts: 1 }");
  }
  point = Exponential();
  EXPECT_EQ(point.schema, 1);
  EXPECT_THAT(point.positive, SizeIs(100));
}

// Scenario: exponential deltas of changing scale and zero threshold, with a gap before the last and one that
// is late. Guarantees: they add up at the coarsest scale, and at a zero bucket that takes in whole buckets;
// the total goes on over the gap, and the start time stays the first one; the late point is refused.
TEST_F(MetricIngestTest, ExponentialDeltasAddUp) {
  SendExponential("DELTA", R"(start_time_unix_nano: 1 time_unix_nano: 10 count: 4 sum: 8 scale: 1
      positive { offset: 0 bucket_counts: [1, 1, 2] })");
  SendExponential("DELTA", R"(start_time_unix_nano: 10 time_unix_nano: 20 count: 3 sum: 5 scale: 0
      positive { offset: 1 bucket_counts: 2 } negative { offset: 0 bucket_counts: 1 })");
  auto point = Exponential();
  EXPECT_EQ(point.schema, 0);
  EXPECT_THAT(point.positive, ElementsAre(NativeBucket{1, 2}, NativeBucket{2, 4}));
  EXPECT_THAT(point.negative, ElementsAre(NativeBucket{1, 1}));
  EXPECT_EQ(point.sum, 13);
  EXPECT_EQ(point.created_ns, 1u);

  SendExponential("DELTA", R"(start_time_unix_nano: 40 time_unix_nano: 50 count: 2 sum: 8.25 scale: 0
      zero_count: 1 zero_threshold: 1.5 positive { offset: 2 bucket_counts: 1 })");
  SendExponential("DELTA", "start_time_unix_nano: 30 time_unix_nano: 40 count: 1 zero_count: 1");
  point = Exponential();
  EXPECT_EQ(point.zero_threshold, 2);  // the bucket (1, 2] cannot be cut at 1.5
  EXPECT_EQ(point.zero_count, 1 + 2 + 1);
  EXPECT_THAT(point.positive, ElementsAre(NativeBucket{2, 4}, NativeBucket{3, 1}));
  EXPECT_THAT(point.negative, IsEmpty());
  EXPECT_EQ(point.sum, 21.25);
  EXPECT_EQ(point.created_ns, 1u);
  EXPECT_EQ(NotExposedBy(NotExposed::kOutOfOrder), 1u);

  // A sum that is missing once is missing for good, and so is one that is no number.
  SendExponential("DELTA", "start_time_unix_nano: 50 time_unix_nano: 60 count: 1 zero_count: 1 sum: nan");
  SendExponential("DELTA", "start_time_unix_nano: 60 time_unix_nano: 70 count: 1 zero_count: 1 sum: 1");
  EXPECT_FALSE(Exponential().has_sum);
  EXPECT_EQ(Exponential().zero_count, 6);
}

// Scenario: a cumulative exponential histogram whose sender restarts, ends, and comes back.
// Guarantees: the restart's buckets and start time are shown; the end takes the series away and gives its
// memory back.
TEST_F(MetricIngestTest, ExponentialRestartsAndEnds) {
  SendExponential("CUMULATIVE", R"(start_time_unix_nano: 1 time_unix_nano: 10 count: 3 scale: 2
      positive { offset: 4 bucket_counts: 3 })");
  SendExponential("CUMULATIVE", R"(start_time_unix_nano: 20 time_unix_nano: 30 count: 1 scale: 4
      positive { offset: 2 bucket_counts: 1 })");
  EXPECT_EQ(Exponential().schema, 4);
  EXPECT_EQ(Exponential().created_ns, 20u);
  EXPECT_THAT(Exponential().positive, ElementsAre(NativeBucket{3, 1}));
  SendExponential("CUMULATIVE", "time_unix_nano: 40 flags: 1");
  EXPECT_THAT(Page().families, IsEmpty());
  EXPECT_EQ(ingest_->stats().bytes, 0u);
  SendExponential("CUMULATIVE", "start_time_unix_nano: 50 time_unix_nano: 60 count: 1 zero_count: 1");
  EXPECT_EQ(Exponential().zero_count, 1);
}

// Scenario: exemplars of an exponential histogram: two of one bucket, on both sides and in the zero bucket,
// then of more than ten buckets. Guarantees: of each bucket the latest is kept, also over points that bring
// none; of the buckets, the ten that had one last; what is given up is counted.
TEST_F(MetricIngestTest, NativeExemplars) {
  const auto exemplar = [](int time, const std::string& value) {
    return " exemplars { time_unix_nano: " + std::to_string(time) + " as_double: " + value +
           R"( span_id: "\000\000\000\000\000\000\000\007" filtered_attributes { key: "k" value { string_value: ")" +
           value + "\" } } }";
  };
  const auto values = [this] {
    std::vector<double> kept;
    for (const auto& one : Exponential().native_exemplars) kept.push_back(one.value);
    return kept;
  };
  SendExponential("CUMULATIVE", "time_unix_nano: 10 count: 1 zero_count: 1 zero_threshold: 0.5" +
                                    exemplar(5, "1.5") + exemplar(4, "1.25") + exemplar(6, "-1.5") +
                                    exemplar(3, "0.25") + exemplar(2, "-0.5") + exemplar(1, "nan") +
                                    " exemplars { time_unix_nano: 9 }");
  EXPECT_THAT(values(), ElementsAre(0.25, 1.5, -1.5));
  EXPECT_EQ(ingest_->stats().exemplars_dropped, 2u);
  EXPECT_EQ(Exponential().native_exemplars[1].span, 7u);
  EXPECT_EQ(Exponential().native_exemplars[1].extra.at("k"), "1.5");
  SendExponential("CUMULATIVE",
                  "time_unix_nano: 20 count: 1 zero_count: 1 zero_threshold: 0.5" + exemplar(15, "1.75"));
  EXPECT_THAT(values(), ElementsAre(0.25, -1.5, 1.75));

  std::string more;
  for (int i = 0; i < 12; ++i) more += exemplar(100 - i, std::to_string(4 << i));
  SendExponential("CUMULATIVE", "time_unix_nano: 30 count: 1 zero_count: 1 zero_threshold: 0.5" + more);
  EXPECT_THAT(values(), ElementsAre(2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4));
  EXPECT_EQ(ingest_->stats().exemplars_dropped, 2u + 3 + 2);
}

// Scenario: one family with exponential and explicit histograms, each a series of its own, and one whose
// sender changes from one kind to the other, cumulatively and by deltas. Guarantees: both kinds are shown,
// the explicit first; a series has the kind it had last, and its deltas start afresh with it.
TEST_F(MetricIngestTest, AFamilyMayHoldBothKindsOfHistogram) {
  SendExponential("CUMULATIVE", "time_unix_nano: 1 count: 1 zero_count: 1");
  const auto explicit_histogram = [this](const std::string& point) {
    SendMetric(
        "name: \"e\" histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA data_points {" +
        point + "} }");
  };
  explicit_histogram(
      R"(start_time_unix_nano: 1 time_unix_nano: 2 bucket_counts: [1, 2] explicit_bounds: 5 attributes { key: "z" value { int_value: 1 } })");
  const RecordingWriter page = Page();
  EXPECT_THAT(page.families, SizeIs(1));
  EXPECT_TRUE(page.points.at(std::string("e") + kLabels).native);
  EXPECT_FALSE(page.points.at("e{job=shop,otel_scope_name=lib,z=1}").native);
  EXPECT_THAT(page.order, ElementsAre("e{job=shop,otel_scope_name=lib,z=1}", std::string("e") + kLabels));
  EXPECT_EQ(NotExposedBy(NotExposed::kType), 0u);

  explicit_histogram("start_time_unix_nano: 3 time_unix_nano: 4 bucket_counts: [1, 2] explicit_bounds: 5");
  EXPECT_FALSE(Exponential().native);
  EXPECT_THAT(Exponential().counts, ElementsAre(1, 2));
  EXPECT_EQ(Exponential().created_ns, 3u);
  SendExponential("DELTA", "start_time_unix_nano: 6 time_unix_nano: 7 count: 1 zero_count: 1");
  EXPECT_TRUE(Exponential().native);
  EXPECT_THAT(Exponential().counts, IsEmpty());
  EXPECT_EQ(Exponential().zero_count, 1);
  EXPECT_EQ(Exponential().created_ns, 6u);
  explicit_histogram("start_time_unix_nano: 8 time_unix_nano: 9 bucket_counts: [3, 3] explicit_bounds: 5");
  EXPECT_THAT(Exponential().counts, ElementsAre(3, 3));
  EXPECT_EQ(Exponential().created_ns, 8u);
}

// Scenario: delta sums with a gap between points, a monotonic one and one that is not; a point without a
// start time; and one that began before the first did, from a second sender. Guarantees: the totals go on,
// and keep their first start time; without one it is the time of the first point. What began before that is
// refused and counted.
TEST_F(MetricIngestTest, DeltasGoOnOverGaps) {
  const auto send = [this](const char* monotonic, int start, int time, int value) {
    SendMetric(std::string("name: \"n\" sum { aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA ") +
               monotonic + " data_points { start_time_unix_nano: " + std::to_string(start) +
               " time_unix_nano: " + std::to_string(time) + " as_int: " + std::to_string(value) + "} }");
  };
  send("is_monotonic: true", 0, 10, 5);
  send("is_monotonic: true", 90, 100, 500);
  EXPECT_EQ(Page().points.at(std::string("n") + kLabels).value, 505);
  EXPECT_EQ(Page().points.at(std::string("n") + kLabels).created_ns, 10u);
  send("is_monotonic: true", 9, 110, 7);
  send("is_monotonic: true", 10, 120, 1);
  EXPECT_EQ(Page().points.at(std::string("n") + kLabels).value, 506);
  EXPECT_EQ(NotExposedBy(NotExposed::kOutOfOrder), 1u);
  Start({});
  send("", 1, 10, 5);
  send("", 90, 100, -2);
  EXPECT_EQ(Page().points.at(std::string("n") + kLabels).value, 3);
  EXPECT_EQ(Page().points.at(std::string("n") + kLabels).type, MetricType::kGauge);
}

// Scenario: a histogram's counts that integers cannot add.
// Guarantees: they do not begin again at nothing.
TEST_F(MetricIngestTest, LargeCountsDoNotWrap) {
  for (int time : {1, 2}) {
    SendMetric(
        "name: \"h\" histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA data_points { "
        "time_unix_nano: " +
        std::to_string(time) + " bucket_counts: [18446744073709551615, 1] explicit_bounds: 5 } }");
    SendExponential("DELTA", "count: 18446744073709551615 zero_count: 18446744073709551615 time_unix_nano: " +
                                 std::to_string(time));
  }
  EXPECT_EQ(Page().points.at(std::string("h") + kLabels).counts[0], 0x1p65);
  EXPECT_EQ(Exponential().zero_count, 0x1p65);
}

// Scenario: one sender shuffles the order of its attributes.
// Guarantees: it is one series.
TEST_F(MetricIngestTest, OrderOfAttributesDoesNotMatter) {
  const std::string a = R"(attributes { key: "a" value { string_value: "1" } } )";
  const std::string b = R"(attributes { key: "b" value { string_value: "2" } } )";
  SendMetric("name: \"n\" gauge { data_points { time_unix_nano: 1 as_int: 1 " + a + b + "} }");
  SendMetric("name: \"n\" gauge { data_points { time_unix_nano: 2 as_int: 2 " + b + a + "} }");
  EXPECT_THAT(Page().points, SizeIs(1));
  EXPECT_EQ(Page().points.begin()->second.value, 2);
}

// Scenario: attributes named like labels that the format itself uses.
// Guarantees: they are renamed, so that the point can be shown.
TEST_F(MetricIngestTest, ReservedLabelsAreRenamed) {
  SendMetric(
      R"(name: "h" histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE data_points {
      time_unix_nano: 1 count: 1 sum: 1 attributes { key: "le" value { string_value: "x" } } } })");
  EXPECT_TRUE(Page().points.contains("h{exported_le=x,job=shop,otel_scope_name=lib}"));
}

// One metric from Prometheus, as remote write is translated. `data`: with braces, as protobuf text.
std::string FromPrometheus(const std::string& name, const std::string& type, const std::string& data) {
  const auto entry = [](const std::string& key, const std::string& value) {
    return "metadata { key: \"" + key + "\" value { string_value: \"" + value + "\" } } ";
  };
  return "name: \"" + name + "\" " + entry("prometheus.name", name) + entry("prometheus.type", type) + data;
}
std::string GaugeOf(int time, double value, const std::string& more = "") {
  return "gauge { data_points { time_unix_nano: " + std::to_string(time) +
         " as_double: " + std::to_string(value) + " " + more + "} }";
}
std::string CounterOf(int time, double value, const std::string& more = "") {
  return "sum { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE is_monotonic: true data_points { "
         "time_unix_nano: " +
         std::to_string(time) + " as_double: " + std::to_string(value) + " " + more + "} }";
}

// Scenario: metrics that come from Prometheus under names that OpenTelemetry's rules would change.
// Guarantees: names and labels come back as they were; nothing is appended, doubled or joined.
TEST_F(MetricIngestTest, PrometheusNamesStay) {
  SendMetric(FromPrometheus("a__b_total", "counter", CounterOf(1, 5)));
  SendMetric(FromPrometheus("total_of_total_total", "counter", CounterOf(1, 5)));
  SendMetric(FromPrometheus("plain", "counter", CounterOf(1, 5)));
  SendMetric(FromPrometheus("_x:y_", "gauge",
                            GaugeOf(1, -1, R"(attributes { key: "_l" value { string_value: "v" } })")));
  SendMetric("unit: \"1\" " + FromPrometheus("share", "gauge", GaugeOf(1, 0.5)));
  SendMetric("unit: \"s\" " + FromPrometheus("wait_seconds", "gauge", GaugeOf(1, 0.5)));
  SendMetric("unit: \"s\" " + FromPrometheus("wait", "gauge", GaugeOf(1, 0.5)));
  SendMetric(FromPrometheus("who_knows", "unknown", GaugeOf(1, 0.5)));
  SendMetric(FromPrometheus("dotted.name", "gauge", GaugeOf(1, 0.5)));
  const RecordingWriter page = Page();
  const std::pair<const char*, MetricType> kExpected[] = {
      {"a__b", MetricType::kCounter},      {"total_of_total", MetricType::kCounter},
      {"plain", MetricType::kUnknown},     {"_x:y_", MetricType::kGauge},
      {"share", MetricType::kGauge},       {"wait_seconds", MetricType::kGauge},
      {"wait", MetricType::kGauge},        {"who_knows", MetricType::kUnknown},
      {"dotted_name", MetricType::kGauge},
  };
  EXPECT_THAT(page.families, SizeIs(std::size(kExpected)));
  for (const auto& [name, type] : kExpected) {
    ASSERT_TRUE(page.families.contains(name)) << name;
    EXPECT_EQ(page.families.at(name).type, type) << name;
  }
  EXPECT_EQ(page.families.at("wait_seconds").unit, "seconds");
  EXPECT_EQ(page.families.at("wait").unit, "");
  EXPECT_TRUE(page.points.contains("_x:y_{_l=v,job=shop,otel_scope_name=lib}"));
}

// Scenario: what a family is becomes known after its first samples; then a sender says again that it does not
// know. Guarantees: it is shown all along, with its type from then on; no series is lost on the way.
TEST_F(MetricIngestTest, TypesThatAreLearntLater) {
  SendMetric(FromPrometheus("g", "unknown", GaugeOf(1, 1)));
  EXPECT_EQ(Page().families.at("g").type, MetricType::kUnknown);
  SendMetric(
      "unit: \"1\" description: \"Help.\" " +
      FromPrometheus("g", "gauge", GaugeOf(2, 2, R"(attributes { key: "x" value { string_value: "1" } })")));
  EXPECT_EQ(Page().families.at("g").type, MetricType::kGauge);
  EXPECT_EQ(Page().families.at("g").help, "Help.");
  EXPECT_THAT(Page().points, SizeIs(2));
  SendMetric(FromPrometheus("g", "unknown", GaugeOf(3, 3)));
  EXPECT_EQ(Page().points.at(std::string("g") + kLabels).value, 3);
  EXPECT_EQ(NotExposedBy(NotExposed::kType), 0u);
}

// Scenario: the parts of a histogram, then a whole one, then parts again.
// Guarantees: parts are shown under their own names until there is a whole one, which takes their place;
// parts that come later are counted.
TEST_F(MetricIngestTest, WholeHistogramsTakeThePlaceOfParts) {
  const std::string le = R"(attributes { key: "le" value { string_value: "1" } })";
  const auto parts = [&](int time) {
    SendMetric(FromPrometheus("h_bucket", "histogram", CounterOf(time, 1, le)));
    SendMetric(FromPrometheus("h_sum", "histogram", CounterOf(time, -4)));
    SendMetric(FromPrometheus("h_count", "histogram", CounterOf(time, 2)));
  };
  parts(1);
  EXPECT_TRUE(Page().points.contains("h_bucket{job=shop,le=1,otel_scope_name=lib}"));
  EXPECT_EQ(Page().points.at(std::string("h_sum") + kLabels).value, -4);
  EXPECT_THAT(Page().families, SizeIs(3));
  SendMetric(FromPrometheus("h", "histogram",
                            R"(histogram { aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE
      data_points { time_unix_nano: 2 count: 2 sum: 4 bucket_counts: [1, 1] explicit_bounds: 1 } })"));
  EXPECT_THAT(Page().families, SizeIs(1));
  EXPECT_THAT(Page().points.at(std::string("h") + kLabels).counts, ElementsAre(1, 1));
  parts(3);
  EXPECT_THAT(Page().families, SizeIs(1));
  EXPECT_EQ(NotExposedBy(NotExposed::kName), 3u);
}

}  // namespace
}  // namespace braid::correlate
