#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace braid {

// W3C trace ID: 16 bytes, big-endian in two words. All zero means "none".
struct TraceId {
  uint64_t hi = 0;
  uint64_t lo = 0;

  bool valid() const { return (hi | lo) != 0; }
  friend bool operator==(const TraceId&, const TraceId&) = default;

  // Whether two IDs name one trace: equal low halves, and equal high halves unless one side carries
  // only 64 bits (Zipkin and old Jaeger clients; reference: correlation of 64- and 128-bit forms).
  bool SameTrace(const TraceId& other) const {
    return lo == other.lo && (hi == other.hi || hi == 0 || other.hi == 0);
  }
};

inline uint64_t LoadBigEndian64(const void* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return __builtin_bswap64(word);
}

inline void StoreBigEndian64(uint64_t word, void* bytes) {
  word = __builtin_bswap64(word);
  std::memcpy(bytes, &word, sizeof word);
}

// Lower-case hex: 32 digits for a trace, 16 for a span.
std::string ToHex(const TraceId& id);
std::string ToHex(uint64_t span_id);

// Writes exactly 32 or 16 digits to `out`; no terminator.
void WriteHex(const TraceId& id, char* out);
void WriteHex(uint64_t span_id, char* out);

// 1 to 32 (16) hex digits of either case, left-padded with zeros. Nothing for anything else, or zero.
std::optional<TraceId> ParseTraceId(std::string_view hex);
std::optional<uint64_t> ParseSpanId(std::string_view hex);

}  // namespace braid
