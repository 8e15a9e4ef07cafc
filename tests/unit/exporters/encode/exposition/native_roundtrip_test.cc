#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "client_model.pb.h"
#include "correlate/derive/metric_ingest.h"
#include "exporters/encode/exposition.h"
#include "ingest/decode/decoder.h"
#include "otlp.pb.h"
#include "tests/support/otlp/samples.h"

namespace braid {
namespace {

namespace scrape = braid::oracle::scrape;

// A sender of exponential histograms, as the data model describes one: bucket i holds (base^i, base^(i+1)].
void Observe(const std::vector<double>& values, int scale, double zero_threshold,
             oracle::ExponentialHistogramDataPoint* point) {
  std::map<int, uint64_t> sides[2];
  double sum = 0;
  for (const double value : values) {
    sum += value;
    if (std::abs(value) <= zero_threshold) {
      point->set_zero_count(point->zero_count() + 1);
      continue;
    }
    const long double exact = std::log2(static_cast<long double>(std::abs(value))) * std::exp2l(scale);
    ++sides[value < 0][static_cast<int>(std::ceil(exact)) - 1];
  }
  point->set_count(values.size());
  point->set_sum(sum);
  point->set_scale(scale);
  point->set_zero_threshold(zero_threshold);
  for (int side = 0; side < 2; ++side) {
    if (sides[side].empty()) continue;
    auto* buckets = side == 0 ? point->mutable_positive() : point->mutable_negative();
    const int first = sides[side].begin()->first;
    buckets->set_offset(first);
    for (const auto& [index, count] : sides[side]) {
      while (buckets->bucket_counts_size() < index - first) buckets->add_bucket_counts(0);
      buckets->add_bucket_counts(count);
    }
  }
}

// What one scraped histogram says, put together as client_model describes it.
struct Scraped {
  double zero_threshold = 0;
  double zero_count = 0;
  double count = 0;
  double sum = 0;
  struct Bucket {
    double lower, upper, count;
  };
  std::vector<Bucket> positive, negative;
};

Scraped Read(const scrape::Histogram& histogram) {
  Scraped read{histogram.zero_threshold(),
               static_cast<double>(histogram.zero_count()),
               static_cast<double>(histogram.sample_count()),
               histogram.sample_sum(),
               {},
               {}};
  const auto side = [&](const auto& spans, const auto& deltas, std::vector<Scraped::Bucket>* to) {
    int index = 0;
    int at = 0;
    int64_t count = 0;
    for (const auto& span : spans) {
      index += span.offset();
      for (unsigned i = 0; i < span.length(); ++i, ++index) {
        count += deltas.Get(at++);
        to->push_back({std::exp2(std::ldexp(index - 1, -histogram.schema())),
                       std::exp2(std::ldexp(index, -histogram.schema())), static_cast<double>(count)});
      }
    }
    EXPECT_EQ(at, deltas.size());
  };
  side(histogram.positive_span(), histogram.positive_delta(), &read.positive);
  side(histogram.negative_span(), histogram.negative_delta(), &read.negative);
  return read;
}

class NativeRoundtripTest : public testing::Test {
 protected:
  // False if decode refuses it all.
  bool Send(const std::string& request) {
    Result<ingest::Submission> submission =
        decoder_.Decode(Signal::kMetrics, test::ToSlab(slabs_, request), 0);
    if (!submission.ok()) return false;
    if (submission->slices.empty() || submission->slices[0] == nullptr) return true;
    const Slice& slice = *submission->slices[0];
    ingest_->Apply(slice.batch ? slice.batch : submission->batch, slice.items);
    return true;
  }

  // The page's families. Whatever came, nothing of it may be what a page has to refuse.
  std::vector<scrape::MetricFamily> Page() {
    const auto writer = exporters::PageWriter::New(exporters::ExpositionFormat::kProtobuf);
    ingest_->Write(*writer);
    writer->Finish();
    EXPECT_EQ(writer->stats().skipped_total(), 0u);
    std::string page;
    for (const std::string& chunk : writer->TakeChunks()) page += chunk;
    google::protobuf::io::ArrayInputStream in(page.data(), static_cast<int>(page.size()));
    std::vector<scrape::MetricFamily> families;
    for (;;) {
      bool clean = false;
      scrape::MetricFamily family;
      if (!google::protobuf::util::ParseDelimitedFromZeroCopyStream(&family, &in, &clean)) {
        EXPECT_TRUE(clean);
        return families;
      }
      families.push_back(family);
    }
  }

  Scraped Scrape() {
    const std::vector<scrape::MetricFamily> families = Page();
    EXPECT_EQ(families.size(), 1u);
    EXPECT_EQ(families[0].name(), "size_bytes");
    EXPECT_EQ(families[0].metric_size(), 1);
    return Read(families[0].metric(0).histogram());
  }

  SlabPool slabs_{SlabPool::Options{}};
  BatchPool batches_;
  SlicePool slices_;
  ingest::Decoder decoder_{Epoch{}, batches_, slices_, slabs_, nullptr};
  std::unique_ptr<correlate::MetricIngest> ingest_;
};

// Scenario: random observations, in one cumulative point or in deltas of changing scale (-4 to 20) and zero
// threshold, go through decoder, ingest and protobuf page, to generated code of client_model's schema.
// Guarantees: every bucket of the page holds exactly the observations between its bounds, the zero bucket
// those inside its width; count and sum are those of all.
TEST_F(NativeRoundtripTest, EveryObservationIsInItsBucket) {
  std::mt19937_64 random(11);
  std::lognormal_distribution<double> size(1, 1.5);
  for (int round = 0; round < 200; ++round) {
    ingest_ = std::make_unique<correlate::MetricIngest>(correlate::MetricIngest::Options{});
    const bool delta = round % 2 == 1;
    const int points = delta ? 1 + static_cast<int>(random() % 8) : 1;
    std::vector<double> all;
    for (int i = 0; i < points; ++i) {
      std::vector<double> values;
      for (uint64_t n = random() % 300; n > 0; --n) {
        values.push_back(random() % 8 == 0 ? 0
                                           : size(random) * (round % 3 == 0 && random() % 2 == 0 ? -1 : 1));
      }
      oracle::ExportMetricsServiceRequest request;
      auto* metric = request.add_resource_metrics()->add_scope_metrics()->add_metrics();
      metric->set_name("size");
      metric->set_unit("By");
      auto* histogram = metric->mutable_exponential_histogram();
      histogram->set_aggregation_temporality(delta ? oracle::AGGREGATION_TEMPORALITY_DELTA
                                                   : oracle::AGGREGATION_TEMPORALITY_CUMULATIVE);
      auto* point = histogram->add_data_points();
      point->set_start_time_unix_nano(static_cast<uint64_t>(i) + 1);
      point->set_time_unix_nano(static_cast<uint64_t>(i) + 2);
      // A scale that gives a sender's 160 buckets or fewer more often than not.
      const int scale = static_cast<int>(random() % (random() % 4 == 0 ? 16 : 8)) - 4;
      Observe(values, scale, random() % 3 == 0 ? static_cast<double>(random() % 100) / 64 : 0, point);
      ASSERT_TRUE(Send(request.SerializeAsString()));
      all.insert(all.end(), values.begin(), values.end());
    }
    const Scraped scraped = Scrape();
    double sum = 0;
    double zeros = 0;
    for (const double value : all) {
      sum += value;
      zeros += std::abs(value) <= scraped.zero_threshold;
    }
    EXPECT_EQ(scraped.count, static_cast<double>(all.size()));
    EXPECT_NEAR(scraped.sum, sum, 1e-9 * (1 + std::abs(sum)));
    EXPECT_EQ(scraped.zero_count, zeros);
    double counted = zeros;
    for (const int sign : {1, -1}) {
      const auto& side = sign > 0 ? scraped.positive : scraped.negative;
      EXPECT_LE(side.size(), 160u);
      for (const Scraped::Bucket& bucket : side) {
        double inside = 0;
        for (const double value : all) {
          const double magnitude = value * sign;
          inside +=
              magnitude > scraped.zero_threshold && magnitude > bucket.lower && magnitude <= bucket.upper;
        }
        EXPECT_EQ(bucket.count, inside) << bucket.lower << ".." << bucket.upper;
        counted += inside;
      }
    }
    EXPECT_EQ(counted, static_cast<double>(all.size()));
    if (HasFailure()) FAIL() << "round " << round;
  }
}

// What Prometheus 2.42 checks of a native histogram before it takes the page (tsdb/head_append.go), and by
// what it tells one from a classic one.
void ExpectPrometheusTakes(const scrape::Histogram& histogram) {
  const bool floats = histogram.sample_count_float() > 0 || histogram.zero_count_float() > 0;
  double in_buckets = 0;
  const auto side = [&](const auto& spans, const auto& deltas, const auto& counts) {
    int length = 0;
    for (int i = 0; i < spans.size(); ++i) {
      EXPECT_TRUE(i == 0 || spans.Get(i).offset() >= 0);
      length += static_cast<int>(spans.Get(i).length());
    }
    EXPECT_EQ(length, floats ? counts.size() : deltas.size());
    double sum = 0;
    int64_t count = 0;
    for (const int64_t delta : deltas) {
      count += delta;
      EXPECT_GE(count, 0);
      sum += static_cast<double>(count);
    }
    for (const double one : counts) {
      EXPECT_GE(one, 0);
      sum += one;
    }
    in_buckets += sum;
  };
  side(histogram.negative_span(), histogram.negative_delta(), histogram.negative_count());
  side(histogram.positive_span(), histogram.positive_delta(), histogram.positive_count());
  EXPECT_LE(in_buckets,
            floats ? histogram.sample_count_float() : static_cast<double>(histogram.sample_count()));
  EXPECT_GT(histogram.zero_threshold(), 0);
  EXPECT_GE(histogram.schema(), -4);
  EXPECT_LE(histogram.schema(), 8);
}

// Scenario: requests with histograms of both kinds, in both temporalities, under a few names, many of them
// with random edits of their bytes. Guarantees: whatever gets in, the page has nothing to refuse in it, and
// each native histogram on it is one that Prometheus takes; every point is either taken or counted.
TEST_F(NativeRoundtripTest, HostilePointsHarmNoPage) {
  std::mt19937_64 random(12);
  ingest_ = std::make_unique<correlate::MetricIngest>(correlate::MetricIngest::Options{.target_info = false});
  int natives = 0;
  int accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    oracle::ExportMetricsServiceRequest request;
    auto* scope = request.add_resource_metrics()->add_scope_metrics();
    for (int i = 0; i < 3; ++i) {
      auto* metric = scope->add_metrics();
      metric->set_name(std::string(1, static_cast<char>('a' + random() % 4)));
      const auto temporality =
          random() % 2 ? oracle::AGGREGATION_TEMPORALITY_DELTA : oracle::AGGREGATION_TEMPORALITY_CUMULATIVE;
      if (random() % 4 == 0) {
        metric->mutable_histogram()->set_aggregation_temporality(temporality);
        auto* point = metric->mutable_histogram()->add_data_points();
        point->set_time_unix_nano(static_cast<uint64_t>(round) * 3 + static_cast<uint64_t>(i) + 1);
        point->add_bucket_counts(random() % 9);
        continue;
      }
      metric->mutable_exponential_histogram()->set_aggregation_temporality(temporality);
      auto* point = metric->mutable_exponential_histogram()->add_data_points();
      point->set_time_unix_nano(static_cast<uint64_t>(round) * 3 + static_cast<uint64_t>(i) + 1);
      std::vector<double> values;
      for (uint64_t n = random() % 20; n > 0; --n) {
        values.push_back(std::ldexp(random() % 3 ? 1.5 : -1.25, static_cast<int>(random() % 40) - 20));
      }
      Observe(values, static_cast<int>(random() % 10) - 4, random() % 4 ? 0 : 0.125, point);
      if (random() % 8 == 0) {  // counts beyond what whole doubles hold
        const uint64_t many = random() >> (random() % 20);
        point->set_zero_count(many);
        point->set_count(many + (values.empty() ? 0 : values.size()));
      }
    }
    std::string bytes = request.SerializeAsString();
    if (random() % 2 == 0) test::Mutate(&bytes, random);
    accepted += Send(bytes);
    if (round % 20 != 0) continue;
    for (const scrape::MetricFamily& family : Page()) {
      for (const scrape::Metric& metric : family.metric()) {
        if (metric.histogram().bucket_size() != 0 || !metric.has_histogram()) continue;
        ExpectPrometheusTakes(metric.histogram());
        ++natives;
      }
    }
    if (HasFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(natives, 200);
  EXPECT_GT(accepted, 2000);
  EXPECT_GT(ingest_->stats().not_exposed[static_cast<size_t>(correlate::NotExposed::kBadPoint)], 100u);
}

}  // namespace
}  // namespace braid
