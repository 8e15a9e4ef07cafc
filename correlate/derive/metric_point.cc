#include "correlate/derive/metric_point.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/wire.h"
#include "correlate/derive/metric_names.h"

namespace braid::correlate {
namespace {

constexpr uint32_t kMetricName = 1, kMetricDescription = 2, kMetricUnit = 3;
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
      case 6: EachWord(f, [&](uint64_t word) { point->counts.push_back(word); }); break;
      case 7: EachWord(f, [&](uint64_t word) { point->bounds.push_back(AsDouble(word)); }); break;
      case 8: point->exemplars.push_back(f.bytes); break;
      case 9: point->attributes.push_back(f.bytes); break;
      case 10: point->flags = f.scalar; break;
      default: break;
    }
  }
  // Count and sum alone make one bucket.
  if (point->counts.empty() && point->bounds.empty()) point->counts.push_back(point->count);
  point->has_value = point->counts.size() == point->bounds.size() + 1;
  for (size_t i = 0; i < point->bounds.size(); ++i) {
    point->has_value &=
        std::isfinite(point->bounds[i]) && (i == 0 || point->bounds[i - 1] < point->bounds[i]);
  }
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

void ParseMetric(std::string_view message, ParsedMetric* metric) {
  metric->parts.clear();
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
      default: break;
    }
  }
  if (metric->data != kMetricSum && metric->data != kMetricHistogram) return;
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
  } else if (metric.data == kMetricSummary) {
    ParseSummary(message, point);
  } else {
    ParseNumber(message, point);
  }
}

}  // namespace braid::correlate
