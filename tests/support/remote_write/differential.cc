#include "tests/support/remote_write/differential.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/unknown_field_set.h>
#include <otlp.pb.h>
#include <prometheus_write.pb.h>

#include <bit>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "ingest/decode/remote_write_parse.h"

namespace braid::test {
namespace {

namespace pb = oracle::prometheus;
using ingest::RemoteWriteVersion;
using ingest::SeriesFault;
using Text = std::string_view;

bool SameBits(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }

// UTF-8 by the letter of RFC 3629, one code point at a time.
bool IsUtf8(Text text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
    const unsigned lead = byte(i);
    const size_t more = lead < 0x80 ? 0 : lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : lead >> 3 == 30 ? 3 : 9;
    if (more == 9) return false;
    uint32_t code = more == 0 ? lead : lead & (0x3fu >> more);
    for (size_t k = 1; k <= more; ++k) {
      if (byte(i + k) >> 6 != 2) return false;
      code = code << 6 | (byte(i + k) & 0x3f);
    }
    static constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    i += more + 1;
  }
  return true;
}

bool HasGroup(const google::protobuf::Message& message) {
  const auto* reflection = message.GetReflection();
  const auto& unknown = reflection->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    if (unknown.field(i).type() == google::protobuf::UnknownField::TYPE_GROUP) return true;
  }
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      if (HasGroup(reflection->GetMessage(message, field))) return true;
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      if (HasGroup(reflection->GetRepeatedMessage(message, field, i))) return true;
    }
  }
  return false;
}

// Whether a five-byte varint with more than 32 bits is somewhere, which may be a tag.
bool MayHaveExcessTag(Text bytes) {
  for (size_t i = 0; i + 4 < bytes.size(); ++i) {
    bool all = true;
    for (size_t k = 0; k < 4; ++k) all &= static_cast<unsigned char>(bytes[i + k]) >= 0x80;
    if (all && static_cast<unsigned char>(bytes[i + 4]) >= 0x10) return true;
  }
  return false;
}

bool Readable(RemoteWriteVersion version, Text bytes, SlabPool& slabs) {
  return ingest::ParseRemoteWrite(version, bytes, 64u << 20, slabs).ok();
}

template <typename A, typename B>
bool SameList(const A& ours, const B& theirs) {
  if (ours.size() != static_cast<size_t>(theirs.size())) return false;
  for (int i = 0; i < theirs.size(); ++i) {
    if constexpr (std::is_same_v<std::decay_t<decltype(theirs[i])>, double>) {
      if (!SameBits(ours[static_cast<size_t>(i)], theirs[i])) return false;
    } else {
      if (ours[static_cast<size_t>(i)] != theirs[i]) return false;
    }
  }
  return true;
}

bool SameSpans(const std::vector<ingest::BucketSpan>& ours,
               const google::protobuf::RepeatedPtrField<pb::BucketSpan>& theirs) {
  if (ours.size() != static_cast<size_t>(theirs.size())) return false;
  for (size_t i = 0; i < ours.size(); ++i) {
    const pb::BucketSpan& span = theirs[static_cast<int>(i)];
    if (ours[i].offset != span.offset() || ours[i].length != span.length()) return false;
  }
  return true;
}

std::string CheckHistogram(RemoteWriteVersion version, Text message, const pb::Histogram& theirs) {
  ingest::NativeHistogram h;
  if (!ParseNativeHistogram(version, message, &h)) return "a histogram is not readable on its own";
  if (h.too_large) return "";
  if (h.count_is_float != theirs.has_count_float()) return "histogram: kind of count";
  if (h.count_is_float ? !SameBits(h.count_float, theirs.count_float()) : h.count_int != theirs.count_int())
    return "histogram: count";
  if (h.zero_is_float != theirs.has_zero_count_float()) return "histogram: kind of zero_count";
  if (h.zero_is_float ? !SameBits(h.zero_float, theirs.zero_count_float())
                      : h.zero_int != theirs.zero_count_int())
    return "histogram: zero_count";
  if (!SameBits(h.sum, theirs.sum()) || h.schema != theirs.schema()) return "histogram: sum or schema";
  if (!SameBits(h.zero_threshold, theirs.zero_threshold())) return "histogram: zero_threshold";
  if (!SameSpans(h.negative_spans, theirs.negative_spans())) return "histogram: negative_spans";
  if (!SameSpans(h.positive_spans, theirs.positive_spans())) return "histogram: positive_spans";
  if (!SameList(h.negative_deltas, theirs.negative_deltas())) return "histogram: negative_deltas";
  if (!SameList(h.positive_deltas, theirs.positive_deltas())) return "histogram: positive_deltas";
  if (!SameList(h.negative_counts, theirs.negative_counts())) return "histogram: negative_counts";
  if (!SameList(h.positive_counts, theirs.positive_counts())) return "histogram: positive_counts";
  if (!SameList(h.custom_values, theirs.custom_values())) return "histogram: custom_values";
  if (h.reset_hint != theirs.reset_hint() || h.time_ms != theirs.timestamp())
    return "histogram: hint or timestamp";
  if (version == RemoteWriteVersion::k2 && h.start_ms != theirs.start_timestamp()) return "histogram: start";
  return "";
}

// What protobuf read, in the same words for both versions.
struct Expected {
  std::vector<std::pair<Text, Text>> labels;
  bool bad_reference = false;
  const google::protobuf::RepeatedPtrField<pb::Sample>* samples = nullptr;
  const google::protobuf::RepeatedPtrField<pb::Histogram>* histograms = nullptr;
  struct Exemplar {
    std::vector<std::pair<Text, Text>> labels;
    bool bad = false;
    double value = 0;
    int64_t time_ms = 0;
  };
  std::vector<Exemplar> exemplars;
  uint32_t type = 0;
  Text help, unit;
};

std::vector<std::pair<Text, Text>> Resolve(const pb::WriteRequest2& request,
                                           const google::protobuf::RepeatedField<uint32_t>& refs, bool* bad) {
  std::vector<std::pair<Text, Text>> labels;
  if (refs.size() % 2 != 0) *bad = true;
  for (int i = 0; i + 1 < refs.size(); i += 2) {
    const auto text = [&](uint32_t ref) -> Text {
      if (ref < static_cast<uint32_t>(request.symbols_size())) return request.symbols(static_cast<int>(ref));
      *bad = true;
      return {};
    };
    const Text name = text(refs[i]);
    labels.emplace_back(name, text(refs[i + 1]));
  }
  if (refs.size() % 2 != 0 && refs[refs.size() - 1] >= static_cast<uint32_t>(request.symbols_size()))
    *bad = true;
  return labels;
}

std::vector<Expected> Expect(const pb::WriteRequest1& request) {
  std::vector<Expected> all;
  for (const pb::TimeSeries1& series : request.timeseries()) {
    Expected& e = all.emplace_back();
    for (const pb::Label& label : series.labels()) e.labels.emplace_back(label.name(), label.value());
    e.samples = &series.samples();
    e.histograms = &series.histograms();
    for (const pb::Exemplar1& exemplar : series.exemplars()) {
      auto& x = e.exemplars.emplace_back();
      for (const pb::Label& label : exemplar.labels()) x.labels.emplace_back(label.name(), label.value());
      x.value = exemplar.value();
      x.time_ms = exemplar.timestamp();
    }
  }
  return all;
}

std::vector<Expected> Expect(const pb::WriteRequest2& request) {
  std::vector<Expected> all;
  for (const pb::TimeSeries2& series : request.timeseries()) {
    Expected& e = all.emplace_back();
    e.labels = Resolve(request, series.labels_refs(), &e.bad_reference);
    e.samples = &series.samples();
    e.histograms = &series.histograms();
    for (const pb::Exemplar2& exemplar : series.exemplars()) {
      auto& x = e.exemplars.emplace_back();
      x.labels = Resolve(request, exemplar.labels_refs(), &x.bad);
      x.value = exemplar.value();
      x.time_ms = exemplar.timestamp();
    }
    e.type = series.metadata().type() <= 7 ? series.metadata().type() : 0;
    for (const auto& [ref, to] : {std::pair(series.metadata().help_ref(), &e.help),
                                  std::pair(series.metadata().unit_ref(), &e.unit)}) {
      if (ref == 0) continue;
      if (ref >= static_cast<uint32_t>(request.symbols_size())) {
        e.bad_reference = true;
      } else {
        *to = request.symbols(static_cast<int>(ref));
      }
    }
  }
  return all;
}

bool AtFault(const Expected& e) {
  if (e.bad_reference || !IsUtf8(e.help) || !IsUtf8(e.unit)) return true;
  bool named = false;
  for (size_t i = 0; i < e.labels.size(); ++i) {
    const auto& [name, value] = e.labels[i];
    if (!IsUtf8(name) || !IsUtf8(value) || name.empty()) return true;
    if (i > 0 && name <= e.labels[i - 1].first) return true;
    named |= name == "__name__" && !value.empty();
  }
  if (!named || (!e.samples->empty() && !e.histograms->empty())) return true;
  return e.samples->empty() && e.histograms->empty() && e.exemplars.empty();
}

std::string CheckSeries(const ingest::RemoteWriteRequest& request, const ingest::WireSeries& ours,
                        const Expected& e) {
  const bool fault = ours.fault != SeriesFault::kNone;
  if (fault != AtFault(e)) return fault ? "a good series is at fault" : "a bad series is taken";
  if (ours.sample_count != static_cast<size_t>(e.samples->size())) return "number of samples";
  for (int i = 0; i < e.samples->size(); ++i) {
    const ingest::WireSample& sample = request.SamplesOf(ours)[static_cast<size_t>(i)];
    const pb::Sample& theirs = e.samples->Get(i);
    if (!SameBits(sample.value, theirs.value()) || sample.time_ms != theirs.timestamp()) return "a sample";
    if (request.version == RemoteWriteVersion::k2 && sample.start_ms != theirs.start_timestamp())
      return "a start";
  }
  if (ours.histogram_count != static_cast<size_t>(e.histograms->size())) return "number of histograms";
  for (int i = 0; i < e.histograms->size(); ++i) {
    std::string difference = CheckHistogram(
        request.version, request.HistogramsOf(ours)[static_cast<size_t>(i)], e.histograms->Get(i));
    if (!difference.empty()) return difference;
  }
  if (ours.exemplar_count != e.exemplars.size()) return "number of exemplars";
  for (size_t i = 0; i < e.exemplars.size(); ++i) {
    ingest::WireExemplar exemplar;
    if (!ParseExemplar(request, request.ExemplarsOf(ours)[i], &exemplar))
      return "an exemplar is not readable";
    const Expected::Exemplar& x = e.exemplars[i];
    bool bad = x.bad || x.labels.size() > ingest::WireExemplar::kMaxLabels;
    for (const auto& [name, value] : x.labels) bad |= name.empty() || !IsUtf8(name) || !IsUtf8(value);
    if (bad != (exemplar.fault != SeriesFault::kNone)) return "fault of an exemplar";
    if (!SameBits(exemplar.value, x.value) || exemplar.time_ms != x.time_ms) return "value of an exemplar";
    if (bad) continue;
    if (exemplar.labels.size() != x.labels.size()) return "labels of an exemplar";
    for (size_t k = 0; k < x.labels.size(); ++k) {
      if (exemplar.labels[k].name != x.labels[k].first || exemplar.labels[k].value != x.labels[k].second)
        return "a label of an exemplar";
    }
  }
  if (fault) return "";
  std::vector<std::pair<Text, Text>> present;
  for (const auto& label : e.labels) {
    if (!label.second.empty()) present.push_back(label);
  }
  const auto labels = request.LabelsOf(ours);
  if (labels.size() != present.size()) return "number of labels";
  for (size_t i = 0; i < present.size(); ++i) {
    if (labels[i].name != present[i].first || labels[i].value != present[i].second) return "a label";
  }
  if (request.version == RemoteWriteVersion::k1) return "";
  if (static_cast<uint32_t>(ours.type) != e.type || ours.help != e.help || ours.unit != e.unit)
    return "metadata";
  return "";
}

struct Found {
  uint64_t points = 0, exponential = 0, histograms = 0, exemplars = 0;
};

Found Count(const oracle::ExportMetricsServiceRequest& request) {
  Found found;
  for (const auto& resource : request.resource_metrics()) {
    for (const auto& scope : resource.scope_metrics()) {
      for (const auto& metric : scope.metrics()) {
        const auto add = [&](const auto& data) {
          found.points += static_cast<uint64_t>(data.data_points_size());
          for (const auto& point : data.data_points())
            found.exemplars += static_cast<uint64_t>(point.exemplars_size());
        };
        if (metric.has_gauge()) add(metric.gauge());
        if (metric.has_sum()) add(metric.sum());
        if (metric.has_histogram()) {
          add(metric.histogram());
          found.histograms += static_cast<uint64_t>(metric.histogram().data_points_size());
        }
        if (metric.has_exponential_histogram()) {
          add(metric.exponential_histogram());
          found.exponential += static_cast<uint64_t>(metric.exponential_histogram().data_points_size());
        }
        if (metric.has_summary()) found.points += static_cast<uint64_t>(metric.summary().data_points_size());
      }
    }
  }
  return found;
}

}  // namespace

WriteDifferential::WriteDifferential()
    : slabs_({.max_bytes = 512u << 20}),
      decoder_({.shards = 2, .seed = 1}, batches_, slices_, slabs_, nullptr) {
  google::protobuf::SetLogHandler(nullptr);
}

std::string WriteDifferential::Check(RemoteWriteVersion version, std::string_view request) {
  pb::WriteRequest1 one;
  pb::WriteRequest2 two;
  google::protobuf::Message* message = &one;
  if (version == RemoteWriteVersion::k2) message = &two;
  const bool theirs = message->ParseFromArray(request.data(), static_cast<int>(request.size()));

  const Result<ingest::RemoteWriteRequest> parsed = ParseRemoteWrite(version, request, 64u << 20, slabs_);
  if (!parsed.ok() && parsed.status().code() != Code::kInvalidArgument) return "";  // too much for the tables
  if (parsed.ok() && !theirs) return "accepted what protobuf refuses";
  if (!parsed.ok() && theirs) {
    const std::string canonical = message->SerializeAsString();
    if (HasGroup(*message) || (MayHaveExcessTag(request) && Readable(version, canonical, slabs_))) return "";
    return "refused what protobuf accepts: " + parsed.status().message();
  }
  if (!theirs) return "";

  const std::vector<Expected> expected = version == RemoteWriteVersion::k1 ? Expect(one) : Expect(two);
  if (parsed->series.size() != expected.size()) return "number of series";
  for (size_t i = 0; i < expected.size(); ++i) {
    std::string difference = CheckSeries(*parsed, parsed->series[i], expected[i]);
    if (!difference.empty()) return "series " + std::to_string(i) + ": " + difference;
  }
  if (version == RemoteWriteVersion::k1) {
    if (parsed->metadata.size() != static_cast<size_t>(one.metadata_size())) return "number of metadata";
    for (int i = 0; i < one.metadata_size(); ++i) {
      const pb::MetricMetadata1& m = one.metadata(i);
      const ingest::WireMetadata& ours = parsed->metadata[static_cast<size_t>(i)];
      const bool bad = m.metric_family_name().empty() || !IsUtf8(m.metric_family_name()) ||
                       !IsUtf8(m.help()) || !IsUtf8(m.unit());
      if (bad != (ours.fault != SeriesFault::kNone)) return "fault of metadata";
      if (ours.family != m.metric_family_name() || ours.help != m.help() || ours.unit != m.unit() ||
          static_cast<uint32_t>(ours.type) != (m.type() <= 7 ? m.type() : 0)) {
        return "metadata";
      }
    }
  }
  return CheckTranslation(version, request);
}

std::string WriteDifferential::CheckTranslation(RemoteWriteVersion version, std::string_view request) {
  std::string first;
  for (int round = 0; round < 2; ++round) {
    ingest::MetricFamilies families;
    ingest::RemoteWriteTranslator translator(families, slabs_, {.max_output = 16u << 20});
    Result<ingest::RemoteWriteTranslation> translated = translator.Translate(version, request, 0, 1);
    if (!translated.ok())
      return translated.status().code() == Code::kResourceExhausted ? "" : "not translated";
    if (round == 0) {
      first = std::string(translated->otlp.view());
      continue;
    }
    if (first != translated->otlp.view()) return "the same request gave other OTLP the second time";
    oracle::ExportMetricsServiceRequest otlp;
    if (!otlp.ParseFromString(first)) return "protobuf refuses the translation";
    const Found found = Count(otlp);
    const uint64_t samples = translated->samples - translated->rejected_samples_total();
    const uint64_t histograms = translated->histograms - translated->rejected_histograms_total();
    if (found.points > samples + histograms) return "more points than samples";
    if (found.exponential > histograms || found.exponential + found.histograms < histograms)
      return "native histograms are missing";
    if (found.exemplars != translated->exemplars - translated->exemplars_dropped)
      return "number of exemplars written";
    if (translated->assembled_samples == 0 && translated->loose_samples > found.points)
      return "loose samples";
    uint64_t bad = translated->rejected_samples_total() + translated->rejected_histograms_total();
    for (const uint64_t series : translated->rejected_series) bad += series;
    if ((bad != 0) != translated->partial()) return "rejected without a word";
    Result<ingest::Submission> decoded = decoder_.Decode(Signal::kMetrics, std::move(translated->otlp), 0);
    if (!decoded.ok()) return "the decoder refuses the translation: " + decoded.status().message();
    if (decoded->rejected_for_sender() != 0) return "the decoder turns away items: " + decoded->first_error;
    if (decoded->items != found.points) return "the decoder counts other items";
  }
  return "";
}

}  // namespace braid::test
