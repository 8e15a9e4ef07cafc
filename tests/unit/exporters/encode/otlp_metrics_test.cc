#include "exporters/encode/otlp_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>

#include "exporters/encode/otlp.h"
#include "otlp.pb.h"
#include "tests/support/sample_families.h"

namespace braid::exporters {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kNowMs = 1'700'000'000'000;
constexpr uint64_t kNowNs = kNowMs * 1'000'000;

class OtlpMetricsTest : public testing::Test {
 protected:
  using Attributes = std::map<std::string, std::string>;

  // A round, later than the last one.
  template <typename Write>
  std::vector<ChunkPtr> Make(Write write) {
    if (!rounds_) rounds_ = std::make_unique<OtlpRounds>(OtlpRounds::Options(), slabs_);
    write(rounds_->Begin(now_ms_++));
    return rounds_->End();
  }

  // The first of all.
  template <typename Write>
  std::vector<ChunkPtr> Make(Write write, const OtlpRounds::Options& options) {
    rounds_ = std::make_unique<OtlpRounds>(options, slabs_);
    return Make(write);
  }

  static oracle::ExportMetricsServiceRequest Parse(std::string_view bytes) {
    oracle::ExportMetricsServiceRequest request;
    EXPECT_TRUE(request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
    return request;
  }

  // The metrics of all Chunks by name, those cut in parts put together; checks what surrounds them.
  std::map<std::string, oracle::Metric> Metrics(const std::vector<ChunkPtr>& chunks) {
    std::map<std::string, oracle::Metric> all;
    for (const ChunkPtr& chunk : chunks) {
      EXPECT_EQ(chunk->content, Chunk::Content::kOtlp);
      EXPECT_EQ(chunk->signal, Signal::kMetrics);
      const auto request = Parse(chunk->view());
      EXPECT_EQ(request.resource_metrics_size(), 1);
      const auto& resource = request.resource_metrics(0);
      EXPECT_EQ(resource.resource().attributes_size(), 1);
      EXPECT_EQ(resource.resource().attributes(0).key(), "service.name");
      EXPECT_EQ(resource.resource().attributes(0).value().string_value(), "braid");
      EXPECT_EQ(resource.scope_metrics_size(), 1);
      EXPECT_EQ(resource.scope_metrics(0).scope().name(), "braid");
      // Items rebuild the request, as a Lane does that sends parts.
      EXPECT_EQ(static_cast<size_t>(resource.scope_metrics(0).metrics_size()), chunk->items.size());
      const Slab again = EncodeOtlp(*chunk, 0, static_cast<uint32_t>(chunk->items.size()), slabs_);
      EXPECT_EQ(Parse(again.view()).SerializeAsString(), request.SerializeAsString());
      uint64_t count = 0;
      for (size_t i = 0; i < chunk->items.size(); ++i) {
        const oracle::Metric& metric = resource.scope_metrics(0).metrics(static_cast<int>(i));
        count += chunk->items[i].count;
        all[metric.name()].MergeFrom(metric);
      }
      EXPECT_EQ(chunk->count, count);
    }
    return all;
  }

  template <typename Point>
  static Attributes Of(const Point& point) {
    Attributes found;
    for (const auto& one : point.attributes()) found[one.key()] = one.value().string_value();
    EXPECT_EQ(found.size(), static_cast<size_t>(point.attributes_size()));
    return found;
  }

  SlabPool slabs_{SlabPool::Options{}};
  int64_t now_ms_ = kNowMs;  // of the next round
  std::unique_ptr<OtlpRounds> rounds_;
};

const std::map<std::string, std::string> kZone = {{"Upper", "first"}, {"mode", "x"}, {"zone", "a\\b\n"}};
const std::string kTrace = {1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9};
const std::string kSpan = {0, 0, 0, 0, 0, 0, 0, 10};

// Scenario: one of everything.
// Guarantees: kinds, temporality, names, units, times, values and attributes are as OpenTelemetry has them.
TEST_F(OtlpMetricsTest, Everything) {
  const auto metrics = Metrics(Make([](ExpositionWriter& w) { test::WriteFamilies(w, 1, kNowNs); }));
  EXPECT_THAT(metrics, SizeIs(7));

  const oracle::Metric& calls = metrics.at("calls");
  EXPECT_EQ(calls.description(), "Say \"hi\".");
  EXPECT_TRUE(calls.sum().is_monotonic());
  EXPECT_EQ(calls.sum().aggregation_temporality(), oracle::AGGREGATION_TEMPORALITY_CUMULATIVE);
  ASSERT_EQ(calls.sum().data_points_size(), 2);
  const auto& first = calls.sum().data_points(0);
  EXPECT_EQ(Of(first), kZone);
  EXPECT_EQ(first.as_double(), 4);
  EXPECT_EQ(first.start_time_unix_nano(), test::kCreatedNs);
  EXPECT_EQ(first.time_unix_nano(), kNowNs);
  ASSERT_EQ(first.exemplars_size(), 1);
  EXPECT_EQ(first.exemplars(0).trace_id(), kTrace);
  EXPECT_EQ(first.exemplars(0).span_id(), kSpan);
  EXPECT_EQ(first.exemplars(0).as_double(), 0.5);
  EXPECT_EQ(first.exemplars(0).time_unix_nano(), kNowNs - 5'000'000'000);
  ASSERT_EQ(first.exemplars(0).filtered_attributes_size(), 1);
  EXPECT_EQ(first.exemplars(0).filtered_attributes(0).key(), "user");
  EXPECT_EQ(calls.sum().data_points(1).start_time_unix_nano(), 0u);

  EXPECT_EQ(metrics.at("temp_celsius").gauge().data_points(0).as_double(), -0.5);
  EXPECT_EQ(metrics.at("odd").gauge().data_points(0).as_double(), 42);

  const oracle::Metric& latency = metrics.at("lat_seconds");
  EXPECT_EQ(latency.unit(), "s");
  EXPECT_EQ(latency.histogram().aggregation_temporality(), oracle::AGGREGATION_TEMPORALITY_CUMULATIVE);
  ASSERT_EQ(latency.histogram().data_points_size(), 2);
  const auto& point = latency.histogram().data_points(0);
  EXPECT_THAT(point.explicit_bounds(), ElementsAre(0.002, 1, 100'000, 1'000'000));
  EXPECT_THAT(point.bucket_counts(), ElementsAre(1, 3, 0, 0, 4));
  EXPECT_EQ(point.count(), 8u);
  EXPECT_EQ(point.sum(), 12.5);
  EXPECT_EQ(point.start_time_unix_nano(), test::kCreatedNs);
  EXPECT_EQ(point.exemplars_size(), 2);
  const auto& weighted = latency.histogram().data_points(1);
  EXPECT_FALSE(weighted.has_sum());
  EXPECT_EQ(Of(weighted), (Attributes{{"odd", "weights"}}));
  EXPECT_THAT(weighted.bucket_counts(), ElementsAre(1, 1, 0, 0, 0)) << "0.5 and 1.25, rounded";
  EXPECT_EQ(weighted.count(), 2u) << "the sum of its buckets, whatever their weight";

  const auto& summary = metrics.at("sizes").summary().data_points(0);
  EXPECT_EQ(summary.count(), 4u);
  EXPECT_EQ(summary.sum(), 12.5);
  EXPECT_EQ(summary.quantile_values(1).quantile(), 1);
  EXPECT_EQ(summary.quantile_values(1).value(), 4);

  const oracle::Metric& native = metrics.at("native_seconds");
  EXPECT_EQ(native.exponential_histogram().aggregation_temporality(),
            oracle::AGGREGATION_TEMPORALITY_CUMULATIVE);
  const auto& exponential = native.exponential_histogram().data_points(0);
  EXPECT_EQ(Of(exponential), kZone);
  EXPECT_EQ(exponential.scale(), 3);
  EXPECT_EQ(exponential.zero_count(), 2u);
  EXPECT_EQ(exponential.zero_threshold(), 0.001);
  EXPECT_EQ(exponential.positive().offset(), -4) << "our bucket -3";
  EXPECT_THAT(exponential.positive().bucket_counts(), ElementsAre(1, 3, 0, 3, 0, 0, 0, 0, 0, 0, 10, 1));
  EXPECT_EQ(exponential.negative().offset(), 1);
  EXPECT_THAT(exponential.negative().bucket_counts(), ElementsAre(5));
  EXPECT_EQ(exponential.count(), 25u);
  EXPECT_EQ(exponential.sum(), 5.5);
  EXPECT_EQ(exponential.exemplars_size(), 2);
  EXPECT_TRUE(metrics.at("both_seconds").has_exponential_histogram());
}

// Scenario: an exemplar whose IDs have other names as labels, or none.
// Guarantees: OTLP has fields for them, which they are in all the same, and filtered attributes are the rest.
TEST_F(OtlpMetricsTest, ExemplarIdsHaveTheirFields) {
  const std::vector<Label> extra = {{"user", "7"}};
  const auto metrics = Metrics(Make([&](ExpositionWriter& w) {
    const ExemplarView exemplar{0.5, kNowNs, {1, 2}, 3, extra, {"traceID", ""}};
    w.Family({"calls", "", "", MetricType::kCounter});
    w.Counter({}, 1, 0, &exemplar);
  }));
  const auto& exemplar = metrics.at("calls").sum().data_points(0).exemplars(0);
  EXPECT_EQ(exemplar.trace_id(), std::string(7, '\0') + '\1' + std::string(7, '\0') + '\2');
  EXPECT_EQ(exemplar.span_id(), std::string(7, '\0') + '\3');
  ASSERT_EQ(exemplar.filtered_attributes_size(), 1);
  EXPECT_EQ(exemplar.filtered_attributes(0).key(), "user");
}

// Scenario: a histogram whose values lie so far apart that the buckets between them would fill a megabyte.
// Guarantees: it is made coarser, by halves, until it fits; every count stays in the bucket that holds its
// values.
TEST_F(OtlpMetricsTest, CoarsensWideHistograms) {
  std::vector<NativeBucket> positive;
  for (int32_t index = -50'000; index <= 50'000; index += 999) positive.push_back({index, 1});
  const NativeView native{8, 0, 0, positive, {}, {}};
  const auto metrics = Metrics(Make([&](ExpositionWriter& w) {
    w.Family({"wide", "", "", MetricType::kHistogram});
    w.Histogram({}, {{}, {}, 1, true, {}, &native}, 0);
  }));
  const auto& point = metrics.at("wide").exponential_histogram().data_points(0);
  const int halvings = 8 - point.scale();
  EXPECT_EQ(halvings, 7);
  ASSERT_LE(point.positive().bucket_counts_size(), 1024);
  std::vector<uint64_t> expected(static_cast<size_t>(point.positive().bucket_counts_size()));
  for (const NativeBucket& bucket : positive) {
    const double factor = 1 << halvings;
    const auto index = static_cast<int64_t>(std::ceil(bucket.index / factor)) - 1 - point.positive().offset();
    ++expected.at(static_cast<size_t>(index));
  }
  EXPECT_THAT(point.positive().bucket_counts(), testing::ElementsAreArray(expected));
  EXPECT_EQ(point.count(), positive.size());
}

// Scenario: random weighted spans are counted in a classic and in a native histogram, which is made coarser
// on the way; many rounds. Then the series begins anew, and then it counts whole spans only. Guarantees: no
// bucket and no count ever falls before that, buckets merged where the scale says so; the count is that of
// the buckets, and within a half of what was counted; counts up to a bound stay within 3; the sum is exact.
// What begins anew is rounded anew, and whole counts are exact.
TEST_F(OtlpMetricsTest, RoundedCountsNeverFall) {
  const std::vector<double> bounds = {1, 2, 4, 8, 16};
  const double weights[] = {4.0 / 3, 1.5, 2.6};
  std::mt19937_64 random(3);
  std::vector<double> counts(6);
  std::map<int32_t, double> native;
  double zeros = 0, sum = 0.1;
  uint64_t created_ns = 1;
  const auto round = [&](int32_t schema) {
    std::vector<NativeBucket> positive;
    for (const auto& [index, count] : native) {
      const int32_t at = (index + (1 << (3 - schema)) - 1) >> (3 - schema);
      if (positive.empty() || positive.back().index != at) positive.push_back({at, 0});
      positive.back().count += count;
    }
    const NativeView view{schema, 0, zeros, positive, {}, {}};
    return Metrics(Make([&](ExpositionWriter& w) {
      w.Family({"c", "", "", MetricType::kHistogram});
      w.Histogram({}, {bounds, counts, sum, true, {}}, created_ns);
      w.Family({"n", "", "", MetricType::kHistogram});
      w.Histogram({}, {{}, {}, sum, true, {}, &view}, created_ns);
    }));
  };
  const auto count = [&](double weight) {
    if (random() % 9 == 0) {
      zeros += weight;
    } else {
      native[static_cast<int32_t>(random() % 40) - 20] += weight;
    }
    counts[random() % 6] += weight;
    sum += weight * 0.7;
  };
  std::vector<uint64_t> before(6);
  std::map<int32_t, uint64_t> native_before;
  uint64_t zeros_before = 0;
  const auto check = [&](int32_t schema) {
    const auto metrics = round(schema);
    const auto& point = metrics.at("c").histogram().data_points(0);
    double counted = 0, told = 0;
    for (int i = 0; i < 6; ++i) {
      EXPECT_GE(point.bucket_counts(i), before[static_cast<size_t>(i)]);
      before[static_cast<size_t>(i)] = point.bucket_counts(i);
      counted += counts[static_cast<size_t>(i)];
      told += static_cast<double>(point.bucket_counts(i));
      EXPECT_NEAR(told, counted, 3);
    }
    EXPECT_EQ(static_cast<double>(point.count()), told);
    EXPECT_NEAR(told, counted, 0.5 + 1e-9);
    EXPECT_EQ(point.sum(), sum);

    const auto& exponential = metrics.at("n").exponential_histogram().data_points(0);
    EXPECT_EQ(exponential.scale(), schema);
    std::map<int32_t, uint64_t> now;
    uint64_t total = exponential.zero_count();
    EXPECT_GE(exponential.zero_count(), zeros_before);
    zeros_before = exponential.zero_count();
    for (int i = 0; i < exponential.positive().bucket_counts_size(); ++i) {
      const uint64_t n = exponential.positive().bucket_counts(i);
      if (n != 0) now[exponential.positive().offset() + 1 + i] = n;
      total += n;
    }
    for (const auto& [index, n] : native_before) EXPECT_GE(now[index], n) << index;
    native_before = now;
    EXPECT_EQ(exponential.count(), total);
    EXPECT_NEAR(static_cast<double>(total), counted, 0.5 + 1e-9);
    EXPECT_EQ(exponential.sum(), sum);
  };
  for (int i = 0; i < 300; ++i) {
    for (uint64_t spans = random() % 4; spans > 0; --spans) count(weights[random() % 3]);
    if (i == 150) {
      std::map<int32_t, uint64_t> coarser;
      for (const auto& [index, n] : native_before) coarser[(index + 3) >> 2] += n;
      native_before = coarser;
    }
    check(i < 150 ? 3 : 1);
  }

  std::fill(before.begin(), before.end(), 0);
  native_before.clear();
  zeros_before = 0;
  created_ns = 2;
  counts.assign(6, 0.6);
  native = {{1, 3.6}};
  zeros = 0;
  check(1);
  EXPECT_THAT(before, ElementsAre(1, 0, 1, 0, 1, 1));
  counts.assign(6, 2);
  native = {{1, 12}};
  check(1);
  EXPECT_THAT(before, ElementsAre(2, 2, 2, 2, 2, 2));
}

// Scenario: a series of each kind, of which the second round has none; the third has some of them again; then
// all end.
// Guarantees: each gets one point without a recorded value, later than its last, with its attributes, start,
// bounds, scale and quantiles; and none that goes on.
TEST_F(OtlpMetricsTest, EndsWhatIsGone) {
  const auto all = Metrics(Make([](ExpositionWriter& w) { test::WriteFamilies(w, 1, kNowNs); }));
  const auto ended = Metrics(Make([](ExpositionWriter& w) {
    w.Family({"temp_celsius", "", "celsius", MetricType::kGauge});
    w.Gauge({}, 1);
  }));
  EXPECT_EQ(ended.size(), all.size());
  EXPECT_EQ(rounds_->stats().stale_markers, 10u);
  EXPECT_EQ(rounds_->stats().points, 1u);
  const auto is_end = [](const auto& point) {
    EXPECT_EQ(point.flags(), 1u);
    EXPECT_EQ(point.time_unix_nano(), kNowNs + 1'000'000);
    EXPECT_EQ(point.exemplars_size(), 0);
  };
  const oracle::Metric& calls = ended.at("calls");
  EXPECT_EQ(calls.description(), "Say \"hi\".");
  EXPECT_TRUE(calls.sum().is_monotonic());
  EXPECT_EQ(calls.sum().aggregation_temporality(), oracle::AGGREGATION_TEMPORALITY_CUMULATIVE);
  ASSERT_EQ(calls.sum().data_points_size(), 2);
  for (const auto& point : calls.sum().data_points()) is_end(point);
  EXPECT_EQ(Of(calls.sum().data_points(0)), kZone);
  EXPECT_EQ(calls.sum().data_points(0).start_time_unix_nano(), test::kCreatedNs);
  EXPECT_EQ(calls.sum().data_points(0).value_case(), 0);

  const auto& gauges = ended.at("temp_celsius").gauge().data_points();
  ASSERT_EQ(gauges.size(), 2);
  EXPECT_EQ(gauges[0].flags(), 0u);
  is_end(gauges[1]);
  EXPECT_EQ(Of(gauges[1]), kZone);

  const auto& latency = ended.at("lat_seconds").histogram();
  EXPECT_EQ(ended.at("lat_seconds").unit(), "s");
  ASSERT_EQ(latency.data_points_size(), 2);
  for (const auto& point : latency.data_points()) {
    is_end(point);
    EXPECT_EQ(point.count(), 0u);
    EXPECT_THAT(point.explicit_bounds(), ElementsAre(0.002, 1, 100'000, 1'000'000));
    EXPECT_THAT(point.bucket_counts(), ElementsAre(0, 0, 0, 0, 0));
  }
  EXPECT_TRUE(latency.data_points(0).has_sum());
  EXPECT_FALSE(latency.data_points(1).has_sum());

  const auto& exponential = ended.at("native_seconds").exponential_histogram();
  ASSERT_EQ(exponential.data_points_size(), 2);
  for (const auto& point : exponential.data_points()) {
    is_end(point);
    EXPECT_EQ(point.count(), 0u);
    EXPECT_EQ(point.positive().bucket_counts_size() + point.negative().bucket_counts_size(), 0);
    EXPECT_TRUE(point.has_sum());
  }
  EXPECT_EQ(exponential.data_points(0).scale(), 3);
  EXPECT_EQ(exponential.data_points(1).scale(), -1);
  EXPECT_EQ(Of(exponential.data_points(0)), kZone);

  const auto& summary = ended.at("sizes").summary().data_points(0);
  EXPECT_EQ(summary.flags(), 1u);
  EXPECT_EQ(summary.quantile_values_size(), 2);

  EXPECT_THAT(Metrics(Make([](ExpositionWriter& w) {
                w.Family({"temp_celsius", "", "celsius", MetricType::kGauge});
                w.Gauge({}, 1);
              })),
              SizeIs(1));
  const auto again = Metrics(Make([](ExpositionWriter& w) { test::WriteFamilies(w, 2, kNowNs); }));
  EXPECT_EQ(again.at("calls").sum().data_points(0).flags(), 0u);
  EXPECT_EQ(rounds_->stats().stale_markers, 10u);
  const auto end = Metrics(rounds_->EndAll(now_ms_++));
  EXPECT_EQ(end.size(), all.size());
  EXPECT_EQ(end.at("temp_celsius").gauge().data_points_size(), 2);
  EXPECT_EQ(rounds_->stats().stale_markers, 21u);
  EXPECT_THAT(rounds_->EndAll(now_ms_++), IsEmpty());
}

// Scenario: a series changes its kind, and one family has both kinds.
// Guarantees: the old kind ends, the new one goes on; neither is taken for the other.
TEST_F(OtlpMetricsTest, KindsAreSeriesOfTheirOwn) {
  const std::vector<NativeBucket> one = {{0, 1}};
  const NativeView native{0, 0, 0, one, {}, {}};
  const std::vector<double> bounds = {1};
  const std::vector<double> counts = {1, 0};
  Make([&](ExpositionWriter& w) {
    w.Family({"h", "", "", MetricType::kHistogram});
    w.Histogram({}, {bounds, counts, 1, true, {}}, 1);
  });
  const auto chunks = Make([&](ExpositionWriter& w) {
    w.Family({"h", "", "", MetricType::kHistogram});
    w.Histogram({}, {{}, {}, 1, true, {}, &native}, 1);
  });
  ASSERT_THAT(chunks, SizeIs(1));
  const auto request = Parse(chunks[0]->view());
  const auto& metrics = request.resource_metrics(0).scope_metrics(0).metrics();
  ASSERT_EQ(metrics.size(), 2);
  EXPECT_EQ(metrics[0].exponential_histogram().data_points(0).flags(), 0u);
  EXPECT_EQ(metrics[1].histogram().data_points(0).flags(), 1u);
}

// Scenario: attributes are set for the resource.
// Guarantees: it has them and no others.
TEST_F(OtlpMetricsTest, Resource) {
  OtlpRounds::Options options;
  options.resource = {{"service.name", "edge"}, {"service.instance.id", "h:1"}, {"zone", "\xc3\xa9"}};
  const auto chunks = Make(
      [](ExpositionWriter& w) {
        w.Family({"g", "", "", MetricType::kGauge});
        w.Gauge({}, 1);
      },
      options);
  Attributes found;
  const auto request = Parse(chunks.at(0)->view());
  for (const auto& one : request.resource_metrics(0).resource().attributes())
    found[one.key()] = one.value().string_value();
  EXPECT_EQ(found, Attributes(options.resource.begin(), options.resource.end()));
}

// Scenario: more series than a Metric, a Chunk and a round take; and nothing at all.
// Guarantees: cut in pieces of their bounds, all with the metric's name and type; what is beyond the round is
// counted.
TEST_F(OtlpMetricsTest, IsCutAndBounded) {
  EXPECT_THAT(Make([](ExpositionWriter&) {}), IsEmpty());
  OtlpRounds::Options options;
  options.metric_bytes = 2'000;
  options.chunk_bytes = 10'000;
  options.max_bytes = 60'000;
  const auto chunks = Make(
      [](ExpositionWriter& w) {
        w.Family({"c", "Count.", "", MetricType::kCounter});
        for (int i = 0; i < 3000; ++i) w.Counter(std::vector<Label>{{"i", std::to_string(i)}}, i, 0, nullptr);
      },
      options);
  EXPECT_GT(chunks.size(), 5u);
  EXPECT_GT(chunks[0]->items.size(), 2u);
  uint64_t count = 0;
  for (const ChunkPtr& chunk : chunks) {
    EXPECT_LT(chunk->view().size(), 12'500u);
    for (const ChunkItem& item : chunk->items) EXPECT_LT(item.size, 2'300u);
    const auto request = Parse(chunk->view());
    for (const auto& metric : request.resource_metrics(0).scope_metrics(0).metrics()) {
      EXPECT_EQ(metric.name(), "c");
      EXPECT_TRUE(metric.sum().is_monotonic());
    }
    count += chunk->count;
  }
  EXPECT_EQ(count + rounds_->stats().skipped[static_cast<size_t>(ExpositionSkip::kPageFull)], 3000u);
  EXPECT_GT(count, 1000u);
  EXPECT_LT(count, 2500u);
}

}  // namespace
}  // namespace braid::exporters
