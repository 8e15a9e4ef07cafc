#include <gmock/gmock.h>

#include <atomic>
#include <random>
#include <thread>

#include "correlate/model/inbox.h"
#include "tests/support/shard_harness.h"

namespace braid::test {
namespace {

constexpr uint32_t kShards = 3;

// A recorded history: requests and control records in one order.
struct Journal {
  struct Entry {
    InboxRecord::Kind kind;
    uint64_t value = 0;
    Signal signal = Signal::kTraces;
    std::string request;
  };
  std::vector<Entry> entries;
};

// A counter with an exemplar (opentelemetry-proto metrics.proto).
std::string MetricOf(const TraceId& trace, uint64_t salt) {
  std::string metric;
  wire::Writer w(&metric);
  w.Bytes(1, "m" + std::to_string(salt));
  const size_t sum = w.Begin(7);
  const size_t point = w.Begin(1);
  const size_t exemplar = w.Begin(5);
  w.Bytes(5, IdBytes(trace));
  w.End(exemplar);
  w.End(point);
  w.End(sum);
  return Request("s", {metric});
}

std::string Word(uint64_t n) { return {static_cast<char>('a' + n % 20), static_cast<char>('a' + n / 20)}; }

Journal RandomJournal(uint64_t seed) {
  std::mt19937_64 random(seed);
  Journal journal;
  uint64_t tick = 0;
  for (size_t i = 0; i < 80; ++i) {
    const uint64_t trace = 1 + random() % 20;
    if (random() % 3 == 0) {
      for (uint64_t n = 1 + random() % 60; n > 0; --n)
        journal.entries.push_back({InboxRecord::Kind::kTick, ++tick, {}, {}});
    } else if (random() % 5 == 0) {
      journal.entries.push_back(
          {InboxRecord::Kind::kSlice, 0, Signal::kMetrics, MetricOf({1, trace + random() % 3}, random())});
    } else if (random() % 2 == 0) {
      std::vector<SpanSpec> spans;
      for (uint64_t n = 1 + random() % 8; n > 0; --n) {
        spans.push_back({.trace = {1, trace + random() % 3},
                         .span = 1 + random() % 30,
                         .parent = random() % 3,
                         .name = "op" + std::to_string(random() % 5) + " of " + Word(random() % 400),
                         .end_ns = 1'000'000'000 + random() % 10'000'000'000});
      }
      journal.entries.push_back({InboxRecord::Kind::kSlice, 0, Signal::kTraces, Traces("s", spans)});
    } else {
      std::vector<LogSpec> logs;
      for (uint64_t n = 1 + random() % 8; n > 0; --n) {
        logs.push_back({.trace = {1, trace + random() % 3},
                        .span = random() % 30,
                        .severity = static_cast<int>(random() % 25),
                        .body = std::to_string(random())});
      }
      journal.entries.push_back({InboxRecord::Kind::kSlice, 0, Signal::kLogs, Logs("s", logs)});
    }
    if (random() % 20 == 0) journal.entries.push_back({InboxRecord::Kind::kPressure, random() % 3, {}, {}});
  }
  journal.entries.push_back({InboxRecord::Kind::kDrain, 0, {}, {}});
  return journal;
}

correlate::Shard::Options Options() {
  auto options = ShardHarness::SmallOptions();
  options.window.capacity = 512;
  options.max_pending_bytes = 20'000;
  options.early_votes = 8;
  // Names are learned while nodes are short.
  correlate::DeriveOptions derive;
  derive.names = correlate::DeriveOptions::Names::kTemplates;
  options.derive = std::make_shared<const correlate::DeriveOptions>(derive);
  options.series.max_template_nodes = 8;
  return options;
}

std::vector<uint64_t> Digests(ShardHarness& harness) {
  std::vector<uint64_t> digests;
  for (size_t i = 0; i < harness.shards(); ++i) {
    digests.push_back(harness.shard(i).Digest());
    for (const ChunkPtr& chunk : harness.out(i).chunks)
      digests.push_back(std::hash<std::string_view>()(chunk->view()));
    digests.push_back(harness.out(i).calls);
  }
  return digests;
}

std::vector<uint64_t> FoldOnOneThread(const Journal& journal) {
  ShardHarness harness(Options(), kShards);
  harness.WithoutOwner();
  for (const Journal::Entry& entry : journal.entries) {
    if (entry.kind == InboxRecord::Kind::kSlice) {
      harness.Send(entry.signal, entry.request);
    } else {
      harness.Control(entry.kind, entry.value);
    }
  }
  return Digests(harness);
}

// As the gateway does: one producer fills the inboxes in order, each shard's thread empties its own, at
// random paces, and one of them evacuates besides.
std::vector<uint64_t> FoldOnThreads(const Journal& journal, uint64_t seed) {
  ShardHarness harness(Options(), kShards);
  // The digests have what the shards counted; an owner that is behind would leave the last of it with them.
  harness.WithoutOwner();
  std::vector<std::unique_ptr<Inbox>> inboxes;
  for (uint32_t i = 0; i < kShards; ++i) inboxes.push_back(std::make_unique<Inbox>(128));
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kShards; ++i) {
    threads.emplace_back([&, i] {
      std::minstd_rand random(static_cast<unsigned>(seed * 31 + i + 1));
      InboxRecord record;
      for (;;) {
        const bool last = done.load(std::memory_order_acquire);
        bool any = false;
        while (inboxes[i]->Pop(&record)) {
          harness.shard(i).Apply(std::move(record));
          any = true;
          if (random() % 7 == 0) std::this_thread::yield();
          if (random() % 11 == 0) harness.shard(i).Evacuate(4);
        }
        if (last && !any) return;
        std::this_thread::yield();
      }
    });
  }
  uint64_t sequence = 0;
  for (const Journal::Entry& entry : journal.entries) {
    ingest::Submission submission;
    if (entry.kind == InboxRecord::Kind::kSlice) submission = harness.Decode(entry.signal, entry.request);
    ++sequence;
    for (uint32_t i = 0; i < kShards; ++i) {
      if (entry.kind == InboxRecord::Kind::kSlice && !submission.slices[i]) continue;
      for (;;) {
        InboxRecord record;
        record.kind = entry.kind;
        record.value = entry.value;
        record.sequence = sequence;
        if (!inboxes[i]->HasRoom()) {
          std::this_thread::yield();
          continue;
        }
        if (entry.kind == InboxRecord::Kind::kSlice) record.slice = std::move(submission.slices[i]);
        if (!inboxes[i]->Push(std::move(record))) std::abort();
        break;
      }
    }
  }
  done.store(true, std::memory_order_release);
  for (std::thread& thread : threads) thread.join();
  return Digests(harness);
}

// Scenario: 1,000 journals, each folded by one thread and by a thread per shard under random scheduling.
// Guarantees: equal state digests, equal Chunks byte for byte, equal counts.
TEST(ShardDeterminismTest, ThreadsDoNotMatter) {
#ifdef BRAID_SANITIZED
  constexpr uint64_t kSeeds = 100;
#else
  constexpr uint64_t kSeeds = 1000;
#endif
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Journal journal = RandomJournal(seed);
    ASSERT_EQ(FoldOnOneThread(journal), FoldOnThreads(journal, seed)) << "seed " << seed;
  }
}

// Scenario: two journals that differ in one span's parent, in a log's severity, or in one record's place.
// Guarantees: the digest tells them apart; it is not a constant.
TEST(ShardDeterminismTest, DigestSeesDifferences) {
  Journal journal = RandomJournal(7);
  const std::vector<uint64_t> base = FoldOnOneThread(journal);
  Journal other = journal;
  other.entries.insert(other.entries.begin(), {InboxRecord::Kind::kSlice, 0, Signal::kTraces,
                                               Traces("s", {{.trace = {1, 5}, .span = 500, .parent = 1}})});
  EXPECT_NE(FoldOnOneThread(other), base);
  Journal parent = other;
  parent.entries[0].request = Traces("s", {{.trace = {1, 5}, .span = 500, .parent = 2}});
  EXPECT_NE(FoldOnOneThread(parent), FoldOnOneThread(other));
}

}  // namespace
}  // namespace braid::test
