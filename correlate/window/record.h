#pragma once

#include <bit>
#include <cstdint>

namespace braid::correlate {

// The number of a Record since the shard began, modulo 2^32. 0 is never given out and means "none".
using Ordinal = uint32_t;

// What the window remembers of one span, or of one log with trace context: 40 bytes, appended in arrival
// order to a ring, linked backwards by trace and by span.
struct Record {
  uint64_t span = 0;

  // Spans: the parent's span ID. Logs: the Ordinal of the span joined (low half), 0 while there is none.
  uint64_t parent = 0;

  Ordinal prev_in_trace = 0;

  // Spans: an older record of the same span ID (logs that waited for it, or the other half of a shared
  // Zipkin span). Logs: an older waiting log of the same span.
  Ordinal prev_of_span = 0;

  uint32_t batch_and_flags = 0;  // slot in the shard's BatchTable (20 bits), RecordFlags above
  uint32_t offset = 0;           // of the item in its Batch; meaningful while kPending
  uint32_t series = 0;           // spans: SeriesTable id (of its row)
  uint32_t duration = 0;         // spans: PackDuration(); logs: size of the item

  uint32_t batch() const { return batch_and_flags & 0xfffff; }
  bool Has(uint32_t flag) const { return (batch_and_flags & flag) != 0; }
  void Set(uint32_t flag) { batch_and_flags |= flag; }
  void Clear(uint32_t flag) { batch_and_flags &= ~flag; }
};
static_assert(sizeof(Record) == 40);

namespace record_flags {
constexpr uint32_t kLog = 1u << 20;
constexpr uint32_t kPending = 1u << 21;    // its payload is held and it has not left yet
constexpr uint32_t kWaiting = 1u << 22;    // a log without its span
constexpr uint32_t kNoted = 1u << 23;      // an ERROR log whose message is kept in the shard's notes
constexpr uint32_t kCollision = 1u << 24;  // see item_flags::kStampCollision
constexpr uint32_t kExpress = 1u << 25;    // a log that is held to the verdict although its span is known
constexpr uint32_t kCandidate = 1u << 26;  // spans: to be offered as an exemplar of ingested histograms
constexpr unsigned kSeverityShift = 26;    // logs: SeverityClass in three bits
constexpr uint32_t kSeverityMask = 7u << kSeverityShift;
constexpr unsigned kStatusShift = 27;  // spans: Status.StatusCode as it came, in two bits
constexpr uint32_t kStatusMask = 3u << kStatusShift;
constexpr uint32_t kPaired = 1u << 29;    // spans: another span answered this call
constexpr uint32_t kVirtual = 1u << 30;   // spans: a peer without spans was taken for the other side
constexpr uint32_t kOddOrder = 1u << 31;  // see item_flags::kOddOrder
constexpr uint32_t kBatchSlots = 1u << 20;
}  // namespace record_flags

// Nanoseconds in 32 bits: 27 bits of mantissa, 5 of exponent. Exact below 134 ms, within 2^-26 of the value
// above; rounds down, so a packed duration never moves up into the next bucket.
constexpr uint32_t PackDuration(uint64_t ns) {
  constexpr uint64_t kMax = ((uint64_t{1} << 27) - 1) << 31;
  if (ns > kMax) ns = kMax;
  const auto width = static_cast<unsigned>(std::bit_width(ns));
  const unsigned exponent = width > 27 ? width - 27 : 0;
  return static_cast<uint32_t>(ns >> exponent) | exponent << 27;
}

constexpr uint64_t UnpackDuration(uint32_t packed) {
  return static_cast<uint64_t>(packed & ((1u << 27) - 1)) << (packed >> 27);
}

}  // namespace braid::correlate
