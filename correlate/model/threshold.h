#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace braid {

// The rejection threshold of a span that consistent probability sampling kept: 56 bits, of the sub-key `th`
// in the `ot` member of its W3C tracestate (OpenTelemetry specification, trace/tracestate-handling.md,
// "Sampling threshold value"). One of 2^56 / (2^56 - threshold) such spans was kept, so it stands for as
// many.
//
// 0, which stands for 1, where there is none; `*malformed` is set where there is one that cannot be read.
uint64_t ReadThreshold(std::string_view tracestate, bool* malformed);

// The threshold of spans of which the share `ratio` was kept: that nearest to 2^56 (1 - ratio), of two
// equally near the even one. Nothing unless 0 < ratio <= 1, or where the nearest would keep none.
std::optional<uint64_t> ThresholdOfRatio(double ratio);

// How many spans one that was kept at `threshold` stands for. REQUIRES: threshold < 2^56.
constexpr double WeightOf(uint64_t threshold) {
  return 0x1p56 / static_cast<double>((uint64_t{1} << 56) - threshold);
}

}  // namespace braid
