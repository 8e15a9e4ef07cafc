#include "gateway/otlp_client/otlp_count.h"

#include "base/wire.h"

namespace braid::gateway {
namespace {

// Field numbers of opentelemetry-proto v1; the three signals are built alike.
constexpr uint32_t kResources = 1;
constexpr uint32_t kScopes = 2;
constexpr uint32_t kItems = 2;

constexpr bool IsMetricData(uint32_t field) {
  return field == 5 || field == 7 || field == 9 || field == 10 || field == 11;
}
constexpr uint32_t kDataPoints = 1;

// Calls fn(content) for every length-delimited field for which `wanted(number)`; false if the message is
// malformed.
template <typename Wanted, typename Fn>
bool ForEach(std::string_view message, Wanted wanted, Fn fn) {
  wire::Cursor cursor(message);
  while (cursor.Next()) {
    const wire::Field& field = cursor.field();
    if (field.type == wire::Type::kBytes && wanted(field.number) && !fn(field.bytes)) return false;
  }
  return cursor.ok();
}

}  // namespace

Result<uint64_t> CountItems(Signal signal, std::string_view request) {
  uint64_t count = 0;
  const auto is = [](uint32_t want) { return [want](uint32_t number) { return number == want; }; };
  const auto item = [&](std::string_view bytes) {
    if (signal != Signal::kMetrics) {
      ++count;
      return true;
    }
    return ForEach(bytes, IsMetricData, [&](std::string_view data) {
      return ForEach(data, is(kDataPoints), [&](std::string_view) {
        ++count;
        return true;
      });
    });
  };
  const bool ok = ForEach(request, is(kResources), [&](std::string_view resource) {
    return ForEach(resource, is(kScopes),
                   [&](std::string_view scope) { return ForEach(scope, is(kItems), item); });
  });
  if (!ok) return InvalidArgument("not a serialised OTLP export request");
  return count;
}

}  // namespace braid::gateway
