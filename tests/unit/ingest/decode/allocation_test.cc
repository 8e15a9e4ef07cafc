#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "ingest/decode/decoder.h"
#include "tests/support/otlp/samples.h"

namespace {
std::atomic<uint64_t> allocations{0};

void* Allocate(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}

void* AllocateAligned(size_t size, size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)) return p;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void* operator new(size_t size, std::align_val_t alignment) {
  return AllocateAligned(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return AllocateAligned(size, static_cast<size_t>(alignment));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace braid::test {
namespace {

// Scenario: requests decoded again and again, their Batches and Slices given back each time.
// Guarantees: in steady state one allocation a request (the vector of slices), whatever its number of items.
TEST(AllocationTest, NoneInSteadyState) {
  SlabPool slabs({.max_bytes = 64u << 20});
  BatchPool batches;
  SlicePool slices;
  ingest::Decoder decoder({.shards = 4, .seed = 3}, batches, slices, slabs, nullptr);
  for (const Signal signal : {Signal::kTraces, Signal::kLogs, Signal::kMetrics}) {
    std::mt19937_64 random(6);
    // Several random requests in a row are one larger request.
    std::string request;
    for (int i = 0; i < 400; ++i) request += RandomRequest(signal, random);
    Slab body = ToSlab(slabs, request);
    uint64_t items = 0;
    uint64_t counted = 0;
    for (int round = 0; round < 20; ++round) {
      const uint64_t before = allocations.load();
      Result<ingest::Submission> submission = decoder.Decode(signal, std::move(body), 0);
      ASSERT_TRUE(submission.ok());
      submission->first_error.clear();
      items = submission->items;
      body = std::move(submission->batch.mutable_batch().body);
      counted = allocations.load() - before;
    }
    EXPECT_GT(items, 500u);
    // The random IDs make some spans bad, and the first of them is put into words.
    const uint64_t for_words = 40;
    EXPECT_LE(counted, 1 + for_words) << SignalName(signal);
  }
}

}  // namespace
}  // namespace braid::test
