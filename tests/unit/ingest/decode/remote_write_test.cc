#include "ingest/decode/remote_write.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <otlp.pb.h>
#include <prometheus_write.pb.h>

#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <utility>

#include "tests/support/otlp/samples.h"
#include "tests/support/remote_write/differential.h"
#include "tests/support/remote_write/samples.h"

namespace braid::ingest {
namespace {

namespace pb = oracle::prometheus;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;
using Labels = std::map<std::string, std::string>;

constexpr int64_t kTime = 1'700'000'000'000;
constexpr uint64_t kNs = 1'000'000;
const double kStale = std::bit_cast<double>(uint64_t{0x7ff0000000000002});
const double kNaN = std::nan("");
const double kInf = std::numeric_limits<double>::infinity();

class RemoteWriteTest : public testing::Test {
 protected:
  pb::TimeSeries1& Series(const Labels& labels) {
    pb::TimeSeries1* series = request_.add_timeseries();
    for (const auto& [name, value] : labels) {
      pb::Label* label = series->add_labels();
      label->set_name(name);
      label->set_value(value);
    }
    return *series;
  }
  pb::TimeSeries1& Sample(Labels labels, double value, int64_t time = kTime) {
    pb::TimeSeries1& series = Series(std::move(labels));
    AddSample(series, value, time);
    return series;
  }
  static void AddSample(pb::TimeSeries1& series, double value, int64_t time) {
    pb::Sample* sample = series.add_samples();
    sample->set_value(value);
    sample->set_timestamp(time);
  }
  void Metadata(const std::string& family, PrometheusType type, const std::string& help = "",
                const std::string& unit = "") {
    pb::MetricMetadata1* metadata = request_.add_metadata();
    metadata->set_metric_family_name(family);
    metadata->set_type(static_cast<uint32_t>(type));
    metadata->set_help(help);
    metadata->set_unit(unit);
  }

  // A classic histogram of buckets 1, 5, +Inf, whose parts are cumulative.
  void Histogram(const std::string& name, Labels labels, std::vector<double> cumulative, double sum,
                 int64_t time = kTime) {
    const char* bounds[] = {"1.0", "5.0", "+Inf"};
    for (size_t i = 0; i < 3; ++i) {
      Labels with = labels;
      with["__name__"] = name + "_bucket";
      with["le"] = bounds[i];
      Sample(with, cumulative[i], time);
    }
    labels["__name__"] = name + "_sum";
    Sample(labels, sum, time);
    labels["__name__"] = name + "_count";
    Sample(labels, cumulative[2], time);
  }

  Result<RemoteWriteTranslation> TryTranslate(RemoteWriteVersion version, const std::string& bytes) {
    return translator_.Translate(version, bytes, tenant_, now_);
  }
  // Translates what was built, and begins anew.
  void Translate(RemoteWriteVersion version, const std::string& bytes) {
    Result<RemoteWriteTranslation> result = TryTranslate(version, bytes);
    ASSERT_TRUE(result.ok()) << result.status().message();
    result_ = std::move(result).value();
    ASSERT_TRUE(otlp_.ParseFromString(std::string(result_.otlp.view())));
    request_.Clear();
  }
  void Translate() { Translate(RemoteWriteVersion::k1, request_.SerializeAsString()); }
  void Translate2(const pb::WriteRequest2& request) {
    Translate(RemoteWriteVersion::k2, request.SerializeAsString());
  }

  std::vector<const oracle::Metric*> Metrics() const {
    std::vector<const oracle::Metric*> all;
    for (const auto& resource : otlp_.resource_metrics()) {
      for (const auto& scope : resource.scope_metrics()) {
        for (const auto& metric : scope.metrics()) all.push_back(&metric);
      }
    }
    return all;
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const oracle::Metric* metric : Metrics()) names.push_back(metric->name());
    return names;
  }
  const oracle::Metric& Metric(const std::string& name) const {
    for (const oracle::Metric* metric : Metrics()) {
      if (metric->name() == name) return *metric;
    }
    ADD_FAILURE() << "no metric " << name;
    static const oracle::Metric none;
    return none;
  }
  static Labels Attributes(const google::protobuf::RepeatedPtrField<oracle::KeyValue>& list) {
    Labels map;
    for (const auto& pair : list) EXPECT_TRUE(map.emplace(pair.key(), pair.value().string_value()).second);
    return map;
  }
  static std::string TypeOf(const oracle::Metric& metric) {
    return Attributes(metric.metadata())["prometheus.type"];
  }
  // "sum+", "sum", "gauge", ...
  static std::string DataOf(const oracle::Metric& metric) {
    if (metric.has_gauge()) return "gauge";
    if (metric.has_histogram()) return metric.histogram().aggregation_temporality() == 2 ? "histogram" : "?";
    if (metric.has_exponential_histogram())
      return metric.exponential_histogram().aggregation_temporality() == 2 ? "exponential" : "?";
    if (metric.has_summary()) return "summary";
    if (!metric.has_sum() || metric.sum().aggregation_temporality() != 2) return "?";
    return metric.sum().is_monotonic() ? "sum+" : "sum";
  }
  uint64_t RejectedFor(SeriesFault fault) const {
    return result_.rejected_samples[static_cast<size_t>(fault)];
  }
  uint64_t RejectedHistogramsFor(SeriesFault fault) const {
    return result_.rejected_histograms[static_cast<size_t>(fault)];
  }

  SlabPool pool_{{}};
  MetricFamilies families_;
  RemoteWriteTranslator translator_{families_, pool_, {}};
  uint32_t tenant_ = 0;
  uint64_t now_ = 100;
  pb::WriteRequest1 request_;
  oracle::ExportMetricsServiceRequest otlp_;
  RemoteWriteTranslation result_;
};

// Scenario: random requests of both versions, as they are and with random edits.
// Guarantees: read as generated protobuf reads them, and translated into what the decoder takes whole.
TEST(RemoteWriteDifferentialTest, RandomRequests) {
  test::WriteDifferential differential;
  std::mt19937_64 random(20261124);
  for (int i = 0; i < 6'000; ++i) {
    const auto version = static_cast<RemoteWriteVersion>(i % 2);
    std::string request = test::RandomWriteRequest(version, random);
    if (i % 3 != 0) test::Mutate(&request, random);
    ASSERT_EQ(differential.Check(version, request), "") << "round " << i;
  }
}

// Scenario: 1.0 samples of names of every kind, nothing being known of their types.
// Guarantees: _total is a counter, everything else a gauge of unknown type; names stay whole.
TEST_F(RemoteWriteTest, TypesByName) {
  Sample({{"__name__", "requests_total"}}, 5);
  Sample({{"__name__", "queue_length"}}, 6);
  Sample({{"__name__", "odd_sum"}}, 7);
  Translate();
  EXPECT_THAT(Names(), ElementsAre("odd_sum", "queue_length", "requests_total"));
  EXPECT_EQ(DataOf(Metric("requests_total")), "sum+");
  EXPECT_EQ(TypeOf(Metric("requests_total")), "counter");
  EXPECT_EQ(DataOf(Metric("queue_length")), "gauge");
  EXPECT_EQ(TypeOf(Metric("queue_length")), "unknown");
  EXPECT_EQ(Metric("queue_length").gauge().data_points(0).as_double(), 6);
  EXPECT_EQ(Metric("queue_length").gauge().data_points(0).time_unix_nano(), kTime * kNs);
  EXPECT_EQ(result_.samples, 3u);
  EXPECT_EQ(result_.errors, "");
}

// Scenario: METADATA comes first and alone, as Prometheus sends it, with samples in a later request.
// Guarantees: types, help and units are remembered per tenant, also where OpenMetrics' family name is shorter
// than the sample's.
TEST_F(RemoteWriteTest, RemembersMetadata) {
  Metadata("requests", PrometheusType::kCounter, "Requests taken.");
  Metadata("plain", PrometheusType::kCounter);
  Metadata("things_created", PrometheusType::kCounter);
  Metadata("temperature_celsius", PrometheusType::kGauge, "How hot.", "celsius");
  Metadata("node", PrometheusType::kInfo);
  Metadata("state", PrometheusType::kStateset);
  Metadata("depth", PrometheusType::kGaugeHistogram);
  Metadata("wrong_total", PrometheusType::kGauge);
  Translate();
  EXPECT_EQ(result_.metadata, 8u);
  EXPECT_EQ(otlp_.resource_metrics_size(), 0);

  const std::pair<const char*, const char*> kExpected[] = {
      {"depth_bucket", "gauge gaugehistogram"},
      {"depth_gcount", "gauge gaugehistogram"},
      {"node_info", "sum info"},
      {"plain", "sum+ counter"},
      {"requests_total", "sum+ counter"},
      {"state", "sum stateset"},
      {"temperature_celsius", "gauge gauge"},
      {"things_created", "sum+ counter"},
      {"wrong_total", "gauge gauge"},
  };
  for (const auto& [name, expected] : kExpected) Sample({{"__name__", name}, {"le", "1"}}, 1);
  Translate();
  ASSERT_EQ(Metrics().size(), std::size(kExpected));
  for (const auto& [name, expected] : kExpected) {
    EXPECT_EQ(DataOf(Metric(name)) + " " + TypeOf(Metric(name)), expected) << name;
  }
  EXPECT_EQ(Metric("requests_total").description(), "Requests taken.");
  EXPECT_EQ(Metric("temperature_celsius").unit(), "Cel");

  tenant_ = 1;
  Sample({{"__name__", "plain"}}, 1);
  Translate();
  EXPECT_EQ(DataOf(Metric("plain")), "gauge") << "another tenant's metadata";
}

// Scenario: series of two jobs, one of them with a namespace, one scope, and oddly written jobs.
// Guarantees: OpenTelemetry's resource attributes; jobs that could not be told back stay whole; no label is
// lost.
TEST_F(RemoteWriteTest, ResourcesAndScopes) {
  Sample({{"__name__", "a"}, {"job", "space/name"}, {"instance", "h:1"}, {"path", "/x"}}, 1);
  Sample({{"__name__", "b"}, {"job", "space/name"}, {"instance", "h:1"}}, 1);
  Sample({{"__name__", "a"}, {"job", "a/b/c"}}, 1);
  Sample({{"__name__", "a"}, {"job", "/b"}}, 1);
  Sample({{"__name__", "a"}, {"otel_scope_name", "lib"}, {"otel_scope_version", "2"}}, 1);
  Sample({{"__name__", "a"}, {"otel_scope_version", "3"}}, 1);
  Translate();
  std::vector<Labels> resources;
  for (const auto& resource : otlp_.resource_metrics())
    resources.push_back(Attributes(resource.resource().attributes()));
  EXPECT_THAT(resources,
              ElementsAre(IsEmpty(), IsEmpty(), ElementsAre(Pair("service.name", "/b")),
                          ElementsAre(Pair("service.name", "a/b/c")),
                          ElementsAre(Pair("service.instance.id", "h:1"), Pair("service.name", "name"),
                                      Pair("service.namespace", "space"))));
  EXPECT_EQ(otlp_.resource_metrics(4).scope_metrics(0).metrics_size(), 2);
  EXPECT_EQ(otlp_.resource_metrics(1).scope_metrics(0).scope().name(), "lib");
  EXPECT_EQ(otlp_.resource_metrics(1).scope_metrics(0).scope().version(), "2");
  EXPECT_THAT(
      Attributes(otlp_.resource_metrics(0).scope_metrics(0).metrics(0).gauge().data_points(0).attributes()),
      ElementsAre(Pair("otel_scope_version", "3")));
  EXPECT_THAT(
      Attributes(otlp_.resource_metrics(4).scope_metrics(0).metrics(0).gauge().data_points(0).attributes()),
      ElementsAre(Pair("path", "/x")));
}

// Scenario: one series several times in a request, with several samples, as a sender does that catches up.
// Guarantees: one Metric; the points keep their order and times; a stale marker is a point without value.
TEST_F(RemoteWriteTest, SamplesKeepOrder) {
  pb::TimeSeries1& first = Sample({{"__name__", "a"}, {"x", "1"}}, 1, kTime);
  AddSample(first, 2, kTime + 10);
  Sample({{"__name__", "a"}, {"x", "2"}}, 9, kTime);
  Sample({{"__name__", "a"}, {"x", "1"}}, 3, kTime + 5);
  Sample({{"__name__", "a"}, {"x", "1"}}, kStale, kTime + 20);
  Sample({{"__name__", "a"}, {"x", "1"}}, kNaN, kTime + 30);
  Translate();
  ASSERT_THAT(Names(), ElementsAre("a"));
  std::vector<std::pair<int64_t, double>> points;
  for (const auto& point : Metric("a").gauge().data_points()) {
    if (Attributes(point.attributes())["x"] != "1") continue;
    const double value = point.flags() == 1 ? -1 : std::isnan(point.as_double()) ? -2 : point.as_double();
    EXPECT_EQ(point.flags() == 1, point.value_case() == oracle::NumberDataPoint::VALUE_NOT_SET);
    points.emplace_back(static_cast<int64_t>(point.time_unix_nano() / kNs) - kTime, value);
  }
  EXPECT_THAT(points, ElementsAre(Pair(0, 1), Pair(10, 2), Pair(5, 3), Pair(20, -1), Pair(30, -2)));
}

// Scenario: the parts of two histograms of one family, in any order, at two times each.
// Guarantees: one Histogram with two points for each, counts per bucket, bounds in numerical order, no le
// left.
TEST_F(RemoteWriteTest, HistogramsAreAssembled) {
  for (const int64_t time : {kTime, kTime + 15'000}) {
    const double more = time == kTime ? 0 : 1;
    Histogram("h", {{"job", "j"}, {"path", "/a"}}, {1 + more, 3 + more, 10 + more}, 40, time);
    Histogram("h", {{"job", "j"}, {"path", "/b"}}, {0, 0, 2}, 60, time);
  }
  std::mt19937 random(1);
  for (int i = request_.timeseries_size() - 1; i > 0; --i) {
    // Not the two times of one series: those have to keep their order.
    const int j = static_cast<int>(random() % static_cast<unsigned>(i + 1));
    if (i / 10 == j / 10) request_.mutable_timeseries()->SwapElements(i, j);
  }
  Translate();
  ASSERT_THAT(Names(), ElementsAre("h"));
  EXPECT_EQ(DataOf(Metric("h")), "histogram");
  EXPECT_EQ(TypeOf(Metric("h")), "histogram");
  const auto& points = Metric("h").histogram().data_points();
  ASSERT_EQ(points.size(), 4);
  EXPECT_THAT(Attributes(points[0].attributes()), ElementsAre(Pair("path", "/a")));
  EXPECT_THAT(points[0].explicit_bounds(), ElementsAre(1, 5));
  EXPECT_THAT(points[0].bucket_counts(), ElementsAre(1, 2, 7));
  EXPECT_EQ(points[0].count(), 10u);
  EXPECT_EQ(points[0].sum(), 40);
  EXPECT_EQ(points[0].time_unix_nano(), kTime * kNs);
  EXPECT_THAT(points[1].bucket_counts(), ElementsAre(2, 2, 7));
  EXPECT_EQ(points[1].time_unix_nano(), (kTime + 15'000) * kNs);
  EXPECT_THAT(Attributes(points[2].attributes()), ElementsAre(Pair("path", "/b")));
  EXPECT_THAT(points[2].bucket_counts(), ElementsAre(0, 0, 2));
  EXPECT_EQ(result_.assembled_samples, 20u);
  EXPECT_EQ(result_.loose_samples, 0u);
}

// Scenario: a histogram of which one thing is not as it should be.
// Guarantees: its parts are forwarded one by one as monotonic sums under their own names, le included;
// nothing is lost, nothing rejected.
TEST_F(RemoteWriteTest, IncompleteHistogramsStayInParts) {
  const auto spoil = [&](int series, auto change) {
    SCOPED_TRACE(series);
    Histogram("h" + std::to_string(series), {{"job", "j"}}, {1, 3, 10}, 40);
    change();
    int samples = 0;
    for (const pb::TimeSeries1& one : request_.timeseries()) samples += one.samples_size();
    Translate();
    EXPECT_EQ(result_.assembled_samples, 0u);
    EXPECT_EQ(result_.loose_samples, static_cast<uint64_t>(samples));
    EXPECT_EQ(result_.errors, "");
    uint64_t points = 0;
    for (const oracle::Metric* metric : Metrics()) {
      EXPECT_EQ(DataOf(*metric), "sum+") << metric->name();
      points += static_cast<uint64_t>(metric->sum().data_points_size());
      for (const auto& point : metric->sum().data_points()) {
        EXPECT_EQ(Attributes(point.attributes()).contains("le"), metric->name().ends_with("_bucket"));
      }
    }
    EXPECT_EQ(points, static_cast<uint64_t>(samples));
  };
  const auto remove = [&](int index) {
    return [this, index] { request_.mutable_timeseries()->DeleteSubrange(index, 1); };
  };
  const auto set = [&](int index, double value) {
    return [this, index, value] { request_.mutable_timeseries(index)->mutable_samples(0)->set_value(value); };
  };
  spoil(1, remove(2));       // no +Inf
  spoil(2, remove(3));       // no sum
  spoil(3, remove(4));       // no count
  spoil(4, set(0, 0.5));     // a fraction
  spoil(5, set(0, 4));       // falls
  spoil(6, set(4, 11));      // count is not +Inf
  spoil(7, set(1, kStale));  // stale in part
  spoil(8, set(0, -1));      // negative
  spoil(9, [this] { request_.mutable_timeseries(3)->mutable_samples(0)->set_timestamp(kTime + 1); });
  spoil(10, [this] { AddSample(*request_.mutable_timeseries(0), 2, kTime + 1); });
  spoil(11, [this] {
    Labels labels = {{"__name__", "h11_bucket"}, {"job", "j"}, {"le", "1"}};  // 1.0 is there already
    Sample(labels, 1);
  });
}

// Scenario: a sender cuts its requests amid a histogram's buckets: the second half has +Inf, sum and count
// and looks whole. Guarantees: it is not taken for a whole one, from the first request on; other jobs are not
// concerned; a bucket that is gone for good is not missed for ever.
TEST_F(RemoteWriteTest, HalfAHistogramIsNoHistogram) {
  Histogram("h", {{"job", "j"}}, {1, 3, 10}, 40);
  const pb::WriteRequest1 whole = request_;
  const auto head = [&] {
    request_ = whole;
    request_.mutable_timeseries()->DeleteSubrange(1, 4);
    Translate();
  };
  const auto tail = [&] {
    request_ = whole;
    request_.mutable_timeseries()->DeleteSubrange(0, 1);
    Translate();
  };
  head();
  tail();
  EXPECT_THAT(Names(), ElementsAre("h_bucket", "h_count", "h_sum"));
  request_ = whole;
  Translate();
  EXPECT_THAT(Names(), ElementsAre("h"));
  // Another instance that spells its bounds otherwise.
  request_ = whole;
  for (const int i : {0, 1}) {
    pb::Label* le = request_.mutable_timeseries(i)->mutable_labels(2);
    ASSERT_EQ(le->name(), "le");
    le->set_value(i == 0 ? "1" : "5");
  }
  Translate();
  EXPECT_THAT(Names(), ElementsAre("h"));
  now_ += 500;
  tail();
  EXPECT_THAT(Names(), ElementsAre("h_bucket", "h_count", "h_sum"));
  now_ += 101;  // 601 s after le="1.0" was seen
  tail();
  EXPECT_THAT(Names(), ElementsAre("h"));
  EXPECT_THAT(Metric("h").histogram().data_points(0).bucket_counts(), ElementsAre(3, 7));

  Histogram("h", {{"job", "other"}}, {1, 3, 10}, 40);
  request_.mutable_timeseries()->DeleteSubrange(0, 1);
  Translate();
  EXPECT_THAT(Names(), ElementsAre("h"));
}

// Scenario: all parts of a histogram are stale; then it goes on.
// Guarantees: one point without value at that time.
TEST_F(RemoteWriteTest, StaleHistogram) {
  Histogram("h", {}, {kStale, kStale, kStale}, kStale);
  Histogram("h", {}, {1, 1, 1}, 1, kTime + 1);
  Translate();
  ASSERT_THAT(Names(), ElementsAre("h"));
  const auto& points = Metric("h").histogram().data_points();
  ASSERT_EQ(points.size(), 2);
  EXPECT_EQ(points[0].flags(), 1u);
  EXPECT_EQ(points[0].bucket_counts_size(), 0);
  EXPECT_EQ(points[1].flags(), 0u);
  EXPECT_EQ(points[1].count(), 1u);
}

// Scenario: a summary with a quantile that is NaN; one with a negative quantile; one without count.
// Guarantees: the first is one Summary; the others stay in parts, quantiles as gauges.
TEST_F(RemoteWriteTest, Summaries) {
  const auto summary = [&](const std::string& name, double low, bool with_count) {
    Sample({{"__name__", name}, {"quantile", "0.99"}}, kNaN);
    Sample({{"__name__", name}, {"quantile", "0.5"}}, low);
    Sample({{"__name__", name + "_sum"}}, 12.5);
    if (with_count) Sample({{"__name__", name + "_count"}}, 4);
  };
  summary("a", 0.25, true);
  summary("b", -0.25, true);
  summary("c", 0.25, false);
  Translate();
  EXPECT_THAT(Names(), ElementsAre("a", "b", "b_count", "b_sum", "c", "c_sum"));
  EXPECT_EQ(DataOf(Metric("a")), "summary");
  const auto& point = Metric("a").summary().data_points(0);
  EXPECT_EQ(point.count(), 4u);
  EXPECT_EQ(point.sum(), 12.5);
  ASSERT_EQ(point.quantile_values_size(), 2);
  EXPECT_EQ(point.quantile_values(0).quantile(), 0.5);
  EXPECT_EQ(point.quantile_values(0).value(), 0.25);
  EXPECT_TRUE(std::isnan(point.quantile_values(1).value()));
  EXPECT_EQ(point.attributes_size(), 0);
  EXPECT_EQ(DataOf(Metric("b")), "gauge");
  EXPECT_EQ(DataOf(Metric("b_count")), "sum+");
  EXPECT_EQ(Attributes(Metric("c").gauge().data_points(0).attributes()).count("quantile"), 1u);
  EXPECT_EQ(result_.assembled_samples, 4u);
  EXPECT_EQ(result_.loose_samples, 7u);
}

// Scenario: _created beside a counter, beside a histogram, and alone.
// Guarantees: start times; what has nothing to belong to is a gauge of its own.
TEST_F(RemoteWriteTest, CreatedSeries) {
  Sample({{"__name__", "a_total"}, {"x", "1"}}, 5);
  Sample({{"__name__", "a_created"}, {"x", "1"}}, 1'600'000'000.25);
  Sample({{"__name__", "a_created"}, {"x", "2"}}, 1'600'000'000.25);
  Histogram("h", {}, {1, 1, 1}, 1);
  Sample({{"__name__", "h_created"}}, 1'600'000'001);
  Translate();
  EXPECT_THAT(Names(), UnorderedElementsAre("a_created", "a_total", "h"));
  EXPECT_EQ(Metric("a_total").sum().data_points(0).start_time_unix_nano(), 1'600'000'000'250'000'000u);
  EXPECT_EQ(Metric("h").histogram().data_points(0).start_time_unix_nano(), 1'600'000'001'000'000'000u);
  EXPECT_EQ(Metric("a_created").gauge().data_points_size(), 1);
  EXPECT_EQ(Attributes(Metric("a_created").gauge().data_points(0).attributes())["x"], "2");
}

// Scenario: a native histogram with gaps, a second span, negative buckets and a zero bucket.
// Guarantees: OTLP's bucket i is Prometheus' bucket i + 1; gaps are zeros; everything else comes over
// exactly.
TEST_F(RemoteWriteTest, NativeHistogram) {
  pb::Histogram h;
  h.set_timestamp(kTime);
  h.set_schema(3);
  h.set_sum(-1.5);
  h.set_zero_threshold(0.001);
  h.set_zero_count_int(2);
  pb::BucketSpan* span = h.add_positive_spans();
  span->set_offset(-3);
  span->set_length(2);
  span = h.add_positive_spans();
  span->set_offset(2);
  span->set_length(1);
  for (const int64_t delta : {5, -4, 2}) h.add_positive_deltas(delta);  // 5 1 _ _ 3
  span = h.add_negative_spans();
  span->set_offset(7);
  span->set_length(1);
  h.add_negative_deltas(4);
  h.set_count_int(15);
  *Series({{"__name__", "n"}, {"job", "j"}, {"x", "1"}}).add_histograms() = h;
  Translate();
  EXPECT_EQ(result_.histograms, 1u);
  EXPECT_EQ(DataOf(Metric("n")), "exponential");
  EXPECT_EQ(TypeOf(Metric("n")), "histogram");
  const auto& point = Metric("n").exponential_histogram().data_points(0);
  EXPECT_THAT(Attributes(point.attributes()), ElementsAre(Pair("x", "1")));
  EXPECT_EQ(point.scale(), 3);
  EXPECT_EQ(point.count(), 15u);
  EXPECT_EQ(point.sum(), -1.5);
  EXPECT_EQ(point.zero_count(), 2u);
  EXPECT_EQ(point.zero_threshold(), 0.001);
  EXPECT_EQ(point.positive().offset(), -4);
  EXPECT_THAT(point.positive().bucket_counts(), ElementsAre(5, 1, 0, 0, 3));
  EXPECT_EQ(point.negative().offset(), 6);
  EXPECT_THAT(point.negative().bucket_counts(), ElementsAre(4));
  EXPECT_EQ(point.time_unix_nano(), kTime * kNs);

  // The same with counts as doubles.
  pb::Histogram f = h;
  f.clear_positive_deltas();
  f.clear_negative_deltas();
  for (const double count : {5, 1, 3}) f.add_positive_counts(count);
  f.add_negative_counts(4);
  f.set_count_float(15);
  f.set_zero_count_float(2);
  *Series({{"__name__", "n"}, {"job", "j"}, {"x", "1"}}).add_histograms() = f;
  const std::string of_integers = Metric("n").SerializeAsString();
  Translate();
  EXPECT_EQ(Metric("n").SerializeAsString(), of_integers);

  h.set_sum(kStale);
  *Series({{"__name__", "n"}}).add_histograms() = h;
  Translate();
  EXPECT_EQ(Metric("n").exponential_histogram().data_points(0).flags(), 1u);
}

// Scenario: custom bounds (schema -53), the last bucket beyond them all.
// Guarantees: an explicit Histogram of the same name.
TEST_F(RemoteWriteTest, CustomBuckets) {
  pb::Histogram h;
  h.set_timestamp(kTime);
  h.set_schema(-53);
  h.set_sum(9);
  h.set_count_int(6);
  for (const double bound : {0.5, 1.0, 2.5}) h.add_custom_values(bound);
  pb::BucketSpan* span = h.add_positive_spans();
  span->set_offset(1);
  span->set_length(3);
  for (const int64_t delta : {1, 1, 1}) h.add_positive_deltas(delta);
  *Series({{"__name__", "n"}}).add_histograms() = h;
  Translate();
  EXPECT_EQ(DataOf(Metric("n")), "histogram");
  const auto& point = Metric("n").histogram().data_points(0);
  EXPECT_THAT(point.explicit_bounds(), ElementsAre(0.5, 1, 2.5));
  EXPECT_THAT(point.bucket_counts(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(point.count(), 6u);
}

// Scenario: native histograms that contradict themselves, or that OTLP cannot express, each beside a good
// one. Guarantees: each costs itself, is counted under its reason and named; the good one goes on.
TEST_F(RemoteWriteTest, BadNativeHistograms) {
  pb::Histogram good;
  good.set_timestamp(kTime);
  good.set_schema(0);
  good.set_sum(3);
  good.set_count_int(3);
  good.add_positive_spans()->set_length(2);
  for (const int64_t delta : {1, 1}) good.add_positive_deltas(delta);
  const auto refuse = [&](SeriesFault fault, auto change, int line) {
    SCOPED_TRACE(line);
    pb::TimeSeries1& series = Series({{"__name__", "n"}});
    pb::Histogram bad = good;
    change(bad);
    *series.add_histograms() = bad;
    *series.add_histograms() = good;
    Translate();
    EXPECT_EQ(RejectedHistogramsFor(fault), 1u);
    EXPECT_EQ(result_.rejected_histograms_total(), 1u);
    EXPECT_EQ(result_.histograms, 2u);
    EXPECT_THAT(result_.errors, HasSubstr("timeseries[0] \"n\": "));
    EXPECT_EQ(Metric("n").exponential_histogram().data_points_size(), 1);
  };
  using H = pb::Histogram;
  const auto bad = SeriesFault::kHistogram;
  refuse(bad, [](H& h) { h.set_count_int(4); }, __LINE__);
  refuse(bad, [](H& h) { h.set_schema(9); }, __LINE__);
  refuse(bad, [](H& h) { h.set_schema(-5); }, __LINE__);
  refuse(bad, [](H& h) { h.set_positive_deltas(1, -5); }, __LINE__);
  refuse(bad, [](H& h) { h.add_positive_deltas(1); }, __LINE__);
  refuse(bad, [](H& h) { h.mutable_positive_spans(0)->set_length(3); }, __LINE__);
  refuse(bad, [](H& h) { h.mutable_positive_spans(0)->set_length(0xffffffff); }, __LINE__);
  refuse(bad, [](H& h) { h.set_zero_threshold(-1); }, __LINE__);
  refuse(
      bad,
      [](H& h) {
        h.mutable_positive_spans(0)->set_length(1);
        h.add_positive_spans()->set_length(1);
        h.mutable_positive_spans(1)->set_offset(70'000);
      },
      __LINE__);
  refuse(
      bad,
      [](H& h) {
        h.mutable_positive_spans(0)->set_length(1);
        h.add_positive_spans()->set_length(1);
        h.mutable_positive_spans(1)->set_offset(-1);
      },
      __LINE__);
  refuse(
      bad, [](H& h) { h.mutable_positive_spans(0)->set_offset(std::numeric_limits<int32_t>::min()); },
      __LINE__);
  refuse(
      bad, [](H& h) { h.mutable_positive_spans(0)->set_offset(std::numeric_limits<int32_t>::max()); },
      __LINE__);
  refuse(bad, [](H& h) { h.set_schema(-53); }, __LINE__);  // more buckets than bounds
  refuse(
      bad,
      [](H& h) {
        h.set_schema(-53);
        h.add_custom_values(2);
        h.add_custom_values(1);
      },
      __LINE__);
  refuse(
      bad,
      [](H& h) {
        h.set_count_float(2);
        h.add_positive_counts(kInf);
        h.add_positive_counts(1);
      },
      __LINE__);
  refuse(
      SeriesFault::kFractional,
      [](H& h) {
        h.set_count_float(1.5);
        h.add_positive_counts(0.5);
        h.add_positive_counts(1);
      },
      __LINE__);
  refuse(SeriesFault::kGaugeHistogram, [](H& h) { h.set_reset_hint(3); }, __LINE__);
  refuse(SeriesFault::kTimestamp, [](H& h) { h.set_timestamp(0); }, __LINE__);
}

// Scenario: exemplars with good, short and foreign labels; in the sample's series and in one of their own, as
// Prometheus sends them; on a bucket; without any sample; on a summary.
// Guarantees: IDs are IDs where they are well-formed and else attributes; each hangs on its point; what has
// no place is counted.
TEST_F(RemoteWriteTest, Exemplars) {
  const auto add = [](pb::TimeSeries1& series, const Labels& labels) {
    pb::Exemplar1* exemplar = series.add_exemplars();
    exemplar->set_value(0.5);
    exemplar->set_timestamp(kTime - 1);
    for (const auto& [name, value] : labels) {
      pb::Label* label = exemplar->add_labels();
      label->set_name(name);
      label->set_value(value);
    }
  };
  const std::string trace = "0af7651916cd43dd8448eb211c80319c";
  Sample({{"__name__", "a_total"}}, 1);
  add(Series({{"__name__", "a_total"}}),
      {{"trace_id", trace}, {"span_id", "b7ad6b7169203331"}, {"user", "u"}});
  add(Sample({{"__name__", "b"}}, 1), {{"trace_id", "beef"}, {"span_id", "0000000000000000"}});
  Histogram("h", {}, {1, 1, 1}, 1);
  add(*request_.mutable_timeseries(request_.timeseries_size() - 5), {{"trace_id", trace}});
  add(Series({{"__name__", "alone"}}), {{"trace_id", trace}});
  add(Sample({{"__name__", "s"}, {"quantile", "0.5"}}, 1), {{"trace_id", trace}});
  Sample({{"__name__", "s_sum"}}, 1);
  Sample({{"__name__", "s_count"}}, 1);
  Translate();
  EXPECT_THAT(Names(), ElementsAre("a_total", "b", "h", "s"));
  EXPECT_EQ(result_.exemplars, 5u);
  EXPECT_EQ(result_.exemplars_dropped, 2u);
  EXPECT_EQ(result_.errors, "");

  const auto& a = Metric("a_total").sum().data_points(0);
  ASSERT_EQ(a.exemplars_size(), 1);
  EXPECT_EQ(a.exemplars(0).trace_id(), "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c");
  EXPECT_EQ(a.exemplars(0).span_id(), "\xb7\xad\x6b\x71\x69\x20\x33\x31");
  EXPECT_EQ(a.exemplars(0).time_unix_nano(), (kTime - 1) * kNs);
  EXPECT_EQ(a.exemplars(0).as_double(), 0.5);
  EXPECT_THAT(Attributes(a.exemplars(0).filtered_attributes()), ElementsAre(Pair("user", "u")));
  const auto& b = Metric("b").gauge().data_points(0);
  EXPECT_THAT(Attributes(b.exemplars(0).filtered_attributes()),
              ElementsAre(Pair("span_id", "0000000000000000"), Pair("trace_id", "beef")));
  EXPECT_EQ(Metric("h").histogram().data_points(0).exemplars_size(), 1);
}

// Scenario: 1.0 series with each fault of labels and times, between good ones.
// Guarantees: the good ones are taken, the others counted by reason in samples, and the first of them named.
TEST_F(RemoteWriteTest, BadSeriesCostThemselves) {
  const auto raw = [&](const std::vector<std::pair<std::string, std::string>>& labels) {
    pb::TimeSeries1& series = Series({});
    for (const auto& [name, value] : labels) {
      pb::Label* label = series.add_labels();
      label->set_name(name);
      label->set_value(value);
    }
    AddSample(series, 1, kTime);
    AddSample(series, 2, kTime + 1);
  };
  Sample({{"__name__", "good"}}, 1);
  raw({{"__name__", "x"}, {"b", "\xc3"}});
  raw({{"a", "1"}});
  raw({{"__name__", ""}, {"a", "1"}});
  raw({{"", "1"}, {"__name__", "x"}});
  raw({{"__name__", "x"}, {"b", "1"}, {"b", "1"}});
  raw({{"__name__", "x"}, {"c", "1"}, {"b", "1"}});
  raw({{"__name__", "x"}, {"b", "1"}, {"c", ""}});  // an empty value is no label: good
  Series({{"__name__", "empty"}});
  Sample({{"__name__", "late"}}, 1, 0);
  Sample({{"__name__", "late"}}, 1, std::numeric_limits<int64_t>::max());
  Sample({{"__name__", "good"}}, 1, kTime + 1);
  Translate();
  EXPECT_THAT(Names(), ElementsAre("good", "x"));
  EXPECT_EQ(Metric("x").gauge().data_points_size(), 2);
  EXPECT_THAT(Attributes(Metric("x").gauge().data_points(0).attributes()), ElementsAre(Pair("b", "1")));
  EXPECT_EQ(result_.samples, 18u);
  EXPECT_EQ(RejectedFor(SeriesFault::kBadUtf8), 2u);
  EXPECT_EQ(RejectedFor(SeriesFault::kNoName), 4u);
  EXPECT_EQ(RejectedFor(SeriesFault::kLabelName), 4u);
  EXPECT_EQ(RejectedFor(SeriesFault::kLabelOrder), 2u);
  EXPECT_EQ(RejectedFor(SeriesFault::kTimestamp), 2u);
  EXPECT_EQ(result_.rejected_samples_total(), 14u);
  EXPECT_EQ(result_.rejected_series[static_cast<size_t>(SeriesFault::kNoSample)], 1u);
  EXPECT_THAT(result_.errors, testing::StartsWith("timeseries[1] \"x\": label 1: not UTF-8\n"));
  EXPECT_THAT(result_.errors, HasSubstr("timeseries[6] \"x\": label 2: label names are not sorted\n"));
  EXPECT_THAT(result_.errors, HasSubstr("timeseries[8] \"empty\": neither sample nor histogram\n"));
}

// Scenario: more bad series than anybody wants to read about.
// Guarantees: ten lines and a count.
TEST_F(RemoteWriteTest, ErrorsAreBounded) {
  for (int i = 0; i < 100; ++i) Sample({{"x", std::string(10'000, '\n')}}, 1);
  Translate();
  EXPECT_EQ(std::count(result_.errors.begin(), result_.errors.end(), '\n'), 11);
  EXPECT_THAT(result_.errors, testing::EndsWith("and 90 more\n"));
  EXPECT_LT(result_.errors.size(), 2'000u);
}

// Scenario: 2.0, with symbols after the series, types, help, units and start times inline.
// Guarantees: all of them arrive; a histogram is told by its type; start times are OTLP's.
TEST_F(RemoteWriteTest, Version2) {
  pb::WriteRequest2 request;
  for (const char* symbol : {"", "__name__", "a", "Helps.", "seconds", "b_total", "job", "j"})
    request.add_symbols(symbol);
  pb::TimeSeries2* series = request.add_timeseries();
  for (const uint32_t ref : {1, 2, 6, 7}) series->add_labels_refs(ref);
  series->mutable_metadata()->set_type(2);
  series->mutable_metadata()->set_help_ref(3);
  series->mutable_metadata()->set_unit_ref(4);
  pb::Sample* sample = series->add_samples();
  sample->set_value(1);
  sample->set_timestamp(kTime);
  series = request.add_timeseries();
  for (const uint32_t ref : {1, 5}) series->add_labels_refs(ref);
  series->mutable_metadata()->set_type(1);
  sample = series->add_samples();
  sample->set_timestamp(kTime);
  sample->set_start_timestamp(kTime - 5'000);
  sample = series->add_samples();
  sample->set_timestamp(kTime + 1);
  sample->set_start_timestamp(kTime + 2);  // cannot be

  pb::WriteRequest2 symbols;
  *symbols.mutable_symbols() = request.symbols();
  request.clear_symbols();
  Translate(RemoteWriteVersion::k2, request.SerializeAsString() + symbols.SerializeAsString());
  EXPECT_EQ(result_.errors, "");
  EXPECT_THAT(Names(), ElementsAre("b_total", "a"));
  EXPECT_EQ(TypeOf(Metric("a")), "gauge");
  EXPECT_EQ(Metric("a").description(), "Helps.");
  EXPECT_EQ(Metric("a").unit(), "s");
  EXPECT_EQ(DataOf(Metric("b_total")), "sum+");
  EXPECT_EQ(Metric("b_total").sum().data_points(0).start_time_unix_nano(), (kTime - 5'000) * kNs);
  EXPECT_EQ(Metric("b_total").sum().data_points(1).start_time_unix_nano(), 0u);
}

// Scenario: 2.0 with references that are odd, out of range, or to text that is not UTF-8; both kinds of
// values. Guarantees: each costs its series.
TEST_F(RemoteWriteTest, Version2Faults) {
  pb::WriteRequest2 request;
  for (const char* symbol : {"", "__name__", "a", "\xff"}) request.add_symbols(symbol);
  const auto add = [&](const std::vector<uint32_t>& refs) -> pb::TimeSeries2* {
    pb::TimeSeries2* series = request.add_timeseries();
    for (const uint32_t ref : refs) series->add_labels_refs(ref);
    series->add_samples()->set_timestamp(kTime);
    return series;
  };
  add({1, 2});
  add({1, 2, 2});
  add({1, 4});
  add({1, 2, 2, 3});
  add({1, 2})->mutable_metadata()->set_help_ref(9);
  add({1, 2})->add_histograms()->set_timestamp(kTime);
  add({});
  Translate2(request);
  EXPECT_EQ(Metric("a").gauge().data_points_size(), 1);
  EXPECT_EQ(RejectedFor(SeriesFault::kReference), 3u);
  EXPECT_EQ(RejectedFor(SeriesFault::kBadUtf8), 1u);
  EXPECT_EQ(RejectedFor(SeriesFault::kMixed), 1u);
  EXPECT_EQ(RejectedHistogramsFor(SeriesFault::kMixed), 1u);
  EXPECT_EQ(RejectedFor(SeriesFault::kNoName), 1u);
}

// Scenario: what is no protobuf, or protobuf with groups.
// Guarantees: refused with the place.
TEST_F(RemoteWriteTest, BrokenFraming) {
  Sample({{"__name__", "a"}}, 1);
  std::string bytes = request_.SerializeAsString();
  const auto message = [&](const std::string& body) {
    const Result<RemoteWriteTranslation> result = TryTranslate(RemoteWriteVersion::k1, body);
    EXPECT_EQ(result.status().code(), Code::kInvalidArgument);
    return result.ok() ? "" : result.status().message();
  };
  EXPECT_THAT(message(bytes + "\x0a"), HasSubstr("byte " + std::to_string(bytes.size())));
  EXPECT_THAT(message(bytes + std::string("\x0a\x02\x12\x05", 4)), HasSubstr("timeseries[1]"));
  EXPECT_THAT(message(bytes + "\x13\x14"), HasSubstr("no protobuf field"));
  EXPECT_THAT(message(bytes.substr(0, bytes.size() - 1)), HasSubstr("byte 0"));
}

// Scenario: requests that are small but would become large: series of no content; one long symbol used a
// thousand times. Guarantees: refused before or while the memory is taken; a pool that has none answers
// "later"; all is given back.
TEST_F(RemoteWriteTest, Bounds) {
  std::string empties;
  for (int i = 0; i < 100'000; ++i) empties += std::string("\x0a\x00", 2);
  RemoteWriteTranslator small(families_, pool_, {.max_tables = 1u << 20, .max_output = 1u << 20});
  EXPECT_EQ(small.Translate(RemoteWriteVersion::k1, empties, 0, 1).status().code(), Code::kResourceExhausted);

  pb::WriteRequest2 request;
  for (const char* symbol : {"", "__name__", "a", "b"}) request.add_symbols(symbol);
  request.add_symbols(std::string(10'000, 'x'));
  for (int i = 0; i < 1'000; ++i) {
    pb::TimeSeries2* series = request.add_timeseries();
    for (const uint32_t ref : {1, 2, 3, 4}) series->add_labels_refs(ref);
    series->add_samples()->set_timestamp(kTime + i);
  }
  const std::string bytes = request.SerializeAsString();
  EXPECT_EQ(small.Translate(RemoteWriteVersion::k2, bytes, 0, 1).status().code(), Code::kResourceExhausted);

  SlabPool tight({.max_bytes = 100'000});
  RemoteWriteTranslator poor(families_, tight, {});
  EXPECT_EQ(poor.Translate(RemoteWriteVersion::k2, bytes, 0, 1).status().code(), Code::kUnavailable);
  EXPECT_EQ(tight.used_bytes(), 0u);
  EXPECT_EQ(pool_.used_bytes(), 0u);
}

// Scenario: one family with very many series.
// Guarantees: cut into Metrics that any receiver takes; no point is lost.
TEST_F(RemoteWriteTest, LargeMetricsAreCut) {
  for (int i = 0; i < 5'000; ++i)
    Sample({{"__name__", "a"}, {"x", std::to_string(i) + std::string(200, 'x')}}, i);
  Translate();
  const auto metrics = Metrics();
  EXPECT_GT(metrics.size(), 4u);
  int points = 0;
  for (const oracle::Metric* metric : metrics) {
    EXPECT_EQ(metric->name(), "a");
    EXPECT_EQ(TypeOf(*metric), "unknown");
    EXPECT_LT(metric->ByteSizeLong(), RemoteWriteTranslator::kMaxMetricBytes + 1'000);
    points += metric->gauge().data_points_size();
  }
  EXPECT_EQ(points, 5'000);
}

// Scenario: more families than there is room for.
// Guarantees: bounded; those used last stay.
TEST(MetricFamiliesTest, Bound) {
  MetricFamilies families({.max_bytes = 100'000, .max_help_bytes = 10});
  for (int i = 0; i < 10'000; ++i) {
    families.Remember(0, "family_" + std::to_string(i), {PrometheusType::kGauge, "1234567890 and more", ""});
    ASSERT_NE(families.Find(0, "family_0"), nullptr) << i;
    families.NoteLayout(0, "job", "family_" + std::to_string(i), std::vector<uint64_t>{1, 2, 3}, 1);
  }
  EXPECT_LE(families.stats().bytes, 200'000u);
  EXPECT_GT(families.stats().families, 100u);
  EXPECT_GT(families.stats().layouts, 100u);
  EXPECT_GT(families.stats().forgotten, 10'000u);
  EXPECT_EQ(families.Find(0, "family_1"), nullptr);
  ASSERT_NE(families.Find(0, "family_9999"), nullptr);
  EXPECT_EQ(families.Find(0, "family_9999")->help, "1234567890");
}

}  // namespace
}  // namespace braid::ingest
