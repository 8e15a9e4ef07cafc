#include "exporters/encode/remote_write.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus_write.pb.h>
#include <snappy.h>

#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "tests/support/sample_families.h"

namespace braid::exporters {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

namespace pb = oracle::prometheus;

constexpr int64_t kNow = 1'700'000'000'000;
constexpr int64_t kCreatedMs = test::kCreatedNs / 1'000'000;

using Labels = std::vector<std::pair<std::string, std::string>>;

struct HeldExemplar {
  Labels labels;
  double value = 0;
  int64_t time = 0;
  friend bool operator==(const HeldExemplar&, const HeldExemplar&) = default;
};

// One series of either version, as the protocol's user sees it.
struct Held {
  std::vector<std::pair<int64_t, uint64_t>> samples;  // time, bits of the value
  std::string histogram;                              // without start time, as 1.0 has it
  std::vector<HeldExemplar> exemplars;
  friend bool operator==(const Held&, const Held&) = default;
};
using Series = std::map<Labels, Held>;

struct Meta {
  uint32_t type = 0;
  std::string help;
  std::string unit;
  int64_t start = 0;
};

class RemoteWriteTest : public testing::Test {
 protected:
  void SetUp() override {
    test::WriteFamilies(rounds_.Begin(kNow), 1, kNow * 1'000'000);
    chunks_ = rounds_.End();
    ASSERT_EQ(chunks_.size(), 1u);
  }

  static std::string Plain(const RemoteWriteEncoder::Output& output) {
    std::string raw;
    EXPECT_TRUE(snappy::Uncompress(output.body.data(), output.body.size(), &raw));
    EXPECT_EQ(raw.size(), output.raw_bytes);
    return raw;
  }

  static void CheckLabels(const Labels& labels) {
    for (size_t i = 0; i < labels.size(); ++i) {
      EXPECT_FALSE(labels[i].first.empty() || labels[i].second.empty());
      if (i > 0) {
        EXPECT_LT(labels[i - 1].first, labels[i].first);
      }
    }
  }

  pb::WriteRequest1 Encode1(uint32_t first, uint32_t count) {
    output_ = encoder_.Encode(RemoteWriteVersion::k1, *chunks_[0], first, count, slabs_);
    pb::WriteRequest1 request;
    EXPECT_TRUE(request.ParseFromString(Plain(output_)));
    EXPECT_TRUE(request.GetReflection()->GetUnknownFields(request).empty());
    // The messages are those of both versions; these fields are 2.0's alone.
    for (const pb::TimeSeries1& one : request.timeseries()) {
      for (const pb::Sample& sample : one.samples()) EXPECT_EQ(sample.start_timestamp(), 0);
      for (const pb::Histogram& histogram : one.histograms()) {
        EXPECT_EQ(histogram.start_timestamp(), 0);
        EXPECT_THAT(histogram.custom_values(), IsEmpty());
      }
    }
    return request;
  }

  pb::WriteRequest2 Encode2(uint32_t first, uint32_t count) {
    output_ = encoder_.Encode(RemoteWriteVersion::k2, *chunks_[0], first, count, slabs_);
    pb::WriteRequest2 request;
    EXPECT_TRUE(request.ParseFromString(Plain(output_)));
    EXPECT_TRUE(request.GetReflection()->GetUnknownFields(request).empty());
    EXPECT_EQ(request.symbols(0), "");
    std::set<std::string> symbols(request.symbols().begin(), request.symbols().end());
    EXPECT_EQ(symbols.size(), static_cast<size_t>(request.symbols_size()));
    return request;
  }

  Series Read(const pb::WriteRequest1& request) {
    Series all;
    for (const pb::TimeSeries1& one : request.timeseries()) {
      Labels labels;
      for (const pb::Label& label : one.labels()) labels.emplace_back(label.name(), label.value());
      CheckLabels(labels);
      EXPECT_FALSE(all.contains(labels));
      Held& held = all[labels];
      EXPECT_EQ(one.samples_size() + one.histograms_size(), 1);
      for (const pb::Sample& sample : one.samples()) {
        held.samples.emplace_back(sample.timestamp(), std::bit_cast<uint64_t>(sample.value()));
      }
      for (const pb::Histogram& histogram : one.histograms()) held.histogram = histogram.SerializeAsString();
      for (const pb::Exemplar1& exemplar : one.exemplars()) {
        HeldExemplar& h = held.exemplars.emplace_back();
        for (const pb::Label& label : exemplar.labels()) h.labels.emplace_back(label.name(), label.value());
        CheckLabels(h.labels);
        h.value = exemplar.value();
        h.time = exemplar.timestamp();
      }
    }
    return all;
  }

  Series Read(const pb::WriteRequest2& request) {
    Series all;
    meta_.clear();
    const auto pairs = [&](const auto& refs) {
      Labels labels;
      EXPECT_EQ(refs.size() % 2, 0);
      for (int i = 0; i + 1 < refs.size(); i += 2) {
        labels.emplace_back(request.symbols(static_cast<int>(refs.Get(i))),
                            request.symbols(static_cast<int>(refs.Get(i + 1))));
      }
      CheckLabels(labels);
      return labels;
    };
    for (const pb::TimeSeries2& one : request.timeseries()) {
      const Labels labels = pairs(one.labels_refs());
      EXPECT_FALSE(all.contains(labels));
      Held& held = all[labels];
      Meta& meta = meta_[labels];
      meta = {one.metadata().type(), request.symbols(static_cast<int>(one.metadata().help_ref())),
              request.symbols(static_cast<int>(one.metadata().unit_ref())), 0};
      EXPECT_EQ(one.samples_size() + one.histograms_size(), 1);
      for (const pb::Sample& sample : one.samples()) {
        held.samples.emplace_back(sample.timestamp(), std::bit_cast<uint64_t>(sample.value()));
        meta.start = sample.start_timestamp();
      }
      for (pb::Histogram histogram : one.histograms()) {
        meta.start = histogram.start_timestamp();
        histogram.clear_start_timestamp();
        held.histogram = histogram.SerializeAsString();
      }
      for (const pb::Exemplar2& exemplar : one.exemplars()) {
        held.exemplars.push_back({pairs(exemplar.labels_refs()), exemplar.value(), exemplar.timestamp()});
      }
    }
    return all;
  }

  uint32_t items() const { return static_cast<uint32_t>(chunks_[0]->items.size()); }

  static pb::Histogram Histogram(const Series& series, const Labels& labels) {
    pb::Histogram histogram;
    EXPECT_TRUE(histogram.ParseFromString(series.at(labels).histogram));
    return histogram;
  }

  SlabPool slabs_{SlabPool::Options{}};
  SampleRounds rounds_{{}, slabs_};
  std::vector<ChunkPtr> chunks_;
  RemoteWriteEncoder encoder_;
  RemoteWriteEncoder::Output output_;
  std::map<Labels, Meta> meta_;
};

const Labels kZone = {{"Upper", "first"}, {"__name__", ""}, {"mode", "x"}, {"zone", "a\\b\n"}};
Labels Zone(const std::string& name) {
  Labels labels = kZone;
  labels[1].second = name;
  return labels;
}

// Scenario: one of everything in both versions.
// Guarantees: both are what generated protobuf reads, of the same series with the same content; what the
// encoder says it has written is there; 1.0 describes each family once, 2.0 each series, with start times.
TEST_F(RemoteWriteTest, BothVersionsSayTheSame) {
  const pb::WriteRequest1 one = Encode1(0, items());
  const Series first = Read(one);
  uint64_t histograms = 0, exemplars = 0;
  for (const auto& [labels, held] : first) {
    histograms += held.histogram.empty() ? 0 : 1;
    exemplars += held.exemplars.size();
  }
  EXPECT_EQ(output_.histograms, histograms);
  EXPECT_EQ(output_.histograms, 3u);
  EXPECT_EQ(output_.samples, first.size() - histograms);
  EXPECT_EQ(output_.exemplars, exemplars);
  EXPECT_EQ(output_.samples + output_.histograms, chunks_[0]->count);

  const pb::WriteRequest2 two = Encode2(0, items());
  EXPECT_EQ(Read(two), first);
  EXPECT_EQ(output_.samples, first.size() - histograms);
  EXPECT_EQ(output_.exemplars, exemplars);

  std::map<std::string, std::tuple<uint32_t, std::string, std::string>> families;
  for (const pb::MetricMetadata1& meta : one.metadata()) {
    EXPECT_TRUE(families.emplace(meta.metric_family_name(), std::tuple(meta.type(), meta.help(), meta.unit()))
                    .second);
  }
  EXPECT_THAT(families,
              ElementsAre(Pair("both_seconds", std::tuple(3u, "", "seconds")),
                          Pair("calls_total", std::tuple(1u, "Say \"hi\".", "")),
                          Pair("lat_seconds", std::tuple(3u, "Latency.", "seconds")),
                          Pair("native_seconds", std::tuple(3u, "Native.", "seconds")),
                          Pair("odd", std::tuple(0u, "", "")), Pair("sizes", std::tuple(5u, "", "")),
                          Pair("temp_celsius", std::tuple(2u, "", "celsius"))));
  const Meta calls = meta_.at(Zone("calls_total"));
  EXPECT_EQ(std::tuple(calls.type, calls.help, calls.unit, calls.start),
            std::tuple(1u, "Say \"hi\".", "", kCreatedMs));
  const Meta native = meta_.at(Zone("native_seconds"));
  EXPECT_EQ(std::tuple(native.type, native.unit, native.start), std::tuple(3u, "seconds", kCreatedMs));
  EXPECT_EQ(meta_.at({{"__name__", "temp_celsius"}}).start, 0);
  EXPECT_EQ(meta_.at({{"__name__", "sizes"}, {"quantile", "0.5"}}).start, kCreatedMs);
}

// Scenario: the same.
// Guarantees: the values, times, bounds' spelling, exemplars and label order of chosen series are as written.
TEST_F(RemoteWriteTest, WritesWhatItWasGiven) {
  const Series series = Read(Encode1(0, items()));
  const auto value = [&](const Labels& labels) {
    const Held& held = series.at(labels);
    EXPECT_EQ(held.samples.size(), 1u);
    EXPECT_EQ(held.samples[0].first, kNow);
    return std::bit_cast<double>(held.samples[0].second);
  };
  EXPECT_EQ(value(Zone("calls_total")), 4);
  EXPECT_EQ(value({{"__name__", "calls_total"}}), 7);
  EXPECT_EQ(value(Zone("temp_celsius")), std::numeric_limits<double>::infinity());
  const auto bucket = [](const std::string& le) {
    Labels labels = Zone("lat_seconds_bucket");
    labels.insert(labels.begin() + 2, {"le", le});
    return labels;
  };
  EXPECT_EQ(value(bucket("0.002")), 1);
  EXPECT_EQ(value(bucket("1.0")), 4);
  EXPECT_EQ(value(bucket("100000.0")), 4);
  EXPECT_EQ(value(bucket("1e+06")), 4);
  EXPECT_EQ(value(bucket("+Inf")), 8);
  EXPECT_EQ(value(Zone("lat_seconds_sum")), 12.5);
  EXPECT_EQ(value(Zone("lat_seconds_count")), 8);
  EXPECT_EQ(value({{"__name__", "lat_seconds_bucket"}, {"le", "1.0"}, {"odd", "weights"}}), 1.75);
  EXPECT_FALSE(series.contains({{"__name__", "lat_seconds_sum"}, {"odd", "weights"}}));
  EXPECT_EQ(value({{"__name__", "sizes"}, {"quantile", "1.0"}}), 4);
  EXPECT_EQ(value({{"__name__", "odd"}}), 42);
  EXPECT_EQ(value({{"__name__", "both_seconds_bucket"}, {"le", "1.0"}}), 3);

  const HeldExemplar exemplar{{{"span_id", "000000000000000a"},
                               {"trace_id", "01020304050607080000000000000009"},
                               {"user", "u\"\xc3\xa9"}},
                              0.5,
                              kNow - 5000};
  const HeldExemplar slow{
      {{"span_id", "0000000000000003"}, {"trace_id", "00000000000000010000000000000002"}}, 77, kNow - 7000};
  EXPECT_THAT(series.at(Zone("calls_total")).exemplars, ElementsAre(exemplar));
  EXPECT_THAT(series.at(bucket("1.0")).exemplars, ElementsAre(exemplar));
  EXPECT_THAT(series.at(bucket("100000.0")).exemplars, ElementsAre(slow));
  EXPECT_THAT(series.at(bucket("+Inf")).exemplars, IsEmpty());
  EXPECT_THAT(series.at(Zone("native_seconds")).exemplars, ElementsAre(slow, exemplar)) << "in order of time";
}

// Scenario: native histograms with whole and with fractional counts, gaps, and both signs.
// Guarantees: whole ones are integer histograms with deltas, others float ones; spans and counts give back
// the buckets.
TEST_F(RemoteWriteTest, NativeHistograms) {
  const Series series = Read(Encode1(0, items()));
  const pb::Histogram whole = Histogram(series, Zone("native_seconds"));
  EXPECT_EQ(whole.count_int(), 2u + 1 + 3 + 3 + 10 + 1 + 5);
  EXPECT_EQ(whole.sum(), 5.5);
  EXPECT_EQ(whole.schema(), 3);
  EXPECT_EQ(whole.zero_threshold(), 0.001);
  EXPECT_EQ(whole.zero_count_int(), 2u);
  EXPECT_EQ(whole.timestamp(), kNow);
  const auto buckets = [](const auto& spans, const auto& counts, bool deltas) {
    std::vector<std::pair<int64_t, double>> found;
    int64_t index = 0;
    double count = 0;
    int next = 0;
    for (const pb::BucketSpan& span : spans) {
      index += span.offset();
      for (uint32_t i = 0; i < span.length(); ++i, ++index) {
        count =
            deltas ? count + static_cast<double>(counts.Get(next)) : static_cast<double>(counts.Get(next));
        ++next;
        found.emplace_back(index, count);
      }
    }
    EXPECT_EQ(next, counts.size());
    return found;
  };
  EXPECT_THAT(buckets(whole.positive_spans(), whole.positive_deltas(), true),
              ElementsAre(Pair(-3, 1), Pair(-2, 3), Pair(0, 3), Pair(7, 10), Pair(8, 1)));
  EXPECT_EQ(whole.positive_spans_size(), 3);
  EXPECT_THAT(buckets(whole.negative_spans(), whole.negative_deltas(), true), ElementsAre(Pair(2, 5)));
  EXPECT_THAT(whole.positive_counts(), IsEmpty());

  const pb::Histogram shares = Histogram(series, {{"__name__", "native_seconds"}, {"odd", "weights"}});
  EXPECT_EQ(shares.count_case(), pb::Histogram::kCountFloat);
  EXPECT_EQ(shares.count_float(), 0.25 + 0.5 + 4.0 / 3);
  EXPECT_EQ(shares.schema(), -1);
  EXPECT_EQ(shares.zero_count_float(), 0.25);
  EXPECT_THAT(buckets(shares.positive_spans(), shares.positive_counts(), false),
              ElementsAre(Pair(1, 0.5), Pair(3, 4.0 / 3)));
  EXPECT_THAT(shares.positive_deltas(), IsEmpty());
}

// Scenario: every series ends.
// Guarantees: samples have the marker's bits, and native histograms a sum with them; of either kind of count.
TEST_F(RemoteWriteTest, StalenessMarkers) {
  const size_t before = Read(Encode1(0, items())).size();
  chunks_ = rounds_.EndAll(kNow + 1);
  ASSERT_EQ(chunks_.size(), 1u);
  const Series series = Read(Encode1(0, items()));
  EXPECT_EQ(series.size(), before);
  EXPECT_EQ(Read(Encode2(0, items())), series);
  int native = 0;
  for (const auto& [labels, held] : series) {
    EXPECT_THAT(held.exemplars, IsEmpty());
    if (held.histogram.empty()) {
      EXPECT_THAT(held.samples, ElementsAre(Pair(kNow + 1, kStaleNan)));
      continue;
    }
    ++native;
    const pb::Histogram histogram = Histogram(series, labels);
    EXPECT_EQ(std::bit_cast<uint64_t>(histogram.sum()), kStaleNan);
    EXPECT_EQ(histogram.timestamp(), kNow + 1);
    const bool weights = labels.back().second == "weights";
    EXPECT_EQ(histogram.count_case(), weights ? pb::Histogram::kCountFloat : pb::Histogram::kCountInt);
  }
  EXPECT_EQ(native, 3);
}

// Scenario: a Chunk is sent in pieces of every size, as a Lane does that looks for a bad point.
// Guarantees: the pieces together are the whole, and each describes what it has.
TEST_F(RemoteWriteTest, PiecesMakeTheWhole) {
  const Series whole = Read(Encode1(0, items()));
  for (uint32_t size = 1; size < items(); ++size) {
    Series one, two;
    for (uint32_t first = 0; first < items(); first += size) {
      const uint32_t count = std::min(size, items() - first);
      const pb::WriteRequest1 request = Encode1(first, count);
      EXPECT_GT(request.metadata_size(), 0);
      one.merge(Read(request));
      two.merge(Read(Encode2(first, count)));
      for (const auto& [labels, meta] : meta_) EXPECT_TRUE(meta.type != 0 || labels[0].second == "odd");
    }
    EXPECT_EQ(one, whole);
    EXPECT_EQ(two, whole);
  }
}

// Scenario: one encoder makes many requests with ever new bounds.
// Guarantees: each has its own bounds; what the encoder keeps of earlier ones stays bounded and harms none.
TEST_F(RemoteWriteTest, ManyBounds) {
  for (int round = 1; round < 60; ++round) {
    PageWriter& writer = rounds_.Begin(kNow + round);
    writer.Family({"h", "", "", MetricType::kHistogram});
    std::vector<double> bounds;
    for (int i = 0; i < 200; ++i) bounds.push_back(round + i / 1000.0);
    writer.Histogram({}, {bounds, std::vector<double>(201, 1.0), 1, true, {}}, 0);
    chunks_ = rounds_.End();
    const Series series = Read(Encode2(0, 1));
    EXPECT_EQ(series.size(), 203u);
    EXPECT_TRUE(series.contains({{"__name__", "h_bucket"}, {"le", std::to_string(round) + ".199"}}));
  }
}

// Scenario: a Chunk with samples, native histograms and markers as JSON.
// Guarantees: a line for each series, with what a person needs.
TEST_F(RemoteWriteTest, Json) {
  std::string text;
  AppendSampleJson(*chunks_[0], 0, items(), &text);
  EXPECT_EQ(static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')), chunks_[0]->count);
  EXPECT_THAT(
      text, testing::HasSubstr(
                "{\"labels\":{\"__name__\":\"calls_total\"},\"value\":\"7\",\"timestamp\":1700000000000}\n"));
  EXPECT_THAT(text, testing::HasSubstr(
                        "{\"labels\":{\"__name__\":\"both_seconds\"},\"count\":\"7\",\"sum\":\"30\","));
  chunks_ = rounds_.EndAll(kNow + 1);
  text.clear();
  AppendSampleJson(*chunks_[0], 0, 2, &text);
  EXPECT_THAT(text, testing::HasSubstr("\"value\":\"stale\",\"timestamp\":1700000000001}"));
}

}  // namespace
}  // namespace braid::exporters
