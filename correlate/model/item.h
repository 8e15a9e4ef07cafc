#pragma once

#include <cstdint>

#include "base/ids.h"

namespace braid {

// What the core needs to know of one span, log record or metric: one cache line, written by decode,
// read once by the fold. Everything else stays in the Batch's bytes.
struct alignas(64) Item {
  uint64_t trace_hi = 0;
  uint64_t trace_lo = 0;

  // Spans and logs: the span ID. Metrics: how many data points the Metric has.
  uint64_t span = 0;

  // Spans: the parent's ID, 0 for a root. Logs: 1 + index into Slice::notes of an ERROR record's first
  // message, or 0.
  uint64_t parent = 0;

  uint64_t start_ns = 0;  // spans: start; logs: time, or observed time where that is 0
  uint64_t end_ns = 0;    // spans: end

  // Spans: keyed hash of (service, span name, kind, status), of the sampling threshold where there is one and
  // of the attributes in the WatchList: spans that have it in common count in the same series. Logs and
  // metrics: keyed hash of the record's bytes, so that Slice digests cover the payload.
  uint64_t series = 0;

  uint32_t offset = 0;  // of the item's length varint in the Batch's bytes
  uint16_t group = 0;   // index into Batch::groups
  uint16_t flags = 0;   // see ItemFlags

  TraceId trace() const { return {trace_hi, trace_lo}; }
};
static_assert(sizeof(Item) == 64);

// Item::flags.
namespace item_flags {
// Spans: kind (opentelemetry-proto SpanKind, 0-5) in bits 0-2, status code (0-2) in bits 3-4.
// A kind or status outside its enum is 0 here; its bytes are forwarded as they came.
constexpr uint16_t kKindMask = 0x0007;
constexpr uint16_t kStatusShift = 3;
constexpr uint16_t kStatusMask = 0x0018;

// Logs: severity class in bits 0-2, see SeverityClass.
constexpr uint16_t kSeverityMask = 0x0007;

// Spans: flags bits 0x100 (HAS_IS_REMOTE) and 0x200 (IS_REMOTE) of the span were both set: the parent is in
// another process, so this span is its service's local root.
constexpr uint16_t kParentRemote = 0x0020;

// Some attribute key equals one of our stamp keys (correlate/model/stamp.h): the encoder checks each.
constexpr uint16_t kStampCollision = 0x0040;

// Logs: trace flags were present with the sampled bit 0, so the span will never come.
// (LogRecord.flags != 0 and bit 0 clear.)
constexpr uint16_t kUnsampled = 0x0080;

// Logs: a trace or span ID was given but is malformed (wrong length or zero span with a trace); the record is
// treated as having no context, and counted.
constexpr uint16_t kBadId = 0x0100;

// Spans: the flags say that the parent is in the same process (HAS_IS_REMOTE set, IS_REMOTE not).
constexpr uint16_t kParentLocal = 0x0200;

// Spans: there is at least one event, or link.
constexpr uint16_t kHasEvents = 0x0400;
constexpr uint16_t kHasLinks = 0x0800;

// Spans: a start or end time stands behind an attribute, which no SDK does.
constexpr uint16_t kOddOrder = 0x1000;
}  // namespace item_flags

// Severity numbers (opentelemetry-proto logs.proto SeverityNumber) by class. 0 and out of range: kUnset.
enum class SeverityClass : uint8_t { kUnset, kTrace, kDebug, kInfo, kWarn, kError, kFatal };
constexpr int kSeverityClasses = 7;

constexpr SeverityClass SeverityClassOf(uint64_t number) {
  if (number == 0 || number > 24) return SeverityClass::kUnset;
  return static_cast<SeverityClass>((number - 1) / 4 + 1);
}

}  // namespace braid
