#pragma once

#include <cstdint>

// Field numbers of opentelemetry-proto (metrics.proto, common.proto, resource.proto), for what writes metrics
// and reads them back. Not for use outside of exporters/encode.
namespace braid::exporters::otlp_fields {

inline constexpr uint32_t kResourceMetrics = 1, kScopeMetrics = 2,
                          kMetric = 2;  // in request, resource, scope
inline constexpr uint32_t kResource = 1, kResourceAttributes = 1, kScope = 1, kScopeName = 1;
inline constexpr uint32_t kKey = 1, kAnyValue = 2, kStringValue = 1;
inline constexpr uint32_t kName = 1, kDescription = 2, kUnit = 3, kGauge = 5, kSum = 7, kHistogram = 9,
                          kExponential = 10, kSummary = 11;
inline constexpr uint32_t kDataPoints = 1, kTemporality = 2, kMonotonic = 3;
inline constexpr uint64_t kCumulative = 2;

// Of points of every kind.
inline constexpr uint32_t kStart = 2, kTime = 3, kCount = 4, kPointSum = 5;
inline constexpr uint64_t kNoRecordedValue = 1;

// Of each kind.
inline constexpr uint32_t kNumberAttributes = 7, kAsDouble = 4, kNumberExemplars = 5, kNumberFlags = 8;
inline constexpr uint32_t kHistogramAttributes = 9, kBucketCounts = 6, kBounds = 7, kHistogramExemplars = 8,
                          kHistogramFlags = 10;
inline constexpr uint32_t kExponentialAttributes = 1, kScale = 6, kZeroCount = 7, kPositive = 8,
                          kNegative = 9, kExponentialFlags = 10, kExponentialExemplars = 11,
                          kZeroThreshold = 14;
inline constexpr uint32_t kOffset = 1, kOffsetCounts = 2;
inline constexpr uint32_t kSummaryAttributes = 7, kQuantiles = 6, kSummaryFlags = 8, kQuantile = 1,
                          kQuantileValue = 2;

inline constexpr uint32_t kExemplarTime = 2, kExemplarDouble = 3, kExemplarSpan = 4, kExemplarTrace = 5,
                          kExemplarAttributes = 7;

}  // namespace braid::exporters::otlp_fields
