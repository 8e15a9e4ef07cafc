#include "correlate/store/chunk_store.h"

#include <gmock/gmock.h>

namespace braid::correlate {
namespace {

class ChunkStoreTest : public testing::Test {
 protected:
  ChunkPtr Make(uint64_t tick, const std::vector<uint64_t>& traces) {
    auto chunk = std::make_shared<Chunk>();
    chunk->tick = tick;
    chunk->bytes = slabs_.Take(4096);
    for (const uint64_t trace : traces) chunk->items.push_back({.trace_lo = trace});
    return chunk;
  }
  SlabPool slabs_{{}};
};

// Scenario: more Chunks than bytes allow.
// Guarantees: the oldest leave, the horizon says from when on everything is there, memory is given back.
TEST_F(ChunkStoreTest, TheOldestLeave) {
  ChunkStore store(3 * 4096, slabs_);
  EXPECT_EQ(store.horizon_tick(), 0u);
  for (uint64_t tick = 1; tick <= 5; ++tick) store.Add(Make(tick, {tick}));
  EXPECT_EQ(store.chunks(), 3u);
  EXPECT_EQ(store.items(), 3u);
  EXPECT_EQ(store.horizon_tick(), 3u);
  EXPECT_EQ(slabs_.used_bytes(), 3u * 4096);
  store.ShrinkTo(4096);
  EXPECT_EQ(store.horizon_tick(), 5u);
  store.ShrinkTo(0);
  EXPECT_EQ(store.horizon_tick(), ~uint64_t{0});
  EXPECT_EQ(slabs_.used_bytes(), 0u);
}

// Scenario: a trace's items lie in several Chunks; a snapshot outlives eviction.
// Guarantees: all of them are found, in order, and of no other trace; "no trace" finds nothing.
TEST_F(ChunkStoreTest, FindsEveryItemOfATrace) {
  ChunkStore store(2 * 4096, slabs_);
  store.Add(Make(1, {7, 8, 7}));
  store.Add(Make(2, {9, 7, 0}));
  const std::vector<ChunkPtr> snapshot = store.Snapshot();
  store.ShrinkTo(0);
  const std::vector<StoredItem> found = FindTrace(snapshot, 7);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].chunk->tick, 1u);
  EXPECT_EQ(found[2].chunk->tick, 2u);
  EXPECT_TRUE(FindTrace(snapshot, 0).empty());
  EXPECT_TRUE(FindTrace(snapshot, 6).empty());
}

}  // namespace
}  // namespace braid::correlate
