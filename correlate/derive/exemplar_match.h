#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "correlate/model/batch.h"

// What decides whether a span may be an exemplar of a histogram that its service sent. All functions are of
// their arguments; the bytes they read have been validated by decode.
namespace braid::correlate {

// Who measured, and the values of the attributes that have to agree (DeriveOptions::Lend::match, in its
// order), as keyed hashes; 0 where there is none. Equal hashes are taken for equal, as with Item::series.
struct MatchKey {
  static constexpr size_t kMaxValues = 12;

  uint64_t service = 0;
  uint64_t space = 0;     // service.namespace
  uint64_t instance = 0;  // service.instance.id
  uint64_t kinds = 0;  // bits by opentelemetry-proto SpanKind; of a span one, of a point those it may be of
  std::array<uint64_t, kMaxValues> values{};

  // Whether it can match anything: it has a service, and one value at least.
  bool Usable() const;

  // Never 0.
  uint64_t Digest() const;

  friend bool operator==(const MatchKey&, const MatchKey&) = default;
};

// Service and kind agree; namespace and instance, and each value, where both have one; and some value both
// have.
bool Matches(const MatchKey& span, const MatchKey& point);

// Of a serialised span. `scratch` spares allocations. REQUIRES: at most MatchKey::kMaxValues keys.
MatchKey ReadSpanMatch(const Batch& batch, uint16_t group, std::string_view span,
                       const std::vector<std::string>& keys, uint64_t seed, std::string* scratch);

// Of a point with these attributes (each an OTLP KeyValue) of metric `name`. A name that says "server" is of
// server spans, one that says "client" of clients, producers and consumers. `from_prometheus`: keys are label
// names, and the instance is the address of whoever was scraped, which no span has.
MatchKey ReadPointMatch(const Batch& batch, uint16_t group, std::span<const std::string_view> attributes,
                        std::string_view name, bool from_prometheus, const std::vector<std::string>& keys,
                        uint64_t seed);

// Nanoseconds in one unit of a metric of time: s, ms, us or ns, or where no unit is given the last word of
// its name (`_seconds`). 0: it is none.
double UnitNs(std::string_view name, std::string_view unit);

// The quarter of an octave in which a duration lies, 0 .. kDurationCells - 1: from 1 us to two hours.
constexpr size_t kDurationCells = 128;
size_t DurationCell(uint64_t duration_ns);

}  // namespace braid::correlate
