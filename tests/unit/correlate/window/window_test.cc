#include "correlate/window/window.h"

#include <gmock/gmock.h>

#include <map>
#include <random>

namespace braid::correlate {
namespace {

Window::Options Small(size_t capacity = 256) {
  Window::Options options;
  options.capacity = capacity;
  options.tombstones = 64;
  options.max_age_ticks = 100;
  return options;
}

// Scenario: durations over the whole range.
// Guarantees: exact below 134 ms, never larger than the truth, within 2^-26 of it.
TEST(RecordTest, PackedDurations) {
  for (const uint64_t ns : {uint64_t{0}, uint64_t{1}, uint64_t{2'000'000}, (uint64_t{1} << 27) - 1}) {
    EXPECT_EQ(UnpackDuration(PackDuration(ns)), ns);
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t ns = random() >> (6 + random() % 50);
    const uint64_t back = UnpackDuration(PackDuration(ns));
    ASSERT_LE(back, ns);
    ASSERT_LE(ns - back, ns >> 26);
  }
  EXPECT_GT(UnpackDuration(PackDuration(~uint64_t{0})), uint64_t{1} << 57);
}

// Scenario: more Records than the ring holds, then time passes.
// Guarantees: the oldest are retired first, each once; none older than max_age stays; the horizon says so.
TEST(WindowTest, RetiresByCountAndByAge) {
  Window window({}, Small());
  std::vector<Ordinal> retired;
  const auto retire = [&](Ordinal o) { retired.push_back(o); };
  for (uint32_t tick = 1; tick <= 300; ++tick) {
    window.Advance(tick, retire);
    window.Append({.span = tick}, retire);
  }
  EXPECT_LE(window.horizon_ticks(), 100u);
  EXPECT_GE(window.horizon_ticks(), 99u);
  for (size_t i = 0; i < retired.size(); ++i) ASSERT_EQ(retired[i], i + 1);
  EXPECT_EQ(retired.size() + window.count(), 300u);
  EXPECT_EQ(window.TickOf(window.head() - 1), 300u);
  EXPECT_EQ(window[window.floor()].span, window.TickOf(window.floor()));
  for (int i = 0; i < 1'000; ++i) window.Append({.span = 7}, retire);
  EXPECT_EQ(window.count(), 256u);
  window.Advance(500, retire);
  EXPECT_EQ(window.count(), 0u);
}

// Scenario: a full window's worth of keys at the intended load, twice over.
// Guarantees: each key finds the newest Record put under it, nothing finds a key never put, and losses are
// reported.
TEST(SpanIndexTest, FindsTheNewest) {
  constexpr size_t kCapacity = 6'000;
  SpanIndex index(kCapacity);
  std::mt19937_64 random(3);
  std::map<uint64_t, Ordinal> truth;
  std::vector<uint64_t> key_of(3 * kCapacity + 1);
  uint64_t lost = 0;
  Ordinal next = 1;
  const auto alive = [&](Ordinal o) { return next - o <= kCapacity; };
  for (size_t i = 0; i < 2 * kCapacity; ++i, ++next) {
    const uint64_t key = random();
    key_of[next] = key;
    lost += index.Put(key, 0, next, next, alive) ? 1 : 0;
    truth[key] = next;
  }
  uint64_t missed = 0;
  for (const auto& [key, ordinal] : truth) {
    if (!alive(ordinal)) continue;
    const Ordinal found = index.Find(key, [&](Ordinal o) { return alive(o) && key_of[o] == key; });
    if (found == 0)
      ++missed;
    else
      EXPECT_EQ(found, ordinal);
  }
  EXPECT_LE(missed, lost);
  EXPECT_LE(lost, kCapacity / 100) << "two choices should seldom overflow";
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t key = random();
    EXPECT_EQ(index.Find(key, [&](Ordinal o) { return alive(o) && key_of[o] == key; }), 0u);
  }
}

// Scenario: a key is put again with the place it was found at.
// Guarantees: it takes that place instead of a second one.
TEST(SpanIndexTest, ReplacesInPlace) {
  SpanIndex index(64);
  const auto all = [](Ordinal) { return true; };
  EXPECT_FALSE(index.Put(99, 0, 1, 1, all));
  EXPECT_FALSE(index.Put(99, 1, 2, 2, all));
  EXPECT_EQ(index.Find(99, [](Ordinal o) { return o == 1; }), 0u);
  EXPECT_EQ(index.Find(99, all), 2u);
}

// Scenario: traces die and their slots are reused; two share the low half of their ID.
// Guarantees: a decided one leaves a tombstone with its verdict and root, an undecided one none, and a
// tombstone is not taken for another trace with the same low half.
TEST(TraceTableTest, Tombstones) {
  TraceTable table({}, 16, 64);
  const auto dead = [](Ordinal) { return false; };
  const auto never = [](uint32_t) { FAIL() << "there is room"; };
  for (uint64_t i = 1; i <= 16; ++i) {
    const uint32_t at = table.Insert(TraceHash({}, 0, i), 0, {5, i}, 1, 1, dead, never);
    table[at].head = static_cast<Ordinal>(i);
    table[at].verdict = i % 2 == 0 ? Verdict::kKeep : Verdict::kUndecided;
    table[at].root_series = static_cast<uint32_t>(i);
    EXPECT_EQ(table.Find(TraceHash({}, 0, i), 0, {5, i}), at);
    EXPECT_EQ(table.Find(TraceHash({}, 0, i), 0, {0, i}), at) << "the 64-bit form";
    EXPECT_EQ(table.Find(TraceHash({}, 0, i), 0, {6, i}), TraceTable::kNone);
    EXPECT_EQ(table.Find(TraceHash({}, 1, i), 1, {5, i}), TraceTable::kNone) << "another tenant";
  }
  table.Insert(TraceHash({}, 0, 100), 0, {5, 100}, 2, 20, dead, never);
  for (uint64_t i = 1; i <= 16; ++i) {
    const Tombstone* stone = table.FindTombstone(TraceHash({}, 0, i), 0, {5, i});
    if (i % 2 == 1) {
      EXPECT_EQ(stone, nullptr);
      continue;
    }
    ASSERT_NE(stone, nullptr);
    EXPECT_EQ(stone->root_series, i);
    EXPECT_EQ(table.FindTombstone(TraceHash({}, 0, i), 0, {6, i}), nullptr);
    EXPECT_NE(table.FindTombstone(TraceHash({}, 0, i), 0, {0, i}), nullptr);
  }
}

}  // namespace
}  // namespace braid::correlate
