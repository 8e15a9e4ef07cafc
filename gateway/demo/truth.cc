#include "gateway/demo/truth.h"

#include <boost/json.hpp>

namespace braid::gateway::demo {
namespace {

const char* KindName(SpanKind kind) {
  switch (kind) {
    case SpanKind::kInternal: return "SPAN_KIND_INTERNAL";
    case SpanKind::kServer: return "SPAN_KIND_SERVER";
    case SpanKind::kClient: return "SPAN_KIND_CLIENT";
    case SpanKind::kProducer: return "SPAN_KIND_PRODUCER";
    case SpanKind::kConsumer: return "SPAN_KIND_CONSUMER";
  }
  return "";
}

}  // namespace

std::string Truth::ToJsonMembers() const {
  boost::json::object out;
  out["requests"] = requests;
  out["failed_requests"] = failed_requests;
  out["spans"] = spans;
  out["logs"] = logs;
  boost::json::array list;
  for (const auto& [key, operation] : operations) {
    const auto& [service, name, kind] = key;
    list.push_back({{"service", service},
                    {"span_name", name},
                    {"span_kind", KindName(kind)},
                    {"spans", operation.spans},
                    {"errors", operation.errors},
                    {"duration_ns", operation.duration_ns}});
  }
  out["operations"] = std::move(list);
  list = {};
  for (const auto& [key, edge] : edges) {
    const auto& [client, server, type] = key;
    list.push_back({{"client", client},
                    {"server", server},
                    {"type", type},
                    {"calls", edge.calls},
                    {"failed", edge.failed}});
  }
  out["edges"] = std::move(list);
  list = {};
  for (const auto& [key, counts] : severities) {
    list.push_back({{"service", key.first},
                    {"severity", SeverityText(key.second)},
                    {"records", counts.records},
                    {"with_span", counts.with_span}});
  }
  out["logs_by_severity"] = std::move(list);
  boost::json::object numbers;
  for (const auto& [name, value] : counters) numbers[name] = value;
  out["counters"] = std::move(numbers);
  const std::string text = boost::json::serialize(out);
  return text.substr(1, text.size() - 2);
}

}  // namespace braid::gateway::demo
