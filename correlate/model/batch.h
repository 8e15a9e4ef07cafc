#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/slab.h"
#include "correlate/model/item.h"
#include "correlate/model/signal.h"

namespace braid {

class BatchPool;
class SlicePool;

// A range of a Batch's bytes.
struct ByteRange {
  uint32_t offset = 0;
  uint32_t size = 0;
};

// One ResourceSpans / ResourceLogs / ResourceMetrics: all of its fields except the scopes, in wire order
// (whole fields, tags included: a Resource may come after its spans, or twice, and then merges).
struct BatchResource {
  uint32_t first_range = 0;
  uint32_t range_count = 0;
  uint64_t key = 0;        // keyed hash of those bytes: equal resources of different Batches are grouped
  ByteRange service_name;  // the value of the last service.name attribute; empty if there is none
};

// One ScopeSpans / ScopeLogs / ScopeMetrics: all of its fields except the items.
struct BatchGroup {
  uint32_t resource = 0;  // index into Batch::resources
  uint32_t begin =
      0;  // offset of its first byte: groups lie one after the other, so an item's offset names its group
  uint32_t first_range = 0;
  uint32_t range_count = 0;
  uint64_t key = 0;
};

// One request: its OTLP bytes as they came, and the tables that make them addressable. Written by one
// decoder, immutable from the moment it is sequenced, shared by reference count.
//
// Thread rule: after sequencing, read from any thread.
// Lifetime: until the last BatchRef goes; then recycled by its pool.
// Bound: its body is leased from a SlabPool; the tables are bounded by kMaxGroups.
class Batch {
 public:
  // Item::group is 16 bits.
  static constexpr size_t kMaxGroups = 65'536;

  Signal signal = Signal::kTraces;
  uint32_t tenant = 0;
  uint64_t sequence = 0;  // given by the sequencer

  // How many Items the whole body has become, if nothing of it was turned away; else 0.
  uint32_t intact_items = 0;
  Slab body;
  std::vector<ByteRange> ranges;
  std::vector<BatchResource> resources;
  std::vector<BatchGroup> groups;

  std::string_view bytes() const { return body.view(); }
  std::string_view bytes(ByteRange range) const { return body.view().substr(range.offset, range.size); }

  // The serialised Span, LogRecord or Metric at an Item's offset.
  std::string_view ItemBytes(uint32_t offset) const;

  // The group of the item at `offset`. REQUIRES: `groups` is in wire order and an item is there.
  uint16_t GroupOf(uint32_t offset) const;

  std::string_view ServiceName(uint16_t group) const {
    return bytes(resources[groups[group].resource].service_name);
  }

 private:
  friend class BatchPool;
  friend class BatchRef;

  std::atomic<uint32_t> holders_{0};
  BatchPool* pool_ = nullptr;
};

// A share in a Batch.
class BatchRef {
 public:
  BatchRef() = default;
  BatchRef(const BatchRef& other) : batch_(other.batch_) {
    if (batch_ != nullptr) batch_->holders_.fetch_add(1, std::memory_order_relaxed);
  }
  BatchRef(BatchRef&& other) noexcept : batch_(std::exchange(other.batch_, nullptr)) {}
  BatchRef& operator=(BatchRef other) noexcept {
    std::swap(batch_, other.batch_);
    return *this;
  }
  ~BatchRef() { Release(); }

  explicit operator bool() const { return batch_ != nullptr; }
  const Batch& operator*() const { return *batch_; }
  const Batch* operator->() const { return batch_; }
  const Batch* get() const { return batch_; }

  // REQUIRES: nobody else holds the Batch yet, or the caller is its only writer (decoder, sequencer).
  Batch& mutable_batch() { return *batch_; }

  void Release();

 private:
  friend class BatchPool;
  explicit BatchRef(Batch* batch) : batch_(batch) {
    batch_->holders_.fetch_add(1, std::memory_order_relaxed);
  }

  Batch* batch_ = nullptr;
};

// Recycles Batches with their tables' capacity, so that steady state allocates nothing.
// Thread rule: any thread. Lifetime: outlives its Batches.
class BatchPool {
 public:
  BatchPool() = default;
  ~BatchPool();
  BatchPool(const BatchPool&) = delete;
  BatchPool& operator=(const BatchPool&) = delete;

  // An empty Batch.
  BatchRef Take();

 private:
  friend class BatchRef;
  void GiveBack(Batch* batch);

  static constexpr size_t kMaxIdle = 1024;
  Mutex mutex_;
  std::vector<Batch*> idle_ BRAID_GUARDED_BY(mutex_);
};

// 128 bits that recognise a repeated request's share of one shard.
struct SliceDigest {
  uint64_t lo = 0;
  uint64_t hi = 0;
  friend bool operator==(const SliceDigest&, const SliceDigest&) = default;
};

// A span link from a server or consumer span, cut out so that it reaches the shard of the trace it points to.
struct LinkItem {
  uint64_t trace_hi = 0;  // of the span linked to
  uint64_t trace_lo = 0;
  uint64_t span = 0;

  uint64_t linking_span = 0;  // of the span that has the link, as in its Item
  uint64_t linking_trace_hi = 0;
  uint64_t linking_trace_lo = 0;
  uint64_t start_ns = 0;
  uint64_t end_ns = 0;
  uint64_t series = 0;
  uint32_t offset = 0;
  uint16_t group = 0;
  uint16_t flags = 0;
};

// A trace that an exemplar of an incoming metric points to, cut out so that its own shard hears of it.
struct VoteItem {
  uint64_t trace_hi = 0;
  uint64_t trace_lo = 0;
  uint64_t metric = 0;  // Item::series of the metric, so that the Slice's digest tells requests apart

  friend bool operator==(const VoteItem&, const VoteItem&) = default;
};

// One shard's Items of one Batch, in wire order.
// Thread rule: one owner at a time: decoder, inbox, shard. Lives until the fold has read it.
struct Slice {
  BatchRef batch;
  SliceDigest digest;
  std::vector<Item> items;

  // Links into this shard's traces, from spans of whatever shard. Not counted by the account.
  std::vector<LinkItem> links;

  // Exemplars of a request of metrics that point to this shard's traces. Not counted by the account.
  std::vector<VoteItem> votes;

  // Messages of ERROR and FATAL logs (the first <= 256 bytes of a string body, or exception.message), by
  // Item::parent - 1.
  std::vector<ByteRange> notes;

  // Items as the account counts them: spans, records, or metric data points.
  uint64_t count = 0;
};

struct SliceRecycler {
  SlicePool* pool = nullptr;
  void operator()(Slice* slice) const;
};
using SlicePtr = std::unique_ptr<Slice, SliceRecycler>;

// Thread rule: any thread. Lifetime: outlives its Slices.
class SlicePool {
 public:
  SlicePool() = default;
  ~SlicePool();
  SlicePool(const SlicePool&) = delete;
  SlicePool& operator=(const SlicePool&) = delete;

  SlicePtr Take();

 private:
  friend struct SliceRecycler;
  void GiveBack(Slice* slice);

  static constexpr size_t kMaxIdle = 256;
  Mutex mutex_;
  std::vector<Slice*> idle_ BRAID_GUARDED_BY(mutex_);
};

}  // namespace braid
