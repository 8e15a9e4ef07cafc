#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "correlate/derive/series_table.h"
#include "correlate/model/chunk.h"
#include "correlate/pipeline/batch_table.h"

namespace braid::correlate {

// How a log was correlated: the value of its correlation.state stamp.
enum class JoinState : uint8_t { kNoContext, kSpan, kTrace, kOrphan };
std::string_view JoinStateName(JoinState state);

// Why a log with trace context left without its span: the value of its correlation.reason stamp.
enum class UnjoinedReason : uint8_t {
  kNone,
  kNoSpan,
  kUnsampled,
  kOverBudget,
  kEvicted,
  kShutdown,
  kNoSpanId
};
constexpr int kUnjoinedReasons = 7;
std::string_view UnjoinedReasonName(UnjoinedReason reason);

// What a log is told of its span and trace.
struct LogStamp {
  JoinState state = JoinState::kNoContext;
  UnjoinedReason reason = UnjoinedReason::kNone;
  bool trace_error = false;
  uint8_t span_status = 0;   // as it came
  uint32_t span_series = 0;  // 1 + SeriesTable id, 0: no span
  uint32_t duration = 0;     // PackDuration()
  uint32_t root_series = 0;  // 1 + id, 0: the root was not seen

  // 1 + index of OwnNames, 0: those of the series.
  uint32_t span_names = 0;
  uint32_t root_names = 0;
};

// What a span calls itself, where its series does not tell: in the text beside the stamps, the name and
// behind it the service.
struct OwnNames {
  uint32_t at = 0;
  uint32_t name_size = 0;
  uint32_t service_size = 0;
};

// What a span is told of its logs.
struct SpanStamp {
  std::array<uint32_t, 4> logs{};  // error, warn, info, debug
  uint32_t message_at = 0;         // of the first error message, in the text beside the stamps
  uint32_t message_size = 0;
};

// One item that leaves: where its bytes are and what is added to them.
struct KeptItem {
  uint64_t trace_lo = 0;
  uint32_t batch = 0;  // BatchTable slot; one live share is held
  uint32_t offset = 0;
  uint32_t stamp = 0;  // 1 + index of its LogStamp or SpanStamp, 0: none
  uint32_t count = 1;  // metrics: data points
  bool collision = false;
};

// The items of one signal that are to leave in the next Chunks, and their stamps.
struct KeepList {
  std::vector<KeptItem> items;
  std::vector<LogStamp> log_stamps;
  std::vector<SpanStamp> span_stamps;
  std::vector<OwnNames> names;
  std::string text;
  uint64_t bytes = 0;       // logical, for cutting
  uint32_t since_tick = 0;  // of the first item

  void Clear() {
    items.clear();
    log_stamps.clear();
    span_stamps.clear();
    names.clear();
    text.clear();
    bytes = 0;
  }
};

// Turns a KeepList into Chunks: groups items by resource and scope (a stable counting sort over all traces;
// trace by trace would repeat resources, +47 % bytes measured), copies each item once, appends its stamps,
// and fills in lengths.
//
// Thread rule: one shard's thread. Scratch memory is kept between calls.
class ChunkBuilder {
 public:
  struct Options {
    uint32_t shard = 0;
    size_t max_bytes = 1 << 20;  // of items per Chunk; one larger item makes a larger Chunk
  };

  ChunkBuilder(const Options& options, SlabPool& slabs, const SeriesTable& series)
      : options_(options), slabs_(slabs), series_(series), keys_(kKeySlots), generations_(kKeySlots) {}

  // Appends the Chunks of `list` to `out`. Does not release the items' Batches.
  void Build(Signal signal, const KeepList& list, const BatchTable& batches, uint32_t tick,
             std::vector<ChunkPtr>* out);

 private:
  struct Prepared {
    const char* data = nullptr;  // item content
    uint32_t size = 0;
    uint32_t stamp_at = 0;
    uint32_t stamp_size = 0;
    uint32_t group = 0;
    uint32_t index = 0;  // in the KeepList
  };
  struct Group {
    const Batch* batch = nullptr;
    uint16_t index = 0;
    uint32_t rank = 0;  // of its resource, by first sight
    uint32_t items = 0;
    uint64_t bytes = 0;  // of its item fields
    uint64_t key = 0;
    uint64_t resource_key = 0;
  };
  static constexpr size_t kKeySlots = 1 << 13;

  uint32_t GroupOf(const Batch& batch, uint16_t index);
  uint32_t Rank(uint64_t resource_key);
  void AppendLogStamp(const LogStamp& stamp, const KeepList& list, std::string_view item, bool collision);
  void AppendSpanStamp(const SpanStamp& stamp, std::string_view text, std::string_view item, bool collision);
  ChunkPtr Write(Signal signal, const KeepList& list, uint32_t tick);

  // A Chunk that shares the Batch's bytes, if the list is all of one request, unstamped, and each of its
  // parts lies in one piece; else null.
  ChunkPtr Whole(Signal signal, const KeepList& list, const BatchTable& batches, uint32_t tick);

  const Options options_;
  SlabPool& slabs_;
  const SeriesTable& series_;
  uint64_t next_id_ = 1;

  std::vector<Prepared> prepared_;
  std::vector<Group> groups_;
  std::vector<uint32_t> group_order_;
  std::vector<uint32_t> places_;
  std::vector<uint32_t> order_;
  std::string stamps_;
  std::vector<uint64_t> ranks_;  // resource keys by rank

  // Group key to 1 + index into groups_; an entry counts only if its generation is the current one.
  struct KeySlot {
    uint64_t key = 0;
    uint32_t group = 0;
  };
  std::vector<KeySlot> keys_;
  std::vector<uint32_t> generations_;
  uint32_t generation_ = 0;
};

}  // namespace braid::correlate
