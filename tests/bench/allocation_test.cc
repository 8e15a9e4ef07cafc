// Allocations are counted by a malloc hook, so this is no place for sanitizers (CMakeLists.txt leaves it out
// there).

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>

#include "tests/bench/corpus.h"
#include "tests/bench/product_kernel.h"

namespace {

// Of this thread; constant initialisation, so that it is safe before main().
thread_local uint64_t t_allocations = 0;

}  // namespace

// glibc's own entry points: what the hooks below replace in this program.
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier)
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* data, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
// NOLINTEND(bugprone-reserved-identifier)

void* malloc(size_t size) {
  ++t_allocations;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  ++t_allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* data, size_t size) {
  ++t_allocations;
  return __libc_realloc(data, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  ++t_allocations;
  return __libc_memalign(alignment, size);
}
}

namespace braid::bench {
namespace {

constexpr size_t kWindow = size_t{1} << 16;
constexpr uint32_t kBatches = 40;
constexpr uint64_t kPasses = 8;

class AllocationTest : public testing::Test {
 protected:
  AllocationTest() {
    CorpusSpec spec;
    spec.batches = kBatches;
    corpora_ = MakeCorpora(spec);
  }

  void Lend() {
    auto derive = std::make_shared<correlate::DeriveOptions>();
    derive->lend.enabled = true;
    kernel_ = std::make_unique<ProductKernel>(
        ProductKernel::Options{.window = kWindow, .settle_ticks = 4, .derive = derive});
  }

  // One pass over the requests with fresh trace IDs, time passing between them. Returns the items.
  uint64_t Pass(bool spans, bool logs) {
    ++pass_;
    uint64_t items = 0;
    for (size_t i = 0; i < kBatches; ++i) {
      for (Corpus* corpus : {&corpora_.traces, &corpora_.logs}) {
        if (corpus->signal == Signal::kTraces ? !spans : !logs) continue;
        CorpusBatch& batch = corpus->batches[i];
        batch.Salt(pass_, 0);
        const int64_t taken = kernel_->Take(corpus->signal, kernel_->Receive(batch.payload));
        EXPECT_EQ(taken, batch.items);
        items += batch.items;
      }
      kernel_->Tick(1);
    }
    return items;
  }

  // Allocations per item, but for one allowed to each ERROR log of a trace (its message is kept for the
  // span's stamp), once the window has wrapped several times and every table and pool has its size.
  double PerItem(bool spans, bool logs) {
    for (uint64_t items = 0; items < 6 * kWindow;) items += Pass(spans, logs);
    const uint64_t encoded = kernel_->encoded();
    const uint64_t before = t_allocations;
    uint64_t items = 0;
    for (uint64_t i = 0; i < kPasses; ++i) items += Pass(spans, logs);
    const uint64_t allocations = t_allocations - before;
    const uint64_t allowed = logs ? kPasses * corpora_.logs.stats.errors : 0;
    EXPECT_GT(kernel_->encoded() - encoded, items / 2) << "items must really have gone all the way";
    RecordProperty("allocations", std::to_string(allocations));
    RecordProperty("items", std::to_string(items));
    return static_cast<double>(allocations - std::min(allocations, allowed)) / static_cast<double>(items);
  }

  Corpora corpora_;
  std::unique_ptr<ProductKernel> kernel_ =
      std::make_unique<ProductKernel>(ProductKernel::Options{.window = kWindow, .settle_ticks = 4});
  uint64_t pass_ = 0;
};

// Scenario: malloc, new and a vector that grows.
// Guarantees: the hook counts them; without this the tests below could not fail.
TEST_F(AllocationTest, CountsAllocations) {
  const uint64_t before = t_allocations;
  void* volatile raw = std::malloc(10);
  std::free(raw);
  auto* volatile object = new int(1);
  delete object;
  EXPECT_EQ(t_allocations - before, 2u);
}

// Scenario: spans, decoded, folded, decided and encoded, in steady state.
// Guarantees: under one allocation for a hundred spans: what is left is per request and per Chunk.
TEST_F(AllocationTest, SpansAllocateNothing) { EXPECT_LT(PerItem(true, false), 0.01); }

// Scenario: the same where spans are chosen as exemplars of histograms that arrive without.
// Guarantees: the same; that some are chosen.
TEST_F(AllocationTest, LendingExemplarsAllocatesNothing) {
  Lend();
  EXPECT_LT(PerItem(true, false), 0.01);
  EXPECT_GT(kernel_->candidates(), 0u);
}

// Scenario: nothing is lent, which is the default.
// Guarantees: no span is chosen.
TEST_F(AllocationTest, NothingIsChosenByDefault) {
  PerItem(true, false);
  EXPECT_EQ(kernel_->candidates(), 0u);
}

// Scenario: the same with logs, half of which belong to the spans.
// Guarantees: the same, but for one allocation for an ERROR log of a trace.
TEST_F(AllocationTest, LogsAllocateNothing) { EXPECT_LT(PerItem(true, true), 0.01); }

}  // namespace
}  // namespace braid::bench
