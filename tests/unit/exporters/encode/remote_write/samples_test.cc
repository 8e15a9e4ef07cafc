#include "exporters/encode/samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <set>

#include "exporters/encode/remote_write.h"
#include "tests/support/sample_families.h"

namespace braid::exporters {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr int64_t kNow = 1'700'000'000'000;

bool IsStale(double value) { return std::bit_cast<uint64_t>(value) == kStaleNan; }

class SampleRoundsTest : public testing::Test {
 protected:
  using Series = std::map<std::string, std::vector<double>>;  // "name{a=b}": values in order

  void Make(SampleRounds::Options options = {}) {
    rounds_ = std::make_unique<SampleRounds>(std::move(options), slabs_);
  }

  template <typename Write>
  std::vector<ChunkPtr> Round(Write write) {
    if (!rounds_) Make();
    write(rounds_->Begin(kNow + time_++));
    return rounds_->End();
  }

  static std::string Name(const SampleFamily& family, const SamplePoint& point,
                          const SamplePoint::Entry& entry) {
    std::string name = std::string(family.name).append(SampleSuffix(entry.kind)) + "{";
    for (const Label& label : point.labels) name.append(label.name) += "=" + std::string(label.value) + ",";
    if (entry.kind == SampleKind::kBucket) {
      name += "le=" + (std::isinf(entry.parameter) ? "+Inf" : LabelNumber(entry.parameter, true));
    }
    if (entry.kind == SampleKind::kQuantile) name += "quantile=" + LabelNumber(entry.parameter, true);
    return name + "}";
  }

  // Calls visit(name, point, entry) for every series in the Chunks; checks that they are consistent.
  template <typename Visit>
  static void ForEach(const std::vector<ChunkPtr>& chunks, Visit visit) {
    SamplePoint point;
    for (const ChunkPtr& chunk : chunks) {
      EXPECT_EQ(chunk->content, Chunk::Content::kSamples);
      EXPECT_EQ(chunk->signal, Signal::kMetrics);
      uint64_t count = 0;
      for (const ChunkItem& item : chunk->items) {
        ASSERT_LT(item.group, chunk->groups.size());
        const SampleFamily family = ReadSampleFamily(chunk->view(chunk->groups[item.group].scope));
        ReadSamplePoint(chunk->view().substr(item.offset, item.size), &point);
        EXPECT_EQ(item.count, point.entries.size());
        count += item.count;
        for (const SamplePoint::Entry& entry : point.entries) visit(Name(family, point, entry), point, entry);
      }
      EXPECT_EQ(chunk->count, count);
    }
  }

  static Series Values(const std::vector<ChunkPtr>& chunks) {
    Series series;
    ForEach(chunks, [&](const std::string& name, const SamplePoint&, const SamplePoint::Entry& entry) {
      series[name].push_back(entry.value);
    });
    return series;
  }

  static std::set<std::string> StaleNames(const std::vector<ChunkPtr>& chunks) {
    std::set<std::string> names;
    ForEach(chunks, [&](const std::string& name, const SamplePoint&, const SamplePoint::Entry& entry) {
      if (IsStale(entry.value) || (entry.kind == SampleKind::kNative &&
                                   entry.native.find(std::string_view("\x02\x00\x00\x00\x00\x00\xf0\x7f",
                                                                      8)) != std::string_view::npos)) {
        EXPECT_TRUE(names.insert(name).second) << name << " ends twice";
      }
    });
    return names;
  }

  static void Gauge(PageWriter& writer, std::initializer_list<Label> labels, double value = 1,
                    std::string_view name = "g") {
    writer.Family({name, "", "", MetricType::kGauge});
    writer.Gauge(std::span(labels.begin(), labels.size()), value);
  }

  SlabPool slabs_{SlabPool::Options{}};
  std::unique_ptr<SampleRounds> rounds_;
  int64_t time_ = 0;
};

// Scenario: two rounds of gauges, of which one is missing from the second and one is new there.
// Guarantees: the missing one gets one marker, in that round and never again; the others none.
TEST_F(SampleRoundsTest, EndsWhatIsGone) {
  const auto first = Round([](PageWriter& w) {
    w.Family({"g", "", "", MetricType::kGauge});
    w.Gauge(std::vector<Label>{{"a", "1"}}, 1);
    w.Gauge(std::vector<Label>{{"a", "2"}}, 2);
  });
  EXPECT_THAT(Values(first),
              UnorderedElementsAre(Pair("g{a=1,}", ElementsAre(1)), Pair("g{a=2,}", ElementsAre(2))));
  const auto second = Round([](PageWriter& w) {
    w.Family({"g", "", "", MetricType::kGauge});
    w.Gauge(std::vector<Label>{{"a", "3"}}, 3);
    w.Gauge(std::vector<Label>{{"a", "1"}}, 1.5);
  });
  EXPECT_THAT(Values(second), SizeIs(3));
  EXPECT_THAT(StaleNames(second), ElementsAre("g{a=2,}"));
  ForEach(second, [](const std::string&, const SamplePoint& point, const auto&) {
    EXPECT_EQ(point.time_ms, kNow + 1);
  });
  const auto third = Round([](PageWriter& w) {
    w.Family({"g", "", "", MetricType::kGauge});
    w.Gauge(std::vector<Label>{{"a", "1"}}, 1);
    w.Gauge(std::vector<Label>{{"a", "3"}}, 3);
  });
  EXPECT_THAT(StaleNames(third), IsEmpty());
  EXPECT_THAT(Values(third), SizeIs(2));
  EXPECT_EQ(rounds_->stats().stale_markers, 1u);
  EXPECT_EQ(rounds_->stats().rounds, 3u);
  EXPECT_EQ(rounds_->stats().points, 2u);
  EXPECT_EQ(rounds_->stats().samples, 7u);
}

// Scenario: a series comes back after its end.
// Guarantees: it has its value again, and can end again.
TEST_F(SampleRoundsTest, SeriesComeBack) {
  const auto there = [](PageWriter& w) { Gauge(w, {{"a", "1"}}); };
  const auto gone = [](PageWriter&) {};
  Round(there);
  EXPECT_THAT(StaleNames(Round(gone)), SizeIs(1));
  EXPECT_THAT(Round(gone), IsEmpty());
  EXPECT_THAT(StaleNames(Round(there)), IsEmpty());
  EXPECT_THAT(StaleNames(Round(gone)), SizeIs(1));
}

// Scenario: a histogram's bounds change; a gauge becomes a counter of the same family name; a native
// histogram loses its classic buckets and then becomes classic. Guarantees: exactly the series that are not
// written any more end.
TEST_F(SampleRoundsTest, EndsSeriesOfPointsThatChange) {
  const auto histogram = [](PageWriter& w, std::vector<double> bounds, const NativeView* native,
                            bool classic) {
    w.Family({"h", "", "", MetricType::kHistogram});
    const std::vector<double> counts(classic ? bounds.size() + 1 : 0, 1.0);
    if (!classic) bounds.clear();
    w.Histogram({}, {bounds, counts, 3, true, {}, native}, 0);
  };
  const std::vector<NativeBucket> buckets = {{1, 3}};
  const NativeView native{0, 0, 0, buckets, {}, {}};
  Round([&](PageWriter& w) {
    histogram(w, {1, 2}, nullptr, true);
    Gauge(w, {}, 1, "x");
  });
  EXPECT_THAT(StaleNames(Round([&](PageWriter& w) {
                histogram(w, {1, 3}, &native, true);
                w.Family({"x", "", "", MetricType::kCounter});
                w.Counter({}, 1, 0, nullptr);
              })),
              ElementsAre("h_bucket{le=2.0}", "x{}"));
  EXPECT_THAT(StaleNames(Round([&](PageWriter& w) { histogram(w, {}, &native, false); })),
              ElementsAre("h_bucket{le=+Inf}", "h_bucket{le=1.0}", "h_bucket{le=3.0}", "h_count{}", "h_sum{}",
                          "x_total{}"));
  EXPECT_THAT(StaleNames(Round([&](PageWriter& w) { histogram(w, {5}, nullptr, true); })),
              ElementsAre("h{}"));
}

// Scenario: one of everything, then the end.
// Guarantees: every series that there was ends, once, a moment later; after that nothing is remembered.
TEST_F(SampleRoundsTest, EndsAll) {
  const auto chunks = Round([](PageWriter& w) { test::WriteFamilies(w, 0, kNow * 1'000'000); });
  std::set<std::string> names;
  ForEach(chunks, [&](const std::string& name, const auto&, const auto&) { names.insert(name); });
  EXPECT_GT(names.size(), 25u);
  EXPECT_EQ(StaleNames(rounds_->EndAll(kNow + 5)), names);
  EXPECT_THAT(rounds_->EndAll(kNow + 6), IsEmpty());
}

// Scenario: exemplars that stay, are renewed, are older than what was sent, and have no time.
// Guarantees: only those later than the last that was sent of the same series are in a round.
TEST_F(SampleRoundsTest, SendsExemplarsOnce) {
  const auto times = [&](std::vector<uint64_t> ms, bool with_counter = true) {
    return Round([&](PageWriter& w) {
      std::vector<ExemplarView> views;
      for (const uint64_t at : ms) views.push_back({0.5, at * 1'000'000, {1, 2}, 3, {}});
      w.Family({"h", "", "", MetricType::kHistogram});
      const std::vector<double> bounds = {1};
      const std::vector<double> counts = {2, 1};
      const std::array<const ExemplarView*, 2> one = {&views[0], nullptr};
      w.Histogram({}, {bounds, counts, 1, true, one}, 0);
      if (!with_counter) return;
      w.Family({"c", "", "", MetricType::kCounter});
      w.Counter({}, 1, 0, &views[1]);
    });
  };
  const auto sent = [](const std::vector<ChunkPtr>& chunks) {
    std::map<std::string, std::vector<int64_t>> found;
    ForEach(chunks, [&](const std::string& name, const SamplePoint& point, const SamplePoint::Entry& entry) {
      for (uint32_t i = 0; i < entry.exemplar_count; ++i) {
        found[name].push_back(point.exemplars[entry.first_exemplar + i].time_ms);
      }
    });
    return found;
  };
  EXPECT_THAT(sent(times({100, 200})), UnorderedElementsAre(Pair("h_bucket{le=1.0}", ElementsAre(100)),
                                                            Pair("c_total{}", ElementsAre(200))));
  EXPECT_THAT(sent(times({100, 200})), IsEmpty());
  EXPECT_THAT(sent(times({101, 199})), UnorderedElementsAre(Pair("h_bucket{le=1.0}", ElementsAre(101))));
  EXPECT_THAT(sent(times({101, 200})), IsEmpty());
  EXPECT_THAT(sent(times({0, 201})), UnorderedElementsAre(Pair("c_total{}", ElementsAre(201))));
  EXPECT_EQ(rounds_->stats().exemplars, 4u);
}

// Scenario: an exemplar whose IDs have other names.
// Guarantees: it is sent with those.
TEST_F(SampleRoundsTest, ExemplarLabelsHaveTheirNames) {
  const auto chunks = Round([&](PageWriter& w) {
    const ExemplarView exemplar{0.5, 1'000'000'000, {1, 2}, 3, {}, {"traceID", ""}};
    w.Family({"c", "", "", MetricType::kCounter});
    w.Counter({}, 1, 0, &exemplar);
  });
  std::vector<std::pair<std::string, std::string>> labels;
  ForEach(chunks, [&](const std::string&, const SamplePoint& point, const SamplePoint::Entry&) {
    for (const Label& label : point.exemplar_labels) labels.emplace_back(label.name, label.value);
  });
  EXPECT_THAT(labels, ElementsAre(Pair("traceID", "00000000000000010000000000000002")));
}

// Scenario: labels that are not in order, external labels of which one is there already, and two series that
// the external labels make equal. Guarantees: labels are sorted and merged, the series' own win; the second
// of the equal ones is left out, counted.
TEST_F(SampleRoundsTest, MergesExternalLabels) {
  SampleRounds::Options options;
  options.external_labels = {{"zone", "eu"}, {"b", "ext"}};
  Make(options);
  const auto chunks = Round([](PageWriter& w) {
    w.Family({"g", "", "", MetricType::kGauge});
    w.Gauge(std::vector<Label>{{"x", "1"}, {"b", "own"}, {"a", "0"}}, 1);
    w.Gauge(std::vector<Label>{}, 2);
    w.Gauge(std::vector<Label>{{"zone", "eu"}}, 3);
  });
  EXPECT_THAT(Values(chunks), UnorderedElementsAre(Pair("g{a=0,b=own,x=1,zone=eu,}", ElementsAre(1)),
                                                   Pair("g{b=ext,zone=eu,}", ElementsAre(2))));
  EXPECT_EQ(rounds_->stats().merged, 1u);
}

// Scenario: native histograms are switched off.
// Guarantees: those with classic buckets are sent with these alone, others with +Inf, sum and count.
TEST_F(SampleRoundsTest, WithoutNativeHistograms) {
  SampleRounds::Options options;
  options.native_histograms = false;
  Make(options);
  const auto chunks = Round([](PageWriter& w) { test::WriteFamilies(w, 0, kNow * 1'000'000); });
  ForEach(chunks, [](const std::string& name, const auto&, const SamplePoint::Entry& entry) {
    EXPECT_NE(entry.kind, SampleKind::kNative) << name;
  });
  const Series values = Values(chunks);
  EXPECT_THAT(values, Contains(Pair("native_seconds_bucket{odd=weights,le=+Inf}",
                                    ElementsAre(0.25 + 0.5 + 4.0 / 3))));
  EXPECT_THAT(values, Contains(Pair("native_seconds_sum{odd=weights,}", ElementsAre(2))));
  EXPECT_THAT(values, Contains(Pair("both_seconds_bucket{le=1.0}", ElementsAre(3))));
}

// Scenario: more than a Chunk takes, and more than a round takes.
// Guarantees: Chunks stay within both of their bounds and name their families; what is beyond the round's
// bound is left out and counted, and ends if it was there before.
TEST_F(SampleRoundsTest, IsBounded) {
  SampleRounds::Options options;
  options.chunk_bytes = 4096;
  options.chunk_samples = 40;
  options.max_bytes = 100'000;
  Make(options);
  const auto many = [&](int count) {
    return Round([&](PageWriter& w) {
      w.Family({"g", "A gauge.", "", MetricType::kGauge});
      for (int i = 0; i < count; ++i) w.Gauge(std::vector<Label>{{"i", std::to_string(i)}}, i);
    });
  };
  const auto fits = many(1000);
  EXPECT_THAT(Values(fits), SizeIs(1000));
  EXPECT_EQ(fits.size(), 25u);
  for (const ChunkPtr& chunk : fits) {
    EXPECT_LE(chunk->count, 40u);
    EXPECT_LE(chunk->view().size(), 4096u + 100);
    EXPECT_EQ(ReadSampleFamily(chunk->view(chunk->groups[0].scope)).help, "A gauge.");
  }
  const auto cut = many(5000);
  const uint64_t skipped = rounds_->stats().skipped[static_cast<size_t>(ExpositionSkip::kPageFull)];
  EXPECT_EQ(Values(cut).size() + skipped, 5000u);
  EXPECT_GT(skipped, 1000u);
  EXPECT_THAT(StaleNames(cut), IsEmpty());
  EXPECT_EQ(StaleNames(many(10)).size(), 5000 - skipped - 10);
}

// Scenario: the same families on a page of OpenMetrics.
// Guarantees: the samples are those of the page, by names, labels and values.
TEST_F(SampleRoundsTest, AreThoseOfThePage) {
  using Samples = std::map<std::map<std::string, std::string>, std::string>;  // labels with __name__: value
  const auto page = PageWriter::New(ExpositionFormat::kOpenMetrics);
  test::WriteFamilies(*page, 3, kNow * 1'000'000, false);
  page->Finish();
  std::string text;
  for (const std::string& piece : page->TakeChunks()) text += piece;
  Samples expected;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.starts_with('#') || line.find("_created") != std::string::npos) continue;
    std::map<std::string, std::string> labels;
    size_t i = line.find_first_of("{ ");
    labels["__name__"] = line.substr(0, i);
    if (line[i] == '{') {
      while (line[i] != '}') {
        const size_t equals = line.find('=', ++i);
        std::string value;
        size_t c = equals + 2;
        for (; line[c] != '"'; ++c) {
          if (line[c] == '\\') ++c;
          value += line[c - 1] == '\\' && line[c] == 'n' ? '\n' : line[c];
        }
        labels[line.substr(i, equals - i)] = value;
        i = c + 1;
      }
      ++i;
    }
    expected[labels] = line.substr(i + 1, line.find(" # ") - i - 1);
  }
  Samples got;
  const auto chunks = Round([](PageWriter& w) { test::WriteFamilies(w, 3, kNow * 1'000'000, false); });
  ForEach(chunks, [&](const std::string& name, const SamplePoint& point, const SamplePoint::Entry& entry) {
    std::map<std::string, std::string> labels;
    labels["__name__"] = name.substr(0, name.find('{'));
    for (const Label& label : point.labels) labels[std::string(label.name)] = label.value;
    if (entry.kind == SampleKind::kBucket) {
      labels["le"] = std::isinf(entry.parameter) ? "+Inf" : LabelNumber(entry.parameter, true);
    }
    if (entry.kind == SampleKind::kQuantile) labels["quantile"] = LabelNumber(entry.parameter, true);
    AppendNumber(&got[labels], entry.value);
  });
  EXPECT_GT(got.size(), 20u);
  // OpenMetrics alone has no count beside a missing sum.
  EXPECT_EQ(got.erase({{"__name__", "lat_seconds_count"}, {"odd", "weights"}}), 1u);
  EXPECT_EQ(got, expected);
}

}  // namespace
}  // namespace braid::exporters
