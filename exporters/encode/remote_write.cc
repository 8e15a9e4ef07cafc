#include "exporters/encode/remote_write.h"

#include <snappy.h>

#include <bit>
#include <cmath>
#include <utility>

#include "base/wire.h"
#include "exporters/encode/exposition.h"
#include "exporters/encode/json.h"

namespace braid::exporters {
namespace {

// prometheus.WriteRequest (prompb/remote.proto, prompb/types.proto).
constexpr uint32_t kSeries1 = 1, kMetadata1 = 3;
constexpr uint32_t kMetadataType1 = 1, kMetadataName1 = 2, kMetadataHelp1 = 4, kMetadataUnit1 = 5;
constexpr uint32_t kLabels = 1, kSamples1 = 2, kExemplars1 = 3, kHistograms1 = 4;
constexpr uint32_t kLabelName = 1, kLabelValue = 2;

// io.prometheus.write.v2.Request (prompb/io/prometheus/write/v2/types.proto).
constexpr uint32_t kSymbols2 = 4, kSeries2 = 5;
constexpr uint32_t kLabelRefs = 1, kSamples2 = 2, kHistograms2 = 3, kExemplars2 = 4, kMetadata2 = 5;
constexpr uint32_t kMetadataType2 = 1, kMetadataHelp2 = 3, kMetadataUnit2 = 4;
constexpr uint32_t kSampleStart = 3, kHistogramStart = 17;

// Both.
constexpr uint32_t kValue = 1, kTime = 2;
constexpr uint32_t kExemplarLabels = 1, kExemplarValue = 2, kExemplarTime = 3;

constexpr std::string_view kNameLabel = "__name__";
constexpr size_t kMaxNumbers = 4096;

// The same numbers in both versions.
uint64_t TypeNumber(MetricType type) {
  switch (type) {
    case MetricType::kUnknown: return 0;
    case MetricType::kCounter: return 1;
    case MetricType::kGauge: return 2;
    case MetricType::kHistogram: return 3;
    case MetricType::kSummary: return 5;
  }
  return 0;
}

std::string_view ParameterLabel(SampleKind kind) {
  return kind == SampleKind::kBucket ? "le" : kind == SampleKind::kQuantile ? "quantile" : "";
}

constexpr int kNamePlace = -1;
constexpr int kParameterPlace = -2;

// Calls `put(name, value, place)` for a series' labels in the order of their names. `labels` are sorted;
// `place` is the index into them, or one of those above.
template <typename PutLabel>
void SortedLabels(std::span<const Label> labels, std::string_view name, std::string_view parameter_label,
                  std::string_view parameter, PutLabel put) {
  bool named = false;
  bool told = parameter_label.empty();
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!named && kNameLabel < labels[i].name) {
      put(kNameLabel, name, kNamePlace);
      named = true;
    }
    if (!told && parameter_label < labels[i].name) {
      // "__name__" sorts before "le" and "quantile".
      if (!std::exchange(named, true)) put(kNameLabel, name, kNamePlace);
      put(parameter_label, parameter, kParameterPlace);
      told = true;
    }
    put(labels[i].name, labels[i].value, static_cast<int>(i));
  }
  if (!named) put(kNameLabel, name, kNamePlace);
  if (!told) put(parameter_label, parameter, kParameterPlace);
}

void PutLabelPair(uint32_t field, std::string_view name, std::string_view value, std::string* out) {
  char head[24];
  const size_t content =
      2 + wire::VarintSize(name.size()) + name.size() + wire::VarintSize(value.size()) + value.size();
  char* p = head;
  *p++ = static_cast<char>(wire::Tag(field, wire::Type::kBytes));
  p = wire::WriteVarint(content, p);
  *p++ = static_cast<char>(wire::Tag(kLabelName, wire::Type::kBytes));
  p = wire::WriteVarint(name.size(), p);
  out->append(head, static_cast<size_t>(p - head)).append(name);
  p = head;
  *p++ = static_cast<char>(wire::Tag(kLabelValue, wire::Type::kBytes));
  p = wire::WriteVarint(value.size(), p);
  out->append(head, static_cast<size_t>(p - head)).append(value);
}

void AppendVarint(uint64_t value, std::string* out) {
  char varint[10];
  out->append(varint, static_cast<size_t>(wire::WriteVarint(value, varint) - varint));
}

}  // namespace

RemoteWriteEncoder::Output RemoteWriteEncoder::Encode(RemoteWriteVersion version, const Chunk& chunk,
                                                      uint32_t first, uint32_t count, SlabPool& slabs) {
  out_ = {};
  request_.clear();
  if (numbers_.size() > kMaxNumbers) numbers_.clear();
  texts_.clear();
  if (version == RemoteWriteVersion::k2) {
    symbols_.clear();
    symbol_fields_.clear();
    Symbol("");
    name_label_ref_ = Symbol(kNameLabel);
  }
  for (uint32_t i = first; i < first + count; ++i) {
    const ChunkItem& item = chunk.items[i];
    if (i == first || item.group != chunk.items[i - 1].group) {
      family_ = ReadSampleFamily(chunk.view(chunk.groups[item.group].scope));
      NameFamily(family_);
      version == RemoteWriteVersion::k1 ? Family1(family_) : Family2(family_);
    }
    ReadSamplePoint(chunk.view().substr(item.offset, item.size), &point_);
    version == RemoteWriteVersion::k1 ? Point1() : Point2();
  }
  std::string_view raw = request_;
  if (version == RemoteWriteVersion::k2) {
    symbol_fields_ += request_;
    raw = symbol_fields_;
  }
  Output out = std::move(out_);
  out.raw_bytes = raw.size();
  out.body = slabs.TakeUnbounded(snappy::MaxCompressedLength(raw.size()));
  size_t compressed = 0;
  snappy::RawCompress(raw.data(), raw.size(), out.body.data(), &compressed);
  out.body.set_size(compressed);
  return out;
}

void RemoteWriteEncoder::NameFamily(const SampleFamily& family) {
  for (size_t kind = 0; kind < kSampleKinds; ++kind) {
    names_[kind] =
        texts_.emplace_back(std::string(family.name).append(SampleSuffix(static_cast<SampleKind>(kind))));
  }
  name_refs_ = {};
}

std::string_view RemoteWriteEncoder::Number(double value) {
  std::unique_ptr<const std::string>& text = numbers_[std::bit_cast<uint64_t>(value)];
  if (text == nullptr) {
    text = std::make_unique<const std::string>(std::isinf(value) ? (value > 0 ? "+Inf" : "-Inf")
                                                                 : LabelNumber(value, true));
  }
  return *text;
}

void RemoteWriteEncoder::Family1(const SampleFamily& family) {
  wire::Writer w(&request_);
  const size_t at = w.Begin(kMetadata1);
  w.Varint(kMetadataType1, TypeNumber(family.type));
  // As a scrape names it: a counter by the name of its samples.
  w.Bytes(kMetadataName1,
          names_[static_cast<size_t>(family.type == MetricType::kCounter ? SampleKind::kTotal
                                                                         : SampleKind::kPlain)]);
  if (!family.help.empty()) w.Bytes(kMetadataHelp1, family.help);
  if (!family.unit.empty()) w.Bytes(kMetadataUnit1, family.unit);
  w.End(at);
}

void RemoteWriteEncoder::Point1() {
  wire::Writer w(&request_);
  for (const SamplePoint::Entry& entry : point_.entries) {
    const size_t series = w.Begin(kSeries1);
    const std::string_view label = ParameterLabel(entry.kind);
    SortedLabels(point_.labels, names_[static_cast<size_t>(entry.kind)], label,
                 label.empty() ? std::string_view() : Number(entry.parameter),
                 [&](std::string_view name, std::string_view value, int) {
                   PutLabelPair(kLabels, name, value, &request_);
                 });
    if (entry.kind == SampleKind::kNative) {
      ++out_.histograms;
      w.Bytes(kHistograms1, entry.native);
    } else {
      ++out_.samples;
      part_.clear();
      wire::Writer sample(&part_);
      sample.Double(kValue, entry.value);
      sample.Varint(kTime, static_cast<uint64_t>(point_.time_ms));
      w.Bytes(kSamples1, part_);
    }
    for (uint32_t i = 0; i < entry.exemplar_count; ++i) {
      const SamplePoint::Exemplar& exemplar = point_.exemplars[entry.first_exemplar + i];
      part_.clear();
      for (uint32_t l = 0; l < exemplar.label_count; ++l) {
        const Label& one = point_.exemplar_labels[exemplar.first_label + l];
        PutLabelPair(kExemplarLabels, one.name, one.value, &part_);
      }
      wire::Writer e(&part_);
      e.Double(kExemplarValue, exemplar.value);
      e.Varint(kExemplarTime, static_cast<uint64_t>(exemplar.time_ms));
      w.Bytes(kExemplars1, part_);
    }
    out_.exemplars += entry.exemplar_count;
    w.End(series);
  }
}

uint32_t RemoteWriteEncoder::Symbol(std::string_view text) {
  const auto [at, fresh] = symbols_.try_emplace(text, static_cast<uint32_t>(symbols_.size()));
  if (fresh) wire::Writer(&symbol_fields_).Bytes(kSymbols2, text);
  return at->second;
}

void RemoteWriteEncoder::Family2(const SampleFamily& family) {
  metadata_.clear();
  wire::Writer w(&metadata_);
  w.Varint(kMetadataType2, TypeNumber(family.type));
  if (!family.help.empty()) w.Varint(kMetadataHelp2, Symbol(family.help));
  if (!family.unit.empty()) w.Varint(kMetadataUnit2, Symbol(family.unit));
}

void RemoteWriteEncoder::Point2() {
  // Once for all series of the point.
  label_refs_.clear();
  for (const Label& label : point_.labels) {
    label_refs_.push_back(Symbol(label.name));
    label_refs_.push_back(Symbol(label.value));
  }
  wire::Writer w(&request_);
  for (const SamplePoint::Entry& entry : point_.entries) {
    const size_t series = w.Begin(kSeries2);
    const std::string_view label = ParameterLabel(entry.kind);
    refs_.clear();
    SortedLabels(point_.labels, names_[static_cast<size_t>(entry.kind)], label,
                 label.empty() ? std::string_view() : Number(entry.parameter),
                 [&](std::string_view name, std::string_view value, int place) {
                   if (place >= 0) {
                     AppendVarint(label_refs_[static_cast<size_t>(place) * 2], &refs_);
                     AppendVarint(label_refs_[static_cast<size_t>(place) * 2 + 1], &refs_);
                   } else if (place == kNamePlace) {
                     uint32_t& ref = name_refs_[static_cast<size_t>(entry.kind)];
                     if (ref == 0) ref = Symbol(value);
                     AppendVarint(name_label_ref_, &refs_);
                     AppendVarint(ref, &refs_);
                   } else {
                     AppendVarint(Symbol(name), &refs_);
                     AppendVarint(Symbol(value), &refs_);
                   }
                 });
    w.Bytes(kLabelRefs, refs_);
    part_.clear();
    wire::Writer value(&part_);
    if (entry.kind == SampleKind::kNative) {
      ++out_.histograms;
      part_ = entry.native;
      if (point_.created_ms > 0) value.Varint(kHistogramStart, static_cast<uint64_t>(point_.created_ms));
      w.Bytes(kHistograms2, part_);
    } else {
      ++out_.samples;
      value.Double(kValue, entry.value);
      value.Varint(kTime, static_cast<uint64_t>(point_.time_ms));
      if (point_.created_ms > 0) value.Varint(kSampleStart, static_cast<uint64_t>(point_.created_ms));
      w.Bytes(kSamples2, part_);
    }
    for (uint32_t i = 0; i < entry.exemplar_count; ++i) {
      const SamplePoint::Exemplar& exemplar = point_.exemplars[entry.first_exemplar + i];
      refs_.clear();
      for (uint32_t l = 0; l < exemplar.label_count; ++l) {
        const Label& one = point_.exemplar_labels[exemplar.first_label + l];
        AppendVarint(Symbol(one.name), &refs_);
        AppendVarint(Symbol(one.value), &refs_);
      }
      part_.clear();
      wire::Writer e(&part_);
      if (!refs_.empty()) e.Bytes(kExemplarLabels, refs_);
      e.Double(kExemplarValue, exemplar.value);
      e.Varint(kExemplarTime, static_cast<uint64_t>(exemplar.time_ms));
      w.Bytes(kExemplars2, part_);
    }
    out_.exemplars += entry.exemplar_count;
    w.Bytes(kMetadata2, metadata_);
    w.End(series);
  }
}

void AppendSampleJson(const Chunk& chunk, uint32_t first, uint32_t count, std::string* out) {
  SamplePoint point;
  for (uint32_t i = first; i < first + count; ++i) {
    const ChunkItem& item = chunk.items[i];
    const SampleFamily family = ReadSampleFamily(chunk.view(chunk.groups[item.group].scope));
    ReadSamplePoint(chunk.view().substr(item.offset, item.size), &point);
    for (const SamplePoint::Entry& entry : point.entries) {
      const std::string name = std::string(family.name).append(SampleSuffix(entry.kind));
      const std::string_view label = ParameterLabel(entry.kind);
      std::string parameter;
      if (!label.empty()) {
        parameter = std::isinf(entry.parameter) ? "+Inf" : LabelNumber(entry.parameter, true);
      }
      *out += "{\"labels\":{";
      bool rest = false;
      SortedLabels(point.labels, name, label, parameter,
                   [&](std::string_view key, std::string_view value, int) {
                     if (std::exchange(rest, true)) *out += ',';
                     AppendJsonString(key, out);
                     *out += ':';
                     AppendJsonString(value, out);
                   });
      *out += "},";
      double value = entry.value;
      if (entry.kind == SampleKind::kNative) {
        double histogram_count = 0;
        for (wire::Cursor c(entry.native); c.Next();) {
          if (c.field().number == 1) histogram_count = static_cast<double>(c.field().scalar);
          if (c.field().number == 2) histogram_count = std::bit_cast<double>(c.field().scalar);
          if (c.field().number == 3) value = std::bit_cast<double>(c.field().scalar);
        }
        *out += "\"count\":\"";
        AppendNumber(out, histogram_count);
        *out += "\",\"sum\":\"";
      } else {
        *out += "\"value\":\"";
      }
      if (std::bit_cast<uint64_t>(value) == kStaleNan) {
        *out += "stale";
      } else {
        AppendNumber(out, value);
      }
      *out += "\",\"timestamp\":";
      AppendNumber(out, static_cast<double>(point.time_ms));
      *out += "}\n";
    }
  }
}

}  // namespace braid::exporters
