#include "gateway/core/core.h"

#include <pthread.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace braid::gateway {

Core::Core(const Options& options, SlabPool& slabs, BatchPool& batches, Background background)
    : index_(options.shard.shard),
      inbox_records_(options.inbox_records),
      work_(io_.get_executor()),
      inbox_(options.inbox_records),
      background_(std::move(background)),
      store_(options.store_bytes, slabs),
      shard_(options.shard, slabs, batches, *this) {}

Core::~Core() { Join(); }

void Core::AddLane(size_t sink, exporters::SinkShared& shared, bool fed_by_shard) {
  exporters::Lane::Ledgers ledgers{};
  for (int signal = 0; signal < kSignals; ++signal) {
    if (shared.takes(static_cast<Signal>(signal))) {
      ledgers[static_cast<size_t>(signal)] = &shard_.ledger(sink)[static_cast<size_t>(signal)];
    }
  }
  lanes_.push_back({sink, shared.NewLane(io_, ledgers), fed_by_shard});
}

void Core::PushOwn(size_t sink, ChunkPtr chunk) {
  for (LaneOf& lane : lanes_) {
    if (lane.sink != sink) continue;
    LedgerEntry& entry = shard_.ledger(sink)[static_cast<size_t>(chunk->signal)];
    entry.Accept(chunk->count);
    entry.Queue(chunk->count);
    lane.lane->Push(std::move(chunk));
    return;
  }
}

void Core::Start(const std::string& thread_name) {
  thread_ = std::thread([this, thread_name] {
    pthread_setname_np(pthread_self(), thread_name.substr(0, 15).c_str());
    io_.run();
    // The lanes belong to this thread.
    lanes_.clear();
  });
}

void Core::Wake() {
  boost::asio::post(io_, [this] { Turn(); });
}

// Folds what has come, then gives the loop back. `sleeping` is set only when the inbox was seen empty
// after it was set, so that no push is missed; whoever clears it is the one who wakes.
void Core::Turn() {
  InboxRecord record;
  for (size_t left = std::min(inbox_.size(), kRecordsPerTurn); left > 0 && inbox_.Pop(&record); --left) {
    const bool tick = record.kind == InboxRecord::Kind::kTick;
    shard_.Apply(std::move(record));
    if (tick) AfterTick();
  }
  if (!inbox_.empty()) {
    CheckLoad();
    Wake();
    return;
  }
  CheckLoad();
  inbox_.sleeping.store(true, std::memory_order_seq_cst);
  if (!inbox_.empty() && inbox_.sleeping.exchange(false, std::memory_order_seq_cst)) Wake();
}

void Core::AfterTick() {
  shard_.Evacuate(kEvacuatePerTick);
  CheckLoad();
}

void Core::CheckLoad() {
  bool full = false;
  bool congested = inbox_.size() > inbox_records_ / 4;
  for (const LaneOf& lane : lanes_) {
    full |= lane.lane->full();
    congested |= lane.lane->half_full();
  }
  lane_full_.store(full, std::memory_order_relaxed);
  congested_.store(congested, std::memory_order_relaxed);
}

void Core::FinishFold() {
  InboxRecord record;
  while (inbox_.Pop(&record)) shard_.Apply(std::move(record));
  // Also when nothing is held: what was counted since the last hand-over has to go out.
  record = InboxRecord{};
  record.kind = InboxRecord::Kind::kDrain;
  shard_.Apply(std::move(record));
}

void Core::OnChunk(ChunkPtr chunk) {
  for (LaneOf& lane : lanes_) {
    if (lane.fed_by_shard && lane.lane->Takes(chunk->signal)) lane.lane->Push(chunk);
  }
  if (chunk->signal != Signal::kMetrics) store_.Add(std::move(chunk));
}

void Core::OnSeries(correlate::SeriesDeltaPtr delta) {
  handed_over_.clear();
  for (const correlate::SeriesDelta::Slot& slot : delta->exemplars)
    handed_over_.push_back(slot.exemplar.trace.lo);
  store_.HandOver(handed_over_, delta->tick);
  background_.series(std::move(delta), index_);
}

void Core::OnMetrics(SlicePtr slice) { background_.metrics(std::move(slice)); }

void Core::OnExemplar(uint64_t trace_lo, ExemplarOf of) {
  if (of == ExemplarOf::kSpan) {
    store_.Offer(trace_lo);
  } else {
    store_.Vote(trace_lo, shard_.tick());
  }
}

CoreSnapshot Core::Snapshot() {
  CoreSnapshot snapshot;
  snapshot.ledger = shard_.ledger();
  snapshot.stats = shard_.stats();
  snapshot.graph = shard_.graph_stats();
  snapshot.gauges = shard_.gauges();
  for (const LaneOf& lane : lanes_) {
    snapshot.lanes.push_back({lane.sink, lane.lane->stats()});
    snapshot.lane_full |= lane.lane->full();
  }
  snapshot.store_bytes = store_.bytes();
  snapshot.store_chunks = store_.chunks();
  snapshot.store_items = store_.items();
  snapshot.store_horizon_tick = store_.horizon_tick();
  snapshot.pins = store_.pin_stats();
  snapshot.inbox_items_pushed = inbox_.items_pushed();
  snapshot.tick = shard_.tick();
  return snapshot;
}

void Core::StopLanes(std::chrono::steady_clock::time_point deadline, std::function<void()> done) {
  auto left = std::make_shared<size_t>(lanes_.size() + 1);
  auto one = [left, done = std::move(done)] {
    if (--*left == 0) done();
  };
  for (LaneOf& lane : lanes_) lane.lane->Stop(deadline, one);
  one();
}

void Core::Join() {
  if (!thread_.joinable()) return;
  work_.reset();
  io_.stop();
  thread_.join();
}

}  // namespace braid::gateway
