#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/wire.h"

// Small OTLP requests for tests, written field by field (opentelemetry-proto trace.proto, logs.proto,
// metrics.proto).
namespace braid::test {

using Attributes = std::vector<std::pair<std::string, std::string>>;

inline void WriteAttributes(wire::Writer& w, uint32_t field, const Attributes& attributes) {
  for (const auto& [key, value] : attributes) {
    const size_t at = w.Begin(field);
    w.Bytes(1, key);
    const size_t any = w.Begin(2);
    w.Bytes(1, value);
    w.End(any);
    w.End(at);
  }
}

inline std::string IdBytes(const TraceId& id) {
  std::string out(16, '\0');
  StoreBigEndian64(id.hi, out.data());
  StoreBigEndian64(id.lo, out.data() + 8);
  return out;
}

inline std::string IdBytes(uint64_t span) {
  std::string out(8, '\0');
  StoreBigEndian64(span, out.data());
  return out;
}

struct SpanSpec {
  TraceId trace = {};
  uint64_t span = 0;
  uint64_t parent = 0;
  std::string name = "op";
  int kind = 2;
  int status = 0;
  uint64_t start_ns = 1'000'000'000;
  uint64_t end_ns = 1'005'000'000;
  uint32_t flags = 0;
  Attributes attributes = {};
  std::string tracestate = {};
  std::vector<std::pair<TraceId, uint64_t>> links = {};
  std::vector<std::pair<std::string, Attributes>> events = {};  // name and attributes
};

struct LogSpec {
  TraceId trace = {};
  uint64_t span = 0;
  int severity = 9;
  std::string body = "hello";
  uint64_t time_ns = 1'001'000'000;
  uint32_t flags = 0;
  Attributes attributes = {};
};

inline std::string Span(const SpanSpec& s) {
  std::string out;
  wire::Writer w(&out);
  w.Bytes(1, IdBytes(s.trace));
  w.Bytes(2, IdBytes(s.span));
  if (!s.tracestate.empty()) w.Bytes(3, s.tracestate);
  if (s.parent != 0) w.Bytes(4, IdBytes(s.parent));
  w.Bytes(5, s.name);
  w.Varint(6, static_cast<uint64_t>(s.kind));
  w.Fixed64(7, s.start_ns);
  w.Fixed64(8, s.end_ns);
  WriteAttributes(w, 9, s.attributes);
  for (const auto& [name, attributes] : s.events) {
    const size_t at = w.Begin(11);
    w.Fixed64(1, s.start_ns);
    w.Bytes(2, name);
    WriteAttributes(w, 3, attributes);
    w.End(at);
  }
  for (const auto& [trace, span] : s.links) {
    const size_t at = w.Begin(13);
    w.Bytes(1, IdBytes(trace));
    w.Bytes(2, IdBytes(span));
    w.End(at);
  }
  if (s.status != 0) {
    const size_t at = w.Begin(15);
    w.Varint(3, static_cast<uint64_t>(s.status));
    w.End(at);
  }
  if (s.flags != 0) w.Fixed32(16, s.flags);
  return out;
}

inline std::string Log(const LogSpec& s) {
  std::string out;
  wire::Writer w(&out);
  w.Fixed64(1, s.time_ns);
  w.Varint(2, static_cast<uint64_t>(s.severity));
  const size_t body = w.Begin(5);
  w.Bytes(1, s.body);
  w.End(body);
  WriteAttributes(w, 6, s.attributes);
  if (s.flags != 0) w.Fixed32(8, s.flags);
  if (s.trace.valid()) w.Bytes(9, IdBytes(s.trace));
  if (s.span != 0) w.Bytes(10, IdBytes(s.span));
  return out;
}

// Items of one service in one scope, as one Export request. `more` are further attributes of the resource.
inline std::string Request(std::string_view service, const std::vector<std::string>& items,
                           const Attributes& more = {}) {
  std::string out;
  wire::Writer w(&out);
  const size_t resource_items = w.Begin(1);
  const size_t resource = w.Begin(1);
  if (!service.empty()) WriteAttributes(w, 1, {{"service.name", std::string(service)}});
  WriteAttributes(w, 1, more);
  w.End(resource);
  const size_t scope_items = w.Begin(2);
  const size_t scope = w.Begin(1);
  w.Bytes(1, "test");
  w.End(scope);
  for (const std::string& item : items) w.Bytes(2, item);
  w.End(scope_items);
  w.End(resource_items);
  return out;
}

inline std::string Traces(std::string_view service, const std::vector<SpanSpec>& spans,
                          const Attributes& resource = {}) {
  std::vector<std::string> items;
  for (const SpanSpec& span : spans) items.push_back(Span(span));
  return Request(service, items, resource);
}

inline std::string Logs(std::string_view service, const std::vector<LogSpec>& logs) {
  std::vector<std::string> items;
  for (const LogSpec& log : logs) items.push_back(Log(log));
  return Request(service, items);
}

}  // namespace braid::test
