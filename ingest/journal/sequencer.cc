#include "ingest/journal/sequencer.h"

#include <utility>

namespace braid::ingest {

MemorySequencer::MemorySequencer(std::vector<Inbox*> inboxes, std::vector<std::function<void()>> wake)
    : inboxes_(std::move(inboxes)), wake_(std::move(wake)) {}

void MemorySequencer::Submit(Submission submission, std::function<void(Status)> done) {
  uint64_t rejected = 0;
  for (const uint64_t n : submission.rejected) rejected += n;

  Status status;
  {
    MutexLock lock(mutex_);
    IngressEntry& account = account_[static_cast<size_t>(submission.batch->signal)];
    const char* refusal = Refusal();
    if (refusal == nullptr) {
      for (size_t i = 0; i < submission.slices.size() && refusal == nullptr; ++i) {
        if (submission.slices[i] && !inboxes_[i]->HasRoom()) refusal = "the core is behind";
      }
    }
    account.received += submission.items + rejected;
    if (refusal != nullptr) {
      // The sender will send all of it again, what was rejected included.
      account.refused += submission.items + rejected;
      status = Unavailable(refusal);
    } else {
      for (size_t i = 0; i < submission.rejected.size(); ++i) account.rejected[i] += submission.rejected[i];
      account.submitted += submission.items;
      const uint64_t sequence = next_sequence_++;
      submission.batch.mutable_batch().sequence = sequence;
      for (size_t i = 0; i < submission.slices.size(); ++i) {
        if (!submission.slices[i]) continue;
        InboxRecord record;
        record.kind = InboxRecord::Kind::kSlice;
        record.sequence = sequence;
        record.slice = std::move(submission.slices[i]);
        inboxes_[i]->Push(std::move(record));
      }
    }
  }
  if (status.ok()) {
    for (size_t i = 0; i < inboxes_.size(); ++i) Wake(i);
    MutexLock lock(mutex_);
    if (congested_) {
      late_answers_.push_back(std::move(done));
      return;
    }
  }
  done(std::move(status));
}

const char* MemorySequencer::Refusal() const {
  if (draining_) return "shutting down";
  if (pressure_ >= 3) return "out of memory budget";
  return refusal_;
}

Status MemorySequencer::Screen(Signal signal) {
  MutexLock lock(mutex_);
  const char* refusal = Refusal();
  if (refusal == nullptr) return {};
  ++account_[static_cast<size_t>(signal)].refused_requests;
  return Unavailable(refusal);
}

void MemorySequencer::SetCongested(bool congested) {
  MutexLock lock(mutex_);
  congested_ = congested;
}

void MemorySequencer::ReleaseAnswers(bool all) {
  std::vector<std::function<void(Status)>> answers;
  {
    MutexLock lock(mutex_);
    if (congested_ && !all) return;
    answers.swap(late_answers_);
  }
  for (const auto& answer : answers) answer(Status());
}

void MemorySequencer::CountUndecodable(Signal signal) {
  MutexLock lock(mutex_);
  ++account_[static_cast<size_t>(signal)].undecodable_requests;
}

void MemorySequencer::Refuse(const char* reason) {
  MutexLock lock(mutex_);
  refusal_ = reason;
}

void MemorySequencer::Tick(uint64_t number) { Control(InboxRecord::Kind::kTick, number); }

void MemorySequencer::Pressure(int level) {
  {
    MutexLock lock(mutex_);
    pressure_ = level;
  }
  Control(InboxRecord::Kind::kPressure, static_cast<uint64_t>(level));
}

void MemorySequencer::Drain() {
  {
    MutexLock lock(mutex_);
    draining_ = true;
  }
  Control(InboxRecord::Kind::kDrain, 0);
}

std::array<IngressEntry, kSignals> MemorySequencer::Account() const {
  MutexLock lock(mutex_);
  return account_;
}

void MemorySequencer::Control(InboxRecord::Kind kind, uint64_t value) {
  {
    MutexLock lock(mutex_);
    const uint64_t sequence = next_sequence_++;
    for (Inbox* inbox : inboxes_) {
      InboxRecord record;
      record.kind = kind;
      record.sequence = sequence;
      record.value = value;
      // A shard so far behind that even the reserved room is full misses a Tick; the next one carries a later
      // number, and the fold takes Ticks as "it is now N", so nothing but delay is lost. Pressure and Drain
      // are repeated by their sender until they take effect.
      inbox->Push(std::move(record));
    }
  }
  for (size_t i = 0; i < inboxes_.size(); ++i) Wake(i);
}

void MemorySequencer::Wake(size_t shard) {
  Inbox& inbox = *inboxes_[shard];
  if (!inbox.empty() && inbox.sleeping.exchange(false, std::memory_order_seq_cst)) wake_[shard]();
}

}  // namespace braid::ingest
