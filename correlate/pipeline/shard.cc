#include "correlate/pipeline/shard.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/wire.h"
#include "correlate/derive/any_value.h"
#include "correlate/model/item.h"

namespace braid::correlate {
namespace {

namespace rf = record_flags;

constexpr uint32_t kSpanTraceId = 1;  // opentelemetry-proto trace.proto Span
constexpr uint32_t kSpanName = 5;
constexpr uint32_t kSpanStart = 7;
constexpr uint32_t kSpanEnd = 8;
constexpr uint32_t kSpanAttributes = 9;
constexpr uint32_t kSpanEvents = 11;
constexpr uint32_t kEventName = 2, kEventAttributes = 3;
constexpr size_t kPrefetchAhead = 24;
constexpr size_t kDecideTogether = 16;
constexpr size_t kWholeItems = 256;  // smaller requests are put together rather than sent on by themselves
constexpr int kWarmRecords = 64;     // of each trace; long ones pay their own way beyond

std::string_view LastString(std::string_view message, uint32_t number) {
  std::string_view found;
  for (wire::Cursor c(message); c.Next();) {
    if (c.field().number == number && c.field().type == wire::Type::kBytes) found = c.field().bytes;
  }
  return found;
}

// Start and end of a span. Where nothing stands out of order (`odd`), attributes end the search.
void ReadTimes(std::string_view span, bool odd, uint64_t* start_ns, uint64_t* end_ns) {
  *start_ns = *end_ns = 0;
  for (wire::Cursor c(span); c.Next();) {
    const wire::Field& f = c.field();
    if (f.type == wire::Type::kFixed64 && f.number == kSpanStart) *start_ns = f.scalar;
    if (f.type == wire::Type::kFixed64 && f.number == kSpanEnd) *end_ns = f.scalar;
    if (f.number == kSpanAttributes && !odd) return;
  }
}

// 0 error, 1 warn, 2 info, 3 debug: the order of SpanStamp::logs. Unset severity counts as info.
size_t StampClass(SeverityClass severity) {
  switch (severity) {
    case SeverityClass::kError:
    case SeverityClass::kFatal: return 0;
    case SeverityClass::kWarn: return 1;
    case SeverityClass::kUnset:
    case SeverityClass::kInfo: return 2;
    case SeverityClass::kTrace:
    case SeverityClass::kDebug: return 3;
  }
  return 2;
}

SeverityClass SeverityOf(const Record& log) {
  return static_cast<SeverityClass>((log.batch_and_flags & rf::kSeverityMask) >> rf::kSeverityShift);
}

Ordinal SpanOfLog(const Record& log) { return static_cast<Ordinal>(log.parent); }

}  // namespace

std::string_view TriggerName(Trigger trigger) {
  switch (trigger) {
    case Trigger::kRoot: return "root";
    case Trigger::kTimeout: return "timeout";
    case Trigger::kPressure: return "pressure";
    case Trigger::kBudget: return "budget";
    case Trigger::kEvicted: return "evicted";
    case Trigger::kShutdown: return "shutdown";
    case Trigger::kImmediate: return "immediate";
  }
  return "";
}

std::string_view VoteResultName(VoteResult result) {
  switch (result) {
    case VoteResult::kMarked: return "marked";
    case VoteResult::kTombstone: return "tombstone";
    case VoteResult::kEarly: return "early";
    case VoteResult::kRepeated: return "repeated";
  }
  return "";
}

Shard::Shard(const Options& options, SlabPool& slabs, BatchPool& batches, ShardOutput& output)
    : options_(options),
      slabs_(slabs),
      batch_pool_(batches),
      output_(output),
      window_(options.epoch, options.window),
      series_(options.series, *options_.derive, options.epoch.seed),
      graph_(options.graph, window_, series_),
      builder_(options.chunks, slabs, series_),
      digests_(options.digests),
      early_votes_(options.early_votes),
      held_logs_(options.logs_wait_for_verdict ? options.decision_max_ticks : options.log_hold_ticks),
      ledger_(options.sink_takes.size()),
      times_(options.derive->self_time ? std::max<size_t>(options.window.capacity / 8, 64) : 1) {}

Shard::~Shard() = default;

template <typename Fn>
void Shard::ForSinks(Signal signal, Fn fn) {
  for (size_t sink = 0; sink < ledger_.size(); ++sink) {
    if (options_.sink_takes[sink][static_cast<size_t>(signal)])
      fn(sink, ledger_[sink][static_cast<size_t>(signal)]);
  }
}

void Shard::Apply(InboxRecord record) {
  ++stats_.records;
  switch (record.kind) {
    case InboxRecord::Kind::kSlice: ApplySlice(std::move(record.slice), record.sequence); return;
    case InboxRecord::Kind::kTick: OnTick(static_cast<uint32_t>(record.value)); return;
    case InboxRecord::Kind::kPressure:
      pressure_ = static_cast<int>(record.value);
      if (pressure_ >= 2) {
        const uint64_t target = (pending_bytes_ + held_logs_.bytes()) / 2;
        held_logs_.Advance(
            tick_, held_logs_.hold_ticks(), held_logs_.bytes() / 2,
            [&](Ordinal o) { return window_.Alive(o) && window_[o].Has(rf::kWaiting); },
            [&](Ordinal o, HoldQueue::Release) { ReleaseLog(o, UnjoinedReason::kOverBudget); });
        while (open_traces_ != 0 && pending_bytes_ + held_logs_.bytes() > target)
          DecideOldest(Trigger::kPressure);
        for (const Signal signal : {Signal::kTraces, Signal::kLogs, Signal::kMetrics}) FlushKept(signal);
      }
      return;
    case InboxRecord::Kind::kEpoch:
      return;  // Carried from the start by Options; a change comes with a new Shard.
    case InboxRecord::Kind::kDrain:
      draining_ = true;
      while (open_traces_ != 0) DecideOldest(Trigger::kShutdown);
      held_logs_.Advance(
          tick_, 0, 0, [&](Ordinal o) { return window_.Alive(o) && window_[o].Has(rf::kWaiting); },
          [&](Ordinal o, HoldQueue::Release) { ReleaseLog(o, UnjoinedReason::kShutdown); });
      for (const Signal signal : {Signal::kTraces, Signal::kLogs, Signal::kMetrics}) FlushKept(signal);
      series_.SetNow(tick_);
      if (SeriesDeltaPtr delta = series_.TakeDelta(tick_)) output_.OnSeries(std::move(delta));
      return;
  }
}

bool Shard::DropsAsDuplicate(const Slice& slice) {
  if (digests_.Insert(slice.digest, tick_)) return false;
  ++stats_.duplicate_slices;
  if (slice.batch->signal == Signal::kTraces) stats_.duplicate_spans += slice.count;
  ForSinks(slice.batch->signal,
           [&](size_t, LedgerEntry& entry) { entry.DropHeld(DropReason::kDuplicate, slice.count); });
  return true;
}

void Shard::ApplySlice(SlicePtr slice, uint64_t) {
  ++stats_.slices;
  const Signal signal = slice->batch->signal;
  ForSinks(signal, [&](size_t, LedgerEntry& entry) { entry.Accept(slice->count); });
  if (DropsAsDuplicate(*slice)) return;

  // A million Batches with something alive in them: let the oldest go.
  while (batches_.full() && open_traces_ != 0) {
    DecideOldest(Trigger::kBudget);
    for (const Signal s : {Signal::kTraces, Signal::kLogs, Signal::kMetrics}) FlushKept(s);
  }
  const uint32_t batch_slot = batches_.Add(slice->batch, static_cast<uint32_t>(slice->items.size()), tick_);
  const Ordinal first = window_.head();
  switch (signal) {
    case Signal::kTraces: FoldSpans(*slice, batch_slot); break;
    case Signal::kLogs: FoldLogs(*slice, batch_slot); break;
    case Signal::kMetrics: FoldMetrics(std::move(slice), batch_slot); break;
  }
  if (window_.head() != first) {
    batches_[batch_slot].first = first;
    batches_[batch_slot].last = window_.head() - 1;
  }
  batches_.Release(batch_slot);
  EnforceBudget();
}

void Shard::FoldSpans(const Slice& slice, uint32_t batch_slot) {
  const Batch& batch = *slice.batch;
  const size_t n = slice.items.size();
  const char* const body = batch.body.data();
  ahead_.resize(n);
  const bool graph = options_.derive->graph.enabled;
  const auto prefetch = [&](size_t i) {
    const Item& item = slice.items[i];
    Ahead& ahead = ahead_[i];
    ahead.trace_hash = TraceHash(options_.epoch, batch.tenant, item.trace_lo);
    ahead.span_hash = window_.SpanHash(item.trace(), item.span);
    ahead.place = {};
    window_.traces().Prefetch(ahead.trace_hash);
    window_.index().Prefetch(ahead.span_hash);
    if (graph) {
      graph_.Prefetch(item.trace_lo, item.span);
      if (ServiceGraph::LooksForParent(item.flags, item.parent)) {
        graph_.Prefetch(item.trace_lo, item.parent);
        window_.index().Prefetch(window_.SpanHash(item.trace(), item.parent));
      }
    }
    series_.Prefetch(item.series);
    __builtin_prefetch(body + item.offset);
  };
  for (size_t i = 0; i < std::min(n, kPrefetchAhead); ++i) prefetch(i);
  // A request that leaves at once, whole and as it came needs no copy; what waits before it goes first.
  const bool whole =
      !options_.spans_wait && n >= kWholeItems && n < options_.chunk_items && n == batch.intact_items;
  if (whole) FlushKept(Signal::kTraces);
  const uint64_t duplicates_before = stats_.duplicate_spans;
  for (size_t i = 0; i < n; ++i) {
    if (i + kPrefetchAhead < n) prefetch(i + kPrefetchAhead);
    if (const size_t next = i + kPrefetchAhead / 2; next < n) {
      Ahead& ahead = ahead_[next];
      window_.traces().PrefetchSlot(ahead.trace_hash);
      ahead.place = series_.Find(slice.items[next].series);
      if (ahead.place) {
        series_.PrefetchCell(ahead.place.row);
        if (!options_.spans_wait) series_.PrefetchBars(ahead.place.row);
      }
    }
    FoldSpan(slice.items[i], batch, batch_slot, ahead_[i]);
  }
  for (const LinkItem& link : slice.links) {
    SeriesTable::Place place = series_.Find(link.series);
    if (!place) {
      place = series_.Intern(
          link.series, batch, link.group, batch.ItemBytes(link.offset),
          static_cast<uint8_t>(link.flags & item_flags::kKindMask),
          static_cast<uint8_t>((link.flags & item_flags::kStatusMask) >> item_flags::kStatusShift), false);
    }
    graph_.OnLink(link, batch.tenant, place);
  }
  if (whole) FlushKept(Signal::kTraces);
  stats_.spans += n;
  const uint64_t duplicates = stats_.duplicate_spans - duplicates_before;
  if (duplicates != 0) {
    ForSinks(Signal::kTraces,
             [&](size_t, LedgerEntry& entry) { entry.DropHeld(DropReason::kDuplicate, duplicates); });
  }
}

// Whether `record` is the span that arrives again: the same ID in the same trace, from the same service and
// in the same role. (Zipkin's client and server halves share an ID and are two spans.)
bool Shard::SameSpan(const Record& record, SeriesTable::Id id, const Item& item, const Batch& batch) const {
  if (record.series == id) return true;
  if (!series_.Alive(record.series)) return true;
  const SeriesTable::Dims dims = series_.dims(record.series);
  const std::string_view service = batch.ServiceName(item.group);
  return dims.kind == (item.flags & item_flags::kKindMask) &&
         (dims.service == service || (dims.overflow && dims.service.empty()) ||
          dims.service == CutToCharacter(service, options_.series.max_value_bytes));
}

// Traces with 64-bit and 128-bit IDs meet: where the trace is known to have been seen in both forms, a span
// may lie under either.
Shard::Found Shard::FindSpan(const Item& item, uint64_t span_hash, uint32_t slot) const {
  const auto matches = [&](Ordinal o) { return window_.Alive(o) && window_[o].span == item.span; };
  Found found{window_.index().Find(span_hash, matches), span_hash};
  if (found.ordinal != 0 || slot == TraceTable::kNone) return found;
  const TraceSlot& trace = window_.traces()[slot];
  if (item.trace_hi == trace.trace_hi && !trace.short_form) return found;
  const uint64_t other =
      window_.SpanHash({item.trace_hi == 0 ? trace.trace_hi : 0, item.trace_lo}, item.span);
  if (const Ordinal ordinal = window_.index().Find(other, matches); ordinal != 0) return {ordinal, other};
  return found;
}

// The trace's slot: `known` if that is one, else a new one.
uint32_t Shard::SlotFor(uint64_t trace_hash, uint32_t known, uint32_t tenant, const TraceId& trace) {
  TraceTable& traces = window_.traces();
  uint32_t at = known;
  if (at != TraceTable::kNone) {
    if (traces[at].trace_hi == 0) traces[at].trace_hi = trace.hi;
    traces[at].short_form |= trace.hi == 0;
    return at;
  }
  const Tombstone* stone = traces.FindTombstone(trace_hash, tenant, trace);
  const Tombstone remembered = stone != nullptr ? *stone : Tombstone{};
  at = traces.Insert(
      trace_hash, tenant, trace, tick_, window_.head(), [&](Ordinal o) { return window_.Alive(o); },
      [&](uint32_t victim) {
        ++stats_.traces_evicted;
        Decide(victim, Trigger::kEvicted);
        ReleaseWaiting(traces[victim], UnjoinedReason::kEvicted);
      });
  TraceSlot& slot = traces[at];
  if (remembered.verdict != Verdict::kUndecided) {
    slot.verdict = remembered.verdict;
    slot.error = remembered.error;
    slot.root_series = remembered.root_series;
  } else {
    ++open_traces_;
    opened_.push_back({at, tick_, static_cast<uint32_t>(trace.lo)});
  }
  slot.voted = remembered.voted;
  if (early_votes_.Take(trace_hash, tenant, trace)) {
    slot.voted = true;
    ++stats_.early_votes_met;
  }
  return at;
}

Ordinal Shard::Append(const Record& record) {
  return window_.Append(record, [this](Ordinal oldest) { Retire(oldest); });
}

// The window forgets this record: whatever is still held for it must be settled first.
void Shard::Retire(Ordinal ordinal) {
  Record& record = window_[ordinal];
  if (!record.Has(rf::kPending)) return;
  if (record.Has(rf::kLog)) {
    held_logs_.Forget(record.duration);
    ReleaseLog(ordinal, UnjoinedReason::kEvicted);
    return;
  }
  const Batch& batch = *batches_[record.batch()].batch;
  const std::string_view id = LastString(batch.ItemBytes(record.offset), kSpanTraceId);
  const TraceId trace{LoadBigEndian64(id.data()), LoadBigEndian64(id.data() + 8)};
  const uint32_t slot =
      window_.traces().Find(TraceHash(options_.epoch, batch.tenant, trace.lo), batch.tenant, trace);
  if (slot != TraceTable::kNone) Decide(slot, Trigger::kEvicted);
}

void Shard::FoldSpan(const Item& item, const Batch& batch, uint32_t batch_slot, const Ahead& ahead) {
  const uint32_t known = window_.traces().Find(ahead.trace_hash, batch.tenant, item.trace());
  const auto [found, index_hash] = FindSpan(item, ahead.span_hash, known);
  SeriesTable::Place place = ahead.place ? ahead.place : series_.Find(item.series);
  if (found != 0) {
    for (Ordinal o = found; window_.Alive(o) && window_[o].span == item.span && !window_[o].Has(rf::kLog);
         o = window_[o].prev_of_span) {
      if (SameSpan(window_[o], place.row, item, batch)) {
        ++stats_.duplicate_spans;
        return;
      }
    }
  }
  if (!place) {
    place = series_.Intern(
        item.series, batch, item.group, batch.ItemBytes(item.offset),
        static_cast<uint8_t>(item.flags & item_flags::kKindMask),
        static_cast<uint8_t>((item.flags & item_flags::kStatusMask) >> item_flags::kStatusShift),
        item.parent == 0);
  }
  const SeriesTable::Id id = place.row;

  const uint32_t size = static_cast<uint32_t>(batch.ItemBytes(item.offset).size());
  const uint64_t duration = item.end_ns > item.start_ns ? item.end_ns - item.start_ns : 0;
  series_.Count(id, duration, size);
  if ((item.flags & item_flags::kHasEvents) != 0 && (options_.derive->events || options_.derive->exceptions))
      [[unlikely]]
    CountDetails(id, batch.ItemBytes(item.offset));

  const uint32_t at = SlotFor(ahead.trace_hash, known, batch.tenant, item.trace());
  TraceSlot& slot = window_.traces()[at];
  Record record;
  record.span = item.span;
  record.parent = item.parent;
  record.prev_in_trace = slot.head;
  record.prev_of_span = found;
  record.batch_and_flags = batch_slot;
  record.offset = item.offset;
  record.series = id;
  record.duration = PackDuration(duration);
  if ((item.flags & item_flags::kStampCollision) != 0) record.Set(rf::kCollision);
  if ((item.flags & item_flags::kOddOrder) != 0) record.Set(rf::kOddOrder);
  const uint32_t status = (item.flags & item_flags::kStatusMask) >> item_flags::kStatusShift;
  record.Set((status <= 2 ? status : 0) << rf::kStatusShift);
  if (place.node != 0 && options_.derive->lend.enabled && series_.Screen(place.node, duration)) {
    record.Set(rf::kCandidate);
  }
  const Ordinal ordinal = Append(record);
  slot.head = ordinal;
  ++slot.spans;
  if (options_.derive->self_time) times_.Put(ordinal, item.start_ns, item.end_ns);
  if (status == 2) slot.error = true;
  const bool local_root = item.parent == 0 || (item.flags & item_flags::kParentRemote) != 0;
  if (local_root) {
    if (item.parent == 0 || slot.root_series == 0) {
      if (!slot.true_root) {
        slot.root_series = id + 1;
        slot.root = ordinal;
      }
      if (item.parent == 0) slot.true_root = true;
    }
    if (!slot.rooted) {
      slot.rooted = true;
      if (slot.verdict == Verdict::kUndecided)
        rooted_.push_back({at, tick_, static_cast<uint32_t>(item.trace_lo)});
    }
  }
  if (window_.index().Put(index_hash, found, ordinal, window_.head(),
                          [&](Ordinal o) { return window_.Alive(o); })) {
    ++stats_.index_evicted;
  }
  if (options_.derive->graph.enabled) {
    ServiceGraph::Span span;
    span.trace = item.trace();
    span.span = item.span;
    span.parent = item.parent;
    span.start_ns = item.start_ns;
    span.end_ns = item.end_ns;
    span.duration_ns = duration;
    span.place = place;
    span.ordinal = ordinal;
    span.tenant = batch.tenant;
    span.flags = item.flags;
    graph_.OnSpan(span, found);
  }

  batches_.Retain(batch_slot);
  if (options_.spans_wait && slot.verdict == Verdict::kUndecided) {
    window_[ordinal].Set(rf::kPending);
    ++slot.pending;
    slot.pending_bytes += size;
    pending_bytes_ += size;
  } else {
    if (slot.verdict != Verdict::kUndecided) ++stats_.late_spans;
    OfferExemplar(window_[ordinal], slot);
    KeptItem kept;
    kept.trace_lo = item.trace_lo;
    kept.batch = batch_slot;
    kept.offset = item.offset;
    Keep(Signal::kTraces, kept, size);
  }
  if (found != 0 && window_.Alive(found) && window_[found].Has(rf::kLog)) {
    arriving_ = ordinal;
    JoinWaiting(found, ordinal, slot);
    arriving_ = 0;
  }
}

// The events and exceptions of a span, which few have.
void Shard::CountDetails(SeriesTable::Id row, std::string_view span) {
  if (!series_.Counts(row)) return;
  for (wire::Cursor c(span); c.Next();) {
    if (c.field().number != kSpanEvents || c.field().type != wire::Type::kBytes) continue;
    const std::string_view name = LastString(c.field().bytes, kEventName);
    if (options_.derive->events) series_.CountOne(series_.DetailRow(RowKind::kEvents, row, name));
    if (!options_.derive->exceptions || name != "exception") continue;
    std::string type, message;
    for (wire::Cursor e(c.field().bytes); e.Next();) {
      if (e.field().number != kEventAttributes || e.field().type != wire::Type::kBytes) continue;
      const KeyValueView attribute = ReadKeyValue(e.field().bytes);
      std::string* const to = attribute.key == "exception.type"      ? &type
                              : attribute.key == "exception.message" ? &message
                                                                     : nullptr;
      if (to == nullptr) continue;
      to->clear();
      AppendAnyValue(to, attribute.any_value);
    }
    series_.CountOne(series_.DetailRow(RowKind::kExceptions, row, type, message));
  }
}

void Shard::JoinWaiting(Ordinal newest_log, Ordinal span, TraceSlot& slot) {
  const uint64_t span_id = window_[span].span;
  walked_.clear();
  for (Ordinal o = newest_log; window_.Alive(o); o = window_[o].prev_of_span) {
    Record& log = window_[o];
    if (!log.Has(rf::kLog) || log.span != span_id) break;
    log.parent = span;
    if (log.Has(rf::kWaiting)) walked_.emplace_back(0, o);
  }
  const bool leave = !options_.logs_wait_for_verdict || slot.verdict != Verdict::kUndecided;
  for (size_t i = walked_.size(); i-- > 0;) {
    Record& log = window_[walked_[i].second];
    ++stats_.logs_joined_waiting;
    const uint32_t waited = WaitedTicks(walked_[i].second);
    stats_.join_wait_ticks += waited;
    ++stats_.join_wait[std::min<size_t>(static_cast<size_t>(std::bit_width(waited)),
                                        stats_.join_wait.size() - 1)];
    if (leave) {
      held_logs_.Forget(log.duration);
      KeepLog(log, slot, UnjoinedReason::kNone);
    }
  }
}

uint32_t Shard::WaitedTicks(Ordinal log) const { return tick_ - window_.TickOf(log); }

void Shard::FoldLogs(const Slice& slice, uint32_t batch_slot) {
  const Batch& batch = *slice.batch;
  const size_t n = slice.items.size();
  ahead_.resize(n);
  const auto prefetch = [&](size_t i) {
    const Item& item = slice.items[i];
    Ahead& ahead = ahead_[i];
    ahead.trace_hash = TraceHash(options_.epoch, batch.tenant, item.trace_lo);
    ahead.span_hash = window_.SpanHash(item.trace(), item.span);
    if (item.trace().valid()) {
      window_.traces().Prefetch(ahead.trace_hash);
      window_.index().Prefetch(ahead.span_hash);
    }
    __builtin_prefetch(batch.body.data() + item.offset);
  };
  for (size_t i = 0; i < std::min(n, kPrefetchAhead); ++i) prefetch(i);
  for (size_t i = 0; i < n; ++i) {
    if (i + kPrefetchAhead < n) prefetch(i + kPrefetchAhead);
    if (const size_t next = i + kPrefetchAhead / 2; next < n && slice.items[next].trace().valid()) {
      window_.traces().PrefetchSlot(ahead_[next].trace_hash);
      window_.index().ForCandidates(ahead_[next].span_hash, [this](Ordinal o) { window_.Prefetch(o); });
    }
    FoldLog(slice.items[i], slice, batch_slot, ahead_[i]);
  }
  stats_.logs += n;
}

void Shard::FoldLog(const Item& item, const Slice& slice, uint32_t batch_slot, const Ahead& ahead) {
  const Batch& batch = *slice.batch;
  const uint32_t size = static_cast<uint32_t>(batch.ItemBytes(item.offset).size());
  batches_.Retain(batch_slot);
  if (!item.trace().valid() || (item.flags & item_flags::kBadId) != 0) {
    ++stats_.logs_no_context;
    if ((item.flags & item_flags::kBadId) != 0) ++stats_.logs_bad_id;
    KeptItem kept;
    kept.batch = batch_slot;
    kept.offset = item.offset;
    Keep(Signal::kLogs, kept, size);
    return;
  }

  const uint32_t known = window_.traces().Find(ahead.trace_hash, batch.tenant, item.trace());
  const auto [found, index_hash] = item.span != 0 ? FindSpan(item, ahead.span_hash, known) : Found{};
  const bool span_known = found != 0 && !window_[found].Has(rf::kLog);
  const uint32_t at = SlotFor(ahead.trace_hash, known, batch.tenant, item.trace());
  TraceSlot& slot = window_.traces()[at];
  const auto severity = static_cast<SeverityClass>(item.flags & item_flags::kSeverityMask);

  Record record;
  record.span = item.span;
  record.parent = span_known ? found : 0;
  record.prev_in_trace = slot.head;
  record.prev_of_span = span_known ? 0 : found;
  record.batch_and_flags =
      batch_slot | rf::kLog | rf::kPending | static_cast<uint32_t>(severity) << rf::kSeverityShift;
  record.offset = item.offset;
  record.series = at;
  record.duration = size;
  if ((item.flags & item_flags::kStampCollision) != 0) record.Set(rf::kCollision);
  const Ordinal ordinal = Append(record);
  slot.head = ordinal;
  ++slot.logs;
  if (severity >= SeverityClass::kError) {
    slot.error = true;
    if (item.parent != 0 && slot.verdict == Verdict::kUndecided && options_.spans_wait) {
      const std::string_view message = batch.bytes(slice.notes[item.parent - 1]);
      if (note_bytes_ + message.size() <= options_.max_note_bytes) {
        notes_.emplace(ordinal, std::string(message));
        note_bytes_ += message.size();
        window_[ordinal].Set(rf::kNoted);
      } else {
        ++stats_.notes_dropped;
      }
    }
  }

  Record& log = window_[ordinal];
  if (span_known && (!options_.logs_wait_for_verdict || slot.verdict != Verdict::kUndecided)) {
    ++stats_.logs_joined_at_once;
    KeepLog(log, slot, UnjoinedReason::kNone);
    return;
  }
  if (item.span == 0) {
    KeepLog(log, slot, UnjoinedReason::kNoSpanId);
    return;
  }
  if (!span_known && (item.flags & item_flags::kUnsampled) != 0) {
    KeepLog(log, slot, UnjoinedReason::kUnsampled);
    return;
  }
  if (span_known) {
    ++stats_.logs_joined_at_once;
  } else if (window_.index().Put(index_hash, found, ordinal, window_.head(),
                                 [&](Ordinal o) { return window_.Alive(o); })) {
    ++stats_.index_evicted;
  }
  log.Set(rf::kWaiting);
  ++slot.waiting_logs;
  held_logs_.Add(ordinal, size, tick_);
}

void Shard::FoldMetrics(SlicePtr slice, uint32_t batch_slot) {
  const Batch& batch = *slice->batch;
  for (const Item& item : slice->items) {
    batches_.Retain(batch_slot);
    KeptItem kept;
    kept.batch = batch_slot;
    kept.offset = item.offset;
    kept.count = static_cast<uint32_t>(item.span);
    Keep(Signal::kMetrics, kept, batch.ItemBytes(item.offset).size());
  }
  for (const VoteItem& vote : slice->votes) FoldVote(vote, batch.tenant);
  stats_.metrics += slice->count;
  if (!slice->items.empty()) output_.OnMetrics(std::move(slice));
}

// An exemplar of an incoming metric points to a trace of this shard.
void Shard::FoldVote(const VoteItem& vote, uint32_t tenant) {
  const TraceId trace{vote.trace_hi, vote.trace_lo};
  const uint64_t hash = TraceHash(options_.epoch, tenant, trace.lo);
  TraceTable& traces = window_.traces();
  VoteResult result = VoteResult::kRepeated;
  if (const uint32_t at = traces.Find(hash, tenant, trace); at != TraceTable::kNone) {
    if (!std::exchange(traces[at].voted, true)) result = VoteResult::kMarked;
  } else if (Tombstone* stone = traces.FindTombstone(hash, tenant, trace); stone != nullptr) {
    if (!stone->voted) result = VoteResult::kTombstone;
    stone->voted = true;
  } else {
    switch (early_votes_.Add(hash, tenant, trace)) {
      case EarlyVotes::Added::kRepeated: break;
      case EarlyVotes::Added::kReplaced: ++stats_.early_votes_forgotten; [[fallthrough]];
      case EarlyVotes::Added::kNew: result = VoteResult::kEarly; break;
    }
  }
  ++stats_.votes[static_cast<size_t>(result)];
  output_.OnExemplar(trace.lo, ShardOutput::ExemplarOf::kMetric);
}

// Puts what the span calls itself into the list's text, and returns 1 + its index there; 0 if its series says
// the same, or its payload has left.
uint32_t Shard::KeepNames(const Record& span, KeepList* list) const {
  if (!series_.Alive(span.series) || !series_.NamesDiffer(span.series)) return 0;
  if (!span.Has(rf::kPending) && (arriving_ == 0 || &span != &window_[arriving_])) return 0;
  const Batch& batch = *batches_[span.batch()].batch;
  const std::string_view name =
      CutToCharacter(LastString(batch.ItemBytes(span.offset), kSpanName), series_.max_value_bytes());
  const std::string_view service =
      CutToCharacter(batch.ServiceName(batch.GroupOf(span.offset)), series_.max_value_bytes());
  list->names.push_back({.at = static_cast<uint32_t>(list->text.size()),
                         .name_size = static_cast<uint32_t>(name.size()),
                         .service_size = static_cast<uint32_t>(service.size())});
  list->text.append(name).append(service);
  list->bytes += name.size() + service.size();
  return static_cast<uint32_t>(list->names.size());
}

LogStamp Shard::StampFor(const TraceSlot& slot, const Record* span, UnjoinedReason reason,
                         KeepList* list) const {
  LogStamp stamp;
  stamp.state = span != nullptr ? JoinState::kSpan : slot.spans != 0 ? JoinState::kTrace : JoinState::kOrphan;
  stamp.reason = span != nullptr ? UnjoinedReason::kNone : reason;
  stamp.trace_error = slot.error;
  stamp.root_series = slot.root_series;
  if (span != nullptr) {
    stamp.span_series = span->series + 1;
    stamp.duration = span->duration;
    stamp.span_status = static_cast<uint8_t>((span->batch_and_flags & rf::kStatusMask) >> rf::kStatusShift);
    stamp.span_names = KeepNames(*span, list);
  }
  if (slot.root != 0 && window_.Alive(slot.root)) {
    const Record& root = window_[slot.root];
    stamp.root_names = &root == span ? stamp.span_names : KeepNames(root, list);
  }
  return stamp;
}

// Moves a log's share of its Batch from the window to the keep list.
void Shard::KeepLog(Record& record, const TraceSlot& slot, UnjoinedReason reason) {
  const Ordinal span = SpanOfLog(record);
  const Record* joined = window_.Alive(span) ? &window_[span] : nullptr;
  if (joined == nullptr) ++stats_.logs_unjoined[static_cast<size_t>(reason)];
  if (record.Has(rf::kWaiting)) --window_.traces()[record.series].waiting_logs;
  record.Clear(rf::kPending | rf::kWaiting);
  KeepList& list = keep(Signal::kLogs);
  list.log_stamps.push_back(StampFor(slot, joined, reason, &list));
  KeptItem kept;
  kept.trace_lo = slot.trace_lo;
  kept.batch = record.batch();
  kept.offset = record.offset;
  kept.stamp = static_cast<uint32_t>(list.log_stamps.size());
  kept.collision = record.Has(rf::kCollision);
  Keep(Signal::kLogs, kept, record.duration);
}

// A log leaves the hold queue without having been joined to leave earlier. (One that waits for the verdict
// may know its span.)
void Shard::ReleaseLog(Ordinal ordinal, UnjoinedReason reason) {
  Record& record = window_[ordinal];
  KeepLog(record, window_.traces()[record.series], reason);
}

// Lets go of a trace's waiting logs: its slot is about to be another's.
void Shard::ReleaseWaiting(const TraceSlot& slot, UnjoinedReason reason) {
  for (Ordinal o = slot.head; slot.waiting_logs != 0 && window_.Alive(o); o = window_[o].prev_in_trace) {
    Record& record = window_[o];
    if (!record.Has(rf::kWaiting)) continue;
    held_logs_.Forget(record.duration);
    KeepLog(record, slot, reason);
  }
}

void Shard::OfferExemplar(const Record& record, const TraceSlot& slot) {
  const bool wanted =
      options_.exemplars && series_.Wants(record.series, UnpackDuration(record.duration), slot.error);
  if (!wanted && !record.Has(rf::kCandidate)) return;
  const Batch& batch = *batches_[record.batch()].batch;
  const std::string_view span = batch.ItemBytes(record.offset);
  Exemplar exemplar;
  uint64_t start_ns = 0;
  ReadTimes(span, record.Has(rf::kOddOrder), &start_ns, &exemplar.time_ns);
  exemplar.duration_ns = exemplar.time_ns > start_ns ? exemplar.time_ns - start_ns : 0;
  exemplar.trace = slot.trace();
  exemplar.span = record.span;
  exemplar.failing = slot.error;
  if (wanted) {
    series_.Offer(record.series, exemplar);
    output_.OnExemplar(slot.trace_lo, ShardOutput::ExemplarOf::kSpan);
  }
  if (record.Has(rf::kCandidate)) {
    series_.OfferCandidate(batch, batch.GroupOf(record.offset), span, exemplar);
  }
}

void Shard::Decide(uint32_t at, Trigger trigger) {
  TraceSlot& slot = window_.traces()[at];
  if (slot.verdict != Verdict::kUndecided) return;
  slot.verdict = Verdict::kKeep;
  --open_traces_;
  ++stats_.verdicts[static_cast<size_t>(trigger)];
  const bool release_logs =
      options_.logs_wait_for_verdict || trigger == Trigger::kEvicted || trigger == Trigger::kShutdown;

  // Newest first; turned round below, so that items leave in order of arrival.
  std::vector<std::pair<uint32_t, Ordinal>>& walked = chain_;
  walked.clear();
  span_logs_.clear();
  for (Ordinal o = slot.head; window_.Alive(o); o = window_[o].prev_in_trace) {
    const Record& record = window_[o];
    walked.emplace_back(0, o);
    if (record.Has(rf::kLog) && SpanOfLog(record) != 0) span_logs_.emplace_back(SpanOfLog(record), o);
  }
  if (span_logs_.size() > 1) std::sort(span_logs_.begin(), span_logs_.end());

  if (options_.derive->self_time && slot.spans != 0) CountSelfTime();
  pending_bytes_ -= slot.pending_bytes;
  const uint64_t mean = slot.pending != 0 ? slot.pending_bytes / slot.pending : 0;
  slot.pending = 0;
  slot.pending_bytes = 0;

  if (release_logs) {
    // Before the spans, whose payload says what they call themselves.
    for (size_t i = walked.size(); i-- > 0;) {
      Record& record = window_[walked[i].second];
      if (!record.Has(rf::kLog) || !record.Has(rf::kWaiting)) continue;
      held_logs_.Forget(record.duration);
      KeepLog(record, slot,
              trigger == Trigger::kEvicted    ? UnjoinedReason::kEvicted
              : trigger == Trigger::kShutdown ? UnjoinedReason::kShutdown
                                              : UnjoinedReason::kNoSpan);
    }
  }
  KeepList& list = keep(Signal::kTraces);
  for (size_t i = walked.size(); i-- > 0;) {
    const Ordinal ordinal = walked[i].second;
    Record& record = window_[ordinal];
    if (record.Has(rf::kLog) || !record.Has(rf::kPending)) continue;
    record.Clear(rf::kPending);
    OfferExemplar(record, slot);
    KeptItem kept;
    kept.trace_lo = slot.trace_lo;
    kept.batch = record.batch();
    kept.offset = record.offset;
    if (!span_logs_.empty()) {
      auto log =
          std::lower_bound(span_logs_.begin(), span_logs_.end(), std::pair<Ordinal, Ordinal>(ordinal, 0));
      if (log != span_logs_.end() && log->first == ordinal) {
        SpanStamp stamp;
        for (; log != span_logs_.end() && log->first == ordinal; ++log) {
          const Record& joined = window_[log->second];
          ++stamp.logs[StampClass(SeverityOf(joined))];
          if (joined.Has(rf::kNoted) && stamp.message_size == 0) {
            if (const auto note = notes_.find(log->second); note != notes_.end()) {
              stamp.message_at = static_cast<uint32_t>(list.text.size());
              stamp.message_size = static_cast<uint32_t>(note->second.size());
              list.text += note->second;
            }
          }
        }
        list.span_stamps.push_back(stamp);
        kept.stamp = static_cast<uint32_t>(list.span_stamps.size());
        kept.collision = record.Has(rf::kCollision);
      }
    }
    Keep(Signal::kTraces, kept, mean);
  }
  for (const auto& [unused, ordinal] : walked) {
    Record& record = window_[ordinal];
    if (!record.Has(rf::kNoted)) continue;
    record.Clear(rf::kNoted);
    if (const auto note = notes_.find(ordinal); note != notes_.end()) {
      note_bytes_ -= note->second.size();
      notes_.erase(note);
    }
  }
}

// Of the trace in chain_, if all of its spans are there with their payload.
void Shard::CountSelfTime() {
  self_time_.Clear();
  for (const auto& [unused, ordinal] : chain_) {
    const Record& record = window_[ordinal];
    if (record.Has(rf::kLog)) continue;
    if (!record.Has(rf::kPending)) {
      ++stats_.self_time_incomplete;
      return;
    }
    SelfTime::Span span;
    span.span = record.span;
    span.parent = record.parent;
    if (times_.Has(ordinal, window_.head())) {
      span.start_ns = times_[ordinal].start_ns;
      span.end_ns = times_[ordinal].end_ns;
    } else {
      ReadTimes(batches_[record.batch()].batch->ItemBytes(record.offset), record.Has(rf::kOddOrder),
                &span.start_ns, &span.end_ns);
    }
    span.series = record.series;
    self_time_.Add(span);
  }
  if (!self_time_.Compute()) {
    ++stats_.self_time_incomplete;
    return;
  }
  ++stats_.self_time_traces;
  for (const SelfTime::Span& span : self_time_.spans()) {
    if (series_.Alive(span.series)) series_.CountSelf(span.series, span.self_ns);
  }
}

void Shard::DecideDue() {
  const uint32_t settle = pressure_ >= 1 ? options_.settle_ticks / 2 : options_.settle_ticks;
  const uint32_t longest = pressure_ >= 1 ? options_.decision_max_ticks / 2 : options_.decision_max_ticks;
  const auto current = [&](const Opened& entry) {
    const TraceSlot& slot = window_.traces()[entry.slot];
    return slot.verdict == Verdict::kUndecided && static_cast<uint32_t>(slot.trace_lo) == entry.trace;
  };
  while (!rooted_.empty() && tick_ - rooted_.front().tick >= settle) {
    Warm(rooted_, &warm_rooted_);
    const Opened entry = rooted_.front();
    rooted_.pop_front();
    --warm_rooted_;
    if (current(entry)) Decide(entry.slot, Trigger::kRoot);
  }
  while (!opened_.empty()) {
    if (opened_.size() > kDecideTogether)
      __builtin_prefetch(&window_.traces()[opened_[kDecideTogether].slot]);
    const Opened entry = opened_.front();
    const bool live = current(entry) && window_.traces()[entry.slot].opened_tick == entry.tick;
    if (live && tick_ - entry.tick < longest) break;
    opened_.pop_front();
    warm_opened_ -= warm_opened_ != 0;
    if (live) Decide(entry.slot, Trigger::kTimeout);
  }
  if (opened_.size() > 4096 && opened_.size() > 2 * open_traces_) {
    warm_opened_ = 0;
    opened_.Compact([&](const Opened& entry) {
      return current(entry) && window_.traces()[entry.slot].opened_tick == entry.tick;
    });
  }
}

void Shard::DecideOldest(Trigger trigger) {
  while (!opened_.empty()) {
    Warm(opened_, &warm_opened_);
    const Opened entry = opened_.front();
    opened_.pop_front();
    --warm_opened_;
    const TraceSlot& slot = window_.traces()[entry.slot];
    if (slot.verdict != Verdict::kUndecided || static_cast<uint32_t>(slot.trace_lo) != entry.trace ||
        slot.opened_tick != entry.tick) {
      continue;
    }
    Decide(entry.slot, trigger);
    return;
  }
  open_traces_ = 0;
}

void Shard::Warm(const RingQueue<Opened>& queue, size_t* warm) const {
  if (*warm != 0) return;
  *warm = std::min(queue.size(), kDecideTogether);
  const TraceTable& traces = window_.traces();
  for (size_t i = *warm; i < std::min(queue.size(), *warm + kDecideTogether); ++i)
    __builtin_prefetch(&traces[queue[i].slot]);
  // A trace is a chain of Records, each a miss that the next one waits for: walk them in step.
  std::array<Ordinal, kDecideTogether> at;
  size_t chains = 0;
  for (size_t i = 0; i < *warm; ++i) {
    const TraceSlot& slot = traces[queue[i].slot];
    if (slot.verdict != Verdict::kUndecided) continue;
    at[chains++] = slot.head;
    window_.Prefetch(slot.head);
  }
  for (int step = 0; step < kWarmRecords && chains != 0; ++step) {
    for (size_t i = 0; i < chains; ++i) {
      if (!window_.Alive(at[i])) {
        at[i--] = at[--chains];
        continue;
      }
      const Record& record = window_[at[i]];
      if (!record.Has(rf::kLog)) {
        series_.PrefetchBars(record.series);
        times_.Prefetch(at[i]);
      }
      at[i] = record.prev_in_trace;
      window_.Prefetch(at[i]);
    }
  }
}

void Shard::EnforceBudget() {
  if (pending_bytes_ + held_logs_.bytes() <= options_.max_pending_bytes) return;
  if (held_logs_.bytes() > MaxHeldLogBytes()) {
    held_logs_.Advance(
        tick_, held_logs_.hold_ticks(), MaxHeldLogBytes(),
        [&](Ordinal o) { return window_.Alive(o) && window_[o].Has(rf::kWaiting); },
        [&](Ordinal o, HoldQueue::Release) { ReleaseLog(o, UnjoinedReason::kOverBudget); });
  }
  while (pending_bytes_ != 0 && open_traces_ != 0 &&
         pending_bytes_ + held_logs_.bytes() > options_.max_pending_bytes) {
    DecideOldest(Trigger::kBudget);
  }
}

void Shard::OnTick(uint32_t tick) {
  const uint32_t before = tick_;
  tick_ = tick;
  series_.SetNow(tick);
  window_.Advance(tick, [this](Ordinal oldest) { Retire(oldest); });
  const uint32_t hold = pressure_ >= 1 ? held_logs_.hold_ticks() / 2 : held_logs_.hold_ticks();
  held_logs_.Advance(
      tick, hold, MaxHeldLogBytes(),
      [&](Ordinal o) { return window_.Alive(o) && window_[o].Has(rf::kWaiting); },
      [&](Ordinal o, HoldQueue::Release why) {
        ReleaseLog(
            o, why == HoldQueue::Release::kExpired ? UnjoinedReason::kNoSpan : UnjoinedReason::kOverBudget);
      });
  DecideDue();
  graph_.Advance(tick, [this](uint32_t tenant, const TraceId& trace) {
    const TraceTable& traces = window_.traces();
    const uint64_t hash = TraceHash(options_.epoch, tenant, trace.lo);
    const uint32_t at = traces.Find(hash, tenant, trace);
    Verdict verdict = Verdict::kDrop;
    if (at != TraceTable::kNone) {
      verdict = traces[at].verdict;
    } else if (const Tombstone* stone = traces.FindTombstone(hash, tenant, trace); stone != nullptr) {
      verdict = stone->verdict;
    }
    // A linking span's trace may be another shard's; what nobody here knows will never be decided here.
    if (verdict == Verdict::kKeep) output_.OnExemplar(trace.lo, ShardOutput::ExemplarOf::kSpan);
    return verdict;
  });
  for (const Signal signal : {Signal::kTraces, Signal::kLogs, Signal::kMetrics}) {
    const KeepList& list = keep(signal);
    if (!list.items.empty() && tick - list.since_tick >= options_.chunk_age_ticks) FlushKept(signal);
  }
  if (tick / kSeriesTicks != before / kSeriesTicks) {
    if (SeriesDeltaPtr delta = series_.TakeDelta(tick)) output_.OnSeries(std::move(delta));
  }
}

void Shard::Keep(Signal signal, const KeptItem& item, uint64_t bytes) {
  KeepList& list = keep(signal);
  if (list.items.empty()) list.since_tick = tick_;
  list.items.push_back(item);
  list.bytes += bytes;
  if (list.items.size() >= options_.chunk_items || list.bytes >= options_.chunks.max_bytes) FlushKept(signal);
}

void Shard::FlushKept(Signal signal) {
  KeepList& list = keep(signal);
  if (list.items.empty()) return;
  chunks_.clear();
  builder_.Build(signal, list, batches_, tick_, &chunks_);
  for (const KeptItem& item : list.items) batches_.Release(item.batch);
  list.Clear();
  for (ChunkPtr& chunk : chunks_) {
    ++stats_.chunks;
    chain_digest_ = Mix64(chain_digest_ ^ chunk->count ^ static_cast<uint64_t>(chunk->view().size()) << 32);
    const uint64_t count = chunk->count;
    ForSinks(signal, [&](size_t sink, LedgerEntry& entry) {
      entry.Queue(count);
      if (sink == kInternalSink) entry.Deliver(count);
    });
    output_.OnChunk(std::move(chunk));
  }
  chunks_.clear();
}

bool Shard::idle() const {
  if (pending_bytes_ != 0 || held_logs_.waiting() != 0) return false;
  return std::all_of(keep_.begin(), keep_.end(), [](const KeepList& list) { return list.items.empty(); });
}

ShardGauges Shard::gauges() {
  ShardGauges g;
  g.window_records = window_.count();
  g.window_capacity = window_.capacity();
  g.window_bytes = window_.bytes();
  g.horizon_ticks = window_.horizon_ticks();
  g.digest_horizon_ticks = digests_.horizon_ticks(tick_);
  g.pending_bytes = pending_bytes_ + held_logs_.bytes();
  g.waiting_logs = held_logs_.waiting();
  g.open_traces = open_traces_;
  g.batches = batches_.used();
  g.series = series_.series();
  g.series_bytes = series_.bytes();
  g.signatures = series_.signatures();
  g.template_nodes = series_.template_nodes();
  g.graph_waiting = graph_.waiting();
  g.graph_callers = graph_.callers();
  g.graph_bytes = graph_.bytes();
  g.early_votes = early_votes_.waiting();
  return g;
}

TraceItems Shard::Collect(const TraceId& trace) const {
  TraceItems out;
  const TraceTable& traces = window_.traces();
  const uint64_t hash = TraceHash(options_.epoch, 0, trace.lo);
  const uint32_t at = traces.Find(hash, 0, trace);
  if (at == TraceTable::kNone) {
    const Tombstone* stone = traces.FindTombstone(hash, 0, trace);
    out.voted = (stone != nullptr && stone->voted) || early_votes_.Has(hash, 0, trace);
  } else {
    const TraceSlot& slot = traces[at];
    out.known = true;
    out.verdict = slot.verdict;
    out.error = slot.error;
    out.voted = slot.voted;
    out.spans = slot.spans;
    out.logs = slot.logs;
    for (Ordinal o = slot.head; window_.Alive(o); o = window_[o].prev_in_trace) {
      const Record& record = window_[o];
      if (!record.Has(rf::kPending)) continue;
      const BatchRef& batch = batches_[record.batch()].batch;
      const bool log = record.Has(rf::kLog);
      out.entries.push_back(
          {batch, record.offset, batch->GroupOf(record.offset), log ? Signal::kLogs : Signal::kTraces,
           record.Has(rf::kWaiting) && SpanOfLog(record) == 0, log && SpanOfLog(record) != 0});
    }
  }
  for (const Signal signal : {Signal::kTraces, Signal::kLogs}) {
    const KeepList& list = keep_[static_cast<size_t>(signal)];
    for (const KeptItem& item : list.items) {
      if (item.trace_lo != trace.lo || trace.lo == 0) continue;
      const BatchRef& batch = batches_[item.batch].batch;
      const bool joined = signal == Signal::kLogs && item.stamp != 0 &&
                          list.log_stamps[item.stamp - 1].state == JoinState::kSpan;
      out.entries.push_back({batch, item.offset, batch->GroupOf(item.offset), signal, false, joined});
    }
  }
  return out;
}

uint64_t Shard::Digest() const {
  uint64_t h = chain_digest_;
  const auto mix = [&h](uint64_t word) { h = Mix64(h ^ word) + 0x9e3779b97f4a7c15u; };
  mix(tick_);
  mix(window_.floor());
  mix(window_.head());
  constexpr uint32_t kPhysical = rf::kBatchSlots - 1;  // where bytes are is not what was done
  for (Ordinal o = window_.floor(); o != window_.head(); ++o) {
    const Record& r = window_[o];
    mix(r.span);
    mix(r.parent);
    mix(static_cast<uint64_t>(r.prev_in_trace) << 32 | r.prev_of_span);
    mix(static_cast<uint64_t>(r.batch_and_flags & ~kPhysical) << 32 | r.series);
    mix(r.duration);
  }
  const TraceTable& traces = window_.traces();
  for (uint32_t i = 0; i < traces.size(); ++i) {
    const TraceSlot& slot = traces[i];
    if (slot.head == 0) continue;
    mix(slot.trace_hi);
    mix(slot.trace_lo);
    mix(static_cast<uint64_t>(slot.head) << 32 | slot.opened_tick);
    mix(static_cast<uint64_t>(slot.spans) << 32 | slot.logs);
    mix(static_cast<uint64_t>(slot.pending_bytes) << 32 | slot.root_series);
    mix(slot.root);
    mix(static_cast<uint64_t>(slot.voted) << 8 | static_cast<uint64_t>(slot.verdict) << 2 |
        static_cast<uint64_t>(slot.error) << 1 | (slot.rooted ? 1 : 0));
  }
  mix(pending_bytes_);
  mix(held_logs_.bytes());
  mix(open_traces_);
  mix(series_.series());
  mix(series_.template_nodes());
  for (const uint64_t word :
       {stats_.spans, stats_.duplicate_spans, stats_.logs, stats_.metrics, stats_.late_spans,
        stats_.logs_joined_at_once, stats_.logs_joined_waiting, stats_.join_wait_ticks, stats_.chunks,
        graph_.stats().edges, graph_.stats().virtual_edges, stats_.self_time_traces, stats_.early_votes_met,
        stats_.early_votes_forgotten, early_votes_.waiting()}) {
    mix(word);
  }
  for (const uint64_t votes : stats_.votes) mix(votes);
  for (const auto& sink : ledger_) {
    for (const LedgerEntry& entry : sink) {
      mix(entry.accepted);
      mix(entry.held);
      mix(entry.dropped_total());
    }
  }
  return h;
}

}  // namespace braid::correlate
