#include "correlate/pipeline/chunk_builder.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/wire.h"
#include "correlate/model/epoch.h"
#include "correlate/model/stamp.h"
#include "correlate/window/record.h"

namespace braid::correlate {
namespace {

// opentelemetry-proto: Request.resource_x = 1; ResourceX.scope_x = 2; ScopeX.items = 2, for all three
// signals.
constexpr char kResourceTag = 0x0a;
constexpr char kScopeTag = 0x12;
constexpr char kItemTag = 0x12;
constexpr size_t kNestedHeader = 5;  // tag and four bytes of length

constexpr uint32_t kSpanAttributes = 9;
constexpr uint32_t kLogAttributes = 6;

constexpr std::string_view kKindNames[] = {"unspecified", "internal", "server",
                                           "client",      "producer", "consumer"};
constexpr std::string_view kStatusNames[] = {"unset", "ok", "error"};

// Appends attribute fields (KeyValue messages) to `out`, leaving out keys that the item has already.
class StampWriter {
 public:
  StampWriter(std::string* out, uint32_t field, std::string_view item, bool collision)
      : out_(out), field_(field), item_(item), collision_(collision) {}

  void String(std::string_view key, std::string_view value) {
    if (Taken(key)) return;
    // KeyValue{key = 1, value = 2: AnyValue{string_value = 1}}
    const size_t inner = 1 + wire::VarintSize(value.size()) + value.size();
    char* p = Start(key, inner);
    *p++ = 0x0a;
    p = wire::WriteVarint(value.size(), p);
    std::memcpy(p, value.data(), value.size());
  }

  void Bool(std::string_view key, bool value) {
    if (Taken(key)) return;
    char* p = Start(key, 2);
    p[0] = 0x10;
    p[1] = value ? 1 : 0;
  }

  void Int(std::string_view key, uint64_t value) {
    if (Taken(key)) return;
    char* p = Start(key, 1 + wire::VarintSize(value));
    *p++ = 0x18;
    wire::WriteVarint(value, p);
  }

  void Double(std::string_view key, double value) {
    if (Taken(key)) return;
    char* p = Start(key, 9);
    *p++ = 0x21;
    std::memcpy(p, &value, sizeof value);
  }

 private:
  // Writes everything up to the AnyValue's content and returns where its `inner` bytes go.
  char* Start(std::string_view key, size_t inner) {
    const size_t body = 1 + wire::VarintSize(key.size()) + key.size() + 1 + wire::VarintSize(inner) + inner;
    const size_t before = out_->size();
    out_->resize(before + 1 + wire::VarintSize(body) + body);
    char* p = out_->data() + before;
    *p++ = static_cast<char>(wire::Tag(field_, wire::Type::kBytes));
    p = wire::WriteVarint(body, p);
    *p++ = 0x0a;
    p = wire::WriteVarint(key.size(), p);
    std::memcpy(p, key.data(), key.size());
    p += key.size();
    *p++ = 0x12;
    return wire::WriteVarint(inner, p);
  }

  bool Taken(std::string_view key) const {
    if (!collision_) return false;
    for (wire::Cursor fields(item_); fields.Next();) {
      if (fields.field().number != field_ || fields.field().type != wire::Type::kBytes) continue;
      for (wire::Cursor attribute(fields.field().bytes); attribute.Next();) {
        if (attribute.field().number == 1 && attribute.field().bytes == key) return true;
      }
    }
    return false;
  }

  std::string* out_;
  const uint32_t field_;
  const std::string_view item_;
  const bool collision_;
};

}  // namespace

std::string_view JoinStateName(JoinState state) {
  switch (state) {
    case JoinState::kNoContext: return "none";
    case JoinState::kSpan: return "span";
    case JoinState::kTrace: return "trace";
    case JoinState::kOrphan: return "orphan";
  }
  return "";
}

std::string_view UnjoinedReasonName(UnjoinedReason reason) {
  switch (reason) {
    case UnjoinedReason::kNone: return "";
    case UnjoinedReason::kNoSpan: return "no_span";
    case UnjoinedReason::kUnsampled: return "unsampled";
    case UnjoinedReason::kOverBudget: return "over_budget";
    case UnjoinedReason::kEvicted: return "evicted";
    case UnjoinedReason::kShutdown: return "shutdown";
    case UnjoinedReason::kNoSpanId: return "no_span_id";
  }
  return "";
}

void ChunkBuilder::AppendLogStamp(const LogStamp& stamp, const KeepList& list, std::string_view item,
                                  bool collision) {
  const auto dims_of = [&](uint32_t series, uint32_t names) {
    SeriesTable::Dims dims = series_.dims(series - 1);
    if (names == 0) return dims;
    const OwnNames& own = list.names[names - 1];
    dims.name = std::string_view(list.text).substr(own.at, own.name_size);
    dims.service = std::string_view(list.text).substr(own.at + own.name_size, own.service_size);
    return dims;
  };
  StampWriter writer(&stamps_, kLogAttributes, item, collision);
  writer.String(stamp::kState, JoinStateName(stamp.state));
  if (stamp.reason != UnjoinedReason::kNone) writer.String(stamp::kReason, UnjoinedReasonName(stamp.reason));
  if (stamp.span_series != 0) {
    const SeriesTable::Dims dims = dims_of(stamp.span_series, stamp.span_names);
    if (!dims.service.empty()) writer.String(stamp::kSpanService, dims.service);
    if (!dims.name.empty()) writer.String(stamp::kSpanName, dims.name);
    writer.String(stamp::kSpanKind, kKindNames[dims.kind]);
    writer.Double(stamp::kSpanDurationMs, static_cast<double>(UnpackDuration(stamp.duration)) / 1e6);
    writer.String(stamp::kSpanStatus, kStatusNames[stamp.span_status]);
  }
  if (stamp.root_series != 0) {
    const SeriesTable::Dims dims = dims_of(stamp.root_series, stamp.root_names);
    if (!dims.name.empty()) writer.String(stamp::kRootName, dims.name);
    if (!dims.service.empty()) writer.String(stamp::kRootService, dims.service);
  }
  if (stamp.state == JoinState::kSpan || stamp.state == JoinState::kTrace) {
    writer.Bool(stamp::kTraceError, stamp.trace_error);
  }
}

void ChunkBuilder::AppendSpanStamp(const SpanStamp& stamp, std::string_view text, std::string_view item,
                                   bool collision) {
  StampWriter writer(&stamps_, kSpanAttributes, item, collision);
  constexpr std::string_view kKeys[] = {stamp::kLogsError, stamp::kLogsWarn, stamp::kLogsInfo,
                                        stamp::kLogsDebug};
  for (size_t i = 0; i < stamp.logs.size(); ++i) {
    if (stamp.logs[i] != 0) writer.Int(kKeys[i], stamp.logs[i]);
  }
  if (stamp.message_size != 0) {
    writer.String(stamp::kFirstError, text.substr(stamp.message_at, stamp.message_size));
  }
}

uint32_t ChunkBuilder::Rank(uint64_t resource_key) {
  // Few resources meet in one Chunk, and the newest is the likeliest.
  for (size_t i = ranks_.size(); i-- > 0;) {
    if (ranks_[i] == resource_key) return static_cast<uint32_t>(i);
  }
  ranks_.push_back(resource_key);
  return static_cast<uint32_t>(ranks_.size() - 1);
}

uint32_t ChunkBuilder::GroupOf(const Batch& batch, uint16_t index) {
  const BatchGroup& group = batch.groups[index];
  const uint64_t resource_key = batch.resources[group.resource].key;
  const uint64_t key = Mix64(group.key ^ resource_key * 0x9e3779b97f4a7c15u);
  size_t at = key & (kKeySlots - 1);
  for (size_t probes = 0;; ++probes) {
    KeySlot& slot = keys_[at];
    const bool current = generations_[at] == generation_;
    if (current && slot.key == key) return slot.group;
    if (!current || probes == kKeySlots / 2) {
      // (With more than half the table probed the key is not remembered: its items get a group each.)
      const auto added = static_cast<uint32_t>(groups_.size());
      if (!current) {
        slot = {key, added};
        generations_[at] = generation_;
      }
      Group& fresh = groups_.emplace_back();
      fresh.batch = &batch;
      fresh.index = index;
      fresh.key = key;
      fresh.resource_key = resource_key;
      fresh.rank = Rank(resource_key);
      return added;
    }
    at = (at + 1) & (kKeySlots - 1);
  }
}

ChunkPtr ChunkBuilder::Whole(Signal signal, const KeepList& list, const BatchTable& batches, uint32_t tick) {
  const uint32_t slot = list.items.front().batch;
  const BatchRef& ref = batches[slot].batch;
  const Batch& batch = *ref;
  if (batch.intact_items != list.items.size() || batch.body.size() > options_.max_bytes) return nullptr;
  for (const BatchResource& resource : batch.resources) {
    if (resource.range_count > 1) return nullptr;
  }
  for (const BatchGroup& group : batch.groups) {
    if (group.range_count > 1) return nullptr;
  }
  const char* const begin = batch.body.data();
  uint32_t last = 0;
  for (const KeptItem& kept : list.items) {
    // In wire order, and with a tag of one byte before its length.
    if (kept.batch != slot || kept.stamp != 0 || kept.offset <= last || begin[kept.offset - 1] != kItemTag)
      return nullptr;
    last = kept.offset;
  }

  auto chunk = std::make_shared<Chunk>();
  chunk->signal = signal;
  chunk->shard = options_.shard;
  chunk->tick = tick;
  chunk->id = next_id_++;
  chunk->tenant = batch.tenant;
  chunk->whole = ref;
  chunk->items.reserve(list.items.size());
  chunk->groups.reserve(batch.groups.size());
  const auto range = [&](uint32_t first, uint32_t count) {
    return count == 0 ? ByteRange{} : batch.ranges[first];
  };
  size_t group = batch.groups.size();  // the one that is open
  for (const KeptItem& kept : list.items) {
    const bool inside = group != batch.groups.size() &&
                        (group + 1 == batch.groups.size() || kept.offset < batch.groups[group + 1].begin);
    if (!inside) {
      group = batch.GroupOf(kept.offset);
      const BatchGroup& from = batch.groups[group];
      const BatchResource& resource = batch.resources[from.resource];
      ChunkGroup& opened = chunk->groups.emplace_back();
      opened.resource = range(resource.first_range, resource.range_count);
      opened.resource_key = resource.key;
      opened.scope = range(from.first_range, from.range_count);
      opened.first_item = static_cast<uint32_t>(chunk->items.size());
    }
    const std::string_view content = batch.ItemBytes(kept.offset);
    ChunkItem& entry = chunk->items.emplace_back();
    entry.trace_lo = kept.trace_lo;
    entry.offset = kept.offset - 1;
    entry.size = static_cast<uint32_t>(content.data() + content.size() - begin) - entry.offset;
    entry.group = static_cast<uint32_t>(chunk->groups.size() - 1);
    entry.count = kept.count;
    chunk->count += kept.count;
    ++chunk->groups.back().item_count;
  }
  return chunk;
}

void ChunkBuilder::Build(Signal signal, const KeepList& list, const BatchTable& batches, uint32_t tick,
                         std::vector<ChunkPtr>* out) {
  if (ChunkPtr whole = Whole(signal, list, batches, tick)) {
    out->push_back(std::move(whole));
    return;
  }
  constexpr size_t kAhead = 8;
  const auto start = [&] {
    prepared_.clear();
    groups_.clear();
    ranks_.clear();
    stamps_.clear();
    ++generation_;
  };
  start();
  size_t bytes = 0;
  uint32_t last_batch = ~0u;
  uint16_t last_index = 0;
  uint32_t last_group = 0;
  uint32_t last_tenant = 0;
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i + kAhead < list.items.size()) {
      const KeptItem& ahead = list.items[i + kAhead];
      __builtin_prefetch(batches[ahead.batch].batch->body.data() + ahead.offset);
    }
    const KeptItem& kept = list.items[i];
    const Batch& batch = *batches[kept.batch].batch;
    const std::string_view item = batch.ItemBytes(kept.offset);
    if (!prepared_.empty() && (bytes + item.size() > options_.max_bytes || batch.tenant != last_tenant)) {
      out->push_back(Write(signal, list, tick));
      start();
      bytes = 0;
      last_batch = ~0u;
    }
    last_tenant = batch.tenant;

    const uint16_t index = batch.GroupOf(kept.offset);
    if (kept.batch != last_batch || index != last_index) {
      last_group = GroupOf(batch, index);
      last_batch = kept.batch;
      last_index = index;
    }
    Prepared prepared;
    prepared.data = item.data();
    prepared.size = static_cast<uint32_t>(item.size());
    prepared.group = last_group;
    prepared.index = static_cast<uint32_t>(i);
    prepared.stamp_at = static_cast<uint32_t>(stamps_.size());
    if (kept.stamp != 0) {
      if (signal == Signal::kLogs) {
        AppendLogStamp(list.log_stamps[kept.stamp - 1], list, item, kept.collision);
      } else {
        AppendSpanStamp(list.span_stamps[kept.stamp - 1], list.text, item, kept.collision);
      }
      prepared.stamp_size = static_cast<uint32_t>(stamps_.size()) - prepared.stamp_at;
    }
    const size_t content = item.size() + prepared.stamp_size;
    const size_t field = 1 + wire::VarintSize(content) + content;
    Group& group = groups_[last_group];
    ++group.items;
    group.bytes += field;
    bytes += field;
    prepared_.push_back(prepared);
  }
  if (!prepared_.empty()) out->push_back(Write(signal, list, tick));
}

ChunkPtr ChunkBuilder::Write(Signal signal, const KeepList& list, uint32_t tick) {
  // Groups of one resource side by side, otherwise by first sight.
  group_order_.resize(groups_.size());
  for (uint32_t i = 0; i < groups_.size(); ++i) group_order_[i] = i;
  std::stable_sort(group_order_.begin(), group_order_.end(),
                   [&](uint32_t a, uint32_t b) { return groups_[a].rank < groups_[b].rank; });

  // Where each group's first item goes among all items; and how long everything gets.
  places_.assign(groups_.size(), 0);
  uint32_t place = 0;
  size_t total = 0;
  for (const uint32_t g : group_order_) {
    places_[g] = place;
    place += groups_[g].items;
    total += groups_[g].bytes + 2 * kNestedHeader;
    const Batch& batch = *groups_[g].batch;
    const BatchGroup& group = batch.groups[groups_[g].index];
    const BatchResource& resource = batch.resources[group.resource];
    for (uint32_t r = 0; r < resource.range_count; ++r) total += batch.ranges[resource.first_range + r].size;
    for (uint32_t r = 0; r < group.range_count; ++r) total += batch.ranges[group.first_range + r].size;
  }
  order_.resize(prepared_.size());
  for (uint32_t i = 0; i < prepared_.size(); ++i) order_[places_[prepared_[i].group]++] = i;

  auto chunk = std::make_shared<Chunk>();
  chunk->signal = signal;
  chunk->shard = options_.shard;
  chunk->tick = tick;
  chunk->id = next_id_++;
  chunk->tenant = groups_.front().batch->tenant;
  chunk->bytes = slabs_.TakeUnbounded(total);
  chunk->items.reserve(prepared_.size());
  chunk->groups.reserve(groups_.size());

  char* const begin = chunk->bytes.data();
  char* p = begin;
  const auto copy_ranges = [&](const Batch& batch, uint32_t first, uint32_t count) {
    const char* from = p;
    for (uint32_t r = first; r < first + count; ++r) {
      const std::string_view bytes = batch.bytes(batch.ranges[r]);
      std::memcpy(p, bytes.data(), bytes.size());
      p += bytes.size();
    }
    return ByteRange{static_cast<uint32_t>(from - begin), static_cast<uint32_t>(p - from)};
  };

  constexpr size_t kAhead = 4;
  size_t next = 0;
  char* resource_body = nullptr;
  const auto close_resource = [&] {
    if (resource_body != nullptr)
      wire::WritePadded4(static_cast<uint32_t>(p - resource_body), resource_body - 4);
  };
  ByteRange resource_range;
  uint32_t open_rank = ~0u;
  for (const uint32_t g : group_order_) {
    const Group& group = groups_[g];
    const Batch& batch = *group.batch;
    const BatchGroup& from = batch.groups[group.index];
    if (group.rank != open_rank) {
      close_resource();
      open_rank = group.rank;
      *p = kResourceTag;
      p += kNestedHeader;
      resource_body = p;
      const BatchResource& resource = batch.resources[from.resource];
      resource_range = copy_ranges(batch, resource.first_range, resource.range_count);
    }
    *p = kScopeTag;
    p += kNestedHeader;
    char* const scope_body = p;
    ChunkGroup& written = chunk->groups.emplace_back();
    written.resource = resource_range;
    written.resource_key = group.resource_key;
    written.scope = copy_ranges(batch, from.first_range, from.range_count);
    written.first_item = static_cast<uint32_t>(next);
    written.item_count = group.items;
    for (uint32_t n = 0; n < group.items; ++n, ++next) {
      if (next + kAhead < order_.size()) {
        const Prepared& ahead = prepared_[order_[next + kAhead]];
        for (uint32_t at = 0; at < std::min<uint32_t>(ahead.size, 512); at += 64)
          __builtin_prefetch(ahead.data + at);
      }
      const Prepared& item = prepared_[order_[next]];
      const KeptItem& kept = list.items[item.index];
      ChunkItem& entry = chunk->items.emplace_back();
      entry.trace_lo = kept.trace_lo;
      entry.offset = static_cast<uint32_t>(p - begin);
      entry.group = static_cast<uint32_t>(chunk->groups.size() - 1);
      entry.count = kept.count;
      chunk->count += kept.count;
      *p++ = kItemTag;
      p = wire::WriteVarint(item.size + item.stamp_size, p);
      std::memcpy(p, item.data, item.size);
      p += item.size;
      std::memcpy(p, stamps_.data() + item.stamp_at, item.stamp_size);
      p += item.stamp_size;
      entry.size = static_cast<uint32_t>(p - begin) - entry.offset;
    }
    wire::WritePadded4(static_cast<uint32_t>(p - scope_body), scope_body - 4);
  }
  close_resource();
  chunk->bytes.set_size(static_cast<size_t>(p - begin));
  return chunk;
}

}  // namespace braid::correlate
