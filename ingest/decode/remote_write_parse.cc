#include "ingest/decode/remote_write_parse.h"

#include <simdjson.h>

#include <bit>
#include <cstring>
#include <string>
#include <type_traits>

#include "base/wire.h"

namespace braid::ingest {
namespace {

using wire::Type;

// One field of a message, as strictly read as generated protobuf does: tags and lengths of at most five
// bytes, varints of at most ten. wire::Cursor is for bytes that were checked already.
struct Reader {
  const char* p;
  const char* end;

  uint32_t number = 0;
  Type type = Type::kVarint;
  uint64_t scalar = 0;
  std::string_view bytes;
  bool broken = false;

  explicit Reader(std::string_view message) : p(message.data()), end(message.data() + message.size()) {}

  // False at the end, or (`broken`) at bytes that are no field.
  bool Next() {
    if (p == end) return false;
    broken = true;
    uint64_t tag;
    const char* at = wire::ReadVarint(p, end, &tag);
    if (at == nullptr || at - p > 5 || tag >> 32 != 0 || tag >> 3 == 0) return false;
    number = static_cast<uint32_t>(tag >> 3);
    type = static_cast<Type>(tag & 7);
    switch (type) {
      case Type::kVarint:
        at = wire::ReadVarint(at, end, &scalar);
        if (at == nullptr) return false;
        break;
      case Type::kFixed64:
        if (end - at < 8) return false;
        std::memcpy(&scalar, at, 8);
        at += 8;
        break;
      case Type::kFixed32:
        if (end - at < 4) return false;
        at += 4;
        break;
      case Type::kBytes: {
        uint64_t size;
        const char* content = wire::ReadVarint(at, end, &size);
        if (content == nullptr || content - at > 5 || size > static_cast<uint64_t>(end - content))
          return false;
        bytes = {content, static_cast<size_t>(size)};
        at = content + size;
        break;
      }
      case Type::kStartGroup:
      case Type::kEndGroup:
      default: return false;
    }
    p = at;
    broken = false;
    return true;
  }

  bool Is(uint32_t field, Type of) const { return number == field && type == of; }
};

bool ValidUtf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

double AsDouble(uint64_t bits) { return std::bit_cast<double>(bits); }

int64_t Unzigzag(uint64_t value) { return static_cast<int64_t>(value >> 1 ^ (0 - (value & 1))); }
int32_t Unzigzag32(uint64_t value) {
  const auto low = static_cast<uint32_t>(value);
  return static_cast<int32_t>(low >> 1 ^ (0 - (low & 1)));
}

PrometheusType TypeOf(uint64_t value) {
  const auto low = static_cast<uint32_t>(value);
  return low <= static_cast<uint32_t>(PrometheusType::kStateset) ? static_cast<PrometheusType>(low)
                                                                 : PrometheusType::kUnknown;
}

// Calls `add(uint64_t)` with each varint of a repeated field, packed or not. False if it is neither.
template <typename Fn>
bool EachVarint(const Reader& r, Fn add) {
  if (r.type == Type::kVarint) {
    add(r.scalar);
    return true;
  }
  if (r.type != Type::kBytes) return true;  // another type: an unknown field
  const char* end = r.bytes.data() + r.bytes.size();
  for (const char* p = r.bytes.data(); p != end;) {
    uint64_t value;
    p = wire::ReadVarint(p, end, &value);
    if (p == nullptr) return false;
    add(value);
  }
  return true;
}

template <typename Fn>
bool EachDouble(const Reader& r, Fn add) {
  if (r.type == Type::kFixed64) {
    add(AsDouble(r.scalar));
    return true;
  }
  if (r.type != Type::kBytes) return true;
  if (r.bytes.size() % 8 != 0) return false;
  for (size_t i = 0; i < r.bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, r.bytes.data() + i, 8);
    add(AsDouble(word));
  }
  return true;
}

bool ParseSpan(std::string_view message, BucketSpan* span) {
  Reader r(message);
  while (r.Next()) {
    if (r.Is(1, Type::kVarint)) span->offset = Unzigzag32(r.scalar);
    if (r.Is(2, Type::kVarint)) span->length = static_cast<uint32_t>(r.scalar);
  }
  return !r.broken;
}

bool ParseSample(RemoteWriteVersion version, std::string_view message, WireSample* sample) {
  Reader r(message);
  while (r.Next()) {
    if (r.Is(1, Type::kFixed64)) sample->value = AsDouble(r.scalar);
    if (r.Is(2, Type::kVarint)) sample->time_ms = static_cast<int64_t>(r.scalar);
    if (r.Is(3, Type::kVarint) && version == RemoteWriteVersion::k2)
      sample->start_ms = static_cast<int64_t>(r.scalar);
  }
  return !r.broken;
}

bool ParseLabel(std::string_view message, WireLabel* label) {
  Reader r(message);
  while (r.Next()) {
    if (r.Is(1, Type::kBytes)) label->name = r.bytes;
    if (r.Is(2, Type::kBytes)) label->value = r.bytes;
  }
  return !r.broken;
}

// Field numbers of TimeSeries differ between the versions.
struct SeriesFields {
  uint32_t labels, samples, histograms, exemplars, metadata;
};
constexpr SeriesFields kFields1 = {1, 2, 4, 3, 0};
constexpr SeriesFields kFields2 = {1, 2, 3, 4, 5};

// How many of each there are.
struct Counts {
  size_t symbols = 0, series = 0, labels = 0, samples = 0, histograms = 0, exemplars = 0, metadata = 0;

  size_t bytes() const {
    return symbols * sizeof(std::string_view) + series * sizeof(WireSeries) + labels * sizeof(WireLabel) +
           samples * sizeof(WireSample) + (histograms + exemplars) * sizeof(std::string_view) +
           metadata * sizeof(WireMetadata) + 7 * alignof(std::max_align_t);
  }
};

class Parser {
 public:
  Parser(RemoteWriteVersion version, std::string_view body)
      : version_(version), fields_(version == RemoteWriteVersion::k1 ? kFields1 : kFields2), body_(body) {}

  // Checks the framing of everything, and counts.
  Status Scan() {
    Reader r(body_);
    while (r.Next()) {
      if (r.type != Type::kBytes) continue;
      if (r.number == (version_ == RemoteWriteVersion::k1 ? 1 : 5)) {
        if (!ScanSeries(r.bytes)) return Broken("timeseries", counts_.series);
        ++counts_.series;
      } else if (r.number == 3 && version_ == RemoteWriteVersion::k1) {
        WireMetadata ignored;
        if (!ParseMetadata1(r.bytes, &ignored)) return Broken("metadata", counts_.metadata);
        ++counts_.metadata;
      } else if (r.number == 4 && version_ == RemoteWriteVersion::k2) {
        ++counts_.symbols;
      }
    }
    if (r.broken) {
      return InvalidArgument("byte " + std::to_string(r.p - body_.data()) + ": no protobuf field" +
                             (body_.empty() ? "" : ", after " + std::to_string(counts_.series) + " series"));
    }
    return {};
  }

  const Counts& counts() const { return counts_; }

  // REQUIRES: Scan() succeeded, and request->memory has room for counts().bytes().
  void Fill(RemoteWriteRequest* request) {
    request_ = request;
    request->version = version_;
    next_ = request->memory.data();
    request->symbols = Table<std::string_view>(counts_.symbols);
    request->series = Table<WireSeries>(counts_.series);
    request->labels = Table<WireLabel>(counts_.labels);
    request->samples = Table<WireSample>(counts_.samples);
    request->histograms = Table<std::string_view>(counts_.histograms);
    request->exemplars = Table<std::string_view>(counts_.exemplars);
    request->metadata = Table<WireMetadata>(counts_.metadata);

    // Symbols first, wherever they stand: series refer to them.
    size_t symbols = 0;
    size_t metadata = 0;
    for (Reader r(body_); r.Next();) {
      if (r.Is(4, Type::kBytes) && version_ == RemoteWriteVersion::k2) {
        request->symbols[symbols++] = ValidUtf8(r.bytes) ? Symbol(r.bytes) : std::string_view();
      } else if (r.Is(3, Type::kBytes) && version_ == RemoteWriteVersion::k1) {
        WireMetadata& one = request->metadata[metadata++];
        ParseMetadata1(r.bytes, &one);
        const bool good = ValidUtf8(one.family) && ValidUtf8(one.help) && ValidUtf8(one.unit);
        if (!good || one.family.empty()) one.fault = SeriesFault::kMetadata;
      }
    }
    for (Reader r(body_); r.Next();) {
      if (r.Is(version_ == RemoteWriteVersion::k1 ? 1 : 5, Type::kBytes)) FillSeries(r.bytes);
    }
    // Labels without value were left out.
    request->labels = request->labels.first(labels_);
  }

 private:
  Status Broken(std::string_view what, size_t index) const {
    return InvalidArgument(std::string(what) + '[' + std::to_string(index) + "]: malformed protobuf");
  }

  // Empty is not the same as not UTF-8.
  static std::string_view Symbol(std::string_view text) { return text.empty() ? std::string_view("") : text; }

  template <typename T>
  std::span<T> Table(size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    constexpr size_t kAlign = alignof(T) - 1;
    next_ = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(next_) + kAlign) & ~uintptr_t{kAlign});
    T* first = reinterpret_cast<T*>(next_);
    for (size_t i = 0; i < count; ++i) new (first + i) T();
    next_ += count * sizeof(T);
    return {first, count};
  }

  static bool ParseMetadata1(std::string_view message, WireMetadata* to) {
    Reader r(message);
    while (r.Next()) {
      if (r.Is(1, Type::kVarint)) to->type = TypeOf(r.scalar);
      if (r.Is(2, Type::kBytes)) to->family = r.bytes;
      if (r.Is(4, Type::kBytes)) to->help = r.bytes;
      if (r.Is(5, Type::kBytes)) to->unit = r.bytes;
    }
    return !r.broken;
  }

  // 2.0. What occurs twice is merged, so it is called again on the same references.
  struct Metadata2 {
    PrometheusType type = PrometheusType::kUnknown;
    uint32_t help = 0;
    uint32_t unit = 0;
  };
  static bool ParseMetadata2(std::string_view message, Metadata2* to) {
    Reader r(message);
    while (r.Next()) {
      if (r.Is(1, Type::kVarint)) to->type = TypeOf(r.scalar);
      if (r.Is(3, Type::kVarint)) to->help = static_cast<uint32_t>(r.scalar);
      if (r.Is(4, Type::kVarint)) to->unit = static_cast<uint32_t>(r.scalar);
    }
    return !r.broken;
  }

  bool ScanSeries(std::string_view message) {
    Reader r(message);
    size_t references = 0;
    while (r.Next()) {
      if (r.number == fields_.labels && version_ == RemoteWriteVersion::k2) {
        if (!EachVarint(r, [&](uint64_t) { ++references; })) return false;
        continue;
      }
      if (r.type != Type::kBytes) continue;
      if (r.number == fields_.labels) {
        WireLabel label;
        if (!ParseLabel(r.bytes, &label)) return false;
        ++counts_.labels;
      } else if (r.number == fields_.samples) {
        WireSample sample;
        if (!ParseSample(version_, r.bytes, &sample)) return false;
        ++counts_.samples;
      } else if (r.number == fields_.histograms) {
        if (!ParseNativeHistogram(version_, r.bytes, &histogram_)) return false;
        ++counts_.histograms;
      } else if (r.number == fields_.exemplars) {
        if (!ScanExemplar(r.bytes)) return false;
        ++counts_.exemplars;
      } else if (r.number == fields_.metadata) {
        Metadata2 metadata;
        if (!ParseMetadata2(r.bytes, &metadata)) return false;
      }
    }
    counts_.labels += references / 2;
    return !r.broken;
  }

  bool ScanExemplar(std::string_view message) const {
    Reader r(message);
    while (r.Next()) {
      if (r.number != 1) continue;
      if (version_ == RemoteWriteVersion::k2) {
        if (!EachVarint(r, [](uint64_t) {})) return false;
      } else if (r.type == Type::kBytes) {
        WireLabel label;
        if (!ParseLabel(r.bytes, &label)) return false;
      }
    }
    return !r.broken;
  }

  void FillSeries(std::string_view message) {
    WireSeries& s = request_->series[series_++];
    s.labels = static_cast<uint32_t>(labels_);
    s.samples = static_cast<uint32_t>(samples_);
    s.histograms = static_cast<uint32_t>(histograms_);
    s.exemplars = static_cast<uint32_t>(exemplars_);
    Metadata2 metadata;
    size_t references = 0;
    std::string_view name;
    std::string_view last;
    size_t position = 0;
    const auto fail = [&](SeriesFault fault, size_t label) {
      if (s.fault != SeriesFault::kNone) return;
      s.fault = fault;
      s.fault_label = static_cast<uint32_t>(label);
    };
    const auto add = [&](const WireLabel& label) {
      if (label.name.empty()) {
        fail(SeriesFault::kLabelName, position);
      } else if (position > 0 && label.name <= last) {
        fail(label.name == last ? SeriesFault::kLabelName : SeriesFault::kLabelOrder, position);
      }
      last = label.name;
      ++position;
      if (!label.value.empty()) request_->labels[labels_++] = label;
    };
    for (Reader r(message); r.Next();) {
      if (r.number == fields_.labels && version_ == RemoteWriteVersion::k2) {
        EachVarint(r, [&](uint64_t reference) {
          const auto index = static_cast<uint32_t>(reference);
          const bool is_value = references++ % 2 != 0;
          std::string_view text("");
          if (index >= request_->symbols.size()) {
            fail(SeriesFault::kReference, position);
          } else {
            text = request_->symbols[index];
            if (text.data() == nullptr) fail(SeriesFault::kBadUtf8, position);
          }
          if (is_value) {
            add({name, text});
          } else {
            name = text;
          }
        });
        continue;
      }
      if (r.type != Type::kBytes) continue;
      if (r.number == fields_.labels) {
        WireLabel label;
        ParseLabel(r.bytes, &label);
        if (!ValidUtf8(label.name) || !ValidUtf8(label.value)) fail(SeriesFault::kBadUtf8, position);
        add(label);
      } else if (r.number == fields_.samples) {
        ParseSample(version_, r.bytes, &request_->samples[samples_++]);
      } else if (r.number == fields_.histograms) {
        request_->histograms[histograms_++] = r.bytes;
      } else if (r.number == fields_.exemplars) {
        request_->exemplars[exemplars_++] = r.bytes;
      } else if (r.number == fields_.metadata) {
        ParseMetadata2(r.bytes, &metadata);
      }
    }
    s.label_count = static_cast<uint32_t>(labels_) - s.labels;
    s.sample_count = static_cast<uint32_t>(samples_) - s.samples;
    s.histogram_count = static_cast<uint32_t>(histograms_) - s.histograms;
    s.exemplar_count = static_cast<uint32_t>(exemplars_) - s.exemplars;
    if (references % 2 != 0) fail(SeriesFault::kReference, position);
    if (version_ == RemoteWriteVersion::k2) {
      s.type = metadata.type;
      for (const auto& [reference, to] :
           {std::pair(metadata.help, &s.help), std::pair(metadata.unit, &s.unit)}) {
        if (reference == 0) continue;
        if (reference >= request_->symbols.size()) {
          fail(SeriesFault::kReference, position);
        } else if (request_->symbols[reference].data() == nullptr) {
          fail(SeriesFault::kBadUtf8, position);
        } else {
          *to = request_->symbols[reference];
        }
      }
    }
    bool named = false;
    for (const WireLabel& label : request_->LabelsOf(s)) named |= label.name == "__name__";
    if (!named) fail(SeriesFault::kNoName, position);
    if (s.sample_count + s.histogram_count + s.exemplar_count == 0) fail(SeriesFault::kNoSample, position);
    if (s.sample_count != 0 && s.histogram_count != 0) fail(SeriesFault::kMixed, position);
  }

  const RemoteWriteVersion version_;
  const SeriesFields fields_;
  const std::string_view body_;
  Counts counts_;
  NativeHistogram histogram_;

  RemoteWriteRequest* request_ = nullptr;
  char* next_ = nullptr;
  size_t series_ = 0, labels_ = 0, samples_ = 0, histograms_ = 0, exemplars_ = 0;
};

}  // namespace

std::string_view PrometheusTypeName(PrometheusType type) {
  switch (type) {
    case PrometheusType::kUnknown: return "unknown";
    case PrometheusType::kCounter: return "counter";
    case PrometheusType::kGauge: return "gauge";
    case PrometheusType::kHistogram: return "histogram";
    case PrometheusType::kGaugeHistogram: return "gaugehistogram";
    case PrometheusType::kSummary: return "summary";
    case PrometheusType::kInfo: return "info";
    case PrometheusType::kStateset: return "stateset";
  }
  return "";
}

std::string_view SeriesFaultName(SeriesFault fault) {
  switch (fault) {
    case SeriesFault::kNone: return "none";
    case SeriesFault::kBadUtf8: return "bad_utf8";
    case SeriesFault::kNoName: return "no_name";
    case SeriesFault::kLabelName: return "label_name";
    case SeriesFault::kLabelOrder: return "label_order";
    case SeriesFault::kReference: return "reference";
    case SeriesFault::kNoSample: return "no_sample";
    case SeriesFault::kMixed: return "mixed";
    case SeriesFault::kTimestamp: return "timestamp";
    case SeriesFault::kHistogram: return "histogram";
    case SeriesFault::kGaugeHistogram: return "gauge_histogram";
    case SeriesFault::kFractional: return "fractional_histogram";
    case SeriesFault::kMetadata: return "metadata";
  }
  return "";
}

Result<RemoteWriteRequest> ParseRemoteWrite(RemoteWriteVersion version, std::string_view body,
                                            size_t max_tables, SlabPool& pool) {
  Parser parser(version, body);
  if (Status status = parser.Scan(); !status.ok()) return status;
  const size_t bytes = parser.counts().bytes();
  if (bytes > max_tables) {
    return ResourceExhausted(std::to_string(parser.counts().series) + " series with " +
                             std::to_string(parser.counts().labels) +
                             " labels in one request: send fewer at once");
  }
  RemoteWriteRequest request;
  request.memory = pool.Take(bytes);
  if (!request.memory) return Unavailable("no memory for a remote write request just now");
  parser.Fill(&request);
  return request;
}

void NativeHistogram::Clear() {
  count_is_float = zero_is_float = too_large = false;
  count_int = zero_int = 0;
  count_float = zero_float = sum = zero_threshold = 0;
  schema = 0;
  reset_hint = 0;
  time_ms = start_ms = 0;
  negative_spans.clear();
  negative_deltas.clear();
  negative_counts.clear();
  positive_spans.clear();
  positive_deltas.clear();
  positive_counts.clear();
  custom_values.clear();
}

bool ParseNativeHistogram(RemoteWriteVersion version, std::string_view message, NativeHistogram* to) {
  to->Clear();
  const auto keep = [to](auto* list, auto value) {
    if (list->size() >= NativeHistogram::kMaxBuckets) {
      to->too_large = true;
    } else {
      list->push_back(value);
    }
  };
  const auto spans = [&](const Reader& r, std::vector<BucketSpan>* list) {
    if (r.type != Type::kBytes) return true;
    BucketSpan span;
    if (!ParseSpan(r.bytes, &span)) return false;
    keep(list, span);
    return true;
  };
  const auto deltas = [&](const Reader& r, std::vector<int64_t>* list) {
    return EachVarint(r, [&](uint64_t value) { keep(list, Unzigzag(value)); });
  };
  const auto doubles = [&](const Reader& r, std::vector<double>* list) {
    return EachDouble(r, [&](double value) { keep(list, value); });
  };
  Reader r(message);
  while (r.Next()) {
    bool good = true;
    switch (r.number) {
      case 1:
        if (r.type != Type::kVarint) break;
        to->count_int = r.scalar;
        to->count_is_float = false;
        break;
      case 2:
        if (r.type != Type::kFixed64) break;
        to->count_float = AsDouble(r.scalar);
        to->count_is_float = true;
        break;
      case 3:
        if (r.type == Type::kFixed64) to->sum = AsDouble(r.scalar);
        break;
      case 4:
        if (r.type == Type::kVarint) to->schema = Unzigzag32(r.scalar);
        break;
      case 5:
        if (r.type == Type::kFixed64) to->zero_threshold = AsDouble(r.scalar);
        break;
      case 6:
        if (r.type != Type::kVarint) break;
        to->zero_int = r.scalar;
        to->zero_is_float = false;
        break;
      case 7:
        if (r.type != Type::kFixed64) break;
        to->zero_float = AsDouble(r.scalar);
        to->zero_is_float = true;
        break;
      case 8: good = spans(r, &to->negative_spans); break;
      case 9: good = deltas(r, &to->negative_deltas); break;
      case 10: good = doubles(r, &to->negative_counts); break;
      case 11: good = spans(r, &to->positive_spans); break;
      case 12: good = deltas(r, &to->positive_deltas); break;
      case 13: good = doubles(r, &to->positive_counts); break;
      case 14:
        if (r.type == Type::kVarint) to->reset_hint = static_cast<uint32_t>(r.scalar);
        break;
      case 15:
        if (r.type == Type::kVarint) to->time_ms = static_cast<int64_t>(r.scalar);
        break;
      case 16: good = doubles(r, &to->custom_values); break;
      case 17:
        if (r.type == Type::kVarint && version == RemoteWriteVersion::k2)
          to->start_ms = static_cast<int64_t>(r.scalar);
        break;
      default: break;
    }
    if (!good) return false;
  }
  return !r.broken;
}

bool ParseExemplar(const RemoteWriteRequest& request, std::string_view message, WireExemplar* to) {
  *to = {.labels = std::move(to->labels)};
  to->labels.clear();
  std::string_view name;
  size_t references = 0;
  const auto add = [to](const WireLabel& label) {
    if (label.name.empty() || to->labels.size() >= WireExemplar::kMaxLabels) {
      to->fault = SeriesFault::kLabelName;
    } else {
      to->labels.push_back(label);
    }
  };
  Reader r(message);
  while (r.Next()) {
    if (r.number == 1 && request.version == RemoteWriteVersion::k2) {
      const bool good = EachVarint(r, [&](uint64_t reference) {
        const auto index = static_cast<uint32_t>(reference);
        std::string_view text("");
        if (index >= request.symbols.size()) {
          to->fault = SeriesFault::kReference;
        } else {
          text = request.symbols[index];
          if (text.data() == nullptr) to->fault = SeriesFault::kBadUtf8;
        }
        if (references++ % 2 != 0) {
          add({name, text});
        } else {
          name = text;
        }
      });
      if (!good) return false;
    } else if (r.Is(1, Type::kBytes)) {
      WireLabel label;
      if (!ParseLabel(r.bytes, &label)) return false;
      if (!ValidUtf8(label.name) || !ValidUtf8(label.value)) to->fault = SeriesFault::kBadUtf8;
      add(label);
    } else if (r.Is(2, Type::kFixed64)) {
      to->value = AsDouble(r.scalar);
    } else if (r.Is(3, Type::kVarint)) {
      to->time_ms = static_cast<int64_t>(r.scalar);
    }
  }
  if (references % 2 != 0) to->fault = SeriesFault::kReference;
  return !r.broken;
}

}  // namespace braid::ingest
