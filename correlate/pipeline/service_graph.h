#pragma once

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/prefetch.h"
#include "base/ring_queue.h"
#include "correlate/derive/series_table.h"
#include "correlate/model/batch.h"
#include "correlate/window/window.h"

namespace braid::correlate {

// Why one side of an edge stayed alone.
enum class Unpaired : uint8_t {
  kNoServer,   // a client or producer that no other span answered, and that names no peer
  kNoClient,   // a server or consumer whose parent never came
  kNoService,  // one of the two sides has no service.name
  kEvicted,    // the table of waiting spans was full
  kLate,       // the other side came after its peer had been taken from attributes
};
constexpr int kUnpairedReasons = 5;
std::string_view UnpairedName(Unpaired reason);

// Finds the edges of the service graph in one shard's window and counts them in its SeriesTable.
//
// An edge is counted once for each child of a span in another place: as soon as both are there, in whatever
// order they came, for as long as the window remembers the first. So one producer with many consumers is many
// requests, and a server called by a server without client spans is found too. Links to spans of other traces
// arrive as LinkItems. A caller that names a database is an edge at once; one that names another peer becomes
// an edge to it if no span has answered within `wait_ticks`. With `broker_nodes` producers and consumers of a
// named messaging system are edges to and from their broker, at once, and none with each other.
// docs/metrics.md, "Service graph", has the rules.
//
// Thread rule: one shard's thread. Time rule: Advance(), from Tick records.
// Bounds: `max_waiting` children (88 bytes each and 16 to find them by) and `max_callers` callers (72 bytes
// each); beyond either the oldest give way, counted. Powers of two, as their memory grows, waste none of it.
// Links: as many remembered as children. Lifetime: window and table outlive it.
class ServiceGraph {
 public:
  struct Options {
    size_t max_waiting = 1 << 18;
    size_t max_callers = 1 << 18;
    size_t max_offers = 4096;  // exemplars that wait for their trace's verdict
    bool exemplars = true;
  };

  struct Stats {
    uint64_t edges = 0;
    uint64_t virtual_edges = 0;  // part of edges: the other side is known by attributes only
    std::array<uint64_t, kUnpairedReasons> unpaired{};
    uint64_t exemplars_refused = 0;
  };

  // A span as the fold has it. `ordinal` is its Record.
  struct Span {
    TraceId trace;
    uint64_t span = 0;
    uint64_t parent = 0;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    uint64_t duration_ns = 0;
    SeriesTable::Place place;
    Ordinal ordinal = 0;
    uint32_t tenant = 0;
    uint16_t flags = 0;  // item_flags
  };

  ServiceGraph(const Options& options, Window& window, SeriesTable& series);

  BRAID_PREFETCHER void Prefetch(uint64_t trace_lo, uint64_t span) const {
    __builtin_prefetch(&heads_[HomeOf(TagOf(KeyOf(trace_lo, span)))]);
  }

  // Whether the fold should fetch the parent's index line ahead.
  static bool LooksForParent(uint16_t flags, uint64_t parent);

  // A new span, its Record appended and indexed. `same_id`: an older Record of the same span ID, or 0
  // (Zipkin's client and server halves share theirs).
  void OnSpan(const Span& span, Ordinal same_id);

  // A link of `span` (in whatever trace) to a span of this shard. `place` is where `span` counts.
  void OnLink(const LinkItem& link, uint32_t tenant, SeriesTable::Place place);

  // `verdict_of(tenant, trace)` tells whether exemplars may be offered: kUndecided lets them wait.
  template <typename VerdictOf>
  void Advance(uint32_t tick, VerdictOf verdict_of);

  const Stats& stats() const { return stats_; }
  size_t waiting() const { return waiting_.size(); }
  size_t callers() const { return callers_.size(); }
  size_t bytes() const;

 private:
  // A child whose parent has not come.
  struct Waiting {
    uint64_t key = 0;  // of the parent
    uint64_t trace_hi = 0;
    uint64_t trace_lo = 0;
    uint64_t span = 0;
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    uint64_t duration_ns = 0;
    SeriesTable::Place place;
    uint32_t next = 0;  // the next older of the same parent, 0: none
    uint32_t tick = 0;
    uint32_t tenant = 0;
    uint8_t kind = 0;
    bool link = false;
    bool brokered = false;  // its edge is that from its broker: only the time since its producer is missing
    bool done = false;
  };

  // A span that may be the parent of an edge, as exactly as the Record is not.
  struct Caller {
    uint64_t duration_ns = 0;
    uint64_t end_ns = 0;
    SeriesTable::Place place;
    Ordinal ordinal = 0;
    uint32_t tick = 0;
    uint64_t span = 0;
    uint64_t trace_lo = 0;
    uint64_t trace_hi = 0;
    uint32_t tenant = 0;
    bool waits = false;  // for an answer
  };

  struct Parent {
    TraceId trace;
    uint64_t span = 0;
    SeriesTable::Place place;
    uint64_t duration_ns = 0;
    uint64_t end_ns = 0;  // 0: not known
    Ordinal ordinal = 0;
    uint8_t kind = 0;
  };

  // What one row of an edge counted.
  struct Side {
    SeriesTable::Id row = SeriesTable::kNone;
    uint64_t duration_ns = 0;
  };

  // An exemplar for the histograms of an edge, with the duration that each of them has of it.
  struct Offer {
    std::array<Side, 3> sides;
    Exemplar exemplar;
    uint32_t tenant = 0;
    uint32_t tick = 0;
  };

  struct alignas(32) EdgeRows {
    uint32_t client = 0;
    uint32_t server = 0;
    uint32_t what = 0;  // connection, virtual side, outcome
    SeriesTable::Id server_row = SeriesTable::kNone;
    SeriesTable::Id client_row = SeriesTable::kNone;
    SeriesTable::Id messaging_row = SeriesTable::kNone;  // asked for only where time is measured
    uint64_t threshold = 0;
  };

  struct Head {
    uint32_t tag = 0;
    uint32_t number = 0;  // of the newest Waiting, 0: empty
  };

  static constexpr size_t kAskAhead = 8;

  // Ordinals to an entry of blocks_.
  static constexpr Ordinal kBlock = 8;
  size_t BlockOf(Ordinal ordinal) const { return (ordinal & (window_.capacity() - 1)) / kBlock; }

  static uint64_t KeyOf(uint64_t trace_lo, uint64_t span) {
    return Mix64((trace_lo * 0x9e3779b97f4a7c15u) ^ span ^ 0x5bd1e9955bd1e995u);
  }
  static uint32_t TagOf(uint64_t key) { return static_cast<uint32_t>(key >> 32); }
  // Where a chain is looked for first: known from its tag, so that moving heads touches no child.
  size_t HomeOf(uint32_t tag) const { return tag & mask_; }

  Waiting* At(uint32_t number) {
    const uint32_t index = number - first_waiting_;
    return index < waiting_.size() ? &waiting_[index] : nullptr;
  }
  size_t HeadOf(uint64_t key);
  void EraseHead(size_t at);
  void GrowHeads();
  void Wait(const Waiting& child, uint64_t key);
  void PopWaiting(Unpaired reason);
  void TakeChildren(const Parent& parent, size_t head);
  void RememberCaller(const Span& span, uint8_t kind);
  void PairWithRecord(Ordinal ordinal, const TraceId& trace, const Waiting& child);
  void Pair(const Parent& parent, const Waiting& child);
  void MeasureMessage(const Parent& parent, const Waiting& child);
  bool ThroughBroker(uint8_t kind, uint32_t node) const;
  void CountVirtual(const Caller& caller);
  void CountRoot(const Span& span);
  void CountEdge(uint32_t client, uint32_t server, Connection connection, bool failed, uint8_t virtual_side,
                 uint64_t threshold, uint64_t server_ns, uint64_t client_ns, const Exemplar& exemplar,
                 uint32_t tenant, const uint64_t* messaging_ns);
  static Exemplar ExemplarOf(const Parent& parent, const Waiting& child, bool failed);
  void OfferTo(const std::array<Side, 3>& sides, const Exemplar& exemplar, uint32_t tenant);
  const Caller* CallerOf(Ordinal ordinal) const;
  void Release(const Offer& offer);
  void ReadDimensions(uint32_t client_node, uint32_t server_node);

  const Options options_;
  const DeriveOptions::Graph& graph_;
  Window& window_;
  SeriesTable& series_;
  uint32_t tick_ = 0;

  RingQueue<Waiting> waiting_;  // in order of arrival
  uint32_t first_waiting_ = 1;  // number of its front
  std::vector<Head> heads_;     // open addressing by parent's key, at most half full
  uint64_t mask_ = 0;
  size_t used_heads_ = 0;

  RingQueue<Caller> callers_;     // in order of their ordinals
  uint32_t first_caller_ = 0;     // number of its front
  std::vector<uint32_t> blocks_;  // by block of ordinals, modulo the window: number of its first caller
  size_t asked_ = 0;              // at its front: those whose wait is over

  RingQueue<Offer> offers_;
  // Two to a cache line, of which the first was used last.
  struct alignas(64) EdgePair {
    std::array<EdgeRows, 2> rows;
  };
  EdgeRows& RowsOf(uint32_t client, uint32_t server, uint32_t what, uint64_t threshold, bool* known);

  std::array<EdgePair, 2048> cache_{};
  uint64_t rows_ended_ = 0;              // SeriesTable::ended() that cache_ is of
  absl::flat_hash_set<uint64_t> links_;  // counted or waiting; looked up, never iterated
  RingQueue<std::pair<uint64_t, uint32_t>> link_ages_;
  std::string dimensions_;
  uint32_t user_;  // name of a caller nobody knows
  Stats stats_;
};

template <typename VerdictOf>
void ServiceGraph::Advance(uint32_t tick, VerdictOf verdict_of) {
  tick_ = tick;
  while (!waiting_.empty() &&
         (waiting_.front().done || tick - waiting_.front().tick > window_.max_age_ticks())) {
    PopWaiting(Unpaired::kNoClient);
  }
  while (asked_ < callers_.size() && tick - callers_[asked_].tick >= graph_.wait_ticks) {
    if (asked_ + kAskAhead < callers_.size()) window_.Prefetch(callers_[asked_ + kAskAhead].ordinal);
    CountVirtual(callers_[asked_++]);
  }
  while (!callers_.empty() && asked_ != 0 && !window_.Alive(callers_.front().ordinal)) {
    callers_.pop_front();
    ++first_caller_;
    --asked_;
  }
  while (!link_ages_.empty() && tick - link_ages_.front().second > window_.max_age_ticks()) {
    links_.erase(link_ages_.front().first);
    link_ages_.pop_front();
  }
  // Each waits for its own trace, so all are looked at; there are few, because only those that would be taken
  // wait.
  constexpr uint32_t kLongest = 2400;  // 2 minutes: a trace that was forgotten undecided
  for (size_t left = offers_.size(); left != 0; --left) {
    const Offer offer = offers_.front();
    offers_.pop_front();
    switch (verdict_of(offer.tenant, offer.exemplar.trace)) {
      case Verdict::kKeep: Release(offer); break;
      case Verdict::kDrop: break;
      case Verdict::kUndecided:
        if (tick - offer.tick < kLongest) offers_.push_back(offer);
        break;
    }
  }
}

}  // namespace braid::correlate
