#include "gateway/api/trace_view.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "base/wire.h"
#include "correlate/model/item.h"
#include "correlate/model/stamp.h"
#include "correlate/store/chunk_store.h"

namespace braid::gateway {
namespace {

namespace json = boost::json;

constexpr int kMaxDepth = 32;  // of nested attribute values

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

json::string Text(std::string_view bytes) { return json::string(bytes.data(), bytes.size()); }

json::object AttributesOf(std::string_view message, uint32_t field, int depth);

// opentelemetry-proto common.proto AnyValue.
json::value AnyValue(std::string_view any, int depth) {
  json::value out;
  if (depth > kMaxDepth) return "(nested too deep to show)";
  for (wire::Cursor c(any); c.Next();) {
    const wire::Field& f = c.field();
    switch (f.number) {
      case 1: out = Text(f.bytes); break;
      case 2: out = f.scalar != 0; break;
      case 3: out = static_cast<int64_t>(f.scalar); break;
      case 4: {
        double value;
        std::memcpy(&value, &f.scalar, sizeof value);
        if (value == value && value - value == 0) {
          out = value;
        } else {
          out = value != value ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
        }
        break;
      }
      case 5: {
        json::array values;
        for (wire::Cursor list(f.bytes); list.Next();) {
          if (list.field().number == 1) values.push_back(AnyValue(list.field().bytes, depth + 1));
        }
        out = std::move(values);
        break;
      }
      case 6: out = AttributesOf(f.bytes, 1, depth + 1); break;
      case 7: out = Text(Hex(f.bytes)); break;
      default: break;
    }
  }
  return out;
}

json::object AttributesOf(std::string_view message, uint32_t field, int depth) {
  json::object out;
  for (wire::Cursor c(message); c.Next();) {
    if (c.field().number != field || c.field().type != wire::Type::kBytes) continue;
    std::string_view key;
    json::value value;
    for (wire::Cursor kv(c.field().bytes); kv.Next();) {
      if (kv.field().number == 1) key = kv.field().bytes;
      if (kv.field().number == 2) value = AnyValue(kv.field().bytes, depth);
    }
    out[key] = std::move(value);
  }
  return out;
}

// One item with the headers it belongs to.
struct Source {
  std::string_view item;
  std::string resource;  // fields of the Resource{Spans,Logs} besides the scopes
  std::string scope;
  bool waiting = false;
  bool joined = false;
  bool stored = false;
};

std::string Gather(const Batch& batch, uint32_t first, uint32_t count) {
  std::string out;
  for (uint32_t i = 0; i < count; ++i) out += batch.bytes(batch.ranges[first + i]);
  return out;
}

json::object ResourceOf(std::string_view header) {
  json::object out;
  for (wire::Cursor c(header); c.Next();) {
    if (c.field().number != 1 || c.field().type != wire::Type::kBytes) continue;
    for (auto& [key, value] : AttributesOf(c.field().bytes, 1, 0)) out[key] = value;
  }
  return out;
}

json::value ServiceOf(const json::object& resource) {
  const json::value* service = resource.if_contains("service.name");
  return service != nullptr && service->is_string() ? *service : json::value("");
}

json::string ScopeOf(std::string_view header) {
  std::string_view name;
  for (wire::Cursor c(header); c.Next();) {
    if (c.field().number != 1 || c.field().type != wire::Type::kBytes) continue;
    for (wire::Cursor scope(c.field().bytes); scope.Next();) {
      if (scope.field().number == 1) name = scope.field().bytes;
    }
  }
  return Text(name);
}

constexpr std::string_view kKinds[] = {"unspecified", "internal", "server", "client", "producer", "consumer"};
constexpr std::string_view kStatuses[] = {"unset", "ok", "error"};
constexpr std::string_view kSeverities[] = {"unset", "trace", "debug", "info", "warn", "error", "fatal"};

struct SpanRow {
  uint64_t id = 0;
  uint64_t parent = 0;
  uint64_t start = 0;
  json::object object;
  json::array logs;
};

struct LogRow {
  uint64_t span = 0;
  uint64_t time = 0;
  json::object object;
  std::string state;
};

json::array EventsOf(std::string_view span) {
  json::array events;
  for (wire::Cursor c(span); c.Next();) {
    if (c.field().number != 11 || c.field().type != wire::Type::kBytes) continue;
    json::object event;
    for (wire::Cursor e(c.field().bytes); e.Next();) {
      if (e.field().number == 1) event["timeUnixNano"] = std::to_string(e.field().scalar);
      if (e.field().number == 2) event["name"] = Text(e.field().bytes);
    }
    event["attributes"] = AttributesOf(c.field().bytes, 3, 0);
    events.push_back(std::move(event));
  }
  return events;
}

json::array LinksOf(std::string_view span) {
  json::array links;
  for (wire::Cursor c(span); c.Next();) {
    if (c.field().number != 13 || c.field().type != wire::Type::kBytes) continue;
    json::object link;
    for (wire::Cursor l(c.field().bytes); l.Next();) {
      if (l.field().number == 1) link["traceId"] = Text(Hex(l.field().bytes));
      if (l.field().number == 2) link["spanId"] = Text(Hex(l.field().bytes));
    }
    link["attributes"] = AttributesOf(c.field().bytes, 4, 0);
    links.push_back(std::move(link));
  }
  return links;
}

// opentelemetry-proto trace.proto Span.
SpanRow SpanOf(const Source& source) {
  SpanRow row;
  uint64_t end = 0;
  std::string_view name;
  std::string_view message;
  std::string_view state;
  size_t kind = 0;
  size_t status = 0;
  for (wire::Cursor c(source.item); c.Next();) {
    const wire::Field& f = c.field();
    switch (f.number) {
      case 2:
        if (f.bytes.size() == 8) row.id = LoadBigEndian64(f.bytes.data());
        break;
      case 3: state = f.bytes; break;
      case 4: row.parent = f.bytes.size() == 8 ? LoadBigEndian64(f.bytes.data()) : 0; break;
      case 5: name = f.bytes; break;
      case 6: kind = f.scalar < std::size(kKinds) ? f.scalar : 0; break;
      case 7: row.start = f.scalar; break;
      case 8: end = f.scalar; break;
      case 15:
        for (wire::Cursor s(f.bytes); s.Next();) {
          if (s.field().number == 2) message = s.field().bytes;
          if (s.field().number == 3) status = s.field().scalar < std::size(kStatuses) ? s.field().scalar : 0;
        }
        break;
      default: break;
    }
  }
  json::object& o = row.object;
  json::object resource = ResourceOf(source.resource);
  o["spanId"] = ToHex(row.id);
  o["parentSpanId"] = row.parent == 0 ? std::string() : ToHex(row.parent);
  o["service"] = ServiceOf(resource);
  o["name"] = Text(name);
  o["kind"] = kKinds[kind];
  o["status"] = kStatuses[status];
  if (!message.empty()) o["statusMessage"] = Text(message);
  if (!state.empty()) o["traceState"] = Text(state);
  o["startUnixNano"] = std::to_string(row.start);
  o["durationNano"] = std::to_string(end > row.start ? end - row.start : 0);
  o["attributes"] = AttributesOf(source.item, 9, 0);
  if (json::array events = EventsOf(source.item); !events.empty()) o["events"] = std::move(events);
  if (json::array links = LinksOf(source.item); !links.empty()) o["links"] = std::move(links);
  o["scope"] = ScopeOf(source.scope);
  o["resource"] = std::move(resource);
  return row;
}

// Why a log is where it is, in words. `state` and `reason` are its stamps.
std::string ReasonText(const std::string& state, std::string_view reason) {
  if (state == "span") return "its span_id names a span of this trace";
  if (state == "waiting")
    return "its span has not arrived yet; it is held until it does, at most for log_hold";
  std::string where =
      state == "trace" ? "its trace was seen, its span was not" : "no span of its trace was seen";
  if (reason == "no_span") return where + ": none arrived while it was held (correlate.log_hold)";
  if (reason == "unsampled") return where + ": its sampled flag is 0, so the sender records no span";
  if (reason == "no_span_id") return where + ": it has a trace_id but no span_id";
  if (reason == "over_budget") return where + ": it left before log_hold was over, because memory was short";
  if (reason == "evicted") return where + ": it left before log_hold was over, because the window was full";
  if (reason == "shutdown") return where + ": it left before log_hold was over, at shutdown";
  return where;
}

// opentelemetry-proto logs.proto LogRecord.
LogRow LogOf(const Source& source) {
  LogRow row;
  uint64_t observed = 0;
  uint64_t severity = 0;
  std::string_view severity_text;
  json::value body;
  for (wire::Cursor c(source.item); c.Next();) {
    const wire::Field& f = c.field();
    switch (f.number) {
      case 1: row.time = f.scalar; break;
      case 2: severity = f.scalar; break;
      case 3: severity_text = f.bytes; break;
      case 5: body = AnyValue(f.bytes, 0); break;
      case 10:
        if (f.bytes.size() == 8) row.span = LoadBigEndian64(f.bytes.data());
        break;
      case 11: observed = f.scalar; break;
      default: break;
    }
  }
  if (row.time == 0) row.time = observed;
  json::object attributes = AttributesOf(source.item, 6, 0);
  const auto stamp = [&](std::string_view key) {
    const json::value* value = attributes.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  row.state = source.stored    ? stamp(stamp::kState)
              : source.joined  ? "span"
              : source.waiting ? "waiting"
                               : "trace";
  json::object& o = row.object;
  o["timeUnixNano"] = std::to_string(row.time);
  o["severity"] = kSeverities[static_cast<size_t>(SeverityClassOf(severity))];
  if (!severity_text.empty()) o["severityText"] = Text(severity_text);
  o["body"] = std::move(body);
  o["spanId"] = row.span == 0 ? std::string() : ToHex(row.span);
  o["service"] = ServiceOf(ResourceOf(source.resource));
  o["join"] = {{"state", row.state}, {"reason", ReasonText(row.state, stamp(stamp::kReason))}};
  o["attributes"] = std::move(attributes);
  return row;
}

}  // namespace

std::string RenderTrace(const TraceId& id, const TraceMaterial& material, size_t max_items) {
  std::vector<SpanRow> spans;
  std::vector<LogRow> logs;
  size_t left_out = 0;
  const auto take = [&](Signal signal, const Source& source) {
    if (spans.size() + logs.size() >= max_items) {
      ++left_out;
    } else if (signal == Signal::kTraces) {
      spans.push_back(SpanOf(source));
    } else {
      logs.push_back(LogOf(source));
    }
  };
  for (const correlate::TraceItems::Entry& entry : material.open.entries) {
    const Batch& batch = *entry.batch;
    const BatchGroup& group = batch.groups[entry.group];
    const BatchResource& resource = batch.resources[group.resource];
    Source source;
    source.item = batch.ItemBytes(entry.offset);
    source.resource = Gather(batch, resource.first_range, resource.range_count);
    source.scope = Gather(batch, group.first_range, group.range_count);
    source.waiting = entry.waiting;
    source.joined = entry.joined;
    take(entry.signal, source);
  }
  for (const correlate::StoredItem& stored : correlate::FindTrace(material.chunks, id.lo)) {
    const ChunkGroup& group = stored.chunk->groups[stored.item->group];
    Source source;
    source.item = stored.chunk->ItemBytes(*stored.item);
    source.resource = std::string(stored.chunk->view(group.resource));
    source.scope = std::string(stored.chunk->view(group.scope));
    source.stored = true;
    // The directory has the low half of the ID; two traces that share it are told apart here.
    const uint32_t field = stored.chunk->signal == Signal::kTraces ? 1 : 9;
    TraceId own;
    for (wire::Cursor c(source.item); c.Next();) {
      if (c.field().number == field && c.field().type == wire::Type::kBytes && c.field().bytes.size() == 16) {
        own = {LoadBigEndian64(c.field().bytes.data()), LoadBigEndian64(c.field().bytes.data() + 8)};
      }
    }
    if (own.SameTrace(id)) take(stored.chunk->signal, source);
  }
  if (spans.empty() && logs.empty()) return {};

  std::stable_sort(spans.begin(), spans.end(),
                   [](const SpanRow& a, const SpanRow& b) { return a.start < b.start; });
  std::stable_sort(logs.begin(), logs.end(),
                   [](const LogRow& a, const LogRow& b) { return a.time < b.time; });
  std::unordered_map<uint64_t, size_t> by_id;
  for (size_t i = 0; i < spans.size(); ++i) by_id.emplace(spans[i].id, i);
  json::array loose;
  for (LogRow& log : logs) {
    const auto span = log.span == 0 ? by_id.end() : by_id.find(log.span);
    if (span == by_id.end()) {
      loose.push_back(std::move(log.object));
    } else {
      spans[span->second].logs.push_back(std::move(log.object));
    }
  }

  json::array notes;
  size_t missing_parents = 0;
  size_t roots = 0;
  for (const SpanRow& span : spans) {
    if (span.parent == 0) {
      ++roots;
    } else if (!by_id.contains(span.parent)) {
      ++missing_parents;
    }
  }
  if (missing_parents != 0) {
    notes.push_back(
        json::string(std::to_string(missing_parents) + " spans name a parent that has not been seen"));
  }
  if (roots == 0 && !spans.empty()) notes.push_back("the root span has not been seen");
  if (left_out != 0)
    notes.push_back(
        json::string(std::to_string(left_out) + " items are left out: the trace is too large to show"));

  bool error = material.open.error;
  for (const SpanRow& span : spans) error |= span.object.at("status").get_string() == "error";
  const bool open = material.open.known && material.open.verdict == correlate::Verdict::kUndecided;
  json::object out;
  out["traceId"] = ToHex(id);
  out["state"] = open ? "open" : "decided";
  out["verdict"] = open ? "undecided" : "keep";
  out["error"] = error;
  out["voted"] = material.open.voted;
  json::array rows;
  for (SpanRow& span : spans) {
    span.object["logs"] = std::move(span.logs);
    rows.push_back(std::move(span.object));
  }
  out["spans"] = std::move(rows);
  out["logs"] = std::move(loose);
  out["notes"] = std::move(notes);
  return json::serialize(out);
}

}  // namespace braid::gateway
