#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "correlate/derive/buckets.h"
#include "correlate/derive/exemplar_match.h"

namespace braid::correlate {

// What a row counts.
enum class RowKind : uint8_t {
  kSpans,          // calls, durations, sizes and self time of spans
  kEdgeServer,     // an edge of the service graph: its requests and the server's durations
  kEdgeClient,     // its durations as the client saw them
  kEdgeMessaging,  // from the producer's end to the consumer's start
  kEvents,         // events of spans by name
  kExceptions,     // exceptions of spans by type
  kTarget,         // a resource; it counts nothing
};
constexpr int kRowKinds = 7;

// How an edge came about: the label connection_type.
enum class Connection : uint8_t { kDirect, kVirtualNode, kMessaging, kDatabase };

// What made a span count as an error: the label error_source.
enum class ErrorSource : uint8_t { kNone, kStatus, kHttp5xx, kHttp4xx, kGrpc };

// The dimensions of a series. Views of whoever holds the strings.
struct SeriesKey {
  RowKind row = RowKind::kSpans;
  uint8_t kind = 0;    // spans: opentelemetry-proto SpanKind, 0-5; edges: Connection
  uint8_t status = 0;  // spans: Status.StatusCode, 0-2; edges: 1 if failed
  uint8_t detail = 0;  // spans: ErrorSource; edges: 0, or 1 + the virtual side (0 client, 1 server)
  bool overflow = false;

  // Spans, events, exceptions: service, span name, further labels (LabelBlock), event name or exception type
  // (LabelBlock of type and message where DeriveOptions::exception_message is on).
  // Edges: client, server, further labels. Targets: all labels, as name and value by turns (LabelBlock).
  std::array<std::string_view, 4> text;

  // Of an edge: that the called service pays, for only an attribute of its span names the caller. No
  // dimension: who makes the series first decides it.
  bool server_pays = false;

  // Whose series it is, when room is shared (Admission) and in lists of who makes most: the service whose
  // spans tell of it. Of an overflow key the one that it names.
  std::string_view payer() const {
    if (row == RowKind::kTarget) return kTargetPayer;
    return server_pays || (overflow && text[0].empty()) ? text[1] : text[0];
  }

  // What it counts as beyond the limits: whose it is, kind and status. Without `named` not even whose.
  SeriesKey Overflow(bool named) const;

  // Of an overflow key: whether it says whose it is.
  bool Named() const { return !text[0].empty() || !text[1].empty(); }

  friend bool operator==(const SeriesKey& a, const SeriesKey& b) {
    return a.row == b.row && a.kind == b.kind && a.status == b.status && a.detail == b.detail &&
           a.overflow == b.overflow && a.text == b.text;
  }

  static constexpr std::string_view kTargetPayer = "target_info";
};

// Of all dimensions, keyed by `seed`.
uint64_t HashOf(const SeriesKey& key, uint64_t seed);

// Strings one after another, each behind its length, so that equal lists are equal bytes.
namespace label_block {
void Append(std::string* block, std::string_view text);
std::string_view Take(std::string_view* block);
}  // namespace label_block

// One measured span of a kept trace, offered to its latency bucket.
struct Exemplar {
  uint64_t duration_ns = 0;
  uint64_t time_ns = 0;  // when the span ended, Unix time
  TraceId trace;
  uint64_t span = 0;
  bool failing = false;  // its trace carries an error, whatever this span's own status
};

// Whether `a` says more than `b` of the same bucket: a failing trace before a healthy one, then the slower
// span. Equal ones are told apart by their IDs, so that the order of arrival does not matter.
bool MoreTelling(const Exemplar& a, const Exemplar& b);

// What one row counts between two hand-overs. It lies at the head of a cell, which continues with `counts`
// (CellLayout::buckets of them) and then the windows of native buckets.
struct Cell {
  uint64_t sum_ns = 0;
  uint64_t bytes = 0;
  uint64_t self_ns = 0;
  uint32_t self_spans = 0;
  uint32_t exemplars = 0;  // 1 + index of the row's first Slot in SeriesDelta::exemplars
  uint16_t touched = 0;    // 0: nothing counted; else the period of the table in which something last was

  uint16_t* counts() { return &touched + 1; }
  const uint16_t* counts() const { return &touched + 1; }
};

// Native buckets around the first that was counted. Others go to SeriesDelta::spilled.
struct NativeWindow {
  static constexpr int32_t kBuckets = 61;

  int16_t base = 0;  // the bucket of counts[0]
  uint16_t used = 0;
  uint16_t zero = 0;  // durations of 0
  std::array<uint16_t, kBuckets> counts{};
};
static_assert(sizeof(NativeWindow) == 128);

// Where the parts of a cell lie. One layout for all rows of a table, so that one array holds them.
struct CellLayout {
  static constexpr size_t kHead = offsetof(Cell, touched) + sizeof(uint16_t);

  CellLayout() = default;
  CellLayout(size_t bucket_count, size_t native_windows)
      : buckets(static_cast<uint32_t>(bucket_count)),
        windows(static_cast<uint32_t>(native_windows)),
        windows_at(static_cast<uint32_t>((kHead + bucket_count * sizeof(uint16_t) + 63) / 64 * 64)),
        stride(static_cast<uint32_t>(windows_at + native_windows * sizeof(NativeWindow))) {}

  uint32_t buckets = 0;
  uint32_t windows = 0;
  uint32_t windows_at = 0;
  uint32_t stride = 64;  // a multiple of a cache line; the tempo dialect's cell is one

  friend bool operator==(const CellLayout&, const CellLayout&) = default;
};

// Fixed-size zeroed blocks by row, in pages, so that memory follows the rows in use in both directions.
class RowPages {
 public:
  static constexpr uint32_t kShift = 10;
  static constexpr uint32_t kRows = 1u << kShift;

  explicit RowPages(size_t stride) : stride_(stride) {}
  RowPages(RowPages&&) = default;
  RowPages& operator=(RowPages&&) = default;

  char* operator[](uint32_t row) { return pages_[row >> kShift].get() + (row & (kRows - 1)) * stride_; }
  const char* operator[](uint32_t row) const {
    return pages_[row >> kShift].get() + (row & (kRows - 1)) * stride_;
  }

  // Rows [0, rows) have memory afterwards, zeroed where it is new; pages wholly beyond are given back.
  void Resize(size_t rows);
  size_t rows() const { return pages_.size() * kRows; }
  size_t bytes() const { return pages_.size() * kRows * stride_; }

 private:
  struct Free {
    void operator()(char* page) const;
  };
  size_t stride_;
  std::vector<std::unique_ptr<char, Free>> pages_;
};

class SeriesDeltaPool;

// What one shard counted between two hand-overs: a cell per touched row, the keys of rows seen for the first
// time, the rows that ended, and the best exemplar per touched (row, bucket). Integers only, so that merging
// is exact in any order.
//
// To be applied in this order: births and deaths as they happened (Birth::deaths), then cells with carries
// and spills. A row that ended has nothing in its cell, unless its number was given again.
//
// Thread rule: one owner at a time: the shard that fills it, then the Series owner that merges it.
struct SeriesDelta {
  explicit SeriesDelta(const CellLayout& cell_layout) : layout(cell_layout), cells(cell_layout.stride) {}

  // A counter of a Cell that wrapped.
  struct Carry {
    enum class What : uint8_t { kBucket, kSum, kSelf, kNative, kNativeZero };
    uint32_t row = 0;
    What what = What::kBucket;
    uint8_t window = 0;
    int32_t bucket = 0;  // native ones absolute
  };

  // An observation outside its native window.
  struct Spill {
    uint32_t row = 0;
    uint32_t window = 0;
    int32_t bucket = 0;
  };

  struct Slot {
    Exemplar exemplar;
    uint64_t tick = 0;
    uint32_t row = 0;
    uint32_t next = 0;   // as Cell::exemplars
    int16_t bucket = 0;  // of ExemplarBuckets
  };

  // A row in use for the first time; its strings lie in `labels`, in the order of SeriesKey::text.
  struct Birth {
    uint64_t threshold = 0;  // of all spans that count there: 0, or correlate/model/threshold.h
    uint32_t row = 0;
    uint32_t at = 0;
    uint32_t deaths = 0;  // how many rows of SeriesDelta::deaths had ended before
    std::array<uint32_t, 4> sizes{};
    RowKind kind = RowKind::kSpans;
    uint8_t span_kind = 0;
    uint8_t status = 0;
    uint8_t detail = 0;
    bool overflow = false;
    bool server_pays = false;
  };

  // A span that may be an exemplar of a histogram which its service sent.
  struct Candidate {
    Exemplar exemplar;
    MatchKey match;
  };

  // Span names that were counted under another.
  struct Renamed {
    uint32_t at = 0;
    std::array<uint32_t, 3> sizes{};  // service, as it came, as it counts
  };

  const CellLayout layout;
  uint64_t tick = 0;   // of the hand-over
  uint64_t since = 0;  // tick of the one before
  RowPages cells;
  std::vector<uint32_t> touched;
  std::vector<Carry> carries;
  std::vector<Spill> spilled;
  std::vector<Slot> exemplars;
  std::vector<Birth> births;
  std::vector<uint32_t> deaths;
  std::vector<Renamed> renamed;
  std::vector<Candidate> candidates;
  std::string labels;

  // Events of the window, to be added up.
  uint64_t exemplars_refused = 0;     // no slot free under SeriesTable::Options::max_exemplars
  uint64_t candidates_refused = 0;    // no room under SeriesTable::Options::max_candidates, or for a screen
  uint64_t labels_truncated = 0;      // rows of which a label was cut to max_value_bytes
  uint64_t thresholds_malformed = 0;  // rows of spans with an `ot=th` that cannot be read
  uint64_t thresholds_coarsened = 0;  // rows beyond max_thresholds, whose threshold was rounded
  uint64_t names_merged = 0;          // signatures counted under a template
  uint64_t template_nodes_refused = 0;
  uint64_t template_nodes_replaced = 0;  // see NameTemplates

  Cell& cell(uint32_t row) { return *reinterpret_cast<Cell*>(cells[row]); }
  const Cell& cell(uint32_t row) const { return *reinterpret_cast<const Cell*>(cells[row]); }
  NativeWindow& window(uint32_t row, size_t i) {
    return reinterpret_cast<NativeWindow*>(cells[row] + layout.windows_at)[i];
  }
  const NativeWindow& window(uint32_t row, size_t i) const {
    return reinterpret_cast<const NativeWindow*>(cells[row] + layout.windows_at)[i];
  }
  SeriesKey KeyOf(const Birth& birth) const;

  // Empties it, keeping capacity. Only touched cells are visited.
  void Clear();

  size_t ByteSize() const;
};

// Gives a SeriesDelta back to the table that fills it, on whatever thread.
struct SeriesDeltaRecycler {
  std::shared_ptr<SeriesDeltaPool> pool;
  void operator()(SeriesDelta* delta) const;
};
using SeriesDeltaPtr = std::unique_ptr<SeriesDelta, SeriesDeltaRecycler>;

// The few deltas of one table, going round between shard and owner.
// Thread rule: any thread; taken once per hand-over. Lifetime: shared by the table and every delta under way.
class SeriesDeltaPool {
 public:
  SeriesDeltaPool(const CellLayout& layout, size_t max_deltas) : layout_(layout), max_deltas_(max_deltas) {}
  ~SeriesDeltaPool();
  SeriesDeltaPool(const SeriesDeltaPool&) = delete;
  SeriesDeltaPool& operator=(const SeriesDeltaPool&) = delete;

  // An empty delta; null if all of them are under way.
  SeriesDelta* Take();
  void GiveBack(SeriesDelta* delta);

 private:
  const CellLayout layout_;
  const size_t max_deltas_;
  Mutex mutex_;
  size_t made_ BRAID_GUARDED_BY(mutex_) = 0;
  std::vector<SeriesDelta*> idle_ BRAID_GUARDED_BY(mutex_);
};

}  // namespace braid::correlate
