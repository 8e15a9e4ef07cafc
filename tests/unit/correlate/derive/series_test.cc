#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "correlate/derive/native_histogram.h"
#include "correlate/derive/series_owner.h"
#include "correlate/derive/series_table.h"
#include "tests/support/recording_writer.h"
#include "tests/support/span_counter.h"

namespace braid::correlate {
namespace {

using test::RecordingWriter;
using testing::ElementsAre;
using testing::SizeIs;

constexpr uint64_t kMs = 1'000'000;

struct TestSpan {
  std::string service;
  std::string name;
  uint8_t kind = 2;
  uint8_t status = 0;
  uint64_t duration_ns = 0;
  uint64_t bytes = 100;

  auto dims() const { return std::tie(service, name, kind, status); }
};

const DeriveOptions kDefaults;

SeriesTable::Id Count(SeriesTable& table, const TestSpan& span) {
  static test::SpanCounter counter;
  test::SpanSpec spec;
  spec.name = span.name;
  spec.kind = span.kind;
  spec.status = span.status;
  return counter.Count(table, span.service, spec, span.duration_ns, span.bytes);
}

RecordingWriter Page(const SeriesOwner& owner) {
  RecordingWriter writer;
  owner.Write(writer);
  EXPECT_EQ(writer.repeated, 0);
  return writer;
}

uint64_t Total(const RecordingWriter& page, const std::string& family) {
  double sum = 0;
  for (const auto& [key, point] : page.points) {
    if (key.starts_with(family + "{")) sum += point.value;
  }
  return static_cast<uint64_t>(sum);
}

// Scenario: random spans over several shards, handed over at irregular times, against a plain map.
// Guarantees: calls, every bucket, sums and sizes are exact, whichever shard counted what.
TEST(SeriesOwnerTest, AgreesWithAnOracle) {
  std::mt19937_64 random(42);
  constexpr size_t kShards = 3;
  SeriesOwner owner({.shards = kShards}, kDefaults);
  std::vector<std::unique_ptr<SeriesTable>> shards;
  for (size_t i = 0; i < kShards; ++i) {
    shards.push_back(std::make_unique<SeriesTable>(SeriesTable::Options{}, kDefaults, 7 + i));
  }
  struct Expected {
    uint64_t calls = 0;
    unsigned __int128 sum_ns = 0;
    uint64_t bytes = 0;
    std::array<uint64_t, 15> buckets{};
  };
  std::map<std::string, Expected> oracle;
  const std::array<std::string, 6> kinds = {"UNSPECIFIED", "INTERNAL", "SERVER",
                                            "CLIENT",      "PRODUCER", "CONSUMER"};
  const std::array<std::string, 3> statuses = {"UNSET", "OK", "ERROR"};

  for (uint64_t tick = 20; tick <= 400; tick += 20) {
    for (int i = 0; i < 5000; ++i) {
      TestSpan span{"s" + std::to_string(random() % 5),          "op" + std::to_string(random() % 20),
                    static_cast<uint8_t>(random() % 6),          static_cast<uint8_t>(random() % 3),
                    random() % (uint64_t{1} << (random() % 40)), random() % 1000};
      if (span.service == "s4") span.service.clear();
      Count(*shards[random() % kShards], span);
      std::string key = "{";
      if (!span.service.empty()) key += "service=" + span.service + ",";
      key += "span_kind=SPAN_KIND_" + kinds[span.kind] + ",span_name=" + span.name +
             ",status_code=STATUS_CODE_" + statuses[span.status] + "}";
      Expected& expected = oracle[key];
      ++expected.calls;
      expected.sum_ns += span.duration_ns;
      expected.bytes += span.bytes;
      size_t bucket = 0;
      while (bucket < 14 && span.duration_ns > uint64_t{2'000'000} << bucket) ++bucket;
      ++expected.buckets[bucket];
    }
    for (uint32_t s = 0; s < kShards; ++s) {
      if (random() % 4 != 0 || tick == 400) owner.Merge(shards[s]->TakeDelta(tick), s);
    }
  }
  owner.Flush();

  const RecordingWriter page = Page(owner);
  EXPECT_THAT(page.points, SizeIs(3 * oracle.size()));
  for (const auto& [key, expected] : oracle) {
    ASSERT_TRUE(page.points.contains("traces_spanmetrics_calls" + key)) << key;
    EXPECT_EQ(page.points.at("traces_spanmetrics_calls" + key).value, static_cast<double>(expected.calls));
    EXPECT_EQ(page.points.at("traces_spanmetrics_size" + key).value, static_cast<double>(expected.bytes));
    const RecordingWriter::Point& latency = page.points.at("traces_spanmetrics_latency" + key);
    EXPECT_TRUE(std::equal(latency.counts.begin(), latency.counts.end(), expected.buckets.begin(),
                           expected.buckets.end()));
    EXPECT_DOUBLE_EQ(latency.sum, static_cast<double>(static_cast<long double>(expected.sum_ns) / 1e9L));
  }
}

// Scenario: somebody asks for the owner's figures, and a shard hands over and over, while a page is written.
// Guarantees: the figures come at once and are those of the last merge; the shard, whose deltas are all under
// way, gets none and counts on in the one it has; nothing that it counts meanwhile is lost.
TEST(SeriesOwnerTest, NobodyWaitsForAPage) {
  SeriesOwner owner({}, kDefaults);
  SeriesTable shard(SeriesTable::Options{}, kDefaults, 1);
  Count(shard, {"shop", "buy"});
  owner.Merge(shard.TakeDelta(20), 0);

  class Asking final : public RecordingWriter {
   public:
    explicit Asking(std::function<void()> ask) : ask_(std::move(ask)) {}
    void Family(const FamilyView& family) override {
      if (auto ask = std::exchange(ask_, nullptr)) ask();
      RecordingWriter::Family(family);
    }

   private:
    std::function<void()> ask_;
  };
  uint64_t counted = 1;
  std::vector<SeriesDeltaPtr> waiting;
  uint64_t tick = 20;
  bool refused = false;
  Asking page([&] {
    EXPECT_EQ(owner.stats().series, 1u);
    EXPECT_EQ(owner.stats().deltas_merged, 1u);
    for (int i = 0; i < 20; ++i) {
      Count(shard, {"shop", "buy"});
      ++counted;
      SeriesDeltaPtr delta = shard.TakeDelta(tick += 20);
      refused |= delta == nullptr;
      if (delta) waiting.push_back(std::move(delta));
    }
  });
  owner.Write(page);
  EXPECT_EQ(Total(page, "traces_spanmetrics_calls"), 1u);
  EXPECT_TRUE(refused);
  EXPECT_THAT(waiting, SizeIs(testing::Le(4u)));
  for (SeriesDeltaPtr& delta : waiting) owner.Merge(std::move(delta), 0);
  waiting.clear();
  owner.Merge(shard.TakeDelta(tick + 20), 0);
  EXPECT_EQ(Total(Page(owner), "traces_spanmetrics_calls"), counted);
}

// Scenario: the same deltas, reaching the owner in different orders.
// Guarantees: the same counts, exemplars included, because the owner merges in (tick, shard) order.
TEST(SeriesOwnerTest, OrderOfArrivalDoesNotMatter) {
  std::vector<uint64_t> digests;
  std::vector<std::map<std::string, std::pair<double, uint64_t>>> exemplars;
  for (int order = 0; order < 20; ++order) {
    std::mt19937_64 random(1);  // the same spans each time
    std::mt19937_64 shuffle(static_cast<uint64_t>(order));
    SeriesOwner owner({.shards = 3, .max_series = 40}, kDefaults);
    std::vector<std::unique_ptr<SeriesTable>> shards;
    for (int i = 0; i < 3; ++i)
      shards.push_back(std::make_unique<SeriesTable>(SeriesTable::Options{}, kDefaults, 1));
    for (uint64_t tick = 20; tick <= 2000; tick += 20) {
      std::vector<std::pair<SeriesDeltaPtr, uint32_t>> deltas;
      for (uint32_t s = 0; s < 3; ++s) {
        shards[s]->SetNow(tick);
        for (int i = 0; i < 30; ++i) {
          const TestSpan span{"s", "op" + std::to_string(random() % 60), 2, 0, random() % (100 * kMs)};
          const SeriesTable::Id id = Count(*shards[s], span);
          shards[s]->Offer(id, {span.duration_ns, tick, {random(), random()}, random(), random() % 9 == 0});
        }
        deltas.emplace_back(shards[s]->TakeDelta(tick), s);
      }
      std::shuffle(deltas.begin(), deltas.end(), shuffle);
      for (auto& [delta, shard] : deltas) owner.Merge(std::move(delta), shard);
    }
    owner.Flush();
    EXPECT_EQ(owner.stats().deltas_pending, 0u);
    digests.push_back(owner.Digest());
    std::map<std::string, std::pair<double, uint64_t>> seen;
    for (const auto& [key, point] : Page(owner).points) {
      for (const auto& [bucket, exemplar] : point.exemplars) {
        seen[key + "#" + std::to_string(bucket)] = {exemplar.value, exemplar.trace.lo};
      }
    }
    exemplars.push_back(std::move(seen));
  }
  EXPECT_THAT(digests, testing::Each(digests[0]));
  EXPECT_THAT(exemplars, testing::Each(exemplars[0]));
  EXPECT_GT(exemplars[0].size(), 40u);
}

// Scenario: one shard stops handing over while another goes on.
// Guarantees: the other's counts appear after kMaxPending hand-overs; nothing is counted twice when the first
// returns.
TEST(SeriesOwnerTest, ASlowShardDoesNotHoldBackTheOthers) {
  SeriesOwner owner({.shards = 2}, kDefaults);
  SeriesTable fast({}, kDefaults, 1), slow({}, kDefaults, 1);
  const TestSpan span{"s", "op", 2, 0, kMs};
  Count(fast, span);
  owner.Merge(fast.TakeDelta(20), 0);
  EXPECT_EQ(Total(Page(owner), "traces_spanmetrics_calls"), 0u);
  Count(fast, span);
  owner.Merge(fast.TakeDelta(40), 0);
  EXPECT_GE(Total(Page(owner), "traces_spanmetrics_calls"), 1u);
  Count(slow, span);
  owner.Merge(slow.TakeDelta(60), 1);
  owner.Flush();
  EXPECT_EQ(Total(Page(owner), "traces_spanmetrics_calls"), 3u);
}

// Scenario: the owner keeps every delta of a shard.
// Guarantees: the shard is told so by a null, goes on counting, and loses nothing.
TEST(SeriesTableTest, CountsOnWhileTheOwnerIsBehind) {
  SeriesOwner owner({.shards = 1}, kDefaults);
  SeriesTable table({}, kDefaults, 1);
  const TestSpan span{"s", "op", 2, 0, kMs};
  std::vector<SeriesDeltaPtr> kept;
  for (uint64_t tick = 20; tick <= 200; tick += 20) {
    Count(table, span);
    if (SeriesDeltaPtr delta = table.TakeDelta(tick)) kept.push_back(std::move(delta));
  }
  EXPECT_EQ(kept.size(), 2u);
  for (SeriesDeltaPtr& delta : kept) owner.Merge(std::move(delta), 0);
  kept.clear();
  owner.Merge(table.TakeDelta(220), 0);
  EXPECT_EQ(Total(Page(owner), "traces_spanmetrics_calls"), 10u);
}

// Scenario: more spans in one bucket than its counter holds, and durations whose sum passes 2^64 ns.
// Guarantees: carries keep both exact.
TEST(SeriesTableTest, CountersThatWrapAreCarried) {
  SeriesOwner owner({.shards = 1}, kDefaults);
  SeriesTable table({}, kDefaults, 1);
  const TestSpan fast{"s", "op", 2, 0, kMs};
  for (int i = 0; i < 200'001; ++i) Count(table, fast);
  const TestSpan endless{"s", "slow", 2, 0, ~uint64_t{0}};
  for (int i = 0; i < 5; ++i) Count(table, endless);
  owner.Merge(table.TakeDelta(20), 0);
  const RecordingWriter page = Page(owner);
  const auto& point = page.points.at(
      "traces_spanmetrics_latency{service=s,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_"
      "UNSET}");
  EXPECT_EQ(point.counts[0], 200'001u);
  EXPECT_DOUBLE_EQ(point.sum, 200.001);
  const auto& slow = page.points.at(
      "traces_spanmetrics_latency{service=s,span_kind=SPAN_KIND_SERVER,span_name=slow,status_code=STATUS_"
      "CODE_UNSET}");
  EXPECT_DOUBLE_EQ(slow.sum, 5 * 18446744073.709551615);
}

// Scenario: names without end, at the shard's cap, at the owner's cap, and services beyond theirs.
// Guarantees: totals per service, kind and status are conserved exactly; only names are lost; memory is
// bounded.
TEST(SeriesOwnerTest, OverflowConservesTotals) {
  for (const bool at_owner : {false, true}) {
    SeriesOwner owner({.shards = 1, .max_series = at_owner ? 100u : 100'000u, .max_overflow_series = 8},
                      kDefaults);
    SeriesTable table({.max_series = at_owner ? 100'000u : 100u, .max_overflow_series = 8}, kDefaults, 3);
    std::map<std::string, uint64_t> by_service;
    uint64_t ticks = 0;
    for (int i = 0; i < 30'000; ++i) {
      const std::string service = i < 20'000 ? "shop" : "flood" + std::to_string(i);
      Count(table, {service, "unique" + std::to_string(i), 2, static_cast<uint8_t>(i % 3 == 0 ? 2 : 0), kMs});
      ++by_service[service];
      if (i % 1000 == 999) owner.Merge(table.TakeDelta(ticks += 20), 0);
    }
    owner.Flush();
    const RecordingWriter page = Page(owner);
    uint64_t total = 0, shop = 0, overflow = 0;
    for (const auto& [key, point] : page.points) {
      if (!key.starts_with("traces_spanmetrics_calls")) continue;
      const uint64_t n = static_cast<uint64_t>(point.value);
      total += n;
      if (key.find("service=shop") != std::string::npos) shop += n;
      if (key.find("metric_overflow=true") == std::string::npos) continue;
      overflow += n;
      EXPECT_EQ(key.find("span_name"), std::string::npos) << key;
    }
    EXPECT_EQ(total, 30'000u);
    EXPECT_EQ(shop, by_service["shop"]);
    EXPECT_EQ(overflow, 30'000u - 100);
    EXPECT_EQ(owner.stats().overflow_spans, overflow);
    EXPECT_EQ(owner.stats().series, 100u + 8 + 2);  // shop/2 statuses and 6 floods, then 2 without service
  }
}

// Scenario: one service is called by peers that only an attribute names, a new one each time, at the shard's
// cap and at the owner's; then other services have spans.
// Guarantees: the callers are charged to the service that was called, which keeps its name beyond the cap;
// the others have their series; the list of who makes most names it, and no caller.
TEST(SeriesOwnerTest, InventedCallersAreChargedToWhomTheyCall) {
  for (const bool at_owner : {false, true}) {
    const size_t many = 100'000, few = 500;
    SeriesOwner owner({.shards = 1, .max_series = at_owner ? few : many}, kDefaults);
    SeriesTable table({.max_series = at_owner ? many : few}, kDefaults, 3);
    const uint32_t victim = table.InternName("victim");
    for (int i = 0; i < 6000; ++i) {
      const uint32_t caller = table.InternName("caller" + std::to_string(i));
      table.CountEdge(table.EdgeRow(RowKind::kEdgeServer, caller, victim, Connection::kVirtualNode, false, 0,
                                    true, {}, 0),
                      kMs);
      table.ReleaseName(caller);
    }
    for (int service = 0; service < 30; ++service) {
      for (const char* name : {"a", "b", "c"}) Count(table, {"s" + std::to_string(service), name, 2, 0, kMs});
    }
    owner.Merge(table.TakeDelta(20), 0);
    owner.Flush();
    const RecordingWriter page = Page(owner);
    double calls = 0, named = 0;
    size_t spans = 0;
    for (const auto& [key, point] : page.points) {
      if (key.starts_with("traces_service_graph_request{")) {
        calls += point.value;
        EXPECT_NE(key.find("server=victim"), std::string::npos) << key;
        if (key.find("metric_overflow") == std::string::npos) named += point.value;
      }
      if (key.starts_with("traces_spanmetrics_calls{")) spans += key.find("span_name=") != std::string::npos;
    }
    EXPECT_EQ(calls, 6000);
    EXPECT_EQ(named, few / 2 + few / 2 / 64);
    EXPECT_EQ(spans, 90u);
    const SeriesOwner::Cardinality most = owner.WhoMakesSeries(3);
    ASSERT_FALSE(most.services.empty());
    EXPECT_EQ(most.services[0].name, "victim");
    EXPECT_EQ(most.services[1].count, 3u) << most.services[1].name;
    EXPECT_EQ(most.labels[0].name, "client");
  }
}

// Scenario: the label budget is spent before the series cap.
// Guarantees: the rest overflows as beyond the cap.
TEST(SeriesTableTest, LabelBytesAreBounded) {
  SeriesTable table({.max_label_bytes = 2000}, kDefaults, 1);
  for (int i = 0; i < 100; ++i) Count(table, {"s", std::string(99, 'x') + std::to_string(i), 2, 0, kMs});
  EXPECT_LE(table.series(), 21u);
  EXPECT_GE(table.series(), 19u);
}

// Scenario: a span name beyond max_value_bytes that would be cut inside a character.
// Guarantees: it is cut before that character, and counted.
TEST(SeriesTableTest, LongNamesAreCutAtACharacter) {
  SeriesTable table({.max_value_bytes = 8}, kDefaults, 1);
  const SeriesTable::Id id = Count(table, {"s", "1234567\xc3\xa9", 2, 0, kMs});
  EXPECT_EQ(table.dims(id).name, "1234567");
  EXPECT_EQ(table.TakeDelta(20)->labels_truncated, 1u);
}

// Scenario: exemplars of one bucket in every relation to each other.
// Guarantees: a failing trace beats a healthy one, then the slower span wins; after 15 s anything new does;
// other buckets are unaffected. Of all buckets' the counter has the one that wins by the same order.
TEST(SeriesTableTest, KeepsTheMostTellingExemplar) {
  SeriesOwner owner({.shards = 1}, kDefaults);
  SeriesTable table({}, kDefaults, 1);
  const SeriesTable::Id id = Count(table, {"s", "op", 2, 0, kMs});
  const std::string key = "{service=s,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET}";
  uint64_t tick = 0;
  const auto offer = [&](uint64_t ms, uint64_t span, bool failing) {
    table.Offer(id, {ms * kMs, 1000 + span, {1, span}, span, failing});
  };
  const auto hand_over = [&](uint64_t at) {
    owner.Merge(table.TakeDelta(tick = at), 0);
    const RecordingWriter page = Page(owner);
    std::map<size_t, uint64_t> spans;
    for (const auto& [bucket, exemplar] : page.points.at("traces_spanmetrics_latency" + key).exemplars) {
      spans[bucket] = exemplar.span;
    }
    return spans;
  };
  using Spans = std::map<size_t, uint64_t>;
  const auto counted = [&] {
    return Page(owner).points.at("traces_spanmetrics_calls" + key).exemplars.at(0).span;
  };
  table.SetNow(10);
  offer(5, 1, false);
  offer(7, 2, false);
  offer(6, 3, false);
  EXPECT_EQ(hand_over(20), (Spans{{2, 2}}));
  EXPECT_EQ(counted(), 2u);
  offer(100, 5, false);
  EXPECT_EQ(hand_over(30), (Spans{{2, 2}, {6, 5}}));
  EXPECT_EQ(counted(), 5u) << "the slower";
  offer(5, 4, true);
  EXPECT_EQ(hand_over(40), (Spans{{2, 4}, {6, 5}}));
  EXPECT_EQ(counted(), 4u) << "the failing";
  table.SetNow(41);
  offer(8, 6, false);  // slower, but healthy
  EXPECT_EQ(hand_over(60), (Spans{{2, 4}, {6, 5}}));
  table.SetNow(41 + SeriesTable::kExemplarTicks);
  offer(5, 7, false);
  EXPECT_EQ(hand_over(400), (Spans{{2, 7}, {6, 5}}));
  const RecordingWriter page = Page(owner);
  EXPECT_EQ(page.points.at("traces_spanmetrics_calls" + key).exemplars.at(0).span, 7u);
  EXPECT_EQ(page.points.at("traces_spanmetrics_latency" + key).exemplars.at(6).value, 0.1);
}

// What the page shows of one series in native histograms: the span of each exemplar by its bucket.
std::map<int32_t, uint64_t> NativeExemplars(const SeriesOwner& owner, const std::string& key,
                                            int32_t* schema) {
  const RecordingWriter page = Page(owner);
  const auto& point = page.points.at(key);
  *schema = point.schema;
  std::map<int32_t, uint64_t> spans;
  uint64_t last = 0;
  for (const auto& exemplar : point.native_exemplars) {
    EXPECT_LE(last, exemplar.time_ns);
    last = exemplar.time_ns;
    const int32_t bucket = exemplar.value == 0 ? -10'000 : NativeIndex(exemplar.value, point.schema);
    EXPECT_TRUE(spans.emplace(bucket, exemplar.span).second) << "two of bucket " << bucket;
  }
  return spans;
}

// Scenario: native histograms alone; spans of every eighth of an octave within four octaves, then a few of
// one bucket, and one of no duration. Guarantees: every bucket that something is in has an exemplar, by the
// same order as classic buckets; screening wants what would be taken, and nothing else of a bucket that has
// better.
TEST(SeriesTableTest, NativeBucketsHaveExemplars) {
  for (const auto dialect : {DeriveOptions::Dialect::kTempo, DeriveOptions::Dialect::kOtel}) {
    DeriveOptions derive;
    derive.histograms = DeriveOptions::Histograms::kNative;
    derive.dialect = dialect;
    const bool tempo = derive.tempo();
    const double unit = tempo ? 1e9 : 1e6;
    const std::string key = tempo ? "traces_spanmetrics_latency{service=s,span_kind=SPAN_KIND_SERVER,span_"
                                    "name=op,status_code=STATUS_"
                                    "CODE_UNSET}"
                                  : "traces_span_metrics_duration_milliseconds{service_name=s,span_kind=SPAN_"
                                    "KIND_SERVER,span_name=op,"
                                    "status_code=STATUS_CODE_UNSET}";
    SeriesOwner owner({.shards = 1}, derive);
    SeriesTable table({}, derive, 1);
    const int32_t first = tempo ? -40 : 40;
    const auto duration = [&](int32_t bucket, double within) {
      return static_cast<uint64_t>(std::exp2((bucket - 1 + within) / 8) * unit);
    };
    SeriesTable::Id id = 0;
    const auto offer = [&](uint64_t ns, uint64_t span, bool failing = false) {
      id = Count(table, {"s", "op", 2, 0, ns});
      EXPECT_TRUE(table.Wants(id, ns, failing));
      table.Offer(id, {ns, 1000 + span, {1, span}, span, failing});
    };
    table.SetNow(10);
    std::map<int32_t, uint64_t> expected;
    for (int32_t i = 0; i < 31; ++i) {
      offer(duration(first + i, 0.5), 100 + static_cast<uint64_t>(i));
      expected[first + i] = 100 + static_cast<uint64_t>(i);
    }
    offer(0, 1);
    expected[-10'000] = 1;
    EXPECT_FALSE(table.Wants(id, duration(first + 3, 0.4), false));
    offer(duration(first + 3, 0.6), 7);
    offer(duration(first + 5, 0.1), 8, true);
    expected[first + 3] = 7;
    expected[first + 5] = 8;
    owner.Merge(table.TakeDelta(20), 0);
    int32_t schema = 0;
    EXPECT_EQ(NativeExemplars(owner, key, &schema), expected);
    EXPECT_EQ(schema, 3);
    EXPECT_FALSE(table.Wants(id, duration(first + 5, 0.9), false));
    EXPECT_TRUE(table.Wants(id, duration(first + 5, 0.9), true));
    // Buckets that share a bar: each stays wanted.
    EXPECT_TRUE(table.Wants(id, duration(first + 5 - 63, 0.5), false));
    table.Offer(id, {duration(first + 5 - 63, 0.5), 5000, {1, 9}, 9, false});
    EXPECT_TRUE(table.Wants(id, duration(first + 5, 0.1), false));
  }
}

// Scenario: native histograms alone; one bucket has a single slow span, hundreds of others are busy all the
// time, over shards and hand-overs. Guarantees: a series has no more than its bound, the classic range of the
// slow one keeps it, and the latest are there; where the resolution has halved no bucket has two.
TEST(SeriesTableTest, NativeExemplarsAreBounded) {
  DeriveOptions derive;
  derive.histograms = DeriveOptions::Histograms::kNative;
  const std::string key =
      "traces_spanmetrics_latency{service=s,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_"
      "UNSET}";
  SeriesOwner owner({.shards = 2}, derive);
  SeriesTable one({}, derive, 1), other({}, derive, 1);
  uint64_t span = 0;
  const auto offer = [&](SeriesTable& table, double seconds) {
    const auto ns = static_cast<uint64_t>(seconds * 1e9);
    const SeriesTable::Id id = Count(table, {"s", "op", 2, 0, ns});
    ++span;
    table.Offer(id, {ns, 1000 + span, {1, span}, span, false});
  };
  offer(one, 3.3);
  for (uint64_t tick = 20; tick <= 400; tick += 20) {
    one.SetNow(tick - 1);
    other.SetNow(tick - 1);
    for (int i = 0; i < 90; ++i) offer(i % 2 != 0 ? one : other, std::exp2(-12.0 + (i + 0.5) / 8));
    owner.Merge(one.TakeDelta(tick), 0);
    owner.Merge(other.TakeDelta(tick), 1);
  }
  int32_t schema = 0;
  const std::map<int32_t, uint64_t> shown = NativeExemplars(owner, key, &schema);
  EXPECT_EQ(schema, 3);
  EXPECT_EQ(shown.size(), ExemplarBuckets::kMostNative);
  EXPECT_EQ(shown.at(NativeIndex(3.3, 3)), 1u);
  // Each doubling that a classic histogram tells apart has one.
  for (int octave = -8; octave < -1; ++octave) {
    const auto at = shown.lower_bound(octave * 8 + 1);
    ASSERT_NE(at, shown.end());
    EXPECT_LE(at->first, octave * 8 + 8);
  }
  for (int i = 0; i < 300; ++i) offer(one, std::exp2(-29.0 + (i + 0.5) / 8));
  owner.Merge(one.TakeDelta(420), 0);
  owner.Merge(other.TakeDelta(420), 1);
  EXPECT_LE(NativeExemplars(owner, key, &schema).size(), ExemplarBuckets::kMostNative);
  EXPECT_EQ(schema, 2);
}

// Scenario: other names for the labels of exemplars.
// Guarantees: counters, classic and native buckets have them.
TEST(SeriesOwnerTest, ExemplarLabelsHaveTheirNames) {
  DeriveOptions derive;
  derive.histograms = DeriveOptions::Histograms::kBoth;
  derive.exemplar_labels = {"traceID", ""};
  SeriesOwner owner({.shards = 1}, derive);
  SeriesTable table({}, derive, 1);
  table.Offer(Count(table, {"s", "op", 2, 0, kMs}), {kMs, 5, {1, 2}, 3, false});
  owner.Merge(table.TakeDelta(20), 0);
  std::vector<RecordingWriter::KeptExemplar> found;
  for (const auto& [key, point] : Page(owner).points) {
    for (const auto& [bucket, exemplar] : point.exemplars) found.push_back(exemplar);
    found.insert(found.end(), point.native_exemplars.begin(), point.native_exemplars.end());
  }
  EXPECT_EQ(found.size(), 3u);
  for (const auto& exemplar : found) {
    EXPECT_EQ(exemplar.trace_label, "traceID");
    EXPECT_EQ(exemplar.span_label, "");
  }
}

// Scenario: more exemplars than there is room for, in the shard and in the owner.
// Guarantees: both refuse and count, and go on counting spans.
TEST(SeriesOwnerTest, ExemplarsAreBounded) {
  SeriesOwner owner({.shards = 1, .max_exemplars = 5}, kDefaults);
  SeriesTable table({.max_exemplars = 10}, kDefaults, 1);
  for (uint64_t i = 0; i < 15; ++i) {
    const SeriesTable::Id id = Count(table, {"s", "op" + std::to_string(i), 2, 0, kMs});
    table.Offer(id, {kMs, i, {1, i}, i, false});
  }
  owner.Merge(table.TakeDelta(20), 0);
  EXPECT_EQ(owner.stats().exemplars, 5u);
  EXPECT_EQ(owner.stats().exemplars_refused, 5u + 5u);
  EXPECT_EQ(Total(Page(owner), "traces_spanmetrics_calls"), 15u);
}

// Scenario: series that begin in different hand-overs.
// Guarantees: a start time is the wall time of the hand-over before the first span, so no increase precedes
// it.
TEST(SeriesOwnerTest, StartTimesFollowTheFirstHandOver) {
  SeriesOwner owner({.shards = 1}, kDefaults);
  owner.Anchor(100, 1'700'000'000'000'000'000);
  SeriesTable table({}, kDefaults, 1);
  owner.Merge(table.TakeDelta(100), 0);
  Count(table, {"s", "a", 2, 0, kMs});
  owner.Merge(table.TakeDelta(120), 0);
  Count(table, {"s", "b", 2, 0, kMs});
  owner.Merge(table.TakeDelta(140), 0);
  const RecordingWriter page = Page(owner);
  const auto created = [&](const std::string& name) {
    return page.points
        .at("traces_spanmetrics_calls{service=s,span_kind=SPAN_KIND_SERVER,span_name=" + name +
            ",status_code=STATUS_CODE_UNSET}")
        .created_ns;
  };
  EXPECT_EQ(created("a"), 1'700'000'000'000'000'000u);
  EXPECT_EQ(created("b"), 1'700'000'001'000'000'000u);
}

// Scenario: kinds and statuses outside their enums, and a resource without service.name.
// Guarantees: they count as unspecified and unset; there is no service label.
TEST(SeriesOwnerTest, OddDimensions) {
  SeriesOwner owner({.shards = 1}, kDefaults);
  SeriesTable table({}, kDefaults, 1);
  Count(table, {"", "op", 77, 9, kMs});
  owner.Merge(table.TakeDelta(20), 0);
  EXPECT_TRUE(
      Page(owner).points.contains("traces_spanmetrics_calls{span_kind=SPAN_KIND_UNSPECIFIED,span_name=op,"
                                  "status_code=STATUS_CODE_UNSET}"));
}

}  // namespace
}  // namespace braid::correlate
