#include "base/slab.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace braid {
namespace {

constexpr size_t kMiB = 1 << 20;

// Scenario: sizes from nothing to beyond the largest class.
// Guarantees: a slab has at least the room asked for and at most half as much again (or the smallest class),
// its padding reads as zero, and the pool counts what it lent until it is back.
TEST(SlabTest, LendsWhatIsAskedFor) {
  SlabPool pool({.max_bytes = 1u << 30});
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{4096}, size_t{4097}, size_t{6145}, 3 * kMiB + 1, 64 * kMiB}) {
    Slab slab = pool.Take(size);
    ASSERT_TRUE(slab) << size;
    EXPECT_GE(slab.capacity(), size);
    EXPECT_LE(slab.capacity(), std::max<size_t>(4096, size + size / 2)) << size;
    EXPECT_EQ(pool.used_bytes(), slab.capacity());
    std::memset(slab.data(), 'x', slab.capacity());
    for (size_t i = 0; i < Slab::kPadding; ++i) ASSERT_EQ(slab.data()[slab.capacity() + i], 0);
    slab.Reset();
    EXPECT_FALSE(slab);
    EXPECT_EQ(pool.used_bytes(), 0u);
  }
}

// Scenario: more is asked for than may be lent; somebody gives back.
// Guarantees: Take() refuses and leaves the count alone, TakeUnbounded() does not, and what came back can be
// lent.
TEST(SlabTest, RefusesBeyondItsBound) {
  SlabPool pool({.max_bytes = kMiB});
  Slab first = pool.Take(kMiB / 2);
  Slab second = pool.Take(kMiB / 2);
  EXPECT_FALSE(pool.Take(1));
  EXPECT_EQ(pool.used_bytes(), kMiB);
  Slab anyway = pool.TakeUnbounded(4096);
  EXPECT_EQ(pool.used_bytes(), kMiB + 4096);
  anyway.Reset();
  second.Reset();
  EXPECT_TRUE(pool.Take(kMiB / 2));
}

// Scenario: a slab grows by appending, until the pool refuses.
// Guarantees: content survives each move; a refusal leaves it as it was.
TEST(SlabTest, GrowsAndKeepsItsContent) {
  SlabPool pool({.max_bytes = 4 * kMiB});
  Slab slab = pool.Take(16);
  std::string expected;
  while (slab.Reserve(1000)) {
    expected.append(1000, static_cast<char>('a' + expected.size() / 1000 % 26));
    slab.Append(std::string_view(expected).substr(expected.size() - 1000));
  }
  EXPECT_GT(expected.size(), kMiB);
  EXPECT_EQ(slab.view(), expected);
  Slab moved = std::move(slab);
  EXPECT_EQ(moved.view(), expected);
  moved.Reset();
  EXPECT_EQ(pool.used_bytes(), 0u);
}

// Scenario: the idle bytes are full of one size; the work goes over to another.
// Guarantees: idle memory stays within its bound, and after the first rounds the new size is served from it:
// the same mapping comes back, so that its pages need not be made again.
TEST(SlabTest, KeepsTheSizesThatAreInUse) {
  SlabPool pool({.max_bytes = 64 * kMiB, .max_idle_bytes = 4 * kMiB});
  {
    std::vector<Slab> old;
    for (int i = 0; i < 16; ++i) old.push_back(pool.Take(256 << 10));
  }
  EXPECT_EQ(pool.idle_bytes(), 4 * kMiB);
  const char* last = nullptr;
  for (int round = 0; round < 5; ++round) {
    Slab slab = pool.Take(kMiB);
    if (round > 0) {
      EXPECT_EQ(slab.data(), last);
    }
    last = slab.data();
    slab.Reset();
    EXPECT_LE(pool.idle_bytes(), 4 * kMiB);
    EXPECT_GE(pool.idle_bytes(), kMiB);
  }
  // Larger than all that may be idle: straight back to the system.
  pool.Take(8 * kMiB).Reset();
  EXPECT_LE(pool.idle_bytes(), 4 * kMiB);
}

// Scenario: four threads take, fill, grow and give back slabs of many sizes under a tight bound.
// Guarantees: no slab is lent twice at a time, nothing stays counted, idle memory stays within its bound.
TEST(SlabTest, ServesManyThreads) {
  SlabPool pool({.max_bytes = 8 * kMiB, .max_idle_bytes = kMiB});
  std::vector<std::thread> threads;
  for (unsigned id = 0; id < 4; ++id) {
    threads.emplace_back([&pool, id] {
      std::mt19937 random(id);
      std::vector<Slab> held(8);
      for (int i = 0; i < 4000; ++i) {
        Slab& slab = held[random() % held.size()];
        for (const char c : slab.view()) ASSERT_EQ(c, static_cast<char>('0' + id));
        slab = pool.Take(size_t{1} << random() % 19);
        if (!slab) continue;
        const size_t size = std::min<size_t>(slab.capacity(), 512);
        std::memset(slab.data(), static_cast<char>('0' + id), size);
        slab.set_size(size);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.used_bytes(), 0u);
  EXPECT_LE(pool.idle_bytes(), kMiB);
}

}  // namespace
}  // namespace braid
