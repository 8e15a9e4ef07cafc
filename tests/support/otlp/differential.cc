#include "tests/support/otlp/differential.h"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <otlp.pb.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/ids.h"
#include "base/wire.h"
#include "correlate/model/stamp.h"
#include "correlate/model/threshold.h"
#include "tests/support/otlp/samples.h"

namespace braid::test {
namespace {

namespace oracle = braid::oracle;
using ingest::Submission;

// What one signal's messages are called.
struct Traces {
  static constexpr Signal kSignal = Signal::kTraces;
  using Request = oracle::ExportTraceServiceRequest;
  using Home = oracle::ResourceSpans;
  using Group = oracle::ScopeSpans;
  using Item = oracle::Span;
  static const auto& Homes(const Request& request) { return request.resource_spans(); }
  static const auto& Groups(const Home& home) { return home.scope_spans(); }
  static void ClearGroups(Home* home) { home->clear_scope_spans(); }
  static const auto& Items(const Group& group) { return group.spans(); }
  static void ClearItems(Group* group) { group->clear_spans(); }
};

struct Logs {
  static constexpr Signal kSignal = Signal::kLogs;
  using Request = oracle::ExportLogsServiceRequest;
  using Home = oracle::ResourceLogs;
  using Group = oracle::ScopeLogs;
  using Item = oracle::LogRecord;
  static const auto& Homes(const Request& request) { return request.resource_logs(); }
  static const auto& Groups(const Home& home) { return home.scope_logs(); }
  static void ClearGroups(Home* home) { home->clear_scope_logs(); }
  static const auto& Items(const Group& group) { return group.log_records(); }
  static void ClearItems(Group* group) { group->clear_log_records(); }
};

struct Metrics {
  static constexpr Signal kSignal = Signal::kMetrics;
  using Request = oracle::ExportMetricsServiceRequest;
  using Home = oracle::ResourceMetrics;
  using Group = oracle::ScopeMetrics;
  using Item = oracle::Metric;
  static const auto& Homes(const Request& request) { return request.resource_metrics(); }
  static const auto& Groups(const Home& home) { return home.scope_metrics(); }
  static void ClearGroups(Home* home) { home->clear_scope_metrics(); }
  static const auto& Items(const Group& group) { return group.metrics(); }
  static void ClearItems(Group* group) { group->clear_metrics(); }
};

std::string Concatenate(const Batch& batch, uint32_t first, uint32_t count) {
  std::string bytes;
  for (uint32_t i = 0; i < count; ++i) bytes += batch.bytes(batch.ranges[first + i]);
  return bytes;
}

uint64_t Hash(const Epoch& epoch, std::string_view bytes) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), epoch.seed);
}

template <typename Attributes>
std::string LastString(const Attributes& attributes, std::string_view key) {
  std::string value;
  for (const auto& attribute : attributes) {
    if (attribute.key() == key && attribute.value().has_string_value())
      value = attribute.value().string_value();
  }
  return value;
}

template <typename Attributes, typename Keys>
bool AnyKey(const Attributes& attributes, const Keys& keys) {
  return std::any_of(attributes.begin(), attributes.end(), [&](const auto& attribute) {
    return std::any_of(keys.begin(), keys.end(),
                       [&](std::string_view key) { return attribute.key() == key; });
  });
}

TraceId ToTraceId(const std::string& bytes) {
  if (bytes.size() != 16) return {};
  return {LoadBigEndian64(bytes.data()), LoadBigEndian64(bytes.data() + 8)};
}

uint64_t ToSpanId(const std::string& bytes) { return bytes.size() == 8 ? LoadBigEndian64(bytes.data()) : 0; }

// An Item as the oracle's objects say it should be. `offset` and `group` are checked otherwise.
struct Expected {
  Item item;
  std::string note;
  uint64_t count = 1;
  bool rejected = false;
  bool by_home = false;       // goes to its resource's shard
  bool hash_of_bytes = true;  // series is the hash of the record's bytes
};

Expected Expect(const Epoch& epoch, const std::string& service, const oracle::Span& span) {
  Expected expected;
  expected.hash_of_bytes = false;
  const TraceId trace = ToTraceId(span.trace_id());
  const size_t parent_size = span.parent_span_id().size();
  expected.item.trace_hi = trace.hi;
  expected.item.trace_lo = trace.lo;
  expected.item.span = ToSpanId(span.span_id());
  expected.item.parent = ToSpanId(span.parent_span_id());
  expected.rejected = !trace.valid() || expected.item.span == 0 || (parent_size != 0 && parent_size != 8);
  expected.item.start_ns = span.start_time_unix_nano();
  expected.item.end_ns = span.end_time_unix_nano();
  const int kind = span.kind() >= 0 && span.kind() <= 5 ? span.kind() : 0;
  const int status = span.status().code() >= 0 && span.status().code() <= 2 ? span.status().code() : 0;
  bool malformed = false;
  expected.item.series = ingest::SpanSeries(epoch, service, span.name(), kind, status,
                                            ReadThreshold(span.trace_state(), &malformed));
  expected.item.flags = static_cast<uint16_t>(kind | status << item_flags::kStatusShift);
  if ((span.flags() & 0x100) != 0 && (span.flags() & 0x200) != 0)
    expected.item.flags |= item_flags::kParentRemote;
  if ((span.flags() & 0x100) != 0 && (span.flags() & 0x200) == 0)
    expected.item.flags |= item_flags::kParentLocal;
  if (span.events_size() != 0) expected.item.flags |= item_flags::kHasEvents;
  if (span.links_size() != 0) expected.item.flags |= item_flags::kHasLinks;
  if (AnyKey(span.attributes(), stamp::kSpanKeys)) expected.item.flags |= item_flags::kStampCollision;
  return expected;
}

Expected Expect(const Epoch&, const std::string&, const oracle::LogRecord& log) {
  Expected expected;
  const TraceId trace = ToTraceId(log.trace_id());
  const uint64_t span = ToSpanId(log.span_id());
  const SeverityClass severity = SeverityClassOf(static_cast<uint32_t>(log.severity_number()));
  expected.item.flags = static_cast<uint16_t>(severity);
  const bool bad = (!log.trace_id().empty() && !trace.valid()) ||
                   (!log.span_id().empty() && (span == 0 || !trace.valid()));
  if (bad) {
    expected.item.flags |= item_flags::kBadId;
  } else {
    expected.item.trace_hi = trace.hi;
    expected.item.trace_lo = trace.lo;
    expected.item.span = span;
  }
  expected.by_home = bad || !trace.valid();
  expected.item.start_ns = log.time_unix_nano() != 0 ? log.time_unix_nano() : log.observed_time_unix_nano();
  if (log.flags() != 0 && (log.flags() & 1) == 0) expected.item.flags |= item_flags::kUnsampled;
  if (AnyKey(log.attributes(), stamp::kLogKeys)) expected.item.flags |= item_flags::kStampCollision;
  if (severity == SeverityClass::kError || severity == SeverityClass::kFatal) {
    expected.note = log.body().string_value();
    if (expected.note.empty()) expected.note = LastString(log.attributes(), "exception.message");
    if (expected.note.size() > stamp::kMaxMessage) {
      size_t cut = stamp::kMaxMessage;
      while ((expected.note[cut] & 0xc0) == 0x80) --cut;
      expected.note.resize(cut);
    }
  }
  return expected;
}

Expected Expect(const Epoch&, const std::string&, const oracle::Metric& metric) {
  Expected expected;
  expected.by_home = true;
  expected.count = 0;
  for (const int points :
       {metric.gauge().data_points_size(), metric.sum().data_points_size(),
        metric.histogram().data_points_size(), metric.exponential_histogram().data_points_size(),
        metric.summary().data_points_size()}) {
    expected.count += static_cast<uint64_t>(points);
  }
  expected.item.span = expected.count;
  return expected;
}

// A slice together with how much of it has been matched.
struct Reader {
  const Slice* slice;
  size_t next = 0;
};

template <typename S>
class Comparison {
 public:
  Comparison(const Epoch& epoch, uint32_t tenant, const Submission& submission)
      : epoch_(epoch), tenant_(tenant), submission_(submission), batch_(*submission.batch) {
    for (const SlicePtr& slice : submission.slices) readers_.push_back({slice.get()});
  }

  // The whole request is acceptable to protobuf: everything must be as its objects say.
  std::string Whole(const typename S::Request& request) {
    uint64_t bad_ids = 0;
    for (const auto& home : S::Homes(request)) {
      typename S::Home home_rest = home;
      S::ClearGroups(&home_rest);
      const std::string service = LastString(home.resource().attributes(), "service.name");
      for (const auto& group : S::Groups(home)) {
        typename S::Group group_rest = group;
        S::ClearItems(&group_rest);
        for (const auto& item : S::Items(group)) {
          const Expected expected = Expect(epoch_, service, item);
          if (expected.rejected) {
            ++bad_ids;
            continue;
          }
          if (std::string error = One(expected, item, service, home_rest, group_rest); !error.empty())
            return error;
        }
      }
    }
    for (const Reader& reader : readers_) {
      if (reader.slice != nullptr && reader.next != reader.slice->items.size())
        return "too many items in a slice";
    }
    if (submission_.rejected[static_cast<size_t>(RejectReason::kBadId)] != bad_ids)
      return "rejected for bad IDs";
    uint64_t sum = 0;
    for (const uint64_t n : submission_.rejected) sum += n;
    if (sum != bad_ids) return "rejected for other reasons";
    return {};
  }

  // Some items were turned away: the others must be acceptable.
  std::string Remainder() {
    for (const BatchResource& resource : batch_.resources) {
      typename S::Home parsed;
      if (!parsed.ParseFromString(Concatenate(batch_, resource.first_range, resource.range_count))) {
        return "an accepted resource does not parse";
      }
    }
    for (const BatchGroup& group : batch_.groups) {
      typename S::Group parsed;
      if (!parsed.ParseFromString(Concatenate(batch_, group.first_range, group.range_count))) {
        return "an accepted scope does not parse";
      }
    }
    // In place, so that nesting counts from the request.
    typename S::Request whole;
    for (const Reader& reader : readers_) {
      if (reader.slice == nullptr) continue;
      for (const Item& item : reader.slice->items) {
        std::string bytes;
        wire::Writer writer(&bytes);
        const size_t home = writer.Begin(1);
        const size_t group = writer.Begin(2);
        writer.Bytes(2, batch_.ItemBytes(item.offset));
        writer.End(group);
        writer.End(home);
        if (!whole.ParseFromString(bytes)) return "an accepted item does not parse";
      }
    }
    return {};
  }

  // What must hold for any submission.
  std::string Sound() {
    uint64_t items = 0;
    for (size_t shard = 0; shard < readers_.size(); ++shard) {
      const Slice* slice = readers_[shard].slice;
      if (slice == nullptr) continue;
      if (slice->items.empty()) return "an empty slice";
      if (slice->batch.get() != &batch_) return "a slice of another batch";
      uint64_t count = 0;
      uint32_t last = 0;
      for (const Item& item : slice->items) {
        count += S::kSignal == Signal::kMetrics ? item.span : 1;
        if (item.offset <= last) return "items are not in wire order";
        last = item.offset;
        if (item.group >= batch_.groups.size()) return "an item without a group";
        if (batch_.GroupOf(item.offset) != item.group) return "an item whose offset names another group";
        if (S::kSignal == Signal::kLogs && item.parent > slice->notes.size())
          return "a note that does not exist";
      }
      if (slice->count != count) return "Slice::count";
      items += count;
    }
    if (submission_.items != items) return "Submission::items";
    uint64_t rejected = 0;
    for (const uint64_t n : submission_.rejected) rejected += n;
    // A Metric without points counts as nothing, so an error may stand alone.
    if (rejected != 0 && submission_.first_error.find(": ") == std::string::npos) {
      return "no located error: '" + submission_.first_error + "'";
    }
    for (const BatchGroup& group : batch_.groups) {
      if (group.resource >= batch_.resources.size()) return "a group without a resource";
    }
    return {};
  }

 private:
  std::string One(const Expected& expected, const typename S::Item& oracle_item, const std::string& service,
                  const typename S::Home& home, const typename S::Group& group) {
    // Where it should be is only known from the resource's key, so look at all slices' next Items for the one
    // with the smallest offset: that is the next in wire order.
    Reader* at = nullptr;
    for (Reader& reader : readers_) {
      if (reader.slice == nullptr || reader.next == reader.slice->items.size()) continue;
      if (at == nullptr || reader.slice->items[reader.next].offset < at->slice->items[at->next].offset)
        at = &reader;
    }
    if (at == nullptr) return "an item is missing";
    const Item& item = at->slice->items[at->next++];
    const auto shard = static_cast<uint32_t>(at - readers_.data());

    const BatchGroup& batch_group = batch_.groups[item.group];
    const BatchResource& resource = batch_.resources[batch_group.resource];
    const std::string_view bytes = batch_.ItemBytes(item.offset);
    typename S::Item parsed;
    if (!parsed.ParseFromString(std::string(bytes))) return "an item does not parse";
    if (parsed.SerializeAsString() != oracle_item.SerializeAsString()) return "an item's bytes";

    const Item& want = expected.item;
    if (item.trace() != want.trace()) return "trace ID";
    if (item.span != want.span) return "span ID or points";
    if (item.start_ns != want.start_ns) return "start";
    if (item.end_ns != want.end_ns) return "end";
    // What stood in which order, a parsed message does not tell.
    if ((item.flags & ~item_flags::kOddOrder) != want.flags)
      return "flags " + std::to_string(item.flags) + ", not " + std::to_string(want.flags);
    if (item.series != (expected.hash_of_bytes ? Hash(epoch_, bytes) : want.series)) return "series";
    if (S::kSignal == Signal::kLogs) {
      const std::string note(item.parent == 0 ? std::string_view()
                                              : batch_.bytes(at->slice->notes[item.parent - 1]));
      if (note != expected.note) return "note";
    } else if (item.parent != want.parent) {
      return "parent";
    }

    const std::string home_bytes = Concatenate(batch_, resource.first_range, resource.range_count);
    typename S::Home parsed_home;
    if (!parsed_home.ParseFromString(home_bytes)) return "a resource does not parse";
    if (parsed_home.SerializeAsString() != home.SerializeAsString()) return "resource bytes";
    if (resource.key != Hash(epoch_, home_bytes)) return "resource key";
    if (batch_.bytes(resource.service_name) != service) return "service name";
    if (batch_.ServiceName(item.group) != service) return "service name by group";
    const std::string group_bytes = Concatenate(batch_, batch_group.first_range, batch_group.range_count);
    typename S::Group parsed_group;
    if (!parsed_group.ParseFromString(group_bytes)) return "a scope does not parse";
    if (parsed_group.SerializeAsString() != group.SerializeAsString()) return "scope bytes";
    if (batch_group.key != Hash(epoch_, group_bytes)) return "scope key";

    const uint64_t route = expected.by_home ? resource.key : TraceHash(epoch_, tenant_, want.trace_lo);
    if (shard != ShardOf(epoch_, route)) return "shard";
    return {};
  }

  const Epoch& epoch_;
  const uint32_t tenant_;
  const Submission& submission_;
  const Batch& batch_;
  std::vector<Reader> readers_;
};

bool SameSlices(const Submission& a, const Submission& b) {
  if (a.rejected != b.rejected || a.first_error != b.first_error || a.items != b.items) return false;
  for (size_t i = 0; i < a.slices.size(); ++i) {
    if ((a.slices[i] == nullptr) != (b.slices[i] == nullptr)) return false;
    if (a.slices[i] == nullptr) continue;
    const Slice& x = *a.slices[i];
    const Slice& y = *b.slices[i];
    if (x.digest != y.digest || x.items.size() != y.items.size() || x.notes.size() != y.notes.size())
      return false;
    if (std::memcmp(x.items.data(), y.items.data(), x.items.size() * sizeof(Item)) != 0) return false;
  }
  return true;
}

// How many bytes could start a group.
size_t GroupStarts(std::string_view bytes) {
  return static_cast<size_t>(std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 7) == 3; }));
}

template <typename S>
std::string CheckSignal(const Epoch& epoch, uint32_t tenant, std::string_view bytes,
                        const Result<Submission>& result) {
  typename S::Request request;
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  const bool parsed = request.ParseFromZeroCopyStream(&stream);
  const bool framed = result.ok();
  const bool accepted = framed && result->rejected[static_cast<size_t>(RejectReason::kBadUtf8)] == 0 &&
                        result->rejected[static_cast<size_t>(RejectReason::kTooDeep)] == 0 &&
                        result->first_error.find("UTF-8") == std::string::npos &&
                        result->first_error.find("too deep") == std::string::npos;
  if (!framed) {
    const std::string& message = result.status().message();
    if (result.status().code() != Code::kInvalidArgument) return "wrong code";
    if (message == "malformed request") return "a fault without explanation";
    if (!parsed) return {};
    if (message.find("a tag") != std::string::npos) return {};                                // Over 32 bits.
    if (message.find("too deep") != std::string::npos && GroupStarts(bytes) > 31) return {};  // Groups.
    return "protobuf accepts, the decoder refuses: " + message;
  }
  Comparison<S> comparison(epoch, tenant, *result);
  if (std::string error = comparison.Sound(); !error.empty()) return error;
  if (parsed && accepted) return comparison.Whole(request);
  if (parsed) {
    if (result->first_error.find("too deep") != std::string::npos && GroupStarts(bytes) > 31) return {};
    return "protobuf accepts, the decoder rejects items: " + result->first_error;
  }
  // first_error holds the first fault only. If that was an ID, a bad string of a scope without items may
  // hide.
  if (accepted && result->rejected[static_cast<size_t>(RejectReason::kBadId)] == 0) {
    return "protobuf refuses, the decoder accepts";
  }
  return comparison.Remainder();
}

}  // namespace

const Epoch Differential::kEpoch = {.number = 1, .shards = 3, .seed = 0x9d5f3c1e7a2b4c68};

Differential::Differential()
    : slabs_({.max_bytes = 64u << 20}),
      best_(kEpoch, batches_, slices_, slabs_, nullptr),
      baseline_(kEpoch, batches_, slices_, slabs_, nullptr, {.isa = ingest::Decoder::Isa::kBaseline}) {
  // It would print every bad string.
  google::protobuf::SetLogHandler(nullptr);
}

std::string Differential::Check(Signal signal, std::string_view request) {
  const Result<Submission> best = best_.Decode(signal, ToSlab(slabs_, request), kTenant);
  const Result<Submission> baseline = baseline_.Decode(signal, ToSlab(slabs_, request), kTenant);
  if (best.ok() != baseline.ok() || best.status().message() != baseline.status().message() ||
      (best.ok() && !SameSlices(*best, *baseline))) {
    return "the AVX2 and the plain visitor disagree";
  }
  switch (signal) {
    case Signal::kTraces: return CheckSignal<Traces>(kEpoch, kTenant, request, best);
    case Signal::kLogs: return CheckSignal<Logs>(kEpoch, kTenant, request, best);
    case Signal::kMetrics: return CheckSignal<Metrics>(kEpoch, kTenant, request, best);
  }
  return {};
}

}  // namespace braid::test
