#include "ingest/journal/sequencer.h"

#include <gmock/gmock.h>

#include <atomic>
#include <memory>
#include <thread>

namespace braid::ingest {
namespace {

class SequencerTest : public testing::Test {
 protected:
  SequencerTest() {
    for (int i = 0; i < 2; ++i) inboxes_.push_back(std::make_unique<Inbox>(128));
    sequencer_ = std::make_unique<MemorySequencer>(
        std::vector<Inbox*>{inboxes_[0].get(), inboxes_[1].get()},
        std::vector<std::function<void()>>{[this] { ++wakes_[0]; }, [this] { ++wakes_[1]; }});
  }

  // A request with this many items for each shard; 0 gives that shard nothing.
  Submission Request(uint64_t first, uint64_t second, uint64_t rejected = 0) {
    Submission submission;
    submission.batch = batches_.Take();
    submission.batch.mutable_batch().signal = Signal::kLogs;
    submission.slices.resize(2);
    for (size_t i = 0; i < 2; ++i) {
      const uint64_t count = i == 0 ? first : second;
      if (count == 0) continue;
      submission.slices[i] = slices_.Take();
      submission.slices[i]->batch = submission.batch;
      submission.slices[i]->count = count;
    }
    submission.items = first + second;
    submission.rejected[static_cast<size_t>(RejectReason::kBadUtf8)] = rejected;
    return submission;
  }
  Status Submit(Submission submission) {
    Status result(Code::kUnknown, "no answer");
    sequencer_->Submit(std::move(submission), [&](Status status) { result = std::move(status); });
    return result;
  }
  IngressEntry Logs() { return sequencer_->Account()[static_cast<size_t>(Signal::kLogs)]; }
  std::vector<uint64_t> Drain(size_t shard) {
    std::vector<uint64_t> sequences;
    InboxRecord record;
    while (inboxes_[shard]->Pop(&record)) sequences.push_back(record.sequence);
    return sequences;
  }

  BatchPool batches_;
  SlicePool slices_;
  std::vector<std::unique_ptr<Inbox>> inboxes_;
  std::array<std::atomic<int>, 2> wakes_{};
  std::unique_ptr<MemorySequencer> sequencer_;
};

// Scenario: requests for one shard, the other, both; a tick between.
// Guarantees: every shard sees its records in one rising order; each sleeping shard is woken once.
TEST_F(SequencerTest, OneOrderForAll) {
  EXPECT_TRUE(Submit(Request(3, 0)).ok());
  EXPECT_TRUE(Submit(Request(1, 2)).ok());
  sequencer_->Tick(7);
  EXPECT_TRUE(Submit(Request(0, 5)).ok());
  EXPECT_EQ(wakes_[0], 1);
  EXPECT_EQ(wakes_[1], 1);
  EXPECT_EQ(Drain(0), (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(Drain(1), (std::vector<uint64_t>{2, 3, 4}));
  EXPECT_EQ(Logs().submitted, 11u);
  EXPECT_TRUE(Logs().Balanced());
}

// Scenario: one shard's inbox is full, the request needs both.
// Guarantees: it is refused whole and to be tried again, nothing of it is sequenced, control records still
// pass, and the account says refused.
TEST_F(SequencerTest, RefusesWholeWhenAShardIsBehind) {
  size_t accepted = 0;
  while (Submit(Request(1, 0)).ok()) ++accepted;
  EXPECT_EQ(accepted, 128 - Inbox::kControlRoom);
  const Status refused = Submit(Request(2, 3, 1));
  EXPECT_EQ(refused.code(), Code::kUnavailable);
  EXPECT_TRUE(inboxes_[1]->empty());
  sequencer_->Tick(1);
  EXPECT_EQ(Drain(0).size(), accepted + 1);
  EXPECT_EQ(Logs().refused, 1u + 6u);
  EXPECT_EQ(Logs().rejected[static_cast<size_t>(RejectReason::kBadUtf8)], 0u) << "it will come again";
  EXPECT_TRUE(Logs().Balanced());
}

// Scenario: pressure 3, a full sink, then drain.
// Guarantees: each refuses with its own words, before decode as well; the first two end.
TEST_F(SequencerTest, RefusesForMemorySinksAndShutdown) {
  sequencer_->Pressure(3);
  EXPECT_THAT(Submit(Request(1, 0)).message(), testing::HasSubstr("memory"));
  sequencer_->Pressure(2);
  EXPECT_TRUE(Submit(Request(1, 0)).ok());
  sequencer_->Refuse("the sink is full");
  EXPECT_EQ(sequencer_->Screen(Signal::kLogs).message(), "the sink is full");
  EXPECT_EQ(Logs().refused_requests, 1u);
  sequencer_->Refuse(nullptr);
  EXPECT_TRUE(sequencer_->Screen(Signal::kLogs).ok());
  sequencer_->Drain();
  EXPECT_THAT(Submit(Request(1, 0)).message(), testing::HasSubstr("shutting down"));
  EXPECT_TRUE(Logs().Balanced());
}

// Scenario: the cores are congested.
// Guarantees: requests are sequenced at once, their answers come when congestion ends, each once.
TEST_F(SequencerTest, AnswersLateWhileCongested) {
  int answers = 0;
  sequencer_->SetCongested(true);
  for (int i = 0; i < 3; ++i) {
    sequencer_->Submit(Request(1, 1), [&](const Status& status) { answers += status.ok() ? 1 : 100; });
  }
  EXPECT_EQ(Drain(0).size(), 3u);
  sequencer_->ReleaseAnswers(false);
  EXPECT_EQ(answers, 0);
  sequencer_->SetCongested(false);
  sequencer_->ReleaseAnswers(false);
  EXPECT_EQ(answers, 3);
  sequencer_->ReleaseAnswers(true);
  EXPECT_EQ(answers, 3);
}

// Scenario: four threads submit while two shards pop.
// Guarantees: no record is lost or seen twice, each shard sees a rising order, no wake is missed.
TEST_F(SequencerTest, ManySendersTwoShards) {
  constexpr int kEach = 2'000;
  std::atomic<uint64_t> sent{0};
  std::atomic<bool> done{false};
  std::array<std::atomic<uint64_t>, 2> seen{};
  std::vector<std::thread> threads;
  for (size_t shard = 0; shard < 2; ++shard) {
    threads.emplace_back([&, shard] {
      uint64_t last = 0;
      for (;;) {
        const bool finish = done.load();
        bool any = false;
        InboxRecord record;
        while (inboxes_[shard]->Pop(&record)) {
          EXPECT_GT(record.sequence, last);
          last = record.sequence;
          seen[shard] += record.slice->count;
          any = true;
        }
        inboxes_[shard]->sleeping.store(true);
        if (finish && !any) return;
        std::this_thread::yield();
      }
    });
  }
  std::vector<std::thread> senders;
  for (int t = 0; t < 4; ++t) {
    senders.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        while (!Submit(Request(1, 2)).ok()) std::this_thread::yield();
        ++sent;
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(seen[0], sent);
  EXPECT_EQ(seen[1], 2 * sent);
  EXPECT_EQ(Logs().submitted, 3 * sent);
  EXPECT_TRUE(Logs().Balanced());
}

}  // namespace
}  // namespace braid::ingest
