#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "correlate/model/exposition.h"

namespace braid::test {

inline constexpr uint64_t kCreatedNs = 1'600'000'000'500'000'000;

// One of everything that a producer can write. `step` makes values grow and exemplars renew.
inline void WriteFamilies(ExpositionWriter& writer, uint64_t step, uint64_t now_ns, bool native = true) {
  const double grow = static_cast<double>(step);
  const std::vector<Label> more = {{"user", "u\"\xc3\xa9"}};
  const ExemplarView exemplar{0.5, now_ns - 5'000'000'000, {0x0102030405060708, 9}, 10, more};
  const ExemplarView slow{77, now_ns - 7'000'000'000, {1, 2}, 3, {}};
  const std::vector<Label> labels = {{"zone", "a\\b\n"}, {"Upper", "first"}, {"empty", ""}, {"mode", "x"}};

  writer.Family({"calls", "Say \"hi\".", "", MetricType::kCounter});
  writer.Counter(labels, 3 + grow, kCreatedNs, &exemplar);
  writer.Counter({}, 7, 0, nullptr);

  writer.Family({"temp_celsius", "", "celsius", MetricType::kGauge});
  writer.Gauge({}, -0.5);
  writer.Gauge(labels, std::numeric_limits<double>::infinity());

  writer.Family({"lat_seconds", "Latency.", "seconds", MetricType::kHistogram});
  const std::vector<double> bounds = {0.002, 1, 100'000, 1'000'000};
  const std::vector<double> counts = {1, 2 + grow, 0, 0, 4};
  const std::array<const ExemplarView*, 5> exemplars = {nullptr, &exemplar, &slow, nullptr, nullptr};
  writer.Histogram(labels, {bounds, counts, 12.5, true, exemplars}, kCreatedNs);
  const std::vector<double> weighted = {0.5, 1.25, 0, 0, 0};
  writer.Histogram(std::vector<Label>{{"odd", "weights"}}, {bounds, weighted, 1, false, {}}, 0);

  writer.Family({"sizes", "", "", MetricType::kSummary});
  const std::vector<double> quantiles = {0.5, 1};
  const std::vector<double> values = {3, 4};
  writer.Summary({}, {quantiles, values, 12.5, 4}, kCreatedNs);

  writer.Family({"odd", "", "", MetricType::kUnknown});
  writer.Gauge({}, 42);

  if (!native) return;
  writer.Family({"native_seconds", "Native.", "seconds", MetricType::kHistogram});
  const std::vector<NativeBucket> positive = {{-3, 1}, {-2, 2 + grow}, {0, 3}, {7, 10}, {8, 1}};
  const std::vector<NativeBucket> negative = {{2, 5}};
  const std::vector<ExemplarView> held = {slow, exemplar};
  const NativeView whole{3, 0.001, 2, positive, negative, held};
  writer.Histogram(labels, {{}, {}, 5.5, true, {}, &whole}, kCreatedNs);
  const std::vector<NativeBucket> shares = {{1, 0.5}, {3, 4.0 / 3}};
  const NativeView weights{-1, 1e-128, 0.25, shares, {}, {}};
  writer.Histogram(std::vector<Label>{{"odd", "weights"}}, {{}, {}, 2, true, {}, &weights}, kCreatedNs);

  writer.Family({"both_seconds", "", "seconds", MetricType::kHistogram});
  const std::vector<double> two = {1};
  const std::vector<double> two_counts = {3, 4};
  const std::vector<NativeBucket> seven = {{0, 3}, {5, 4}};
  const NativeView same{0, 0, 0, seven, {}, {}};
  writer.Histogram({}, {two, two_counts, 30, true, {}, &same}, kCreatedNs);
}

}  // namespace braid::test
