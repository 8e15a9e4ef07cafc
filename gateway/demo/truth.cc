#include "gateway/demo/truth.h"

#include <algorithm>
#include <boost/json.hpp>
#include <numeric>

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

template <typename Numbers>
boost::json::array ToJson(const Numbers& numbers) {
  return boost::json::array(numbers.begin(), numbers.end());
}

boost::json::object ToJson(const Durations& durations) {
  return {{"duration_ns", durations.sum_ns()}, {"at_most", ToJson(durations.AtMost())}};
}

}  // namespace

void Durations::Add(uint64_t ns) {
  sum_ns_ += ns;
  // Of a bound, in ns, it may be just as much.
  const auto* bound = std::lower_bound(kBoundsMs.begin(), kBoundsMs.end(), ns,
                                       [](uint64_t ms, uint64_t value) { return ms * 1'000'000 < value; });
  if (bound != kBoundsMs.end()) ++within_[static_cast<size_t>(bound - kBoundsMs.begin())];
}

std::array<uint64_t, Durations::kBoundsMs.size()> Durations::AtMost() const {
  std::array<uint64_t, kBoundsMs.size()> counts{};
  std::partial_sum(within_.begin(), within_.end(), counts.begin());
  return counts;
}

std::string Truth::ToJsonMembers() const {
  boost::json::object out;
  out["requests"] = requests;
  out["failed_requests"] = failed_requests;
  out["spans"] = spans;
  out["logs"] = logs;
  out["bounds_ms"] = ToJson(Durations::kBoundsMs);
  boost::json::array list;
  for (const auto& [key, operation] : operations) {
    const auto& [service, name, kind] = key;
    list.push_back({{"service", service},
                    {"span_name", name},
                    {"span_kind", KindName(kind)},
                    {"spans", operation.spans},
                    {"errors", operation.errors},
                    {"duration_ns", operation.durations.sum_ns()},
                    {"at_most", ToJson(operation.durations.AtMost())}});
  }
  out["operations"] = std::move(list);
  list = {};
  for (const auto& [key, edge] : edges) {
    const auto& [client, server, type] = key;
    list.push_back({{"client", client},
                    {"server", server},
                    {"type", type},
                    {"calls", edge.calls},
                    {"failed", edge.failed},
                    {"client_time", ToJson(edge.client)},
                    {"server_time", ToJson(edge.server)}});
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
