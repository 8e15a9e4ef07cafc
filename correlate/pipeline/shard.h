#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ledger.h"
#include "base/prefetch.h"
#include "base/ring_queue.h"
#include "correlate/derive/series_table.h"
#include "correlate/model/chunk.h"
#include "correlate/model/inbox.h"
#include "correlate/pipeline/batch_table.h"
#include "correlate/pipeline/chunk_builder.h"
#include "correlate/pipeline/digest_set.h"
#include "correlate/pipeline/self_time.h"
#include "correlate/pipeline/service_graph.h"
#include "correlate/window/early_votes.h"
#include "correlate/window/hold_queue.h"
#include "correlate/window/window.h"

namespace braid::correlate {

// What a shard hands on. Called on the shard's thread, in the middle of Apply(): implementations queue and
// return.
class ShardOutput {
 public:
  virtual ~ShardOutput() = default;

  // Finished telemetry. The account has moved its items to `queued` for every sink of the signal.
  virtual void OnChunk(ChunkPtr chunk) = 0;

  // Counts of the last kSeriesTicks, for the Series owner.
  virtual void OnSeries(SeriesDeltaPtr delta) = 0;

  // Metrics that arrived, in order, for re-exposition. Its items have been counted already.
  virtual void OnMetrics(SlicePtr slice) = 0;

  // An exemplar is about to point to this trace: a span of it was offered, which OnSeries() will tell, or
  // not; or an incoming metric names it.
  enum class ExemplarOf : uint8_t { kSpan, kMetric };
  virtual void OnExemplar(uint64_t /*trace_lo*/, ExemplarOf) {}
};

// Why a trace was decided.
enum class Trigger : uint8_t { kRoot, kTimeout, kPressure, kBudget, kEvicted, kShutdown, kImmediate };
constexpr int kTriggers = 7;
std::string_view TriggerName(Trigger trigger);

// What a vote met: the exemplar of an incoming metric asks that its trace be kept.
enum class VoteResult : uint8_t {
  kMarked,     // the trace, which has the bit from now on
  kTombstone,  // what is left of it
  kEarly,      // nothing yet: remembered until its trace opens
  kRepeated,   // an earlier vote
};
constexpr int kVoteResults = 4;
std::string_view VoteResultName(VoteResult result);

// Counters of one shard since it began. Plain integers of its thread; copied for a snapshot.
struct ShardStats {
  uint64_t records = 0;
  uint64_t spans = 0;
  uint64_t duplicate_spans = 0;
  uint64_t logs = 0;
  uint64_t metrics = 0;  // data points
  uint64_t slices = 0;
  uint64_t duplicate_slices = 0;
  uint64_t late_spans = 0;           // after their trace's verdict
  uint64_t logs_joined_at_once = 0;  // the span was there
  uint64_t logs_joined_waiting = 0;  // the span came later
  uint64_t logs_no_context = 0;
  uint64_t logs_bad_id = 0;  // part of logs_no_context
  std::array<uint64_t, kUnjoinedReasons> logs_unjoined{};
  std::array<uint64_t, 16> join_wait{};  // joined logs by ticks waited: bucket = bit width
  uint64_t join_wait_ticks = 0;
  std::array<uint64_t, kTriggers> verdicts{};
  uint64_t index_evicted = 0;   // living span index entries that gave way
  uint64_t traces_evicted = 0;  // living trace slots that gave way
  uint64_t notes_dropped = 0;   // first error messages beyond their budget
  uint64_t batches_evacuated = 0;
  uint64_t self_time_traces = 0;      // complete ones
  uint64_t self_time_incomplete = 0;  // traces with a span missing, or its times
  uint64_t chunks = 0;
  std::array<uint64_t, kVoteResults> votes{};
  uint64_t early_votes_met = 0;        // their trace opened
  uint64_t early_votes_forgotten = 0;  // gave way to newer ones
};

// Gauges of one shard, computed when asked for.
struct ShardGauges {
  uint64_t window_records = 0;
  uint64_t window_capacity = 0;
  uint64_t window_bytes = 0;  // tables, when full
  uint64_t horizon_ticks = 0;
  uint64_t digest_horizon_ticks = 0;
  uint64_t pending_bytes = 0;  // logical bytes of held items
  uint64_t waiting_logs = 0;
  uint64_t open_traces = 0;
  uint64_t batches = 0;
  uint64_t series = 0;
  uint64_t series_bytes = 0;
  uint64_t signatures = 0;
  uint64_t template_nodes = 0;  // beginnings of span names that are learned from
  uint64_t graph_waiting = 0;   // spans whose parent has not come
  uint64_t graph_callers = 0;
  uint64_t graph_bytes = 0;
  uint64_t early_votes = 0;  // waiting
};

// A trace as far as one shard still holds its payload: everything that is not in a Chunk yet.
struct TraceItems {
  struct Entry {
    BatchRef batch;
    uint32_t offset = 0;
    uint16_t group = 0;
    Signal signal = Signal::kTraces;
    bool waiting = false;  // a log without its span so far
    bool joined = false;   // a log whose span is known
  };
  std::vector<Entry> entries;
  bool known = false;  // the window has a slot for it
  Verdict verdict = Verdict::kUndecided;
  bool error = false;
  bool voted = false;  // also where only a tombstone or an early vote is left
  uint32_t spans = 0;
  uint32_t logs = 0;
};

// Folds the records of the sequence into correlated telemetry: recognises duplicates, joins logs and spans in
// any order of arrival, counts RED, decides traces, and cuts finished items into Chunks.
//
// It is a deterministic function of the records it is given (order included): it reads no clock, random
// source or socket, iterates no hash map, and orders nothing by pointer. Only Evacuate() depends on physical
// time, and it changes where bytes are, not what is done with them.
//
// Thread rule: everything on one thread at a time. Lifetime: the pools and the output outlive it.
// Bounds: window and index by Options::window, held payload by max_pending_bytes (beyond it the oldest traces
// are decided and the oldest logs leave unjoined, counted), notes by max_note_bytes, digests by `digests`,
// votes for traces to come by `early_votes` (the oldest are forgotten, counted).
class Shard {
 public:
  // The account's line for what stays inside: spans and logs in the store, metrics on /metrics.
  static constexpr size_t kInternalSink = 0;

  struct Options {
    uint32_t shard = 0;
    Epoch epoch;
    Window::Options window;
    SeriesTable::Options series;
    ServiceGraph::Options graph;
    std::shared_ptr<const DeriveOptions> derive = std::make_shared<DeriveOptions>();
    ChunkBuilder::Options chunks;

    uint32_t log_hold_ticks = 10'000 / kTickMs;
    uint32_t settle_ticks = 2'000 / kTickMs;
    uint32_t decision_max_ticks = 30'000 / kTickMs;
    uint32_t chunk_age_ticks = 200 / kTickMs;
    size_t chunk_items = 2048;

    // Logical bytes of payload held for joins and verdicts.
    uint64_t max_pending_bytes = 64u << 20;
    size_t max_note_bytes = 4u << 20;
    size_t digests = 1 << 16;
    size_t early_votes = 1 << 12;  // 32 bytes each

    bool logs_wait_for_verdict = false;  // else: for their span
    bool spans_wait = true;              // for the verdict; else they leave unstamped at once
    bool exemplars = true;

    // sink_takes[s][signal]: which signals sink s gets. Sink kInternalSink takes everything.
    std::vector<std::array<bool, kSignals>> sink_takes = {{true, true, true}};
  };

  static constexpr uint64_t kSeriesTicks = 20;

  Shard(const Options& options, SlabPool& slabs, BatchPool& batches, ShardOutput& output);
  ~Shard();

  // The next record of the sequence.
  void Apply(InboxRecord record);

  // Copies what little is left alive of old Batches together, so that they can be freed: a Batch older than
  // twice the settle time of whose items under a quarter are alive. Looks at up to `max_batches`. Returns
  // bytes freed.
  size_t Evacuate(size_t max_batches);

  // Whether everything that came has left in Chunks (after a kDrain record).
  bool idle() const;

  std::array<LedgerEntry, kSignals>& ledger(size_t sink) { return ledger_[sink]; }
  const std::vector<std::array<LedgerEntry, kSignals>>& ledger() const { return ledger_; }
  const ShardStats& stats() const { return stats_; }
  const ServiceGraph::Stats& graph_stats() const { return graph_.stats(); }
  ShardGauges gauges();
  uint32_t tick() const { return tick_; }

  // Everything of the trace that has not left yet.
  TraceItems Collect(const TraceId& trace) const;

  // Of everything the fold depends on: equal digests after equal records, whatever the timing of threads.
  uint64_t Digest() const;

 private:
  struct Opened {
    uint32_t slot = 0;
    uint32_t tick = 0;
    uint32_t trace = 0;  // low bits of the ID, to tell a reused slot
  };

  // One live item of a Batch under evacuation: a pending Record, or an item on the keep list.
  struct Live {
    uint32_t offset;
    Ordinal ordinal;
    KeptItem* kept;
  };

  void ApplySlice(SlicePtr slice, uint64_t sequence);
  void FoldSpans(const Slice& slice, uint32_t batch_slot);
  void FoldLogs(const Slice& slice, uint32_t batch_slot);
  void FoldMetrics(SlicePtr slice, uint32_t batch_slot);
  void FoldVote(const VoteItem& vote, uint32_t tenant);
  // What the fold's lookahead finds out of an item before its turn.
  struct Ahead {
    uint64_t trace_hash = 0;
    uint64_t span_hash = 0;
    SeriesTable::Place place;  // if it was known by then
  };
  void FoldSpan(const Item& item, const Batch& batch, uint32_t batch_slot, const Ahead& ahead);
  void FoldLog(const Item& item, const Slice& slice, uint32_t batch_slot, const Ahead& ahead);
  void OnTick(uint32_t tick);

  // A span's newest Record, and the index key that led to it (or under which it is to be put).
  struct Found {
    Ordinal ordinal = 0;
    uint64_t hash = 0;
  };
  Found FindSpan(const Item& item, uint64_t span_hash, uint32_t slot) const;
  uint32_t SlotFor(uint64_t trace_hash, uint32_t known, uint32_t tenant, const TraceId& trace);
  Ordinal Append(const Record& record);
  void Retire(Ordinal ordinal);
  bool SameSpan(const Record& record, SeriesTable::Id id, const Item& item, const Batch& batch) const;
  void CountDetails(SeriesTable::Id row, std::string_view span);
  void CountSelfTime();
  void JoinWaiting(Ordinal newest_log, Ordinal span, TraceSlot& slot);

  void Decide(uint32_t slot, Trigger trigger);
  // Logs may take three quarters of the held payload; open traces always keep the rest.
  uint64_t MaxHeldLogBytes() const { return options_.max_pending_bytes / 4 * 3; }
  void DecideDue();
  void DecideOldest(Trigger trigger);
  void EnforceBudget();
  void ReleaseLog(Ordinal ordinal, UnjoinedReason reason);
  void ReleaseWaiting(const TraceSlot& slot, UnjoinedReason reason);
  void KeepLog(Record& record, const TraceSlot& slot, UnjoinedReason reason);
  void OfferExemplar(const Record& record, const TraceSlot& slot);
  LogStamp StampFor(const TraceSlot& slot, const Record* span, UnjoinedReason reason, KeepList* list) const;
  uint32_t KeepNames(const Record& span, KeepList* list) const;

  KeepList& keep(Signal signal) { return keep_[static_cast<size_t>(signal)]; }
  void Keep(Signal signal, const KeptItem& item, uint64_t bytes);
  void FlushKept(Signal signal);
  uint32_t WaitedTicks(Ordinal log) const;
  // Brings what the next Decide() calls of a queue will look at, all of its first traces side by side.
  // `warm` counts those of the queue's front that have been brought.
  void Warm(const RingQueue<Opened>& queue, size_t* warm) const;
  template <typename Fn>
  void ForSinks(Signal signal, Fn fn);
  bool DropsAsDuplicate(const Slice& slice);

  const Options options_;
  SlabPool& slabs_;
  BatchPool& batch_pool_;
  ShardOutput& output_;

  Window window_;
  SeriesTable series_;
  ServiceGraph graph_;
  ChunkBuilder builder_;
  BatchTable batches_;
  DigestSet digests_;
  EarlyVotes early_votes_;
  HoldQueue held_logs_;
  RingQueue<Opened> opened_;  // undecided traces by first item
  size_t warm_opened_ = 0;    // entries at the front of opened_ that Warm() brought
  size_t warm_rooted_ = 0;
  RingQueue<Opened> rooted_;                         // traces whose local root came, by when
  absl::flat_hash_map<Ordinal, std::string> notes_;  // first error messages by log; looked up, never iterated
  size_t note_bytes_ = 0;

  std::array<KeepList, kSignals> keep_;
  std::vector<std::array<LedgerEntry, kSignals>> ledger_;
  ShardStats stats_;
  uint32_t tick_ = 0;
  int pressure_ = 0;
  bool draining_ = false;
  uint64_t pending_bytes_ = 0;
  uint64_t open_traces_ = 0;
  uint64_t chain_digest_ = 0;  // over every Chunk cut so far
  uint32_t evacuate_next_ = 0;

  // The span whose arrival is being dealt with: its payload is at hand, held or not.
  Ordinal arriving_ = 0;

  // Scratch, kept for its capacity.
  std::vector<ChunkPtr> chunks_;
  std::vector<std::pair<uint32_t, Ordinal>> walked_;    // of JoinWaiting()
  std::vector<std::pair<uint32_t, Ordinal>> chain_;     // of Decide()
  std::vector<std::pair<Ordinal, Ordinal>> span_logs_;  // (span, log) of one trace
  std::vector<Ahead> ahead_;
  SelfTime self_time_;
  SpanTimes times_;
  std::vector<Live> live_;
};

}  // namespace braid::correlate
