#include "correlate/derive/exemplar_match.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "base/wire.h"
#include "correlate/derive/any_value.h"
#include "correlate/derive/metric_names.h"
#include "correlate/model/epoch.h"

namespace braid::correlate {
namespace {

// Field numbers of opentelemetry-proto trace.proto, metrics.proto and resource.proto.
constexpr uint32_t kResource = 1, kResourceAttributes = 1;  // of ResourceSpans as of ResourceMetrics
constexpr uint32_t kSpanKind = 6, kSpanAttributes = 9;

constexpr uint64_t kServerKinds = 1u << 2;
constexpr uint64_t kClientKinds = 1u << 3 | 1u << 4 | 1u << 5;
constexpr uint64_t kAllKinds = (1u << 6) - 1;

uint64_t HashOf(std::string_view text, uint64_t seed) {
  if (text.empty()) return 0;
  const uint64_t hash = XXH3_64bits_withSeed(text.data(), text.size(), seed);
  return hash != 0 ? hash : 1;
}

uint64_t ValueOf(std::string_view any_value, uint64_t seed, std::string* scratch) {
  scratch->clear();
  AppendAnyValue(scratch, any_value);
  return HashOf(*scratch, seed);
}

// Of one key the last value counts.
void ReadResource(const Batch& batch, uint16_t group, uint64_t seed, std::string* scratch, MatchKey* to) {
  to->service = HashOf(batch.ServiceName(group), seed);
  const BatchResource& resource = batch.resources[batch.groups[group].resource];
  for (uint32_t i = 0; i < resource.range_count; ++i) {
    for (wire::Cursor c(batch.bytes(batch.ranges[resource.first_range + i])); c.Next();) {
      if (c.field().number != kResource || c.field().type != wire::Type::kBytes) continue;
      for (wire::Cursor a(c.field().bytes); a.Next();) {
        if (a.field().number != kResourceAttributes || a.field().type != wire::Type::kBytes) continue;
        const KeyValueView read = ReadKeyValue(a.field().bytes);
        if (read.key == "service.namespace") to->space = ValueOf(read.any_value, seed, scratch);
        if (read.key == "service.instance.id") to->instance = ValueOf(read.any_value, seed, scratch);
      }
    }
  }
}

bool HasWord(std::string_view name, std::string_view word) {
  const auto is_end = [&](size_t at) { return at >= name.size() || name[at] == '.' || name[at] == '_'; };
  for (size_t at = name.find(word); at != std::string_view::npos; at = name.find(word, at + 1)) {
    if ((at == 0 || is_end(at - 1)) && is_end(at + word.size())) return true;
  }
  return false;
}

// Where both have one they are the same.
bool Agree(uint64_t a, uint64_t b) { return a == 0 || b == 0 || a == b; }

}  // namespace

bool MatchKey::Usable() const {
  return service != 0 && std::any_of(values.begin(), values.end(), [](uint64_t value) { return value != 0; });
}

uint64_t MatchKey::Digest() const {
  uint64_t hash = Mix64(service ^ kinds);
  hash = Mix64(hash ^ space);
  hash = Mix64(hash + instance);
  for (const uint64_t value : values) hash = Mix64(hash + value);
  return hash != 0 ? hash : 1;
}

bool Matches(const MatchKey& span, const MatchKey& point) {
  if (span.service == 0 || span.service != point.service || (span.kinds & point.kinds) == 0) return false;
  if (!Agree(span.space, point.space) || !Agree(span.instance, point.instance)) return false;
  bool some = false;
  for (size_t i = 0; i < span.values.size(); ++i) {
    if (!Agree(span.values[i], point.values[i])) return false;
    some |= span.values[i] != 0 && point.values[i] != 0;
  }
  return some;
}

MatchKey ReadSpanMatch(const Batch& batch, uint16_t group, std::string_view span,
                       const std::vector<std::string>& keys, uint64_t seed, std::string* scratch) {
  MatchKey match;
  ReadResource(batch, group, seed, scratch, &match);
  uint64_t kind = 0;
  for (wire::Cursor c(span); c.Next();) {
    const wire::Field& f = c.field();
    if (f.number == kSpanKind && f.type == wire::Type::kVarint) kind = f.scalar;
    if (f.number != kSpanAttributes || f.type != wire::Type::kBytes) continue;
    const KeyValueView read = ReadKeyValue(f.bytes);
    const auto at = std::find(keys.begin(), keys.end(), read.key);
    if (at == keys.end()) continue;
    match.values[static_cast<size_t>(at - keys.begin())] = ValueOf(read.any_value, seed, scratch);
  }
  match.kinds = uint64_t{1} << (kind <= 5 ? kind : 0);
  return match;
}

MatchKey ReadPointMatch(const Batch& batch, uint16_t group, std::span<const std::string_view> attributes,
                        std::string_view name, bool from_prometheus, const std::vector<std::string>& keys,
                        uint64_t seed) {
  MatchKey match;
  std::string scratch;
  ReadResource(batch, group, seed, &scratch, &match);
  if (from_prometheus) match.instance = 0;
  match.kinds = HasWord(name, "server") ? kServerKinds : HasWord(name, "client") ? kClientKinds : kAllKinds;
  for (const std::string_view attribute : attributes) {
    const KeyValueView read = ReadKeyValue(attribute);
    const auto at = std::find_if(keys.begin(), keys.end(), [&](const std::string& key) {
      return key == read.key || (from_prometheus && PrometheusLabelName(key) == read.key);
    });
    if (at == keys.end()) continue;
    match.values[static_cast<size_t>(at - keys.begin())] = ValueOf(read.any_value, seed, &scratch);
  }
  return match;
}

double UnitNs(std::string_view name, std::string_view unit) {
  if (unit.empty()) {
    const size_t word = name.find_last_of("._");
    const std::string_view last = word == std::string_view::npos ? name : name.substr(word + 1);
    if (last == "seconds") return 1e9;
    if (last == "milliseconds") return 1e6;
    if (last == "microseconds") return 1e3;
    if (last == "nanoseconds") return 1;
    return 0;
  }
  // As PrometheusMetricName() and remote write's metadata have them.
  if (unit == "s" || unit == "seconds") return 1e9;
  if (unit == "ms" || unit == "milliseconds") return 1e6;
  if (unit == "us" || unit == "microseconds") return 1e3;
  if (unit == "ns" || unit == "nanoseconds") return 1;
  return 0;
}

size_t DurationCell(uint64_t duration_ns) {
  constexpr size_t kFirst = 4 * 10;  // of 512 ns and up to it
  const auto width = static_cast<size_t>(std::bit_width(duration_ns));
  const size_t quarter = width > 2 ? duration_ns >> (width - 3) & 3 : 0;
  const size_t cell = width * 4 + quarter;
  return cell <= kFirst ? 0 : std::min(cell - kFirst, kDurationCells - 1);
}

}  // namespace braid::correlate
