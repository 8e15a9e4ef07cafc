#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/ledger.h"
#include "base/mutex.h"
#include "base/status.h"
#include "correlate/model/batch.h"
#include "correlate/model/inbox.h"

namespace braid::ingest {

// One decoded request, ready to be sequenced.
struct Submission {
  BatchRef batch;

  // One per shard; null where the request has nothing for it.
  std::vector<SlicePtr> slices;

  uint64_t items = 0;  // what goes to the shards, as the account counts

  // Items that decode turned away for good, by reason, and the first one's located message.
  std::array<uint64_t, kRejectReasons> rejected{};
  std::string first_error;

  // To be told to the sender in partial_success: everything rejected except by a filter rule.
  uint64_t rejected_for_sender() const {
    uint64_t sum = 0;
    for (size_t i = 0; i < rejected.size(); ++i) {
      if (i != static_cast<size_t>(RejectReason::kFilter)) sum += rejected[i];
    }
    return sum;
  }
};

// Gives every record its place in the one order, hands it to the shards, and keeps the account of
// what came in. Durable sequencers (a segment log, Kafka) take the place of the in-memory one without
// the fold noticing.
//
// Thread rule: any thread.
class Sequencer {
 public:
  virtual ~Sequencer() = default;

  // Takes the request over, or refuses it whole: kUnavailable when the shards are behind or
  // Pressure forbids. On OK the sender may be told so. `done` is called exactly once, perhaps before
  // Submit returns, perhaps on another thread (a durable sequencer waits for its disk).
  virtual void Submit(Submission submission, std::function<void(Status)> done) = 0;

  // Whether a request would be refused whatever is in it; then there is no point in decoding it. Counts it if
  // so.
  virtual Status Screen(Signal signal) = 0;

  // A request that could not be decoded at all.
  virtual void CountUndecodable(Signal signal) = 0;

  // While `reason` is not null every request is refused with it: a sink that must not lose is full, say.
  // Literals only.
  virtual void Refuse(const char* reason) = 0;

  // Control records, to every shard.
  virtual void Tick(uint64_t number) = 0;
  virtual void Pressure(int level) = 0;
  virtual void Drain() = 0;

  virtual std::array<IngressEntry, kSignals> Account() const = 0;

  // "memory": what the log, /metrics and the API show as journal.mode.
  virtual std::string_view mode() const = 0;
};

// Sequences without a disk: a mutex held for about 0.2 us per request.
//
// While the cores are congested (SetCongested) it sequences as ever but answers late, so that senders with a
// bounded number of requests under way slow down to what is delivered, instead of being refused and sending
// it all again.
class MemorySequencer : public Sequencer {
 public:
  // `wake[i]` is called, outside the lock, when shard i may be asleep; it must be cheap and callable from any
  // thread. The inboxes outlive the sequencer.
  MemorySequencer(std::vector<Inbox*> inboxes, std::vector<std::function<void()>> wake);

  void Submit(Submission submission, std::function<void(Status)> done) override;
  Status Screen(Signal signal) override;
  void CountUndecodable(Signal signal) override;
  void Refuse(const char* reason) override;
  void Tick(uint64_t number) override;
  void Pressure(int level) override;
  void Drain() override;
  std::array<IngressEntry, kSignals> Account() const override;
  std::string_view mode() const override { return "memory"; }

  // From now on answers to accepted requests are kept back / given. Any thread.
  void SetCongested(bool congested);

  // Gives the answers kept back, if congestion is over or `all` is set. Called every few ms.
  void ReleaseAnswers(bool all);

 private:
  const char* Refusal() const BRAID_REQUIRES(mutex_);
  void Control(InboxRecord::Kind kind, uint64_t value);
  void Wake(size_t shard);

  const std::vector<Inbox*> inboxes_;
  const std::vector<std::function<void()>> wake_;
  mutable Mutex mutex_;
  uint64_t next_sequence_ BRAID_GUARDED_BY(mutex_) = 1;
  const char* refusal_ BRAID_GUARDED_BY(mutex_) = nullptr;
  int pressure_ BRAID_GUARDED_BY(mutex_) = 0;
  bool draining_ BRAID_GUARDED_BY(mutex_) = false;
  bool congested_ BRAID_GUARDED_BY(mutex_) = false;
  std::vector<std::function<void(Status)>> late_answers_ BRAID_GUARDED_BY(mutex_);
  std::array<IngressEntry, kSignals> account_ BRAID_GUARDED_BY(mutex_);
};

}  // namespace braid::ingest
