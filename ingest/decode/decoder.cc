#include "ingest/decode/decoder.h"

#define XXH_STATIC_LINKING_ONLY
#include <simdjson.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/wire.h"
#include "correlate/model/threshold.h"
#include "ingest/decode/explain.h"
#include "ingest/decode/filter.h"
#include "ingest/decode/json.h"
#include "ingest/decode/visitor.h"

namespace braid::ingest {
namespace {

using visitor::Context;
using visitor::ShardOut;

// Item::offset is 32 bits, and protobuf itself stops short of 2 GiB.
constexpr size_t kMaxBody = size_t{0x7fffffff} - 64;

const visitor::Visitor& Choose(Decoder::Isa isa) {
  const bool avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi") != 0 &&
                    __builtin_cpu_supports("bmi2") != 0;
  return isa == Decoder::Isa::kBest && avx2 ? visitor::kAvx2 : visitor::kBaseline;
}

bool ValidUtf8(const char* bytes, size_t size) { return simdjson::validate_utf8(bytes, size); }

uint64_t Threshold(const char* bytes, size_t size) {
  bool malformed = false;  // counted where the series is made
  return ReadThreshold({bytes, size}, &malformed);
}

}  // namespace

uint64_t SpanSeries(const Epoch& epoch, std::string_view service, std::string_view name, int kind, int status,
                    uint64_t threshold) {
  const uint64_t service_hash = XXH3_64bits_withSeed(service.data(), service.size(), epoch.seed);
  const uint64_t name_hash = XXH3_64bits_withSeed(name.data(), name.size(), epoch.seed);
  const uint64_t series =
      BRAID_SPAN_SERIES(service_hash, name_hash, static_cast<uint32_t>(kind), static_cast<uint32_t>(status));
  return threshold == 0 ? series : Mix64(series + BRAID_THRESHOLD_HASH(threshold));
}

class Decoder::Impl {
 public:
  Impl(const Epoch& epoch, BatchPool& batches, SlicePool& slices, SlabPool& slabs,
       std::shared_ptr<const Filter> filter, const Options& options)
      : options_(options),
        batches_(batches),
        slices_(slices),
        slabs_(slabs),
        filter_(std::move(filter)),
        visitor_(Choose(options.isa)),
        json_(slabs) {
    SetEpoch(epoch);
    if (options_.watch == nullptr) return;
    for (const WatchList::Key& key : options_.watch->span_keys())
      watch_keys_.push_back({key.key.data(), static_cast<uint32_t>(key.key.size()), key.next, key.classes});
    for (const std::string& key : options_.watch->resource_keys())
      watch_resource_.push_back({key.data(), static_cast<uint32_t>(key.size()), 0, WatchList::kAlways});
  }

  void SetEpoch(const Epoch& epoch) {
    epoch_ = epoch;
    XXH3_generateSecret_fromSeed(secret_.data(), epoch.seed);
    outs_.assign(epoch.shards, {});
    links_.assign(epoch.shards, {});
    scope_links_.assign(epoch.shards, 0);
    votes_.assign(epoch.shards, {});
    scope_votes_.assign(epoch.shards, 0);
  }

  Result<Submission> Decode(Signal signal, Slab body, uint32_t tenant);

  Result<Slab> TranscodeJson(Signal signal, const Slab& json) {
    return json_.Transcode(signal, json, options_.recursion_limit);
  }

 private:
  // What is known of a Resource{Spans,Logs,Metrics} before its scopes are visited.
  struct Home {
    uint32_t first_range = 0;
    uint32_t range_count = 0;
    uint64_t key = 0;
    ByteRange service_name;
    int index = -1;                      // in Batch::resources, once an item is accepted
    uint32_t fault = visitor::kNowhere;  // offset of the field that condemns all items
    bool fault_is_deep = false;
  };

  bool VisitRequest();
  bool VisitHome(const char* p, const char* end);
  bool VisitScope(const char* field, const char* p, const char* end, Home* home);
  void RejectScope(RejectReason reason);
  void NoteRejected(uint32_t where) {
    if (context_.first_rejected == visitor::kNowhere) context_.first_rejected = where;
  }

  void AddRange(uint32_t offset, uint32_t size, uint32_t first);
  uint64_t KeyOf(uint32_t first_range);
  uint64_t Hash(const void* bytes, size_t size) const {
    return visitor_.hash(bytes, size, secret_.data(), epoch_.seed);
  }

  static Impl* Of(Context* context) { return static_cast<Impl*>(context->owner); }
  static void Grow(Context* context, uint32_t shard);
  static void ScopeField(Context* context, uint32_t offset, uint32_t size);
  static uint64_t Note(Context* context, uint32_t shard, uint32_t offset, uint32_t size);
  static void Link(Context* context, const char* begin, const char* end, const Item* item);
  static void Votes(Context* context, const char* begin, const char* end, uint64_t series);
  void VotesOf(std::string_view data, uint32_t member, uint64_t series);

  void Finish(Submission* submission);

  const Options options_;
  BatchPool& batches_;
  SlicePool& slices_;
  SlabPool& slabs_;
  const std::shared_ptr<const Filter> filter_;
  const visitor::Visitor& visitor_;
  JsonTranscoder json_;
  Epoch epoch_;
  std::array<unsigned char, visitor::kSecretBytes> secret_{};
  std::vector<visitor::WatchedKey> watch_keys_;  // of options_.watch
  std::vector<visitor::WatchedKey> watch_resource_;
  std::vector<std::vector<LinkItem>> links_;  // by shard
  std::vector<size_t> scope_links_;           // their sizes when the current scope began

  std::vector<std::vector<VoteItem>> votes_;  // as links_
  std::vector<size_t> scope_votes_;

  // Of the request under way.
  Signal signal_ = Signal::kTraces;
  Context context_;
  Batch* batch_ = nullptr;
  std::vector<ShardOut> outs_;
  std::vector<SlicePtr>* shard_slices_ = nullptr;
  uint32_t scope_first_range_ = 0;
  bool first_rejected_is_full_ = false;  // the first item turned away was beyond kMaxGroups
  std::string scratch_;                  // contents of split ranges
};

void Decoder::Impl::Grow(Context* context, uint32_t shard) {
  Impl* impl = Of(context);
  SlicePtr& slice = (*impl->shard_slices_)[shard];
  ShardOut& out = impl->outs_[shard];
  if (slice == nullptr) slice = impl->slices_.Take();
  // Items are written in place, so the vector must have them already; what is too much is cut at the end. A
  // recycled Slice has its capacity, and making 64 empty Items costs less than a copy of each would.
  auto& items = slice->items;
  items.resize(std::max<size_t>(out.size + 64, out.size + out.size / 8));
  out.items = items.data();
  out.capacity = static_cast<uint32_t>(items.size());
}

uint64_t Decoder::Impl::Note(Context* context, uint32_t shard, uint32_t offset, uint32_t size) {
  auto& notes = (*Of(context)->shard_slices_)[shard]->notes;
  notes.push_back({offset, size});
  return notes.size();
}

// opentelemetry-proto trace.proto Span.Link: trace_id = 1, span_id = 2.
void Decoder::Impl::Link(Context* context, const char* begin, const char* end, const Item* item) {
  LinkItem link;
  for (wire::Cursor c(std::string_view(begin, static_cast<size_t>(end - begin))); c.Next();) {
    const wire::Field& f = c.field();
    if (f.type != wire::Type::kBytes) continue;
    if (f.number == 1) {
      link.trace_hi = f.bytes.size() == 16 ? LoadBigEndian64(f.bytes.data()) : 0;
      link.trace_lo = f.bytes.size() == 16 ? LoadBigEndian64(f.bytes.data() + 8) : 0;
    }
    if (f.number == 2) link.span = f.bytes.size() == 8 ? LoadBigEndian64(f.bytes.data()) : 0;
  }
  // One that points nowhere is forwarded as it is; one to the parent says nothing new.
  if ((link.trace_hi | link.trace_lo) == 0 || link.span == 0) return;
  if (link.span == item->parent && link.trace_lo == item->trace_lo) return;
  link.linking_span = item->span;
  link.linking_trace_hi = item->trace_hi;
  link.linking_trace_lo = item->trace_lo;
  link.start_ns = item->start_ns;
  link.end_ns = item->end_ns;
  link.series = item->series;
  link.offset = item->offset;
  link.group = item->group;
  link.flags = item->flags;
  const uint32_t shard = ShardOf(context->epoch, TraceHash(context->epoch, context->tenant, link.trace_lo));
  Of(context)->links_[shard].push_back(link);
}

// opentelemetry-proto metrics.proto Metric: the last member of the oneof counts, and merges if it comes in
// pieces. The metric has been walked.
void Decoder::Impl::Votes(Context* context, const char* begin, const char* end, uint64_t series) {
  const std::string_view metric(begin, static_cast<size_t>(end - begin));
  uint32_t member = 0;
  const char* first = begin;  // of the last run of one member
  const auto is_data = [](const wire::Field& f) {
    return f.type == wire::Type::kBytes &&
           (f.number == 5 || f.number == 7 || f.number == 9 || f.number == 10 || f.number == 11);
  };
  for (wire::Cursor c(metric); c.Next();) {
    if (!is_data(c.field()) || c.field().number == member) continue;
    member = c.field().number;
    first = c.field().begin;
  }
  for (wire::Cursor c(metric.substr(static_cast<size_t>(first - begin))); c.Next();) {
    if (is_data(c.field())) Of(context)->VotesOf(c.field().bytes, member, series);
  }
}

// The exemplars of a Gauge, Sum, Histogram or ExponentialHistogram; a Summary has none.
void Decoder::Impl::VotesOf(std::string_view data, uint32_t member, uint64_t series) {
  constexpr uint32_t kPoints = 1, kTraceId = 5;
  const uint32_t exemplars = member <= 7 ? 5 : member == 9 ? 8 : member == 10 ? 11 : 0;
  if (exemplars == 0) return;
  for (wire::Cursor points(data); points.Next();) {
    if (points.field().number != kPoints || points.field().type != wire::Type::kBytes) continue;
    for (wire::Cursor fields(points.field().bytes); fields.Next();) {
      if (fields.field().number != exemplars || fields.field().type != wire::Type::kBytes) continue;
      VoteItem vote;
      for (wire::Cursor c(fields.field().bytes); c.Next();) {
        const wire::Field& f = c.field();
        if (f.number != kTraceId || f.type != wire::Type::kBytes) continue;
        vote = {};
        if (f.bytes.size() == 16)
          vote = {LoadBigEndian64(f.bytes.data()), LoadBigEndian64(f.bytes.data() + 8), series};
      }
      if ((vote.trace_hi | vote.trace_lo) == 0) continue;
      auto& votes = votes_[ShardOf(epoch_, TraceHash(epoch_, context_.tenant, vote.trace_lo))];
      // The same measurement is often the exemplar of several points of a metric.
      if (votes.empty() || votes.back() != vote) votes.push_back(vote);
    }
  }
}

void Decoder::Impl::ScopeField(Context* context, uint32_t offset, uint32_t size) {
  Of(context)->AddRange(offset, size, Of(context)->scope_first_range_);
}

// Appends to the list that began at `first`, or to its last range if that ends here.
void Decoder::Impl::AddRange(uint32_t offset, uint32_t size, uint32_t first) {
  auto& ranges = batch_->ranges;
  if (ranges.size() > first && ranges.back().offset + ranges.back().size == offset) {
    ranges.back().size += size;
  } else {
    ranges.push_back({offset, size});
  }
}

uint64_t Decoder::Impl::KeyOf(uint32_t first_range) {
  const auto& ranges = batch_->ranges;
  const size_t count = ranges.size() - first_range;
  if (count == 0) return Hash(nullptr, 0);
  if (count == 1) return Hash(context_.body + ranges[first_range].offset, ranges[first_range].size);
  scratch_.clear();
  for (size_t i = first_range; i < ranges.size(); ++i) scratch_.append(batch_->bytes(ranges[i]));
  return Hash(scratch_.data(), scratch_.size());
}

// Export*ServiceRequest: field 1 is the Resource{Spans,Logs,Metrics}; whatever else there is, is dropped with
// the request itself.
bool Decoder::Impl::VisitRequest() {
  const char* p = context_.body;
  while (p < context_.end) {
    uint64_t tag;
    const char* field = p;
    p = wire::ReadVarint(p, context_.end, &tag);
    if (p == nullptr || p - field > 5 || tag >> 32 != 0) return false;
    if (tag != wire::Tag(1, wire::Type::kBytes)) {
      p = visitor_.skip(&context_, p, context_.end, static_cast<uint32_t>(tag), options_.recursion_limit);
      if (p == nullptr) return false;
      continue;
    }
    uint64_t size;
    field = p;
    p = wire::ReadVarint(p, context_.end, &size);
    if (p == nullptr || p - field > 5 || size > static_cast<uint64_t>(context_.end - p)) return false;
    if (!VisitHome(p, p + size)) return false;
    p += size;
  }
  return true;
}

// Twice over its fields, which are few: first everything but the scopes, because a Resource may follow its
// scopes or occur twice, and the items need its service and key; then the scopes.
bool Decoder::Impl::VisitHome(const char* begin, const char* end) {
  Home home;
  home.first_range = static_cast<uint32_t>(batch_->ranges.size());
  context_.service_seen = false;
  context_.resource_watched = 0;
  context_.bad_utf8 = false;
  int scopes = 0;
  for (const char* p = begin; p < end;) {
    const char* field = p;
    uint64_t tag;
    p = wire::ReadVarint(p, end, &tag);
    if (p == nullptr || p - field > 5 || tag >> 32 != 0) return false;
    if ((tag & 7) != 2 || tag >> 3 == 0 || tag >> 3 > 3) {
      p = visitor_.skip(&context_, p, end, static_cast<uint32_t>(tag), options_.recursion_limit - 1);
      if (p == nullptr) return false;
    } else {
      uint64_t size;
      const char* length = p;
      p = wire::ReadVarint(p, end, &size);
      if (p == nullptr || p - length > 5 || size > static_cast<uint64_t>(end - p)) return false;
      if (tag >> 3 == 2) {
        ++scopes;
        p += size;
        continue;
      }
      bool good = true;
      if (tag >> 3 == 1) {
        good = visitor_.resource(&context_, p, p + size);
        if (!good && !context_.too_deep) return false;
      } else {
        good = visitor_.utf8(&context_, p, size);
      }
      if ((!good || context_.bad_utf8) && home.fault == visitor::kNowhere) {
        home.fault = static_cast<uint32_t>(field - context_.body);
        home.fault_is_deep = context_.too_deep;
      }
      context_.too_deep = false;
      context_.bad_utf8 = false;
      p += size;
    }
    AddRange(static_cast<uint32_t>(field - context_.body), static_cast<uint32_t>(p - field),
             home.first_range);
  }
  // Even where no item suffers, the sender is told.
  if (home.fault != visitor::kNowhere) NoteRejected(home.fault);
  if (scopes == 0) {
    batch_->ranges.resize(home.first_range);
    return true;
  }
  if (context_.service_seen) home.service_name = {context_.service_offset, context_.service_size};
  home.range_count = static_cast<uint32_t>(batch_->ranges.size()) - home.first_range;
  home.key = KeyOf(home.first_range);
  context_.service_hash = Hash(context_.body + home.service_name.offset, home.service_name.size);
  if (options_.watch != nullptr && options_.watch->whole_resource) {
    context_.service_hash = Mix64(context_.service_hash ^ home.key);
  } else if (context_.resource_watched != 0) {
    context_.service_hash = Mix64(context_.service_hash + context_.resource_watched);
  }
  context_.home_shard = ShardOf(epoch_, home.key);

  for (const char* p = begin; p < end;) {
    const char* field = p;
    uint64_t tag;
    p = wire::ReadVarint(p, end, &tag);
    if (tag == wire::Tag(2, wire::Type::kBytes)) {
      uint64_t size;
      p = wire::ReadVarint(p, end, &size);
      if (!VisitScope(field, p, p + size, &home)) return false;
      p += size;
    } else {
      p = visitor_.skip(&context_, p, end, static_cast<uint32_t>(tag), options_.recursion_limit - 1);
    }
  }
  if (home.index < 0) batch_->ranges.resize(home.first_range);
  return true;
}

// Accepts the scope's items, or takes them all back.
bool Decoder::Impl::VisitScope(const char* field, const char* p, const char* end, Home* home) {
  context_.group = static_cast<uint16_t>(batch_->groups.size());
  context_.scope_accepted = 0;
  context_.scope_items = 0;
  context_.bad_scope_field = visitor::kNowhere;
  context_.bad_scope_deep = false;
  scope_first_range_ = static_cast<uint32_t>(batch_->ranges.size());
  for (ShardOut& out : outs_) {
    out.scope_size = out.size;
    out.scope_count = out.count;
  }
  for (size_t shard = 0; shard < links_.size(); ++shard) {
    scope_links_[shard] = links_[shard].size();
    scope_votes_[shard] = votes_[shard].size();
  }

  bool walked = false;
  switch (signal_) {
    case Signal::kTraces: walked = visitor_.scope_spans(&context_, p, end); break;
    case Signal::kLogs: walked = visitor_.scope_logs(&context_, p, end); break;
    case Signal::kMetrics: walked = visitor_.scope_metrics(&context_, p, end); break;
  }
  if (!walked) return false;

  if (context_.bad_scope_field != visitor::kNowhere) NoteRejected(context_.bad_scope_field);
  if (context_.scope_items != 0) {
    if (home->fault != visitor::kNowhere) {
      RejectScope(home->fault_is_deep ? RejectReason::kTooDeep : RejectReason::kBadUtf8);
    } else if (context_.bad_scope_field != visitor::kNowhere) {
      RejectScope(context_.bad_scope_deep ? RejectReason::kTooDeep : RejectReason::kBadUtf8);
    } else if (batch_->groups.size() >= Batch::kMaxGroups) {
      first_rejected_is_full_ |= context_.first_rejected == visitor::kNowhere;
      NoteRejected(static_cast<uint32_t>(field - context_.body));
      RejectScope(RejectReason::kTooManyScopes);
    }
  }
  if (context_.scope_items == 0) {
    batch_->ranges.resize(scope_first_range_);
    return true;
  }
  if (home->index < 0) {
    home->index = static_cast<int>(batch_->resources.size());
    batch_->resources.push_back({.first_range = home->first_range,
                                 .range_count = home->range_count,
                                 .key = home->key,
                                 .service_name = home->service_name});
  }
  batch_->groups.push_back({.resource = static_cast<uint32_t>(home->index),
                            .begin = static_cast<uint32_t>(field - context_.body),
                            .first_range = scope_first_range_,
                            .range_count = static_cast<uint32_t>(batch_->ranges.size()) - scope_first_range_,
                            .key = KeyOf(scope_first_range_)});
  return true;
}

void Decoder::Impl::RejectScope(RejectReason reason) {
  context_.rejected[static_cast<size_t>(reason)] += context_.scope_accepted;
  context_.scope_items = 0;
  for (size_t shard = 0; shard < links_.size(); ++shard) {
    links_[shard].resize(scope_links_[shard]);
    votes_[shard].resize(scope_votes_[shard]);
  }
  for (size_t shard = 0; shard < outs_.size(); ++shard) {
    ShardOut& out = outs_[shard];
    if (out.size == out.scope_size) continue;
    if (signal_ == Signal::kLogs) {
      auto& notes = (*shard_slices_)[shard]->notes;
      for (uint32_t i = out.scope_size; i < out.size; ++i) {
        if (out.items[i].parent != 0) {
          notes.resize(out.items[i].parent - 1);
          break;
        }
      }
    }
    out.size = out.scope_size;
    out.count = out.scope_count;
  }
}

Result<Submission> Decoder::Impl::Decode(Signal signal, Slab body, uint32_t tenant) {
  if (body.size() > kMaxBody) return ResourceExhausted("request is larger than 2 GiB");

  Filter::Outcome filtered;
  if (filter_ != nullptr && filter_->Concerns(signal)) {
    Result<Filter::Outcome> outcome = filter_->Apply(signal, body, slabs_);
    if (!outcome.ok()) return outcome.status();
    filtered = std::move(*outcome);
    if (filtered.body) body = std::move(filtered.body);
  }

  Submission submission;
  submission.batch = batches_.Take();
  submission.slices.resize(epoch_.shards);
  batch_ = &submission.batch.mutable_batch();
  batch_->signal = signal;
  batch_->tenant = tenant;
  batch_->body = std::move(body);
  shard_slices_ = &submission.slices;
  signal_ = signal;
  first_rejected_is_full_ = false;
  std::fill(outs_.begin(), outs_.end(), ShardOut{});

  context_ = Context{};
  context_.body = batch_->body.data();
  context_.end = context_.body + batch_->body.size();
  context_.epoch = epoch_;
  context_.tenant = tenant;
  context_.recursion_limit = options_.recursion_limit;
  context_.secret = secret_.data();
  context_.shards = outs_.data();
  context_.owner = this;
  context_.grow = Grow;
  context_.scope_field = ScopeField;
  context_.note = Note;
  context_.valid_utf8 = ValidUtf8;
  context_.threshold = Threshold;
  if (options_.links) context_.link = Link;
  if (options_.votes) context_.votes = Votes;
  if (options_.watch != nullptr) {
    context_.watch_sizes = options_.watch->sizes();
    context_.watch_buckets = options_.watch->buckets().data();
    context_.watch_keys = watch_keys_.data();
    context_.watch_resource = watch_resource_.data();
    context_.watch_resource_count = static_cast<uint32_t>(watch_resource_.size());
    context_.watch_status_message = options_.watch->status_message;
  }
  for (auto& links : links_) links.clear();
  for (auto& votes : votes_) votes.clear();

  if (!VisitRequest()) {
    std::string message = ExplainFraming(signal, batch_->bytes(), options_.recursion_limit);
    return InvalidArgument(message.empty() ? "malformed request" : std::move(message));
  }
  Finish(&submission);
  if (!filtered.hits.empty()) {
    filter_->Count(signal, filtered);
    submission.rejected[static_cast<size_t>(RejectReason::kFilter)] += filtered.dropped;
  }
  return submission;
}

void Decoder::Impl::Finish(Submission* submission) {
  // Offsets and payload hashes are in the Items; what is not are the groups they belong to.
  scratch_.clear();
  const auto add = [this](uint64_t word) {
    scratch_.append(reinterpret_cast<const char*>(&word), sizeof word);
  };
  add(uint64_t{batch_->tenant} << 8 | static_cast<uint64_t>(signal_));
  for (const BatchResource& resource : batch_->resources) add(resource.key);
  for (const BatchGroup& group : batch_->groups) {
    add(group.resource);
    add(group.key);
  }
  const visitor::Digest128 tables =
      visitor_.digest(scratch_.data(), scratch_.size(), secret_.data(), epoch_.seed);

  for (size_t shard = 0; shard < outs_.size(); ++shard) {
    SlicePtr& slice = submission->slices[shard];
    const ShardOut& out = outs_[shard];
    const std::vector<LinkItem>& links = links_[shard];
    const std::vector<VoteItem>& votes = votes_[shard];
    if (out.size == 0 && links.empty() && votes.empty()) {
      slice.reset();
      continue;
    }
    if (slice == nullptr) slice = slices_.Take();
    slice->items.resize(out.size);
    slice->links.assign(links.begin(), links.end());
    slice->votes.assign(votes.begin(), votes.end());
    slice->count = out.count;
    slice->batch = submission->batch;
    visitor::Digest128 items =
        visitor_.digest(slice->items.data(), out.size * sizeof(Item), secret_.data(), epoch_.seed);
    if (!links.empty()) {
      const visitor::Digest128 more =
          visitor_.digest(links.data(), links.size() * sizeof(LinkItem), secret_.data(), epoch_.seed);
      items = {items.lo + Mix64(more.lo), items.hi + Mix64(more.hi)};
    }
    if (!votes.empty()) {
      const visitor::Digest128 more =
          visitor_.digest(votes.data(), votes.size() * sizeof(VoteItem), secret_.data(), epoch_.seed);
      items = {items.lo + Mix64(more.lo + 1), items.hi + Mix64(more.hi + 1)};
    }
    slice->digest = {.lo = Mix64(items.lo ^ Mix64(tables.lo + 1)),
                     .hi = Mix64(items.hi ^ Mix64(tables.hi + 2))};
    submission->items += out.count;
  }

  uint64_t turned_away = 0;
  for (size_t i = 0; i < submission->rejected.size(); ++i) {
    submission->rejected[i] += context_.rejected[i];
    turned_away += context_.rejected[i];
  }
  if (turned_away == 0 && context_.first_rejected == visitor::kNowhere) {
    for (const ShardOut& out : outs_) batch_->intact_items += static_cast<uint32_t>(out.size);
  }
  if (context_.first_rejected != visitor::kNowhere) {
    if (first_rejected_is_full_) {
      submission->first_error =
          PathOf(signal_, batch_->bytes(), context_.first_rejected) + ": more than 65536 scopes with items";
    } else {
      submission->first_error =
          ExplainItem(signal_, batch_->bytes(), options_.recursion_limit, context_.first_rejected);
    }
  }
}

Decoder::Decoder(const Epoch& epoch, BatchPool& batches, SlicePool& slices, SlabPool& slabs,
                 std::shared_ptr<const Filter> filter)
    : Decoder(epoch, batches, slices, slabs, std::move(filter), Options{}) {}

Decoder::Decoder(const Epoch& epoch, BatchPool& batches, SlicePool& slices, SlabPool& slabs,
                 std::shared_ptr<const Filter> filter, const Options& options)
    : impl_(std::make_unique<Impl>(epoch, batches, slices, slabs, std::move(filter), options)) {}

Decoder::~Decoder() = default;

Result<Submission> Decoder::Decode(Signal signal, Slab body, uint32_t tenant) {
  return impl_->Decode(signal, std::move(body), tenant);
}

Result<Slab> Decoder::TranscodeJson(Signal signal, const Slab& json) {
  return impl_->TranscodeJson(signal, json);
}

void Decoder::SetEpoch(const Epoch& epoch) { impl_->SetEpoch(epoch); }

}  // namespace braid::ingest
