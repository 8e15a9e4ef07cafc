#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "correlate/pipeline/shard.h"
#include "ingest/decode/decoder.h"

namespace braid::bench {

// One decoder and one shard of the product, with nothing around them: no sockets, threads or sinks. Chunks
// are dropped when they are finished, as if delivered at once.
//
// Thread rule: one thread.
class ProductKernel : private correlate::ShardOutput {
 public:
  struct Options {
    size_t window = 1 << 20;  // records
    uint32_t settle_ticks = 4;
    uint64_t max_pending_bytes = uint64_t{1} << 31;
    size_t memory = size_t{3} << 30;
    std::shared_ptr<const correlate::DeriveOptions> derive = std::make_shared<correlate::DeriveOptions>();
  };

  explicit ProductKernel(const Options& options)
      : slabs_({.max_bytes = options.memory, .max_idle_bytes = options.memory}),
        decoder_(Epoch{.number = 1, .shards = 1, .seed = 42}, batches_, slices_, slabs_, nullptr,
                 ingest::Decoder::Options{.watch = std::make_shared<const WatchList>(options.derive->Watch()),
                                          .links = options.derive->graph.enabled}),
        shard_(ShardOptions(options), slabs_, batches_, *this) {}

  // A copy in a slab, as a receiver has it.
  Slab Receive(std::string_view request) {
    Slab slab = slabs_.Take(request.size());
    slab.Append(request);
    return slab;
  }

  // Decode and fold. Returns the items, or -1 if the request was not accepted whole.
  int64_t Take(Signal signal, Slab body) {
    Result<ingest::Submission> submission = decoder_.Decode(signal, std::move(body), 0);
    if (!submission.ok() || submission->rejected_for_sender() != 0) return -1;
    const auto items = static_cast<int64_t>(submission->items);
    for (SlicePtr& slice : submission->slices) {
      if (!slice) continue;
      InboxRecord record;
      record.kind = InboxRecord::Kind::kSlice;
      record.sequence = ++sequence_;
      record.slice = std::move(slice);
      shard_.Apply(std::move(record));
    }
    return items;
  }

  // Time passes: verdicts fall, chunks are built.
  void Tick(uint32_t ticks) {
    for (uint32_t i = 0; i < ticks; ++i) {
      InboxRecord record;
      record.kind = InboxRecord::Kind::kTick;
      record.sequence = ++sequence_;
      record.value = ++tick_;
      shard_.Apply(std::move(record));
    }
  }

  const correlate::ShardStats& stats() const { return shard_.stats(); }
  uint64_t encoded() const { return encoded_; }

  // Spans chosen as exemplars of ingested histograms.
  uint64_t candidates() const { return candidates_; }

 private:
  static correlate::Shard::Options ShardOptions(const Options& options) {
    correlate::Shard::Options shard;
    shard.epoch = Epoch{.number = 1, .shards = 1, .seed = 42};
    shard.window.capacity = options.window;
    shard.settle_ticks = options.settle_ticks;
    shard.max_pending_bytes = options.max_pending_bytes;
    shard.derive = options.derive;
    return shard;
  }

  void OnChunk(ChunkPtr chunk) override {
    encoded_ += chunk->count;
    auto& ledger = shard_.ledger(correlate::Shard::kInternalSink)[static_cast<size_t>(chunk->signal)];
    ledger.Deliver(chunk->count);
  }
  void OnSeries(correlate::SeriesDeltaPtr delta) override {
    candidates_ += delta->candidates.size();
    delta.reset();
  }
  void OnMetrics(SlicePtr slice) override { slice.reset(); }

  SlabPool slabs_;
  BatchPool batches_;
  SlicePool slices_;
  ingest::Decoder decoder_;
  correlate::Shard shard_;
  uint64_t sequence_ = 0;
  uint64_t tick_ = 0;
  uint64_t encoded_ = 0;
  uint64_t candidates_ = 0;
};

}  // namespace braid::bench
