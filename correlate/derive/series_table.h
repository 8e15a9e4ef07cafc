#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/prefetch.h"
#include "correlate/derive/admission.h"
#include "correlate/derive/buckets.h"
#include "correlate/derive/derive_options.h"
#include "correlate/derive/exemplar_buckets.h"
#include "correlate/derive/name_templates.h"
#include "correlate/derive/series_delta.h"
#include "correlate/derive/span_labels.h"
#include "correlate/model/batch.h"

namespace braid::correlate {

// Strings that many rows share, as small numbers. Number 0 is the empty string.
// Thread rule: one owner. Numbers are given again once nobody holds the string.
class StringPool {
 public:
  StringPool() { entries_.emplace_back(); }

  // A share in the string; give it back with Release().
  uint32_t Intern(std::string_view text);
  void Retain(uint32_t id) { ++entries_[id].refs; }
  void Release(uint32_t id);

  // Gives back what a burst took, as far as nobody holds a higher number.
  void Shrink();

  // Lives until the last share goes.
  std::string_view operator[](uint32_t id) const { return entries_[id].text; }
  size_t bytes() const { return bytes_ + entries_.capacity() * sizeof(Entry); }

 private:
  struct Entry {
    std::unique_ptr<char[]> memory;
    std::string_view text;
    uint32_t refs = 0;
  };
  std::vector<Entry> entries_;
  std::vector<uint32_t> free_;
  absl::flat_hash_map<std::string_view, uint32_t> ids_;  // looked up, never iterated
  size_t bytes_ = 0;
};

// The series one shard has seen, and what it counted in them since the last hand-over.
//
// A *row* is one label set at one sampling threshold: what is counted together. Spans are led to theirs by
// Item::series, a keyed 64-bit hash of everything that decides it (the *signature*); several signatures may
// share a row. Equal hashes are taken for equal: a million of them collide with probability 3e-8, and the key
// keeps others from aiming.
//
//   SeriesTable::Place place = table.Find(item.series);
//   if (!place) place = table.Intern(item.series, batch, item.group, span, kind, status);
//   table.Count(place.row, duration_ns, bytes);
//
// Rows are numbered by reusable IDs with a generation, so that a Record may keep one longer than it lives.
// The table is never walked in hash order: everything it hands over is a function of the records alone.
//
// Beyond `max_series` (shared fairly between services, see Admission) or `max_label_bytes` a new label set
// counts in the overflow row of its (service, kind, status), beyond `max_overflow_series` of those in that of
// its (kind, status): totals stay exact, only the name is lost. Rows of spans that include and exclude leave
// out have limits of their own, a quarter of these, so that they take no room from what is shown. A row that
// nothing counted in for `expire_ticks` ends; a signature that was not seen for a quarter of that (at most
// half) is forgotten.
//
// Thread rule: belongs to one shard's thread. Time rule: SetNow(), from Tick records.
// Steady state (no new signature) allocates nothing.
class SeriesTable {
 public:
  // A row: its number in the low 24 bits, its generation above.
  using Id = uint32_t;
  static constexpr Id kNone = ~Id{0};
  static constexpr uint32_t kRowBits = 24;
  static constexpr uint32_t RowOf(Id id) { return id & ((1u << kRowBits) - 1); }

  struct Options {
    // Traces, not series, are spread over shards, so each shard may come to hold every series of the
    // process. About 300 bytes each, labels apart.
    size_t max_series = 100'000;
    size_t max_overflow_series = 2'000;

    // All label values together.
    size_t max_label_bytes = 64u << 20;

    // A longer service, span name or other label value is cut, at a character boundary; series that become
    // equal thereby are one.
    size_t max_value_bytes = 2048;

    // Distinct sampling thresholds that rows have; further ones are rounded to the nearest of the sixteen
    // steps between one power of two and the next, as a share of what is kept: by 3 % at most, and up as
    // often as down. A threshold is distinct no longer when its last row ends.
    size_t max_thresholds = 1024;

    // Beginnings of span names that metrics.names learns from, at most some 600 bytes each.
    size_t max_template_nodes = 8192;

    // Exemplars kept between two hand-overs, 80 bytes each.
    size_t max_exemplars = 32'768;

    // Candidates for the exemplars of ingested histograms between two hand-overs, 192 bytes each.
    size_t max_candidates = 4096;

    // 15 minutes.
    uint64_t expire_ticks = 18'000;
  };

  struct Dims {
    std::string_view service;  // empty: the resource has no service.name
    std::string_view name;     // empty if `overflow`
    uint8_t kind = 0;          // opentelemetry-proto SpanKind, 0-5
    uint8_t status = 0;        // Status.StatusCode, 0-2
    bool overflow = false;
  };

  // Where a span counts, and what of it the service graph needs.
  struct Place {
    Id row = kNone;
    uint32_t node = 0;    // see Node; 0: nothing beyond the row
    bool counts = false;  // whether include and exclude let its spans count
    explicit operator bool() const { return row != kNone; }
  };

  // What the service graph knows of spans besides their row. Strings of strings().
  struct Node {
    uint32_t peer = 0;        // name of the peer that attributes tell of, 0: none
    uint32_t dimensions = 0;  // LabelBlock
    Connection connection = Connection::kDirect;
    uint32_t target = 0;  // 1 + the row of the resource, 0: none is shown
    uint32_t refs = 0;    // signatures
    uint32_t last_tick = 0;
    uint64_t hash = 0;
  };

  // 15 s in ticks: an older exemplar gives way to any.
  static constexpr uint64_t kExemplarTicks = 300;

  // 5 s in ticks: see Screen().
  static constexpr uint64_t kScreenTicks = 100;

  // `seed`: the Epoch's, for hashing labels. `derive` outlives the table.
  SeriesTable(const Options& options, const DeriveOptions& derive, uint64_t seed);
  ~SeriesTable();
  SeriesTable(const SeriesTable&) = delete;
  SeriesTable& operator=(const SeriesTable&) = delete;

  BRAID_PREFETCHER void Prefetch(uint64_t signature) const {
    __builtin_prefetch(&slots_[signature & mask_], 1);
  }

  // Nothing if the signature is not known, or is one too many to be remembered.
  Place Find(uint64_t signature) {
    for (uint64_t at = signature & mask_;; at = (at + 1) & mask_) {
      Slot& slot = slots_[at];
      if (slot.row == kNone) return {};
      if (slot.signature == signature) {
        if ((slot.node & kUsed) == 0) slot.node |= kUsed;
        return {slot.row, slot.node & kNodeMask, (slot.node & kIgnored) == 0};
      }
    }
  }

  // Reads the span, finds or makes its row, and remembers the signature. Copies what it keeps. `root`: it has
  // no parent. REQUIRES: !Find(signature); a kind above 5 or status above 2 is taken as 0.
  Place Intern(uint64_t signature, const Batch& batch, uint16_t group, std::string_view span, uint8_t kind,
               uint8_t status, bool root);

  // Of a row that lives; all empty for one that has ended. Views live as long as the row.
  Dims dims(Id id) const {
    const uint32_t row = RowOf(id);
    if (!Alive(id)) return {};
    const Row& r = rows_[row];
    return {strings_[r.text[0]], strings_[r.text[1]], r.kind, r.status, r.overflow};
  }
  bool Alive(Id id) const {
    const uint32_t row = RowOf(id);
    return row < rows_.size() && rows_[row].live && rows_[row].generation == id >> kRowBits;
  }

  // Whether spans of this row are counted (include and exclude).
  bool Counts(Id id) const { return rows_[RowOf(id)].counts; }
  // Whether dims() of a row that lives may not be what its spans call themselves: beyond the limits, or where
  // some of them count under a template. (A name that was cut is no other name.)
  bool NamesDiffer(Id id) const { return rows_[RowOf(id)].overflow || rows_[RowOf(id)].renamed; }

  size_t max_value_bytes() const { return options_.max_value_bytes; }
  uint64_t ThresholdOf(Id id) const { return rows_[RowOf(id)].threshold; }
  uint32_t ServiceOf(Id id) const { return rows_[RowOf(id)].text[0]; }
  uint8_t KindOf(Id id) const { return rows_[RowOf(id)].kind; }
  bool Failed(Id id) const { return rows_[RowOf(id)].status == 2; }

  const Node& node(uint32_t index) const { return nodes_[index]; }
  const StringPool& strings() const { return strings_; }

  BRAID_PREFETCHER void PrefetchCell(Id id) const { __builtin_prefetch(delta_->cells[RowOf(id)], 1); }

  // One span, a few ns beyond the cache miss. `duration_ns` 0 where the span ends before it starts. A row
  // whose spans are not counted takes nothing.
  void Count(Id id, uint64_t duration_ns, uint64_t bytes) {
    const uint32_t row = RowOf(id);
    Cell& cell = delta_->cell(row);
    if (cell.touched != period_) [[unlikely]] {
      if (!rows_[row].counts) return;
      Touch(row);
    }
    const size_t bucket = buckets_.Of(duration_ns);
    cell.bytes += bytes;
    const bool wrapped = __builtin_add_overflow(cell.sum_ns, duration_ns, &cell.sum_ns);
    if (++cell.counts()[bucket] == 0 || wrapped) [[unlikely]]
      Carry(row, bucket, wrapped);
    if (delta_->layout.windows != 0) CountNative(row, duration_ns);
  }

  // One request over an edge. REQUIRES: the row came from EdgeRow().
  void CountEdge(Id id, uint64_t duration_ns);

  // One event, exception, or the like.
  void CountOne(Id id);

  // Self time of one span of a complete trace.
  void CountSelf(Id id, uint64_t self_ns);

  // The row of an edge; made if it is new. `server_pays`: see SeriesKey. `dimensions` are those of client and
  // server, in this order.
  Id EdgeRow(RowKind row, uint32_t client, uint32_t server, Connection connection, bool failed,
             uint8_t virtual_side, bool server_pays, std::string_view dimensions, uint64_t threshold);

  // The row of an event or exception of a span that counts in `span`. `message` takes part where
  // DeriveOptions::exception_message is on, and only of exceptions.
  Id DetailRow(RowKind row, Id span, std::string_view detail, std::string_view message = {});

  // How many rows have ended so far. Until it changes, a row of EdgeRow() that is no overflow row stays what
  // it is, and so do the numbers of its names.
  uint64_t ended() const { return ended_; }

  // A share in a name for EdgeRow().
  uint32_t InternName(std::string_view text) { return strings_.Intern(text); }
  void ReleaseName(uint32_t id) { strings_.Release(id); }

  // The fold's clock, for the age of exemplars.
  void SetNow(uint64_t tick) { now_ = tick; }

  BRAID_PREFETCHER void PrefetchBars(Id id) const { __builtin_prefetch(bars_[RowOf(id)]); }

  // Whether Offer() of a span this slow would change anything, so that the rest of the exemplar need not be
  // fetched in vain. Of equals the first stays.
  bool Wants(Id id, uint64_t duration_ns, bool failing) const;

  // A span of a kept trace, at its verdict. Replaces the bucket's exemplar if it tells more or that one is
  // older than kExemplarTicks. ExemplarBuckets has the buckets, and what happens where they are too many.
  void Offer(Id id, const Exemplar& exemplar);

  // Whether this span is to be offered as a candidate at its verdict: it has attributes that
  // DeriveOptions::Lend names, and is the first of those that share their values, and its kind and resource,
  // within its DurationCell and kScreenTicks. A bit for each, so it costs spans one look. REQUIRES: lending
  // is on.
  bool Screen(uint32_t node, uint64_t duration_ns) {
    if (!screens_[node].lends) return false;
    SpanScreen& screen = screens_[node];
    const auto window = static_cast<uint32_t>(now_ / kScreenTicks);
    if (screen.window != window) {
      screen.window = window;
      screen.seen = {};
    }
    const size_t cell = DurationCell(duration_ns);
    const uint64_t bit = uint64_t{1} << (cell & 63);
    if ((screen.seen[cell >> 6] & bit) != 0) return false;
    screen.seen[cell >> 6] |= bit;
    return true;
  }

  // A screened span of a kept trace, at its verdict.
  void OfferCandidate(const Batch& batch, uint16_t group, std::string_view span, const Exemplar& exemplar);

  // Hands over everything counted, born, ended and offered since the last time, and goes on with an empty
  // delta. Every shard calls this at the same ticks (say each 20th), even if it has nothing, so that the
  // owner can merge in order. Null if the owner still holds all deltas: nothing is lost, the next one carries
  // both.
  SeriesDeltaPtr TakeDelta(uint64_t tick);

  const DeriveOptions& derive() const { return derive_; }
  size_t series() const { return live_rows_; }
  size_t signatures() const { return used_slots_; }
  size_t template_nodes() const { return templates_.nodes(); }

  // Physical bytes of the tables, labels and the delta being filled.
  size_t bytes() const;

 private:
  // Beside the number of a node.
  static constexpr uint32_t kUsed = 1u << 31;     // seen since the last sweep
  static constexpr uint32_t kIgnored = 1u << 30;  // its spans are not counted
  static constexpr uint32_t kNodeMask = kIgnored - 1;
  struct Slot {
    uint64_t signature = 0;
    Id row = kNone;
    uint32_t node = 0;
  };
  struct Row {
    uint64_t hash = 0;  // under which by_hash_ knows it
    uint64_t threshold = 0;
    std::array<uint32_t, 4> text{};  // strings_, as SeriesKey::text
    uint32_t refs = 0;               // signatures, or rows that name it as their target
    uint32_t last_tick = 0;          // something counted
    uint32_t label_bytes = 0;
    uint32_t payer = 0;  // strings_; whose room it takes, if `admitted`
    uint8_t generation = 0;
    RowKind row = RowKind::kSpans;
    uint8_t kind = 0;
    uint8_t status = 0;
    uint8_t detail = 0;
    bool overflow = false;
    bool server_pays = false;
    bool counts = true;
    bool live = false;
    bool admitted = false;
    bool named_overflow = false;  // takes one of max_overflow_series
    bool renamed = false;         // spans of other names count there
    bool born = false;            // the owner has been told
  };

  // What of the spans of a node has been screened.
  struct SpanScreen {
    std::array<uint64_t, kDurationCells / 64> seen{};
    uint32_t window = 0;
    bool lends = false;
  };

  // What an exemplar must reach to be wanted, by bucket: 0 none so far, else Bar(). The best of up to
  // kExemplarTicks: what is below it would lose against the one that the owner holds.
  // In bars_, followed by a bar for each bucket. Native ones share kNativeBars: a bar is then of the bucket
  // that its duration falls into, and says nothing of the others.
  static constexpr uint32_t kNativeBars = 63;
  struct Bars {
    uint32_t since = 0;  // tick of the first; after kExemplarTicks all start anew
  };
  uint32_t* BarAt(uint32_t row) { return reinterpret_cast<uint32_t*>(bars_[row]) + 1; }
  const uint32_t* BarAt(uint32_t row) const { return reinterpret_cast<const uint32_t*>(bars_[row]) + 1; }
  const Bars& BarsOf(uint32_t row) const { return *reinterpret_cast<const Bars*>(bars_[row]); }

  // Rises with what MoreTelling() looks at first; equal for near equals.
  static uint32_t Bar(uint64_t duration_ns, bool failing) {
    const auto width = static_cast<uint32_t>(std::bit_width(duration_ns));
    const uint32_t shift = width > 24 ? width - 24 : 0;
    return uint32_t{failing} << 31 |
           ((width << 24 | (static_cast<uint32_t>(duration_ns >> shift) & 0xffffff)) + 1);
  }
  // The duration of a Bar(), as far as it goes.
  static uint64_t DurationOf(uint32_t bar) {
    const uint32_t plain = (bar & 0x7fffffff) - 1;
    const uint32_t width = plain >> 24;
    return uint64_t{plain & 0xffffff} << (width > 24 ? width - 24 : 0);
  }
  const ExemplarBuckets& ExemplarBucketsOf(const Row& row) const {
    return row.row == RowKind::kSpans ? exemplar_buckets_ : edge_exemplar_buckets_;
  }
  size_t BarOf(const ExemplarBuckets& buckets, int16_t bucket) const {
    return static_cast<size_t>(buckets.by_native() ? (bucket + 1024) % static_cast<int>(kNativeBars)
                                                   : bucket);
  }

  // Three deltas: one filling, one being merged, one on its way.
  static constexpr size_t kDeltas = 3;

  void Touch(uint32_t row);
  void Carry(uint32_t row, size_t bucket, bool sum);
  void CountNative(uint32_t row, uint64_t duration_ns);
  void CountWindow(uint32_t row, size_t window, uint64_t duration_ns);
  Id RowFor(SeriesKey key, uint64_t threshold, bool counts);
  Id Add(uint64_t hash, const SeriesKey& key, uint64_t threshold);
  uint64_t RowHash(const SeriesKey& key, uint64_t threshold, bool counts) const;
  void Bear(uint32_t row);
  void Renamed(std::string_view service, std::string_view from, std::string_view to);
  void End(uint32_t row);
  // `match`: what of the span is compared when exemplars are lent; null if nothing is.
  uint32_t NodeFor(bool root, uint32_t target, const MatchKey* match);
  uint64_t Coarsened(uint64_t threshold);
  std::string_view Cut(std::string_view value, bool* cut) const;
  void Remember(uint64_t signature, Id row, uint32_t node);
  void Forget(uint64_t at);
  void Rehash(size_t size);
  void Sweep(uint64_t tick);
  void Shrink();

  const Options options_;
  const DeriveOptions& derive_;
  const uint64_t seed_;
  const BucketMap buckets_;
  const BucketMap graph_buckets_;
  std::vector<NativeMap> natives_;
  const ExemplarBuckets exemplar_buckets_;
  const ExemplarBuckets edge_exemplar_buckets_;
  const size_t bar_count_;
  uint64_t now_ = 0;
  uint64_t last_tick_ = 0;        // of the last hand-over
  uint64_t swept_tick_ = 0;       // of the last call of TakeDelta()
  uint16_t period_ = 1;           // between two of them; never 0
  std::vector<uint32_t> recent_;  // rows that something was counted in since
  RowPages bars_;

  // Signatures: open addressing, at most two thirds full.
  std::vector<Slot> slots_;
  uint64_t mask_ = 0;
  size_t used_slots_ = 0;
  size_t sweep_slot_ = 0;

  std::vector<Row> rows_;
  std::vector<uint32_t> free_rows_;  // a heap, lowest first, so that the tail empties
  absl::flat_hash_map<uint64_t, uint32_t>
      by_hash_;  // label set and threshold to row; looked up, never iterated
  size_t live_rows_ = 0;
  uint64_t ended_ = 0;
  size_t sweep_row_ = 0;
  size_t span_windows_from_ = 0;  // natives_[0] is for edges alone in the otel dialect

  // Of rows that count, and of those that do not.
  struct Room {
    explicit Room(const Options& options, size_t share)
        : admission(options.max_series / share),
          label_bytes_left(options.max_label_bytes / share),
          overflows_left(options.max_overflow_series / share) {}
    Admission admission;
    size_t label_bytes_left;
    size_t overflows_left;  // overflow rows that say whose they are
  };
  Room& RoomOf(bool counts) { return counts ? room_ : room_uncounted_; }
  Room room_;
  Room room_uncounted_;

  std::vector<Node> nodes_;
  std::vector<SpanScreen> screens_;  // by node; empty unless exemplars are lent
  std::vector<uint32_t> free_nodes_;
  size_t sweep_node_ = 0;
  absl::flat_hash_map<uint64_t, uint32_t> nodes_by_hash_;

  struct Threshold {
    uint64_t value = 0;
    uint32_t rows = 0;
  };
  std::vector<Threshold>::iterator ThresholdAt(uint64_t threshold);
  std::vector<Threshold> thresholds_;  // other than 0, by value
  StringPool strings_;
  SpanLabels labels_;
  NameTemplates templates_;
  std::string cut_extras_;
  std::string detail_;       // scratch
  std::string match_value_;  // scratch

  std::shared_ptr<SeriesDeltaPool> pool_;
  SeriesDeltaPtr delta_;
};

// The buckets that rows of spans and of edges count in: those of every dialect that is on.
BucketMap SpanBuckets(const DeriveOptions& derive);
BucketMap GraphBuckets(const DeriveOptions& derive);

// The native layouts: one for each unit in use, seconds first.
std::vector<NativeMap> NativeMaps(const DeriveOptions& derive);

// By which buckets exemplars of spans and of edges are kept: classic ones, as far as they are shown. Of two
// dialects' native ones Tempo's.
ExemplarBuckets SpanExemplarBuckets(const DeriveOptions& derive);
ExemplarBuckets EdgeExemplarBuckets(const DeriveOptions& derive);

}  // namespace braid::correlate
