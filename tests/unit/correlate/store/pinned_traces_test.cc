#include <gmock/gmock.h>

#include <map>
#include <random>
#include <string>

#include "base/wire.h"
#include "correlate/store/chunk_store.h"

namespace braid::correlate {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// One item as a receiver would see it: what it belongs to, and its bytes.
struct Seen {
  Signal signal = Signal::kTraces;
  std::string resource;
  std::string scope;
  std::string item;
  friend auto operator<=>(const Seen&, const Seen&) = default;
};

class PinnedTracesTest : public testing::Test {
 protected:
  struct Spec {
    uint64_t trace = 0;
    std::string item;
    int resource = 0;
    int scope = 0;
  };

  static std::string Named(uint32_t field, const std::string& name) {
    std::string out;
    wire::Writer w(&out);
    w.Bytes(field, name);
    return out;
  }

  // A Chunk as ChunkBuilder makes them: items of one resource and scope side by side.
  ChunkPtr Make(uint64_t tick, Signal signal, const std::vector<Spec>& specs, uint32_t tenant = 0) {
    auto chunk = std::make_shared<Chunk>();
    chunk->tick = tick;
    chunk->signal = signal;
    chunk->tenant = tenant;
    std::map<int, std::map<int, std::vector<const Spec*>>> grouped;
    for (const Spec& spec : specs) grouped[spec.resource][spec.scope].push_back(&spec);
    std::string bytes;
    wire::Writer w(&bytes);
    for (const auto& [resource, scopes] : grouped) {
      const size_t resource_at = w.Begin(1);
      const std::string header = Named(1, "resource " + std::to_string(resource));
      const ByteRange resource_range{static_cast<uint32_t>(bytes.size()),
                                     static_cast<uint32_t>(header.size())};
      bytes += header;
      for (const auto& [scope, items] : scopes) {
        const size_t scope_at = w.Begin(2);
        const std::string name = Named(1, "scope " + std::to_string(scope));
        const ByteRange scope_range{static_cast<uint32_t>(bytes.size()), static_cast<uint32_t>(name.size())};
        bytes += name;
        chunk->groups.push_back({.resource = resource_range,
                                 .scope = scope_range,
                                 .first_item = static_cast<uint32_t>(chunk->items.size()),
                                 .item_count = static_cast<uint32_t>(items.size()),
                                 .resource_key = static_cast<uint64_t>(resource) + 1});
        for (const Spec* spec : items) {
          const size_t from = bytes.size();
          w.Bytes(2, spec->item);
          chunk->items.push_back({.trace_lo = spec->trace,
                                  .offset = static_cast<uint32_t>(from),
                                  .size = static_cast<uint32_t>(bytes.size() - from),
                                  .group = static_cast<uint32_t>(chunk->groups.size() - 1)});
          ++chunk->count;
        }
        w.End(scope_at);
      }
      w.End(resource_at);
    }
    chunk->bytes = slabs_.TakeUnbounded(bytes.size());
    chunk->bytes.Append(bytes);
    return chunk;
  }

  // Of one trace, `size` bytes of content.
  ChunkPtr Big(uint64_t tick, uint64_t trace, size_t size) {
    return Make(tick, Signal::kTraces, {{trace, std::string(size, static_cast<char>('a' + trace % 26))}});
  }

  // Walks a whole Chunk as a receiver would; its directory has to say the same.
  static std::vector<Seen> Parse(const Chunk& chunk) {
    std::vector<Seen> seen;
    size_t at = 0;
    wire::Cursor request(chunk.view());
    while (request.Next()) {
      EXPECT_EQ(request.field().number, 1u);
      std::string resource;
      for (wire::Cursor r(request.field().bytes); r.Next();) {
        if (r.field().number == 1) resource = r.field().bytes;
        if (r.field().number != 2) continue;
        std::string scope;
        for (wire::Cursor s(r.field().bytes); s.Next();) {
          if (s.field().number == 1) scope = s.field().bytes;
          if (s.field().number != 2) continue;
          if (at >= chunk.items.size()) {
            ADD_FAILURE() << "the directory ends early";
            return seen;
          }
          const ChunkItem& item = chunk.items[at++];
          const ChunkGroup& group = chunk.groups[item.group];
          EXPECT_EQ(s.field().bytes, chunk.ItemBytes(item));
          EXPECT_EQ(chunk.view(group.resource), Named(1, resource));
          EXPECT_EQ(chunk.view(group.scope), Named(1, scope));
          seen.push_back({chunk.signal, resource, scope, std::string(s.field().bytes)});
        }
      }
    }
    EXPECT_TRUE(request.ok());
    EXPECT_EQ(at, chunk.items.size());
    uint64_t count = 0;
    uint32_t in_groups = 0;
    for (const ChunkItem& item : chunk.items) count += item.count;
    for (const ChunkGroup& group : chunk.groups) in_groups += group.item_count;
    EXPECT_EQ(chunk.count, count);
    EXPECT_EQ(in_groups, chunk.items.size());
    return seen;
  }

  // All that the store has, sorted.
  static std::vector<Seen> All(const ChunkStore& store) {
    std::vector<Seen> all;
    for (const ChunkPtr& chunk : store.Snapshot()) {
      for (Seen& one : Parse(*chunk)) all.push_back(std::move(one));
    }
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all.size(), store.items());
    return all;
  }
  static size_t Found(const ChunkStore& store, uint64_t trace) {
    return FindTrace(store.Snapshot(), trace).size();
  }

  SlabPool slabs_{{}};
};

// Scenario: spans and logs of two traces, of several resources and scopes, leave; one of the traces is
// pinned. Guarantees: all items of that one stay, with their bytes, resource and scope, in valid requests;
// nothing else.
TEST_F(PinnedTracesTest, APinnedTraceOutlivesItsChunks) {
  ChunkStore store(64 << 10, slabs_);
  store.SetPins(std::vector<uint64_t>{7}, 1);
  store.Add(
      Make(1, Signal::kTraces, {{7, "s1", 0, 0}, {8, "other", 0, 0}, {7, "s2", 1, 0}, {7, "s3", 1, 1}}));
  store.Add(Make(2, Signal::kLogs, {{7, "l1", 0, 0}, {8, "other", 2, 0}, {0, "plain", 0, 0}}));
  store.Add(Make(3, Signal::kTraces, {{7, "s4", 1, 1}, {9, "other", 1, 1}}));
  for (uint64_t tick = 4; tick < 40; ++tick) store.Add(Big(tick, 100 + tick, 4000));
  EXPECT_GT(store.horizon_tick(), 4u);
  std::vector<Seen> pinned;
  for (const Seen& seen : All(store)) {
    if (seen.item.size() < 100) pinned.push_back(seen);
  }
  EXPECT_EQ(pinned, (std::vector<Seen>{{Signal::kTraces, "resource 0", "scope 0", "s1"},
                                       {Signal::kTraces, "resource 1", "scope 0", "s2"},
                                       {Signal::kTraces, "resource 1", "scope 1", "s3"},
                                       {Signal::kTraces, "resource 1", "scope 1", "s4"},
                                       {Signal::kLogs, "resource 0", "scope 0", "l1"}}));
  EXPECT_EQ(store.pin_stats().traces, 1u);
  EXPECT_EQ(CountAbsent(store.Snapshot(), std::vector<uint64_t>{7, 8}), 1u);

  // What was grouped twice is grouped once: resource 1, scope 1 of two Chunks.
  size_t groups = 0;
  for (const ChunkPtr& chunk : store.Snapshot()) {
    for (const ChunkGroup& group : chunk->groups)
      groups += chunk->signal == Signal::kTraces && chunk->view(group.scope) == Named(1, "scope 1") ? 1 : 0;
  }
  EXPECT_EQ(groups, 1u);
}

// Scenario: Chunks of one request that shares its body, as it came, with lengths that are not minimal.
// Guarantees: the pinned trace's bytes are kept in the same way, and the request is let go.
TEST_F(PinnedTracesTest, WholeRequestsAreLetGo) {
  BatchPool batches;
  ChunkStore store(32 << 10, slabs_);
  store.SetPins(std::vector<uint64_t>{7}, 1);
  {
    const ChunkPtr plain = Make(1, Signal::kTraces, {{7, "s1"}, {8, std::string(6000, 'x')}});
    BatchRef batch = batches.Take();
    batch.mutable_batch().body = slabs_.TakeUnbounded(plain->view().size());
    batch.mutable_batch().body.Append(plain->view());
    auto whole = std::make_shared<Chunk>();
    whole->tick = 1;
    whole->whole = batch;
    whole->items = plain->items;
    whole->groups = plain->groups;
    whole->count = plain->count;
    store.Add(whole);
  }
  for (uint64_t tick = 2; tick < 40; ++tick) store.Add(Big(tick, 100 + tick, 4000));
  EXPECT_EQ(Found(store, 7), 1u);
  EXPECT_EQ(Found(store, 8), 0u);
  EXPECT_EQ(slabs_.used_bytes(), store.bytes());
  All(store);
}

// Scenario: far more is pinned than a quarter of the store.
// Guarantees: the bounds hold at every moment, those pinned longest leave first, whole, and are counted; the
// rest stays.
TEST_F(PinnedTracesTest, TheLongestPinnedLeaveFirst) {
  constexpr size_t kMax = 256 << 10;
  ChunkStore store(kMax, slabs_);
  std::vector<uint64_t> pins;
  for (uint64_t trace = 1; trace <= 200; ++trace) {
    pins.push_back(trace);
    store.SetPins(pins, trace);  // one more each time
    store.Add(Big(trace, trace, 1000));
    store.Add(Make(trace, Signal::kLogs, {{trace, "log"}}));
    EXPECT_LE(store.bytes(), kMax);
    EXPECT_LE(store.pin_stats().bytes, store.max_pinned_bytes());
  }
  EXPECT_EQ(slabs_.used_bytes(), store.bytes());
  EXPECT_GT(store.pin_stats().evicted, 50u);
  // Of the oldest nothing, of the newer ones everything: no trace is there in half.
  size_t gone = 0;
  bool seen = false;
  for (uint64_t trace = 1; trace <= 200; ++trace) {
    const size_t found = Found(store, trace);
    EXPECT_THAT(found, testing::AnyOf(0u, 2u)) << trace;
    if (found == 0) ++gone;
    EXPECT_FALSE(seen && found == 0) << trace;
    seen |= found != 0;
  }
  EXPECT_EQ(gone, store.pin_stats().evicted);
  EXPECT_GE(store.pin_stats().traces, 30u);
  EXPECT_EQ(CountAbsent(store.Snapshot(), pins), gone);
  All(store);
}

// Scenario: memory is short, step by step.
// Guarantees: everything else leaves before the first pinned trace does; of those the longest pinned leave
// first; in the end everything can go.
TEST_F(PinnedTracesTest, SurvivorsLeaveLast) {
  ChunkStore store(256 << 10, slabs_);
  store.SetPins(std::vector<uint64_t>{1, 2}, 1);
  store.Add(Big(1, 1, 10'000));
  store.Add(Big(1, 2, 10'000));
  for (uint64_t tick = 2; tick < 12; ++tick) store.Add(Big(tick, 100 + tick, 10'000));
  store.ShrinkTo(40'000);
  EXPECT_EQ(Found(store, 1) + Found(store, 2), 2u);
  EXPECT_LE(store.chunks(), 2u);
  store.ShrinkTo(16'000);
  EXPECT_EQ(store.chunks(), 0u);
  EXPECT_EQ(Found(store, 1), 0u);
  EXPECT_EQ(Found(store, 2), 1u);
  EXPECT_EQ(store.pin_stats().evicted, 1u);
  store.ShrinkTo(0);
  EXPECT_EQ(store.bytes(), 0u);
  EXPECT_EQ(store.items(), 0u);
  EXPECT_EQ(slabs_.used_bytes(), 0u);
}

// Scenario: an exemplar is replaced by another, again and again.
// Guarantees: the traces that nothing points to any more make room before any that is pinned, and none is
// counted as lost.
TEST_F(PinnedTracesTest, WhatNothingPointsToMakesRoom) {
  ChunkStore store(256 << 10, slabs_);
  for (uint64_t trace = 1; trace <= 500; ++trace) {
    // The first stays shown; the second exemplar changes.
    store.SetPins(std::vector<uint64_t>{1, trace}, trace);
    store.Add(Big(trace, trace, 2000));
    for (int i = 0; i < 3; ++i) store.Add(Big(trace, 1000 + trace, 2000));
    ASSERT_EQ(Found(store, 1), 1u);
  }
  EXPECT_EQ(store.pin_stats().evicted, 0u);
  EXPECT_LE(store.pin_stats().bytes, store.max_pinned_bytes());
}

// Scenario: traces are offered before any list names them; some are handed over, some not; votes.
// Guarantees: each is pinned until a list is new enough to have it, and not longer.
TEST_F(PinnedTracesTest, OffersArePinnedUntilAListCouldHaveThem) {
  ChunkStore store(32 << 10, slabs_);
  const auto flood = [&] {
    for (int i = 0; i < 20; ++i) store.Add(Big(1, 1000, 4000));
  };
  const auto there = [&] {
    std::vector<uint64_t> traces;
    for (uint64_t trace = 1; trace <= 3; ++trace) {
      if (Found(store, trace) != 0) traces.push_back(trace);
    }
    return traces;
  };
  store.Offer(1);
  store.Offer(2);
  store.Vote(3, 100);
  const auto add = [&] {
    for (uint64_t trace = 1; trace <= 3; ++trace) store.Add(Make(1, Signal::kTraces, {{trace, "span"}}));
  };
  add();
  flood();
  EXPECT_THAT(there(), ElementsAre(1, 2, 3));
  // A list from before says nothing of them.
  store.SetPins({}, 99);
  EXPECT_EQ(store.pin_stats().traces, 3u);
  store.HandOver(std::vector<uint64_t>{1}, 120);
  EXPECT_EQ(store.pin_stats().traces, 2u);
  store.SetPins({}, 119);
  EXPECT_EQ(store.pin_stats().traces, 2u);
  store.SetPins({}, 120);
  EXPECT_EQ(store.pin_stats().traces, 1u);
  store.SetPins({}, 100 + ChunkStore::kVoteTicks - 1);
  EXPECT_EQ(store.pin_stats().traces, 1u);
  store.SetPins({}, 100 + ChunkStore::kVoteTicks);
  EXPECT_EQ(store.pin_stats().traces, 0u);
  add();
  flood();
  // What comes of them now leaves like anything else.
  store.ShrinkTo(8 << 10);
  EXPECT_EQ(store.pin_stats().traces, 0u);
}

// Scenario: more traces are offered, voted for and listed than there may be pins.
// Guarantees: the bound holds, what is refused is counted, and there is room again when pins go.
TEST_F(PinnedTracesTest, PinsAreBounded) {
  ChunkStore store(32 << 10, slabs_);
  const uint64_t max = store.max_pins();
  for (uint64_t trace = 1; trace <= max + 10; ++trace) store.Offer(trace);
  store.Vote(max + 20, 1);
  EXPECT_EQ(store.pin_stats().refused, 11u);
  store.HandOver({}, 5);
  std::vector<uint64_t> list;
  for (uint64_t trace = 1; trace <= max; ++trace) list.push_back(trace + 5000);
  store.SetPins(list, 5);
  EXPECT_EQ(store.pin_stats().refused, 11u);
  store.Offer(1);
  EXPECT_EQ(store.pin_stats().refused, 12u);
  store.Offer(0);
  EXPECT_EQ(store.pin_stats().refused, 12u);
}

// Scenario: 400 random histories of Chunks, lists, offers and shortage, two tenants among them.
// Guarantees: always valid requests, never an item twice, nothing invented, all bounds; and a trace that was
// pinned before its items came, ever since, and for which there was room, is complete.
TEST_F(PinnedTracesTest, RandomHistories) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    std::mt19937_64 random(seed);
    ChunkStore store(64 << 10, slabs_);
    std::map<std::string, std::pair<uint64_t, Seen>> sent;  // by content, which is unique
    const uint64_t fixed = 5;
    size_t of_fixed = 0;
    uint64_t next = 0;
    for (uint64_t step = 1; step <= 60; ++step) {
      std::vector<uint64_t> pins = {fixed};
      for (uint64_t n = random() % 6; n > 0; --n) pins.push_back(1 + random() % 40);
      if (step == 1 || random() % 3 == 0) store.SetPins(pins, step);
      if (random() % 4 == 0) store.Offer(1 + random() % 40);
      if (random() % 9 == 0) store.HandOver(std::vector<uint64_t>{1 + random() % 40}, step);
      std::vector<Spec> specs;
      const Signal signal = random() % 3 == 0 ? Signal::kLogs : Signal::kTraces;
      const auto tenant = static_cast<uint32_t>(random() % 2);
      for (uint64_t n = 1 + random() % 20; n > 0; --n) {
        Spec spec;
        spec.trace = random() % 12 == 0 ? fixed : random() % 41;
        // (Of the fixed one little, so that there is always room.)
        spec.item =
            std::to_string(++next) + ":" + std::string(spec.trace == fixed ? 10 : random() % 700, 'x');
        spec.resource = static_cast<int>(random() % 3);
        spec.scope = static_cast<int>(random() % 2);
        if (spec.trace == fixed) ++of_fixed;
        sent[spec.item] = {spec.trace, Seen{signal, "resource " + std::to_string(spec.resource),
                                            "scope " + std::to_string(spec.scope), spec.item}};
        specs.push_back(std::move(spec));
      }
      store.Add(Make(step, signal, specs, tenant));
      ASSERT_LE(store.pin_stats().bytes, store.max_pinned_bytes());
      ASSERT_EQ(slabs_.used_bytes(), store.bytes());
    }
    const std::vector<Seen> all = All(store);
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_TRUE(sent.contains(all[i].item)) << seed;
      ASSERT_EQ(sent[all[i].item].second, all[i]) << seed;
      if (i == 0) continue;
      ASSERT_NE(all[i - 1].item, all[i].item) << seed;
    }
    if (store.pin_stats().evicted == 0) {
      ASSERT_EQ(Found(store, fixed), of_fixed) << seed;
    }
    store.ShrinkTo(0);
    ASSERT_EQ(slabs_.used_bytes(), 0u);
  }
}

}  // namespace
}  // namespace braid::correlate
