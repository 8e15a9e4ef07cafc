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
  void Send(const oracle::ExportMetricsServiceRequest& request) {
    const std::string bytes = request.SerializeAsString();
    Slab body = slabs_.Take(bytes.size());
    body.Append(bytes);
    Result<ingest::Submission> submission = decoder_.Decode(Signal::kMetrics, std::move(body), 0);
    ASSERT_TRUE(submission.ok()) << submission.status().ToString();
    const Slice& slice = *submission->slices[0];
    ingest_->Apply(slice.batch ? slice.batch : submission->batch, slice.items);
  }

  Scraped Scrape() {
    const auto writer = exporters::PageWriter::New(exporters::ExpositionFormat::kProtobuf);
    ingest_->Write(*writer);
    writer->Finish();
    std::string page;
    for (const std::string& chunk : writer->TakeChunks()) page += chunk;
    google::protobuf::io::ArrayInputStream in(page.data(), static_cast<int>(page.size()));
    scrape::MetricFamily family;
    EXPECT_TRUE(google::protobuf::util::ParseDelimitedFromZeroCopyStream(&family, &in, nullptr));
    EXPECT_EQ(family.name(), "size_bytes");
    EXPECT_EQ(family.metric_size(), 1);
    return Read(family.metric(0).histogram());
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
      Send(request);
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

}  // namespace
}  // namespace braid
