#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "correlate/model/inbox.h"
#include "correlate/pipeline/shard.h"
#include "correlate/store/chunk_store.h"
#include "exporters/lanes/lane.h"
#include "exporters/sinks/sink_factory.h"

namespace braid::gateway {

// What one core looks like at one instant of its own thread.
struct CoreSnapshot {
  struct LaneView {
    size_t sink = 0;  // index into the account
    exporters::Lane::Stats stats;
  };

  std::vector<std::array<LedgerEntry, kSignals>> ledger;
  correlate::ShardStats stats;
  correlate::ShardGauges gauges;
  correlate::ServiceGraph::Stats graph;
  std::vector<LaneView> lanes;
  size_t store_bytes = 0;
  size_t store_chunks = 0;
  uint64_t store_items = 0;
  uint64_t store_horizon_tick = 0;
  correlate::ChunkStore::PinStats pins;
  uint64_t inbox_items_pushed = 0;
  uint32_t tick = 0;
  bool lane_full = false;
};

// One core thread: a single-threaded loop that runs a share of the connections, one shard, its part of
// the store, and its lane to each sink. It folds in short turns, so that I/O is never kept waiting long.
//
// Thread rule: Start, Post, Wake and Join from anywhere; everything else on the core's own thread.
// Lifetime: pools, sinks and the background executor outlive it.
class Core : public correlate::ShardOutput {
 public:
  // Where series deltas and arrived metrics go: another thread. Both take over what they are given.
  struct Background {
    std::function<void(correlate::SeriesDeltaPtr, uint32_t shard)> series;
    std::function<void(SlicePtr)> metrics;
  };

  struct Options {
    correlate::Shard::Options shard;
    size_t inbox_records = 1024;  // a power of two
    size_t store_bytes = 64u << 20;
  };

  Core(const Options& options, SlabPool& slabs, BatchPool& batches, Background background);
  ~Core() override;

  boost::asio::io_context& io() { return io_; }
  Inbox& inbox() { return inbox_; }
  correlate::Shard& shard() { return shard_; }
  correlate::ChunkStore& store() { return store_; }

  // Adds the lane of the sink at this index of the account. One that is not `fed_by_shard` gets nothing but
  // what PushOwn() hands in. REQUIRES: not started.
  void AddLane(size_t sink, exporters::SinkShared& shared, bool fed_by_shard);

  // Queues metrics that the process itself made for one sink: accepted and queued in its account. Core's
  // thread. REQUIRES: the sink has a lane here that takes metrics.
  void PushOwn(size_t sink, ChunkPtr chunk);

  void Start(const std::string& thread_name);

  // Runs `task` on the core's thread.
  template <typename Task>
  void Post(Task task) {
    boost::asio::post(io_, std::move(task));
  }

  // Records may be waiting in the inbox.
  void Wake();

  CoreSnapshot Snapshot();

  // Whether a lane with on_full: refuse is at its bound; whether one is at half of it, or the inbox at a
  // quarter. As of the last Tick or CheckLoad(). Any thread.
  bool lane_full() const { return lane_full_.load(std::memory_order_relaxed); }
  bool congested() const { return congested_.load(std::memory_order_relaxed); }

  // Looks again. Core's thread.
  void CheckLoad();

  // Folds everything that has come and lets go of all that is held.
  void FinishFold();

  // Stops the lanes, delivering until `deadline`; `done` runs on this thread.
  void StopLanes(std::chrono::steady_clock::time_point deadline, std::function<void()> done);

  // Ends the loop and waits for the thread.
  void Join();

  void OnChunk(ChunkPtr chunk) override;
  void OnSeries(correlate::SeriesDeltaPtr delta) override;
  void OnMetrics(SlicePtr slice) override;
  void OnExemplar(uint64_t trace_lo, ExemplarOf of) override;

 private:
  // A turn folds what had come when it began, so that reading cannot outrun folding, but no more than this:
  // about 5 ms of work between two looks at the sockets.
  static constexpr size_t kRecordsPerTurn = 64;
  static constexpr size_t kEvacuatePerTick = 64;  // Batches looked at

  struct LaneOf {
    size_t sink;
    std::unique_ptr<exporters::Lane> lane;
    bool fed_by_shard;
  };

  void Turn();
  void AfterTick();

  const uint32_t index_;
  const size_t inbox_records_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  Inbox inbox_;
  Background background_;
  correlate::ChunkStore store_;
  correlate::Shard shard_;
  std::vector<LaneOf> lanes_;
  std::vector<uint64_t> handed_over_;  // scratch of OnSeries()
  std::atomic<bool> lane_full_{false};
  std::atomic<bool> congested_{false};
  std::thread thread_;
};

}  // namespace braid::gateway
