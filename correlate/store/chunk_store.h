#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/slab.h"
#include "correlate/model/chunk.h"

namespace braid::correlate {

// The newest finished telemetry of one shard, kept for queries: Chunks in order, the oldest leaving when the
// bytes are used up. A Chunk still queued for a sink is shared, not copied.
//
// Traces that an exemplar points to are pinned: when a Chunk leaves, their items move into survivor Chunks,
// grouped by resource and scope, as they were. An item is in a Chunk or in a survivor, never in both.
// Survivors leave last, and by trace: first those that no exemplar points to any more, then the ones pinned
// longest. Pins are known by the low half of the ID, as everything here is.
//
// A pin is held by SetPins(), the exemplars shown, as of a moment ago; and, until such a list is new enough
// to have them, by those on their way to being shown: Offer(), HandOver() and Vote().
//
// There is no index: a trace is found by looking through the item directories, 24 bytes an item, which takes
// about a millisecond for 64 MiB and is done off the shard's thread, on a snapshot.
//
// Physical, not part of the fold: when a list comes decides what is kept longest.
//
// Thread rule: one shard's thread; what Snapshot() returns may go anywhere. Lifetime: `slabs` outlives it.
// Bound: `max_bytes` of Chunk memory, or one Chunk. Of that a quarter for survivors; beyond it pinned traces
// leave, counted. At most max_pins() pins, further ones are refused and counted.
class ChunkStore {
 public:
  // A vote's exemplar takes another way to the page, by its metric's own shard: it is taken to be there after
  // this many ticks.
  static constexpr uint64_t kVoteTicks = 60;

  struct PinStats {
    uint64_t traces = 0;   // with items in survivors
    uint64_t bytes = 0;    // memory of survivors
    uint64_t evicted = 0;  // pinned traces that had to leave survivors, ever
    uint64_t refused = 0;  // pins beyond max_pins(), ever
  };

  ChunkStore(size_t max_bytes, SlabPool& slabs);

  void Add(ChunkPtr chunk);

  // A span of this trace was offered as an exemplar: pinned until the next HandOver().
  void Offer(uint64_t trace_lo);

  // What was offered since the last time has been handed over for the page, but only `traces` of it; these
  // are pinned until a SetPins() that considered `tick`.
  void HandOver(std::span<const uint64_t> traces, uint64_t tick);

  // An incoming metric has an exemplar of this trace: pinned until a SetPins() of kVoteTicks after `tick`.
  void Vote(uint64_t trace_lo, uint64_t tick);

  // The traces that exemplars point to now, and nothing else is pinned but what was offered since.
  // `merged_tick`: every exemplar that this shard handed over until then was considered.
  void SetPins(std::span<const uint64_t> traces, uint64_t merged_tick);

  // Lets the oldest go until at most `bytes` are held, survivors last: when memory is short.
  void ShrinkTo(size_t bytes);

  // Survivors, then the rest, oldest first.
  std::vector<ChunkPtr> Snapshot() const;

  size_t bytes() const { return bytes_ + pinned_bytes_; }
  size_t chunks() const { return chunks_.size(); }  // without survivors
  uint64_t items() const { return items_; }
  PinStats pin_stats() const { return {pinned_traces_, pinned_bytes_, evicted_traces_, refused_pins_}; }

  size_t max_pins() const { return max_pins_; }
  size_t max_pinned_bytes() const { return max_bytes_ / 4; }

  // The tick of the oldest Chunk: what was finished since then can be found. 0 while nothing was evicted: all
  // of it.
  uint64_t horizon_tick() const {
    return evicted_ ? chunks_.empty() ? ~uint64_t{0} : chunks_.front()->tick : 0;
  }

 private:
  struct Pin {
    uint64_t order = 0;       // by when it was first pinned
    uint64_t bytes = 0;       // of its items in survivors
    uint64_t until_tick = 0;  // pinned until a SetPins() with this tick
    uint32_t round = 0;       // of the last SetPins() that listed it
    bool offered = false;     // since the last HandOver()
    bool given_up = false;    // its items had to leave; what comes of it now is not kept longer either
  };

  // One item to be copied.
  struct Source {
    const Chunk* chunk = nullptr;
    uint32_t item = 0;
  };

  Pin* PinFor(uint64_t trace_lo);
  bool Held(const Pin& pin) const { return pin.round == round_ || pin.offered || pin.until_tick != 0; }
  void Unpin();
  void PopOldest();
  void Enforce(size_t limit);
  void GiveUpOldest(uint64_t target);
  void Rewrite();
  void AddSurvivor(Signal signal, ChunkPtr survivor);
  void RemoveSurvivor(const ChunkPtr& survivor);
  bool Live(const ChunkItem& item) const;
  void GatherLive(const Chunk& chunk, std::vector<Source>* out) const;
  void Forget(Pin* pin);

  // One Chunk of all of `sources`, which are of one signal and tenant.
  ChunkPtr Pack(const std::vector<Source>& sources);

  const size_t max_bytes_;
  const size_t max_pins_;
  const size_t survivor_bytes_;  // content from which on a survivor is not put together with others
  SlabPool& slabs_;
  std::deque<ChunkPtr> chunks_;
  std::array<std::vector<ChunkPtr>, kSignals> survivors_;
  absl::flat_hash_map<uint64_t, Pin> pins_;  // by the trace ID's low half
  size_t bytes_ = 0;                         // of chunks_
  size_t pinned_bytes_ = 0;                  // of survivors_
  uint64_t live_bytes_ = 0;                  // of items in survivors that are pinned
  uint64_t pinned_traces_ = 0;
  uint64_t evicted_traces_ = 0;
  uint64_t refused_pins_ = 0;
  uint64_t items_ = 0;
  uint64_t next_order_ = 1;
  uint64_t next_id_ = uint64_t{1} << 63;  // apart from those of the shard's own Chunks
  uint32_t round_ = 1;                    // of the last SetPins(); pins begin with 0
  bool evicted_ = false;
};

// One item of a stored trace.
struct StoredItem {
  ChunkPtr chunk;
  const ChunkItem* item = nullptr;
};

// Every item of the trace with this low half of its ID, in stored order.
std::vector<StoredItem> FindTrace(const std::vector<ChunkPtr>& chunks, uint64_t trace_lo);

// How many of these traces have no item there.
uint64_t CountAbsent(const std::vector<ChunkPtr>& chunks, std::span<const uint64_t> traces);

}  // namespace braid::correlate
