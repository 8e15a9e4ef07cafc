#include "exporters/encode/exposition.h"

#include <gmock/gmock.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "client_model.pb.h"

namespace braid::exporters {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::SizeIs;

namespace scrape = braid::oracle::scrape;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class ExpositionTest : public testing::Test {
 protected:
  void Start(ExpositionFormat format, PageWriter::Options options = {}) {
    writer_ = PageWriter::New(format, options);
  }

  std::string Page() {
    writer_->Finish();
    std::string page;
    for (const std::string& chunk : writer_->TakeChunks()) page += chunk;
    return page;
  }

  std::vector<scrape::MetricFamily> Families() {
    const std::string page = Page();
    google::protobuf::io::ArrayInputStream in(page.data(), static_cast<int>(page.size()));
    std::vector<scrape::MetricFamily> families;
    for (;;) {
      scrape::MetricFamily family;
      bool clean = false;
      if (!google::protobuf::util::ParseDelimitedFromZeroCopyStream(&family, &in, &clean)) {
        EXPECT_TRUE(clean);
        return families;
      }
      families.push_back(family);
    }
  }

  uint64_t Skipped(ExpositionSkip reason) { return writer_->stats().skipped[static_cast<size_t>(reason)]; }

  // One of everything.
  void WriteSample() {
    const ExemplarView exemplar{0.003, 1'700'000'000'123'000'000, {0x0102030405060708, 9}, 10, {}};
    const std::vector<Label> labels = {{"service", "a\"b\\c\nd"}, {"empty", ""}, {"z", "\xc3\xa9"}};
    writer_->Family({"calls", "Say \"hi\" \\ \n.", "", MetricType::kCounter});
    writer_->Counter(labels, 3, 1'600'000'000'500'000'000, &exemplar);
    writer_->Family({"temp_celsius", "", "celsius", MetricType::kGauge});
    writer_->Gauge({}, -0.5);
    writer_->Gauge(labels, kNaN);
    writer_->Family({"lat_seconds", "Latency.", "seconds", MetricType::kHistogram});
    const std::vector<double> bounds = {0.002, 1, 100'000, 1'000'000};
    const std::vector<double> counts = {1, 2, 0, 0, 4};
    const ExemplarView last{2e6, 0, {1, 2}, 0, {}};
    const std::vector<const ExemplarView*> exemplars = {nullptr, &exemplar, nullptr, nullptr, &last};
    writer_->Histogram(std::vector<Label>{{"a", "b"}}, {bounds, counts, 0.1 + 0.2, true, exemplars},
                       7'000'000'000);
    writer_->Family({"sizes", "", "", MetricType::kSummary});
    const std::vector<double> quantiles = {0.5, 1};
    const std::vector<double> values = {3, kNaN};
    writer_->Summary({}, {quantiles, values, 12.5, 4}, 0);
    writer_->Family({"odd", "", "", MetricType::kUnknown});
    writer_->Gauge({}, kInf);
  }

  std::unique_ptr<PageWriter> writer_;
};

// Scenario: one of everything, in text 0.0.4.
// Guarantees: exactly this page: no exemplars, units or start times; escapes as the format has them.
TEST_F(ExpositionTest, Text) {
  Start(ExpositionFormat::kText);
  WriteSample();
  EXPECT_EQ(Page(), R"(# HELP calls_total Say "hi" \\ \n.
# TYPE calls_total counter
calls_total{service="a\"b\\c\nd",z="é"} 3
# TYPE temp_celsius gauge
temp_celsius -0.5
temp_celsius{service="a\"b\\c\nd",z="é"} NaN
# HELP lat_seconds Latency.
# TYPE lat_seconds histogram
lat_seconds_bucket{a="b",le="0.002"} 1
lat_seconds_bucket{a="b",le="1"} 3
lat_seconds_bucket{a="b",le="100000"} 3
lat_seconds_bucket{a="b",le="1e+06"} 3
lat_seconds_bucket{a="b",le="+Inf"} 7
lat_seconds_sum{a="b"} 0.30000000000000004
lat_seconds_count{a="b"} 7
# TYPE sizes summary
sizes{quantile="0.5"} 3
sizes{quantile="1"} NaN
sizes_sum 12.5
sizes_count 4
# TYPE odd untyped
odd +Inf
)");
}

// Scenario: the same in OpenMetrics.
// Guarantees: exactly this page: exemplars with IDs and second timestamps, start times, units, the end mark.
TEST_F(ExpositionTest, OpenMetrics) {
  Start(ExpositionFormat::kOpenMetrics);
  WriteSample();
  EXPECT_EQ(Page(), R"(# HELP calls Say \"hi\" \\ \n.
# TYPE calls counter
calls_total{service="a\"b\\c\nd",z="é"} 3 # {trace_id="01020304050607080000000000000009",span_id="000000000000000a"} 0.003 1700000000.123
calls_created{service="a\"b\\c\nd",z="é"} 1600000000.5
# TYPE temp_celsius gauge
# UNIT temp_celsius celsius
temp_celsius -0.5
temp_celsius{service="a\"b\\c\nd",z="é"} NaN
# HELP lat_seconds Latency.
# TYPE lat_seconds histogram
# UNIT lat_seconds seconds
lat_seconds_bucket{a="b",le="0.002"} 1
lat_seconds_bucket{a="b",le="1.0"} 3 # {trace_id="01020304050607080000000000000009",span_id="000000000000000a"} 0.003 1700000000.123
lat_seconds_bucket{a="b",le="100000.0"} 3
lat_seconds_bucket{a="b",le="1e+06"} 3
lat_seconds_bucket{a="b",le="+Inf"} 7 # {trace_id="00000000000000010000000000000002"} 2000000
lat_seconds_sum{a="b"} 0.30000000000000004
lat_seconds_count{a="b"} 7
lat_seconds_created{a="b"} 7.0
# TYPE sizes summary
sizes{quantile="0.5"} 3
sizes{quantile="1.0"} NaN
sizes_sum 12.5
sizes_count 4
# TYPE odd unknown
odd +Inf
# EOF
)");
}

// Scenario: the same as delimited protobuf, read by generated code from a schema written for this test.
// Guarantees: every value, label, exemplar and start time arrives.
TEST_F(ExpositionTest, Protobuf) {
  Start(ExpositionFormat::kProtobuf);
  WriteSample();
  const auto families = Families();
  ASSERT_THAT(families, SizeIs(5));
  EXPECT_EQ(families[0].name(), "calls_total");
  EXPECT_EQ(families[0].help(), "Say \"hi\" \\ \n.");
  EXPECT_TRUE(families[0].has_type());
  EXPECT_EQ(families[0].type(), scrape::COUNTER);
  const auto& calls = families[0].metric(0);
  ASSERT_EQ(calls.label_size(), 2);
  EXPECT_EQ(calls.label(0).value(), "a\"b\\c\nd");
  EXPECT_EQ(calls.counter().value(), 3);
  EXPECT_EQ(calls.counter().created_timestamp().seconds(), 1'600'000'000);
  EXPECT_EQ(calls.counter().created_timestamp().nanos(), 500'000'000);
  EXPECT_EQ(calls.counter().exemplar().label(0).value(), "01020304050607080000000000000009");
  EXPECT_EQ(calls.counter().exemplar().timestamp().nanos(), 123'000'000);
  EXPECT_EQ(families[1].unit(), "celsius");
  EXPECT_EQ(families[1].metric(0).gauge().value(), -0.5);
  EXPECT_TRUE(std::isnan(families[1].metric(1).gauge().value()));
  const auto& histogram = families[2].metric(0).histogram();
  EXPECT_EQ(families[2].type(), scrape::HISTOGRAM);
  EXPECT_EQ(histogram.sample_count(), 7u);
  EXPECT_EQ(histogram.sample_sum(), 0.1 + 0.2);
  EXPECT_EQ(histogram.created_timestamp().seconds(), 7);
  ASSERT_EQ(histogram.bucket_size(), 5);
  EXPECT_EQ(histogram.bucket(1).cumulative_count(), 3u);
  EXPECT_EQ(histogram.bucket(1).exemplar().value(), 0.003);
  EXPECT_FALSE(histogram.bucket(0).has_exemplar());
  EXPECT_EQ(histogram.bucket(4).upper_bound(), kInf);
  EXPECT_FALSE(histogram.bucket(4).exemplar().has_timestamp());
  const auto& summary = families[3].metric(0).summary();
  EXPECT_EQ(summary.sample_count(), 4u);
  EXPECT_EQ(summary.quantile(0).value(), 3);
  EXPECT_EQ(families[4].metric(0).untyped().value(), kInf);
}

// Scenario: native histograms in protobuf: of whole counts, of fractions, without observations, beside
// classic buckets, with and without a sum. Guarantees: spans, deltas or counts, zero bucket, exemplars and
// start time are as client_model has them, read by generated code; an empty one has an empty span, and every
// one a width of its zero bucket.
TEST_F(ExpositionTest, NativeProtobuf) {
  Start(ExpositionFormat::kProtobuf);
  const std::vector<ExemplarView> exemplars = {
      {1.5, 2'000'000'000, {1, 2}, 3, {}}, {2.5, 0, {1, 2}, 3, {}}, {3.5, 3'000'000'000, {1, 2}, 4, {}}};
  const std::vector<NativeBucket> positive = {{-3, 2}, {-2, 5}, {2, 1}, {3, 1}, {4, 7}};
  const std::vector<NativeBucket> negative = {{-1, 9}, {40, 3}};
  const NativeView whole{.schema = -2,
                         .zero_threshold = 0.5,
                         .zero_count = 4,
                         .positive = positive,
                         .negative = negative,
                         .exemplars = exemplars};
  const std::vector<NativeBucket> halves = {{1, 0.5}, {2, 1.25}};
  const NativeView fractions{.schema = 8, .zero_count = 0.25, .positive = halves, .negative = halves};
  const NativeView empty{.schema = 3};
  writer_->Family({"h", "", "", MetricType::kHistogram});
  const auto labels = [](std::string_view value) { return std::vector<Label>{{"n", value}}; };
  writer_->Histogram(labels("whole"), {.sum = -7.5, .native = &whole}, 7'000'000'000);
  writer_->Histogram(labels("fractions"), {.sum = 1, .native = &fractions}, 0);
  writer_->Histogram(labels("empty"), {.has_sum = false, .native = &empty}, 0);
  const std::vector<double> bounds = {-1, 1};
  const std::vector<double> counts = {12, 4, 16};
  writer_->Histogram(labels("both"), {.bounds = bounds, .counts = counts, .sum = -7.5, .native = &whole}, 0);
  const auto families = Families();
  ASSERT_THAT(families, SizeIs(1));
  ASSERT_EQ(families[0].metric_size(), 4);

  const auto& first = families[0].metric(0).histogram();
  EXPECT_EQ(first.sample_count(), 32u);
  EXPECT_FALSE(first.has_sample_count_float());
  EXPECT_EQ(first.sample_sum(), -7.5);
  EXPECT_EQ(first.schema(), -2);
  EXPECT_EQ(first.zero_threshold(), 0.5);
  EXPECT_EQ(first.zero_count(), 4u);
  EXPECT_FALSE(first.has_zero_count_float());
  const auto spans = [](const auto& side) {
    std::vector<std::pair<int, unsigned>> pairs;
    for (const auto& span : side) pairs.emplace_back(span.offset(), span.length());
    return pairs;
  };
  EXPECT_THAT(spans(first.positive_span()), ElementsAre(Pair(-3, 2u), Pair(3, 3u)));
  EXPECT_THAT(first.positive_delta(), ElementsAre(2, 3, -4, 0, 6));
  EXPECT_THAT(first.positive_count(), IsEmpty());
  EXPECT_THAT(spans(first.negative_span()), ElementsAre(Pair(-1, 1u), Pair(40, 1u)));
  EXPECT_THAT(first.negative_delta(), ElementsAre(9, -6));
  EXPECT_EQ(first.created_timestamp().seconds(), 7);
  EXPECT_EQ(first.bucket_size(), 0);
  ASSERT_EQ(first.exemplars_size(), 2);  // one without a time is of no use to Prometheus
  EXPECT_EQ(first.exemplars(0).value(), 1.5);
  EXPECT_EQ(first.exemplars(1).timestamp().seconds(), 3);
  EXPECT_EQ(writer_->stats().exemplars_dropped, 1u);
  EXPECT_EQ(writer_->stats().exemplars, 2u);

  const auto& second = families[0].metric(1).histogram();
  EXPECT_EQ(second.sample_count_float(), 3.75);
  EXPECT_EQ(second.sample_count(), 4u);
  EXPECT_EQ(second.zero_count_float(), 0.25);
  EXPECT_FALSE(second.has_zero_count());
  EXPECT_GT(second.zero_threshold(), 0);
  EXPECT_LT(second.zero_threshold(), 1e-100);
  EXPECT_THAT(second.positive_delta(), IsEmpty());
  EXPECT_THAT(second.positive_count(), ElementsAre(0.5, 1.25));
  EXPECT_THAT(second.negative_count(), ElementsAre(0.5, 1.25));
  EXPECT_THAT(spans(second.negative_span()), ElementsAre(Pair(1, 2u)));

  const auto& third = families[0].metric(2).histogram();
  EXPECT_EQ(third.sample_count(), 0u);
  EXPECT_TRUE(std::isnan(third.sample_sum()));
  EXPECT_THAT(spans(third.positive_span()), ElementsAre(Pair(0, 0u)));
  EXPECT_GT(third.zero_threshold(), 0);

  const auto& both = families[0].metric(3).histogram();
  ASSERT_EQ(both.bucket_size(), 3);
  EXPECT_EQ(both.bucket(2).cumulative_count(), 32u);
  EXPECT_THAT(both.positive_delta(), SizeIs(5));
  EXPECT_EQ(both.sample_sum(), -7.5);
  EXPECT_EQ(both.exemplars_size(), 0);
}

// Scenario: native histograms of random fractions, whose sums round.
// Guarantees: the count is never below what Prometheus adds up of the buckets, for which it would refuse the
// page.
TEST_F(ExpositionTest, CountsOfFractionsCoverTheirBuckets) {
  std::mt19937_64 random(6);
  for (int round = 0; round < 2000; ++round) {
    std::vector<NativeBucket> sides[2];
    double sums[2] = {0, 0};
    for (size_t side = 0; side < 2; ++side) {
      for (int i = 0; i < 8; ++i) {
        sides[side].push_back({i, static_cast<double>(random() % 1000 + 1) / 10});
        sums[side] += sides[side].back().count;
      }
    }
    const NativeView native{
        .zero_count = static_cast<double>(random() % 2) / 10, .positive = sides[0], .negative = sides[1]};
    Start(ExpositionFormat::kProtobuf);
    writer_->Family({"h", "", "", MetricType::kHistogram});
    writer_->Histogram({}, {.native = &native}, 0);
    const auto families = Families();
    ASSERT_GE(families[0].metric(0).histogram().sample_count_float(), sums[1] + sums[0]) << round;
  }
}

// Scenario: a family of classic and native histograms, in turns; a classic one of fractions.
// Guarantees: each run of one kind is a message of its own, of the same name and type: Prometheus 2 takes a
// message for what its first histogram is. A fraction is there rounded too, for readers that know none.
TEST_F(ExpositionTest, NativeAndClassicAreApart) {
  Start(ExpositionFormat::kProtobuf);
  const NativeView empty{.schema = 3};
  const std::vector<double> counts = {1.5, 2.25};
  const std::vector<double> bounds = {1};
  writer_->Family({"h", "Help.", "", MetricType::kHistogram});
  const auto labels = [](std::string_view value) { return std::vector<Label>{{"n", value}}; };
  writer_->Histogram(labels("1"), {.bounds = bounds, .counts = counts, .sum = 1}, 0);
  writer_->Histogram(labels("2"), {.native = &empty}, 0);
  writer_->Histogram(labels("3"), {.native = &empty}, 0);
  writer_->Histogram(labels("4"), {.bounds = bounds, .counts = counts, .sum = 1}, 0);
  writer_->Family({"other", "", "", MetricType::kHistogram});
  writer_->Histogram({}, {.native = &empty}, 0);
  const auto families = Families();
  ASSERT_THAT(families, SizeIs(4));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(families[static_cast<size_t>(i)].name(), "h");
    EXPECT_EQ(families[static_cast<size_t>(i)].help(), "Help.");
    EXPECT_EQ(families[static_cast<size_t>(i)].type(), scrape::HISTOGRAM);
    EXPECT_EQ(families[static_cast<size_t>(i)].metric_size(), i == 1 ? 2 : 1);
  }
  EXPECT_EQ(families[3].name(), "other");
  const auto& classic = families[0].metric(0).histogram();
  EXPECT_EQ(classic.sample_count_float(), 3.75);
  EXPECT_EQ(classic.sample_count(), 4u);
  EXPECT_EQ(classic.bucket(0).cumulative_count(), 2u);
  EXPECT_EQ(classic.bucket(0).cumulative_count_float(), 1.5);
  EXPECT_EQ(writer_->stats().series, 5u);
}

// Scenario: native histograms in the text formats: alone, beside classic buckets, with observations below 0.
// Guarantees: alone it is one bucket, its count and sum, with the latest exemplar where the format has them;
// beside classic buckets those are shown; no sum where OpenMetrics allows none.
TEST_F(ExpositionTest, NativeInText) {
  const std::vector<ExemplarView> exemplars = {{1.5, 3'000'000'000, {1, 2}, 3, {}},
                                               {2.5, 2'000'000'000, {1, 2}, 4, {}}};
  const std::vector<NativeBucket> buckets = {{1, 2}, {9, 3}};
  const NativeView above{.zero_count = 1, .positive = buckets, .exemplars = exemplars};
  const NativeView below{.zero_count = 1, .negative = buckets};
  const std::vector<double> bounds = {4};
  const std::vector<double> counts = {1, 5};
  const auto write = [&] {
    writer_->Family({"h", "", "", MetricType::kHistogram});
    writer_->Histogram({}, {.sum = 7.5, .native = &above}, 1'000'000'000);
    writer_->Histogram(std::vector<Label>{{"n", "1"}}, {.sum = 7.5, .native = &below}, 0);
    writer_->Histogram(std::vector<Label>{{"n", "2"}},
                       {.bounds = bounds, .counts = counts, .sum = 7.5, .native = &above}, 0);
  };
  Start(ExpositionFormat::kText);
  write();
  EXPECT_EQ(Page(), R"(# TYPE h histogram
h_bucket{le="+Inf"} 6
h_sum 7.5
h_count 6
h_bucket{n="1",le="+Inf"} 6
h_count{n="1"} 6
h_bucket{n="2",le="4"} 1
h_bucket{n="2",le="+Inf"} 6
h_sum{n="2"} 7.5
h_count{n="2"} 6
)");
  Start(ExpositionFormat::kOpenMetrics);
  write();
  EXPECT_EQ(Page(), R"(# TYPE h histogram
h_bucket{le="+Inf"} 6 # {trace_id="00000000000000010000000000000002",span_id="0000000000000003"} 1.5 3.0
h_sum 7.5
h_count 6
h_created 1.0
h_bucket{n="1",le="+Inf"} 6
h_bucket{n="2",le="4.0"} 1
h_bucket{n="2",le="+Inf"} 6
h_sum{n="2"} 7.5
h_count{n="2"} 6
# EOF
)");
}

// Scenario: a histogram of fractions, as weighted spans make them.
// Guarantees: both formats have them exactly: Prometheus reads them, and rounding would bend every rate.
TEST_F(ExpositionTest, FractionsInText) {
  const std::vector<double> bounds = {1, 2};
  const std::vector<double> counts = {1.25, 1.25, 1.25};
  for (const ExpositionFormat format : {ExpositionFormat::kText, ExpositionFormat::kOpenMetrics}) {
    Start(format);
    writer_->Family({"h", "", "", MetricType::kHistogram});
    writer_->Histogram({}, {.bounds = bounds, .counts = counts, .sum = 4.5}, 0);
    EXPECT_EQ(Page(), format == ExpositionFormat::kText ? R"(# TYPE h histogram
h_bucket{le="1"} 1.25
h_bucket{le="2"} 2.5
h_bucket{le="+Inf"} 3.75
h_sum 4.5
h_count 3.75
)"
                                                        : R"(# TYPE h histogram
h_bucket{le="1.0"} 1.25
h_bucket{le="2.0"} 2.5
h_bucket{le="+Inf"} 3.75
h_sum 4.5
h_count 3.75
# EOF
)");
  }
}

// Scenario: native histograms that no reader could take, each in one way.
// Guarantees: each is skipped and counted, in every format.
TEST_F(ExpositionTest, NativeIsChecked) {
  const std::vector<NativeBucket> good = {{1, 2}}, falling = {{2, 1}, {1, 1}}, twice = {{1, 1}, {1, 1}},
                                  negative = {{1, -1}}, nan = {{1, kNaN}}, inf = {{1, kInf}},
                                  far = {{std::numeric_limits<int32_t>::min(), 1}, {5, 1}};
  std::vector<NativeView> bad = {{.schema = 9},
                                 {.schema = -5},
                                 {.zero_threshold = -1},
                                 {.zero_threshold = kInf},
                                 {.zero_threshold = kNaN},
                                 {.zero_count = -1},
                                 {.zero_count = kNaN},
                                 {.zero_count = kInf}};
  for (const auto* side : {&falling, &twice, &negative, &nan, &inf, &far}) {
    bad.push_back({.positive = *side});
    bad.push_back({.negative = *side});
  }
  const NativeView two{.positive = good};
  const std::vector<double> three = {3}, broken = {kNaN};
  for (const ExpositionFormat format :
       {ExpositionFormat::kText, ExpositionFormat::kOpenMetrics, ExpositionFormat::kProtobuf}) {
    Start(format);
    writer_->Family({"h", "", "", MetricType::kHistogram});
    for (const NativeView& native : bad) writer_->Histogram({}, {.native = &native}, 0);
    writer_->Histogram({}, {.counts = three, .native = &two}, 0);  // not of the same observations
    writer_->Histogram({}, {.counts = broken}, 0);
    writer_->Histogram({}, {}, 0);
    EXPECT_EQ(Skipped(ExpositionSkip::kBadValue), bad.size() + 3);
    EXPECT_EQ(writer_->stats().series, 0u);
    writer_->Histogram({}, {.native = &two}, 0);
    EXPECT_EQ(writer_->stats().series, 1u);
  }
}

// Scenario: numbers that are none, among them the one that Prometheus takes for the end of a series.
// Guarantees: in protobuf, where bits are written, they are all the same harmless one.
TEST_F(ExpositionTest, NoValueLooksLikeTheEndOfASeries) {
  const double stale = std::bit_cast<double>(uint64_t{0x7ff0000000000002});
  const NativeView empty;
  Start(ExpositionFormat::kProtobuf);
  writer_->Family({"g", "", "", MetricType::kGauge});
  writer_->Gauge({}, stale);
  writer_->Family({"h", "", "", MetricType::kHistogram});
  writer_->Histogram({}, {.sum = stale, .native = &empty}, 0);
  writer_->Family({"s", "", "", MetricType::kSummary});
  const std::vector<double> quantiles = {0.5}, values = {stale};
  writer_->Summary({}, {quantiles, values, stale, 1}, 0);
  const auto families = Families();
  ASSERT_THAT(families, SizeIs(3));
  const auto plain = [](double value) {
    return std::bit_cast<uint64_t>(value) == std::bit_cast<uint64_t>(kNaN);
  };
  EXPECT_TRUE(plain(families[0].metric(0).gauge().value()));
  EXPECT_TRUE(plain(families[1].metric(0).histogram().sample_sum()));
  EXPECT_TRUE(plain(families[2].metric(0).summary().sample_sum()));
  EXPECT_TRUE(plain(families[2].metric(0).summary().quantile(0).value()));
}

// Scenario: families larger than a piece of the page, in protobuf, where the length stands before the
// content. Guarantees: the length is right wherever the pieces are cut; the pieces together are bytes().
TEST_F(ExpositionTest, LargePagesComeInPieces) {
  Start(ExpositionFormat::kProtobuf);
  for (const char* name : {"first", "second", "third"}) {
    writer_->Family({name, "", "", MetricType::kGauge});
    for (int i = 0; i < 20'000; ++i) {
      const std::string value = std::to_string(i);
      writer_->Gauge(std::vector<Label>{{"i", value}}, i);
    }
  }
  const auto families = Families();
  ASSERT_THAT(families, SizeIs(3));
  for (const auto& family : families) {
    ASSERT_EQ(family.metric_size(), 20'000);
    EXPECT_EQ(family.metric(19'999).gauge().value(), 19'999);
  }
}

// Scenario: random points whose label names come and go, change places, repeat, are empty, invalid or
// reserved, whose values are longer than a word, escaped or no UTF-8; all on one page, and each on a page of
// its own. Guarantees: a point's bytes, and why it is left out, do not depend on the points before it.
TEST_F(ExpositionTest, PointsDoNotDependOnEachOther) {
  std::mt19937_64 random(11);
  const std::array<std::string, 9> names = {"service",  "span_name", "le",       "a", "b",
                                            "service2", "1x",        "__name__", "c"};
  const std::array<std::string, 7> values = {
      "", "x", "twelve bytes", "quote\"d", "line\nend\\", "12345678\xc3\xa9", "12345678\xff"};
  const std::vector<double> bounds = {0.5, 2}, counts = {1, 2, 3.25};
  struct Point {
    std::vector<std::string> values;
    std::vector<Label> labels;
  };
  std::vector<Point> points(600);
  for (size_t n = 0; n < points.size(); ++n) {
    Point& point = points[n];
    // Mostly the same names, as in life.
    const size_t size = random() % 5;
    for (size_t i = 0; i < size; ++i) point.values.push_back(values[random() % (random() % 4 == 0 ? 7 : 6)]);
    point.values.push_back(std::to_string(n));
    for (size_t i = 0; i < size; ++i) {
      const std::string& name = random() % 4 == 0 ? names[random() % names.size()] : names[i];
      point.labels.push_back({name, point.values[i]});
    }
    point.labels.push_back({"number", point.values.back()});  // so that no two are one series
  }
  const ExemplarView exemplar{0.4, 1'700'000'000'123'000'000, {5, 9}, 10, {}};
  const std::vector<const ExemplarView*> exemplars = {&exemplar, nullptr, nullptr};
  const auto put = [&](const Point& point) {
    writer_->Histogram(point.labels, {bounds, counts, 2.5, true, exemplars}, 7'000'000'000);
  };
  for (const ExpositionFormat format :
       {ExpositionFormat::kText, ExpositionFormat::kOpenMetrics, ExpositionFormat::kProtobuf}) {
    // What is one point's: the page less what a page without points that are taken, and a family's head,
    // have.
    std::string apart;
    std::array<uint64_t, kExpositionSkips> skipped{};
    for (const Point& point : points) {
      Start(format);
      writer_->Family({"h", "", "", MetricType::kHistogram});
      put(point);
      const std::string page = Page();
      for (size_t i = 0; i < skipped.size(); ++i) skipped[i] += writer_->stats().skipped[i];
      if (writer_->stats().series == 0) continue;
      // Protobuf: a length of five bytes, name and type of two fields.
      const size_t head = format == ExpositionFormat::kProtobuf ? 5 + 3 + 2 : page.find('\n') + 1;
      apart += page.substr(head, page.find("# EOF") - head);
    }
    Start(format);
    writer_->Family({"other", "", "", MetricType::kHistogram});
    for (const Point& point : points) put(point);
    const auto half = writer_->stats();
    writer_->Family({"h", "", "", MetricType::kHistogram});
    for (const Point& point : points) put(point);
    EXPECT_GT(half.series, 200u);
    EXPECT_GT(half.skipped_total(), 100u);
    for (size_t i = 0; i < skipped.size(); ++i) {
      EXPECT_EQ(half.skipped[i], skipped[i]);
      EXPECT_EQ(writer_->stats().skipped[i], 2 * skipped[i]);
    }
    std::string page = Page();
    if (format == ExpositionFormat::kOpenMetrics) page.resize(page.size() - 6);
    EXPECT_TRUE(page.ends_with(apart));
  }
}

// Scenario: exemplars whose labels are 127, 128 and 129 characters, the last of more than one byte each.
// Guarantees: trace_id and span_id always stay; an extra label stays up to 128 characters, counted as
// characters.
TEST_F(ExpositionTest, ExemplarLabelsStayWithin128Characters) {
  // trace_id + 32 + span_id + 16 = 63; "extra" = 5.
  for (const int total : {127, 128, 129}) {
    for (const std::string letter : {"x", "\xc3\xa9"}) {
      std::string value;
      for (int i = 0; i < total - 63 - 5; ++i) value += letter;
      const std::vector<Label> extra = {{"extra", value}};
      const ExemplarView exemplar{1, 0, {1, 2}, 3, extra};
      Start(ExpositionFormat::kOpenMetrics);
      writer_->Family({"c", "", "", MetricType::kCounter});
      writer_->Counter({}, 1, 0, &exemplar);
      const std::string page = Page();
      EXPECT_THAT(page, HasSubstr("span_id=\"0000000000000003\""));
      if (total <= 128) {
        EXPECT_THAT(page, HasSubstr("extra=\"" + value + "\"}"));
      } else {
        EXPECT_THAT(page, Not(HasSubstr("extra")));
      }
    }
  }
}

// Scenario: other names for the IDs of exemplars: Tempo's, without the span's, the longest that a
// configuration may have, ones that are none or equal, and extra labels of the default names beside them.
// Guarantees: IDs stand under those names, in every format that has exemplars, without a name not at all;
// names and values stay within 128 characters.
TEST_F(ExpositionTest, ExemplarLabelsHaveTheirNames) {
  const std::string trace = "00000000000000010000000000000002", span = "0000000000000003";
  const std::string long_trace(40, 't'), long_span(40, 's');
  const std::vector<Label> extra = {{"trace_id", "own"}};
  const auto page = [&](ExpositionFormat format, ExemplarNames names, std::span<const Label> more) {
    const ExemplarView exemplar{1, 1'000'000'000, {1, 2}, 3, more, names};
    Start(format);
    writer_->Family({"c", "", "", MetricType::kCounter});
    writer_->Counter({}, 1, 0, &exemplar);
    return Page();
  };
  constexpr auto kOpenMetrics = ExpositionFormat::kOpenMetrics;
  EXPECT_THAT(page(kOpenMetrics, {"traceID", "spanID"}, {}),
              HasSubstr("# {traceID=\"" + trace + "\",spanID=\"" + span + "\"} 1"));
  EXPECT_THAT(page(kOpenMetrics, {"traceID", ""}, {}), HasSubstr("# {traceID=\"" + trace + "\"} 1"));
  EXPECT_THAT(page(kOpenMetrics, {"traceID", ""}, extra),
              HasSubstr("# {traceID=\"" + trace + "\",trace_id=\"own\"} 1"));
  EXPECT_THAT(page(kOpenMetrics, {long_trace, long_span}, extra),
              HasSubstr("# {" + long_trace + "=\"" + trace + "\"," + long_span + "=\"" + span + "\"} 1"));
  EXPECT_THAT(page(kOpenMetrics, {long_trace, long_span + "s"}, {}),
              HasSubstr("# {" + long_trace + "=\"" + trace + "\"} 1"));
  EXPECT_THAT(page(kOpenMetrics, {"id", "id"}, {}), HasSubstr("# {id=\"" + trace + "\"} 1"));
  EXPECT_THAT(page(kOpenMetrics, {"trace.id", "span_id"}, {}), HasSubstr("# {span_id=\"" + span + "\"} 1"));
  EXPECT_THAT(page(ExpositionFormat::kProtobuf, {"traceID", "spanID"}, {}),
              testing::AllOf(HasSubstr("traceID"), HasSubstr("spanID"), HasSubstr(trace)));
  EXPECT_THAT(page(ExpositionFormat::kProtobuf, {"traceID", ""}, {}), Not(HasSubstr(span)));
}

// Scenario: extra exemplar labels that are invalid, repeated, or do not fit while a later one does.
// Guarantees: those are left out, the others stay; an exemplar that points nowhere is dropped and counted.
TEST_F(ExpositionTest, ExtraExemplarLabelsAreCheckedOneByOne) {
  const std::string big(61, 'x');
  const std::vector<Label> extra = {{"trace_id", "fake"}, {"bad-name", "v"}, {"big", big},
                                    {"a", "1"},           {"a", "2"},        {"u", "\xff"}};
  const ExemplarView exemplar{1, 0, {1, 2}, 3, extra};
  const ExemplarView nowhere{1, 0, {}, 0, {}};
  Start(ExpositionFormat::kOpenMetrics);
  writer_->Family({"c", "", "", MetricType::kCounter});
  writer_->Counter({}, 1, 0, &exemplar);
  writer_->Counter(std::vector<Label>{{"n", "1"}}, 1, 0, &nowhere);
  const std::string page = Page();
  EXPECT_THAT(
      page,
      HasSubstr("{trace_id=\"00000000000000010000000000000002\",span_id=\"0000000000000003\",big=\"" + big));
  EXPECT_THAT(page, Not(HasSubstr("a=\"1\"")));  // 63 + 64 + 2 = 129
  EXPECT_THAT(page, HasSubstr("c_total{n=\"1\"} 1\n"));
  EXPECT_EQ(writer_->stats().exemplars_dropped, 1u);
}

// Scenario: an exemplar that lies outside the bucket it was given for.
// Guarantees: it is dropped and counted; the bucket stays.
TEST_F(ExpositionTest, ExemplarsLieInTheirBucket) {
  Start(ExpositionFormat::kOpenMetrics);
  const std::vector<double> bounds = {1, 2};
  const std::vector<double> counts = {1, 1, 1};
  const ExemplarView low{1, 0, {1, 2}, 3, {}}, high{2.5, 0, {1, 2}, 3, {}};
  const std::vector<const ExemplarView*> exemplars = {&high, &low, &low};
  writer_->Family({"h", "", "", MetricType::kHistogram});
  writer_->Histogram({}, {bounds, counts, 1, true, exemplars}, 0);
  EXPECT_THAT(Page(), Not(HasSubstr("trace_id")));
  EXPECT_EQ(writer_->stats().exemplars_dropped, 3u);
}

// Scenario: everything that would break a page.
// Guarantees: it is left out and counted by reason; what is around it stays.
TEST_F(ExpositionTest, WhatWouldBreakThePageIsSkipped) {
  Start(ExpositionFormat::kOpenMetrics);
  const std::vector<double> bounds = {1}, falling = {2, 1};
  const std::vector<double> two = {1, 1}, three = {1, 1, 1};
  const auto labels = [](std::string_view name, std::string_view value) {
    return std::vector<Label>{{name, value}};
  };

  writer_->Gauge({}, 1);  // no family yet
  EXPECT_EQ(Skipped(ExpositionSkip::kWrongType), 1u);
  writer_->Family({"h", "", "", MetricType::kHistogram});
  writer_->Histogram({}, {bounds, two, 1, true, {}}, 0);
  writer_->Histogram({}, {bounds, two, 1, true, {}}, 0);
  EXPECT_EQ(Skipped(ExpositionSkip::kDuplicate), 1u);
  writer_->Histogram(labels("le", "5"), {bounds, two, 1, true, {}}, 0);
  EXPECT_EQ(Skipped(ExpositionSkip::kBadLabel), 1u);
  writer_->Histogram(labels("x", "1"), {falling, three, 1, true, {}}, 0);
  writer_->Histogram(labels("x", "2"), {bounds, three, 1, true, {}}, 0);
  EXPECT_EQ(Skipped(ExpositionSkip::kBadValue), 2u);
  writer_->Gauge(labels("x", "3"), 1);
  EXPECT_EQ(Skipped(ExpositionSkip::kWrongType), 2u);

  writer_->Family({"h_count", "", "", MetricType::kGauge});
  writer_->Gauge({}, 1);
  writer_->Family({"h", "", "", MetricType::kGauge});
  writer_->Gauge({}, 1);
  EXPECT_EQ(Skipped(ExpositionSkip::kFamilyConflict), 2u);
  writer_->Family({"1bad", "", "", MetricType::kGauge});
  writer_->Gauge({}, 1);
  writer_->Family({"", "", "", MetricType::kGauge});
  writer_->Gauge({}, 1);
  EXPECT_EQ(Skipped(ExpositionSkip::kBadName), 2u);

  writer_->Family({"c", "", "", MetricType::kCounter});
  writer_->Counter({}, -1, 0, nullptr);
  writer_->Counter({}, kNaN, 0, nullptr);
  EXPECT_EQ(Skipped(ExpositionSkip::kBadValue), 4u);
  writer_->Counter(std::vector<Label>{{"a", "1"}, {"a", "2"}}, 1, 0, nullptr);
  writer_->Counter(labels("__name__", "x"), 1, 0, nullptr);
  writer_->Counter(labels("a-b", "x"), 1, 0, nullptr);
  EXPECT_EQ(Skipped(ExpositionSkip::kBadLabel), 4u);
  for (const std::string bad :
       {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "a\x80"}) {
    writer_->Counter(labels("a", bad), 1, 0, nullptr);
  }
  EXPECT_EQ(Skipped(ExpositionSkip::kBadUtf8), 6u);
  writer_->Counter(std::vector<Label>{{"a", "1"}, {"b", "2"}}, 1, 0, nullptr);
  writer_->Counter(std::vector<Label>{{"b", "2"}, {"a", "1"}}, 1, 0, nullptr);
  EXPECT_EQ(Skipped(ExpositionSkip::kDuplicate), 2u);
  writer_->Counter(labels("a", "\xf0\x9f\x98\x80"), 1, 0, nullptr);

  EXPECT_EQ(Page(), R"(# TYPE h histogram
h_bucket{le="1.0"} 1
h_bucket{le="+Inf"} 2
h_sum 1
h_count 2
# TYPE c counter
c_total{a="1",b="2"} 1
c_total{a="😀"} 1
# EOF
)");
  EXPECT_EQ(writer_->stats().series, 3u);
}

// Scenario: histograms that may have no sum in OpenMetrics.
// Guarantees: neither sum nor count is written there; text keeps the count.
TEST_F(ExpositionTest, SumsThatOpenMetricsForbids) {
  const std::vector<double> bounds = {-1, 1};
  const std::vector<double> counts = {1, 1, 1};
  for (const ExpositionFormat format : {ExpositionFormat::kText, ExpositionFormat::kOpenMetrics}) {
    Start(format);
    writer_->Family({"h", "", "", MetricType::kHistogram});
    writer_->Histogram({}, {bounds, counts, -4, true, {}}, 0);
    const std::string page = Page();
    EXPECT_THAT(page, Not(HasSubstr("h_sum")));
    EXPECT_EQ(page.find("h_count 3") != std::string::npos, format == ExpositionFormat::kText);
  }
}

// Scenario: a page at its bound.
// Guarantees: further points are skipped and counted, and it still ends as it should.
TEST_F(ExpositionTest, PagesAreBounded) {
  Start(ExpositionFormat::kOpenMetrics, {.max_bytes = 1000});
  writer_->Family({"g", "", "", MetricType::kGauge});
  for (int i = 0; i < 1000; ++i) {
    const std::string value = std::to_string(i);
    writer_->Gauge(std::vector<Label>{{"i", value}}, i);
  }
  const std::string page = Page();
  EXPECT_LT(page.size(), 1100u);
  EXPECT_TRUE(page.ends_with("# EOF\n"));
  EXPECT_EQ(Skipped(ExpositionSkip::kPageFull) + writer_->stats().series, 1000u);
}

// Scenario: random bit patterns, and numbers at the edges of integers.
// Guarantees: what is printed reads back as the same double.
TEST_F(ExpositionTest, NumbersReadBackTheSame) {
  std::mt19937_64 random(5);
  std::vector<double> values = {0.0,    -0.0,      1,   9007199254740991.0, 9007199254740992.0, 1e21,
                                5e-324, 0.1 + 0.2, -1.5};
  for (int i = 0; i < 100'000; ++i) values.push_back(std::bit_cast<double>(random()));
  for (const double value : values) {
    if (std::isnan(value) || std::isinf(value)) continue;
    std::string text;
    AppendNumber(&text, value);
    double back = 0;
    std::from_chars(text.data(), text.data() + text.size(), back);
    ASSERT_EQ(std::bit_cast<uint64_t>(back), std::bit_cast<uint64_t>(value)) << text;
  }
}

}  // namespace
}  // namespace braid::exporters
