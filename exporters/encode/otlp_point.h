#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "correlate/model/exposition.h"

namespace braid::exporters {

// Metrics that OtlpRounds wrote, read back. Our own bytes: nothing is checked.

// A Metric, but for its points.
struct OtlpMetricHead {
  std::string_view name;
  std::string_view description;
  std::string_view unit;
  uint32_t kind = 0;  // the field of its data: gauge, sum, ...
};
OtlpMetricHead ReadOtlpMetricHead(std::string_view metric);

// The buckets of a histogram's point. To be used again and again.
struct OtlpSentHistogram {
  uint64_t start_ns = 0;
  std::vector<uint64_t> counts;  // explicit: by bucket

  // Exponential: by rising index, with the indexes of NativeBucket and without empty ones.
  int32_t scale = 0;
  uint64_t zero_count = 0;
  std::vector<NativeBucket> positive;
  std::vector<NativeBucket> negative;

  void Read(uint32_t kind, std::string_view point);
};

// Appends to `out` the content of the point that ends the series of `point`, which is of this kind: without a
// recorded value, but with the start time, the bounds or scale, the quantiles and, where there was one, a
// sum, so that a receiver that keeps them as series of their own can end each.
void AppendEndOfSeries(uint32_t kind, std::string_view point, uint64_t time_ns, std::string* out);

}  // namespace braid::exporters
