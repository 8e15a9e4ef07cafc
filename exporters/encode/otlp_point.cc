#include "exporters/encode/otlp_point.h"

#include <cstring>

#include "base/wire.h"
#include "exporters/encode/otlp_metric_fields.h"

namespace braid::exporters {

using namespace otlp_fields;

namespace {

int64_t Unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

void ReadBuckets(std::string_view buckets, std::vector<NativeBucket>* out) {
  out->clear();
  int64_t index = 0;
  std::string_view counts;
  for (wire::Cursor c(buckets); c.Next();) {
    if (c.field().number == kOffset) index = Unzigzag(c.field().scalar) + 1;
    if (c.field().number == kOffsetCounts) counts = c.field().bytes;
  }
  const char* const end = counts.data() + counts.size();
  for (const char* p = counts.data(); p < end; ++index) {
    uint64_t count = 0;
    p = wire::ReadVarint(p, end, &count);
    if (p == nullptr) return;
    if (count != 0) out->push_back({static_cast<int32_t>(index), static_cast<double>(count)});
  }
}

}  // namespace

OtlpMetricHead ReadOtlpMetricHead(std::string_view metric) {
  OtlpMetricHead head;
  for (wire::Cursor c(metric); c.Next();) {
    switch (c.field().number) {
      case kName: head.name = c.field().bytes; break;
      case kDescription: head.description = c.field().bytes; break;
      case kUnit: head.unit = c.field().bytes; break;
      default: head.kind = c.field().number; break;
    }
  }
  return head;
}

void OtlpSentHistogram::Read(uint32_t kind, std::string_view point) {
  start_ns = zero_count = 0;
  scale = 0;
  counts.clear();
  positive.clear();
  negative.clear();
  for (wire::Cursor c(point); c.Next();) {
    const wire::Field& f = c.field();
    if (f.number == kStart) start_ns = f.scalar;
    if (kind == kHistogram && f.number == kBucketCounts) {
      counts.resize(f.bytes.size() / sizeof(uint64_t));
      std::memcpy(counts.data(), f.bytes.data(), f.bytes.size());
    }
    if (kind != kExponential) continue;
    if (f.number == kScale) scale = static_cast<int32_t>(Unzigzag(f.scalar));
    if (f.number == kZeroCount) zero_count = f.scalar;
    if (f.number == kPositive) ReadBuckets(f.bytes, &positive);
    if (f.number == kNegative) ReadBuckets(f.bytes, &negative);
  }
}

void AppendEndOfSeries(uint32_t kind, std::string_view point, uint64_t time_ns, std::string* out) {
  wire::Writer w(out);
  const bool histogram = kind == kHistogram;
  const bool exponential = kind == kExponential;
  const bool summary = kind == kSummary;
  const uint32_t attributes = histogram     ? kHistogramAttributes
                              : exponential ? kExponentialAttributes
                              : summary     ? kSummaryAttributes
                                            : kNumberAttributes;
  for (wire::Cursor c(point); c.Next();) {
    const wire::Field& f = c.field();
    const bool stays = f.number == attributes || f.number == kStart || (histogram && f.number == kBounds) ||
                       (exponential && (f.number == kScale || f.number == kZeroThreshold)) ||
                       (summary && f.number == kQuantiles);
    if (stays) out->append(f.begin, f.end);
    if ((histogram || exponential || summary) && f.number == kPointSum) w.Double(kPointSum, 0);
    if (histogram && f.number == kBucketCounts) w.Bytes(kBucketCounts, std::string(f.bytes.size(), '\0'));
  }
  w.Fixed64(kTime, time_ns);
  w.Varint(histogram     ? kHistogramFlags
           : exponential ? kExponentialFlags
           : summary     ? kSummaryFlags
                         : kNumberFlags,
           kNoRecordedValue);
}

}  // namespace braid::exporters
