#include "correlate/derive/metric_point.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/wire.h"
#include "correlate/derive/metric_names.h"

namespace braid::correlate {
namespace {

constexpr uint32_t kMetricName = 1, kMetricDescription = 2, kMetricUnit = 3, kMetricMetadata = 12;
constexpr uint32_t kTemporality = 2, kMonotonic = 3;
constexpr size_t kMaxExtraBytes = 512;  // of an exemplar's filtered attributes; a page shows 128 characters

double AsDouble(uint64_t bits) { return std::bit_cast<double>(bits); }
double AsInt(uint64_t bits) { return static_cast<double>(static_cast<int64_t>(bits)); }

// Calls `add` with each 64-bit word of a repeated fixed64 or double, packed or not.
template <typename Fn>
void EachWord(const wire::Field& field, Fn add) {
  if (field.type == wire::Type::kFixed64) {
    add(field.scalar);
    return;
  }
  for (size_t i = 0; i + sizeof(uint64_t) <= field.bytes.size(); i += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, field.bytes.data() + i, sizeof word);
    add(word);
  }
}

void ParseNumber(std::string_view message, ParsedPoint* point) {
  for (wire::Cursor c(message); c.Next();) {
    const wire::Field& f = c.field();
    switch (f.number) {
      case 2: point->start_ns = f.scalar; break;
      case 3: point->time_ns = f.scalar; break;
      case 4:
        point->value = AsDouble(f.scalar);
        point->has_value = true;
        break;
      case 5: point->exemplars.push_back(f.bytes); break;
      case 6:
        point->value = AsInt(f.scalar);
        point->has_value = true;
        break;
      case 7: point->attributes.push_back(f.bytes); break;
      case 8: point->flags = f.scalar; break;
      default: break;
    }
  }
}

void ParseHistogram(std::string_view message, ParsedPoint* point) {
  for (wire::Cursor c(message); c.Next();) {
    const wire::Field& f = c.field();
    switch (f.number) {
      case 2: point->start_ns = f.scalar; break;
      case 3: point->time_ns = f.scalar; break;
      case 4: point->count = f.scalar; break;
      case 5:
        point->sum = AsDouble(f.scalar);
        point->has_sum = true;
        break;
      case 6: EachWord(f, [&](uint64_t word) { point->counts.push_back(static_cast<double>(word)); }); break;
      case 7: EachWord(f, [&](uint64_t word) { point->bounds.push_back(AsDouble(word)); }); break;
      case 8: point->exemplars.push_back(f.bytes); break;
      case 9: point->attributes.push_back(f.bytes); break;
      case 10: point->flags = f.scalar; break;
      default: break;
    }
  }
  // Count and sum alone make one bucket. Elsewhere the buckets are believed, whatever `count` says.
  if (point->counts.empty() && point->bounds.empty()) {
    point->counts.push_back(static_cast<double>(point->count));
  }
  point->has_value = point->counts.size() == point->bounds.size() + 1;
  for (size_t i = 0; i < point->bounds.size(); ++i) {
    point->has_value &=
        std::isfinite(point->bounds[i]) && (i == 0 || point->bounds[i - 1] < point->bounds[i]);
  }
}

int32_t UnZigzag(uint64_t varint) {
  const uint32_t word = static_cast<uint32_t>(varint);
  return static_cast<int32_t>(word >> 1 ^ (0 - (word & 1)));
}

// The buckets of one side of an exponential histogram: `parts` are its Buckets messages, which merge. The
// indexes are scaled down by `shift` as they come, so `to` is no larger than a schema has indexes. Adds what
// it reads to `total`. False for a bucket that no double falls into, or if the total does not fit.
bool ReadBuckets(const std::vector<std::string_view>& parts, int shift, int32_t schema,
                 std::vector<NativeBucket>* to, uint64_t* total) {
  int64_t index = 0;  // OTLP's, whose bucket i begins where ours begins that has i + 1
  for (const std::string_view part : parts) {
    for (wire::Cursor c(part); c.Next();) {
      if (c.field().number == 1) index = UnZigzag(c.field().scalar);
    }
  }
  bool good = true;
  const auto add = [&](uint64_t count) {
    const int64_t ours = (index++ >> shift) + 1;
    if (count == 0) return;
    good = good && IsNativeIndex(ours, schema) && !__builtin_add_overflow(*total, count, total);
    if (!good) return;
    if (to->empty() || to->back().index != ours) to->push_back({static_cast<int32_t>(ours), 0});
    to->back().count += static_cast<double>(count);
  };
  for (const std::string_view part : parts) {
    for (wire::Cursor c(part); good && c.Next();) {
      const wire::Field& f = c.field();
      if (f.number != 2) continue;
      if (f.type == wire::Type::kVarint) add(f.scalar);
      if (f.type != wire::Type::kBytes) continue;
      const char* p = f.bytes.data();
      const char* end = p + f.bytes.size();
      while (good && p < end) {
        uint64_t count;
        p = wire::ReadVarint(p, end, &count);
        if (p == nullptr) return false;
        add(count);
      }
    }
  }
  return good;
}

void ParseExponential(std::string_view message, ParsedPoint* point) {
  int32_t scale = 0;
  uint64_t zero_count = 0;
  std::vector<std::string_view> positive;
  std::vector<std::string_view> negative;
  NativeBuckets& native = point->native;
  for (wire::Cursor c(message); c.Next();) {
    const wire::Field& f = c.field();
    switch (f.number) {
      case 1: point->attributes.push_back(f.bytes); break;
      case 2: point->start_ns = f.scalar; break;
      case 3: point->time_ns = f.scalar; break;
      case 4: point->count = f.scalar; break;
      case 5:
        point->sum = AsDouble(f.scalar);
        point->has_sum = true;
        break;
      case 6: scale = UnZigzag(f.scalar); break;
      case 7: zero_count = f.scalar; break;
      case 8: positive.push_back(f.bytes); break;
      case 9: negative.push_back(f.bytes); break;
      case 10: point->flags = f.scalar; break;
      case 11: point->exemplars.push_back(f.bytes); break;
      case 14: native.zero_threshold = AsDouble(f.scalar); break;
      default: break;
    }
  }
  point->too_coarse = scale < kNativeMinSchema;
  if (point->too_coarse) return;
  native.schema = std::min(scale, kNativeMaxSchema);
  native.zero_count = static_cast<double>(zero_count);
  const int shift = std::min(scale - native.schema, 40);  // 32-bit indexes are all one long before
  uint64_t total = zero_count;
  point->has_value = ReadBuckets(positive, shift, native.schema, &native.positive, &total) &&
                     ReadBuckets(negative, shift, native.schema, &native.negative, &total) &&
                     total == point->count && native.zero_threshold >= 0 &&
                     std::isfinite(native.zero_threshold);
  native.Limit();
}

void ParseSummary(std::string_view message, ParsedPoint* point) {
  point->has_value = true;
  for (wire::Cursor c(message); c.Next();) {
    const wire::Field& f = c.field();
    switch (f.number) {
      case 2: point->start_ns = f.scalar; break;
      case 3: point->time_ns = f.scalar; break;
      case 4: point->count = f.scalar; break;
      case 5: point->sum = AsDouble(f.scalar); break;
      case 6: {
        double quantile = 0;
        double value = 0;
        for (wire::Cursor q(f.bytes); q.Next();) {
          if (q.field().number == 1) quantile = AsDouble(q.field().scalar);
          if (q.field().number == 2) value = AsDouble(q.field().scalar);
        }
        point->has_value &= quantile >= 0 && quantile <= 1 &&
                            (point->quantiles.empty() || point->quantiles.back() < quantile) && !(value < 0);
        point->quantiles.push_back(quantile);
        point->values.push_back(value);
        break;
      }
      case 7: point->attributes.push_back(f.bytes); break;
      case 8: point->flags = f.scalar; break;
      default: break;
    }
  }
}

}  // namespace

KeptExemplarPtr ParseExemplar(std::string_view message) {
  auto exemplar = std::make_shared<KeptExemplar>();
  bool has_value = false;
  size_t extra_bytes = 0;
  for (wire::Cursor c(message); c.Next();) {
    const wire::Field& f = c.field();
    switch (f.number) {
      case 2: exemplar->time_ns = f.scalar; break;
      case 3:
        exemplar->value = AsDouble(f.scalar);
        has_value = true;
        break;
      case 4:
        if (f.bytes.size() == 8) exemplar->span = LoadBigEndian64(f.bytes.data());
        break;
      case 5:
        if (f.bytes.size() == 16) {
          exemplar->trace = {LoadBigEndian64(f.bytes.data()), LoadBigEndian64(f.bytes.data() + 8)};
        }
        break;
      case 6:
        exemplar->value = AsInt(f.scalar);
        has_value = true;
        break;
      case 7: {
        Attribute attribute = ReadAttribute(f.bytes, kMaxExtraBytes);
        extra_bytes += attribute.key.size() + attribute.value.size();
        if (extra_bytes > kMaxExtraBytes) break;
        exemplar->extra.emplace_back(PrometheusLabelName(attribute.key), std::move(attribute.value));
        break;
      }
      default: break;
    }
  }
  if (!has_value || std::isnan(exemplar->value)) return nullptr;
  return exemplar;
}

namespace {

bool IsMetricName(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
  };
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9') && std::all_of(name.begin(), name.end(), good);
}

// One entry of Metric.metadata, where its value is a string.
void ReadMetadata(std::string_view key_value, ParsedMetric* metric) {
  std::string_view key;
  std::string_view value;
  for (wire::Cursor c(key_value); c.Next();) {
    if (c.field().number == 1) key = c.field().bytes;
    if (c.field().number != 2) continue;
    for (wire::Cursor any(c.field().bytes); any.Next();) {
      if (any.field().number == 1) value = any.field().bytes;
    }
  }
  if (key == "prometheus.name") metric->prometheus_name = IsMetricName(value) ? value : std::string_view();
  if (key == "prometheus.type") metric->prometheus_type = value;
}

}  // namespace

void ParseMetric(std::string_view message, ParsedMetric* metric) {
  metric->parts.clear();
  metric->prometheus_name = metric->prometheus_type = {};
  for (wire::Cursor c(message); c.Next();) {
    const wire::Field& f = c.field();
    switch (f.number) {
      case kMetricName: metric->name = f.bytes; break;
      case kMetricDescription: metric->help = f.bytes; break;
      case kMetricUnit: metric->unit = f.bytes; break;
      case kMetricGauge:
      case kMetricSum:
      case kMetricHistogram:
      case kMetricExponential:
      case kMetricSummary:
        if (metric->data != f.number) metric->parts.clear();
        metric->data = f.number;
        metric->parts.push_back(f.bytes);
        break;
      case kMetricMetadata: ReadMetadata(f.bytes, metric); break;
      default: break;
    }
  }
  if (!metric->has_temporality()) return;
  for (const std::string_view part : metric->parts) {
    for (wire::Cursor c(part); c.Next();) {
      if (c.field().number == kTemporality) metric->temporality = c.field().scalar;
      if (c.field().number == kMonotonic && metric->data == kMetricSum)
        metric->monotonic = c.field().scalar != 0;
    }
  }
}

void ParsePoint(const ParsedMetric& metric, std::string_view message, ParsedPoint* point) {
  point->Clear();
  if (metric.data == kMetricHistogram) {
    ParseHistogram(message, point);
  } else if (metric.data == kMetricExponential) {
    ParseExponential(message, point);
  } else if (metric.data == kMetricSummary) {
    ParseSummary(message, point);
  } else {
    ParseNumber(message, point);
  }
}

}  // namespace braid::correlate
