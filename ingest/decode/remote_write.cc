#include "ingest/decode/remote_write.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "base/wire.h"

namespace braid::ingest {
namespace {

using wire::Type;

constexpr uint64_t kStaleNan = 0x7ff0000000000002u;
constexpr int64_t kMaxTimeMs = std::numeric_limits<int64_t>::max() / 1'000'000;
constexpr uint32_t kCumulative = 2;
constexpr uint32_t kNoRecordedValue = 1;
constexpr uint32_t kNone = ~uint32_t{0};

// Field numbers of opentelemetry/proto/{common,resource,metrics}/v1.
namespace metric {
constexpr uint32_t kGauge = 5, kSum = 7, kHistogram = 9, kExponential = 10, kSummary = 11;
}
constexpr uint32_t kMetricMetadata = 12;

bool IsStale(double value) { return std::bit_cast<uint64_t>(value) == kStaleNan; }
uint64_t Nanos(int64_t ms) { return static_cast<uint64_t>(ms) * 1'000'000; }
bool GoodTime(int64_t ms) { return ms > 0 && ms <= kMaxTimeMs; }

// A start that is after its point, or absurd, is none.
uint64_t StartNanos(int64_t start_ms, int64_t time_ms) {
  return GoodTime(start_ms) && start_ms <= time_ms ? Nanos(start_ms) : 0;
}

// The integer that a count is, if it is one that doubles hold exactly.
std::optional<uint64_t> Integer(double count) {
  if (!(count >= 0) || count > 9007199254740992.0 || std::floor(count) != count) return std::nullopt;
  return static_cast<uint64_t>(count);
}

// For messages: printable ASCII, the rest as \xNN, cut.
std::string Quote(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text.substr(0, 80)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      out += c;
    } else {
      ((out += "\\x") += kHex[byte >> 4]) += kHex[byte & 15];
    }
  }
  return out + (text.size() > 80 ? "...\"" : "\"");
}

// UNIT words as Prometheus has them, in UCUM, as OTLP has them.
std::string_view UcumUnit(std::string_view unit) {
  static constexpr std::pair<std::string_view, std::string_view> kUnits[] = {
      {"seconds", "s"},      {"milliseconds", "ms"}, {"microseconds", "us"}, {"nanoseconds", "ns"},
      {"minutes", "min"},    {"hours", "h"},         {"days", "d"},          {"bytes", "By"},
      {"kibibytes", "KiBy"}, {"mebibytes", "MiBy"},  {"gibibytes", "GiBy"},  {"tebibytes", "TiBy"},
      {"kilobytes", "KBy"},  {"megabytes", "MBy"},   {"gigabytes", "GBy"},   {"terabytes", "TBy"},
      {"meters", "m"},       {"volts", "V"},         {"amperes", "A"},       {"joules", "J"},
      {"watts", "W"},        {"grams", "g"},         {"celsius", "Cel"},     {"hertz", "Hz"},
      {"ratio", "1"},        {"percent", "%"},
  };
  for (const auto& [word, code] : kUnits) {
    if (word == unit) return code;
  }
  return unit;
}

// Appends OTLP to a slab, up to a bound. After the first failure everything is dropped, and status() tells.
class Out {
 public:
  void Reset(Slab slab, size_t max) {
    slab_ = std::move(slab);
    max_ = max;
    too_large_ = false;
    no_memory_ = !slab_;
  }
  Slab Take() { return std::move(slab_); }
  size_t size() const { return slab_.size(); }
  Status status() const {
    if (no_memory_) return Unavailable("no memory to translate a remote write request just now");
    if (too_large_) {
      return ResourceExhausted("more than " + std::to_string(max_) +
                               " bytes as OTLP: send fewer series at once");
    }
    return {};
  }
  bool failed() const { return no_memory_ || too_large_; }

  void Varint(uint32_t field, uint64_t value) {
    char* p = Room(5 + 10);
    if (p == nullptr) return;
    Advance(wire::WriteVarint(value, wire::WriteVarint(wire::Tag(field, Type::kVarint), p)));
  }
  void Sint(uint32_t field, int64_t value) {
    Varint(field, static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63));
  }
  void Fixed64(uint32_t field, uint64_t value) {
    char* p = Room(5 + 8);
    if (p == nullptr) return;
    p = wire::WriteVarint(wire::Tag(field, Type::kFixed64), p);
    std::memcpy(p, &value, 8);
    Advance(p + 8);
  }
  void Double(uint32_t field, double value) { Fixed64(field, std::bit_cast<uint64_t>(value)); }
  void Bytes(uint32_t field, std::string_view bytes) {
    char* p = Room(10 + bytes.size());
    if (p == nullptr) return;
    p = wire::WriteVarint(bytes.size(), wire::WriteVarint(wire::Tag(field, Type::kBytes), p));
    std::memcpy(p, bytes.data(), bytes.size());
    Advance(p + bytes.size());
  }
  void Raw(std::string_view bytes) {
    char* p = Room(bytes.size());
    if (p == nullptr) return;
    std::memcpy(p, bytes.data(), bytes.size());
    Advance(p + bytes.size());
  }
  void RawVarint(uint64_t value) {
    char* p = Room(10);
    if (p != nullptr) Advance(wire::WriteVarint(value, p));
  }
  void RawFixed64(uint64_t value) { Raw({reinterpret_cast<const char*>(&value), sizeof value}); }

  // A nested message or packed field; its length is filled in by End().
  size_t Begin(uint32_t field) {
    char* p = Room(5 + 4);
    if (p != nullptr) Advance(wire::WriteVarint(wire::Tag(field, Type::kBytes), p) + 4);
    return slab_.size();
  }
  void End(size_t at) {
    if (!failed()) wire::WritePadded4(static_cast<uint32_t>(slab_.size() - at), slab_.data() + at - 4);
  }

 private:
  char* Room(size_t bytes) {
    if (failed()) return nullptr;
    if (slab_.size() + bytes > max_) {
      too_large_ = true;
      return nullptr;
    }
    if (slab_.room() < bytes && !slab_.Reserve(bytes)) {
      no_memory_ = true;
      return nullptr;
    }
    return slab_.data() + slab_.size();
  }
  void Advance(const char* to) { slab_.set_size(static_cast<size_t>(to - slab_.data())); }

  Slab slab_;
  size_t max_ = 0;
  bool too_large_ = false;
  bool no_memory_ = false;
};

void AppendAttribute(std::string* out, uint32_t field, std::string_view key, std::string_view value) {
  wire::Writer w(out);
  const size_t any = 1 + wire::VarintSize(value.size()) + value.size();
  const size_t pair = 1 + wire::VarintSize(key.size()) + key.size() + 1 + wire::VarintSize(any) + any;
  char head[16];
  char* p = wire::WriteVarint(wire::Tag(field, Type::kBytes), head);
  p = wire::WriteVarint(pair, p);
  out->append(head, static_cast<size_t>(p - head));
  w.Bytes(1, key);
  p = wire::WriteVarint(wire::Tag(2, Type::kBytes), head);
  p = wire::WriteVarint(any, p);
  out->append(head, static_cast<size_t>(p - head));
  w.Bytes(1, value);
}

// What a series may be a part of. Ordered as the parts of one histogram or summary are visited.
enum class Role : uint8_t { kBucket, kQuantile, kSum, kCount, kCreated, kCounter, kPlain };

// One WireSeries on its way.
struct Entry {
  uint32_t series = 0;
  uint32_t home = 0;
  uint32_t family = kNone;  // index of what is remembered of it (1.0)
  bool exact = false;       // `type` was said of this very name, not of a family it may be part of
  std::string_view name;
  uint32_t base_size = 0;  // of `name`: what it shares with the other parts
  Role role = Role::kPlain;
  PrometheusType type = PrometheusType::kUnknown;
  std::string_view part;  // le or quantile
  std::string_view job, instance, scope, scope_version;

  std::string_view base() const { return name.substr(0, base_size); }
  auto home_key() const { return std::tie(job, instance, scope, scope_version); }
};

// Points to be written: those of one label set, or one histogram or summary put together of several.
struct Output {
  uint32_t home = 0;
  uint32_t begin = 0, end = 0;  // in the sorted entries
  uint32_t order = 0;
  uint32_t data = 0;  // field number in Metric
  bool monotonic = false;
  bool assembled = false;
  PrometheusType type = PrometheusType::kUnknown;
  std::string_view name;
  uint32_t created_begin = 0, created_end = 0;  // entries that say when it began
};

constexpr size_t kBytesPerSeries = sizeof(Entry) + sizeof(uint32_t) + sizeof(Output);

bool Compatible(PrometheusType type, std::string_view suffix) {
  switch (type) {
    case PrometheusType::kCounter: return suffix == "_total" || suffix == "_created";
    case PrometheusType::kHistogram:
      return suffix == "_bucket" || suffix == "_sum" || suffix == "_count" || suffix == "_created";
    case PrometheusType::kGaugeHistogram:
      return suffix == "_bucket" || suffix == "_gsum" || suffix == "_gcount" || suffix == "_sum" ||
             suffix == "_count";
    case PrometheusType::kSummary: return suffix == "_sum" || suffix == "_count" || suffix == "_created";
    case PrometheusType::kInfo: return suffix == "_info";
    case PrometheusType::kGauge:
    case PrometheusType::kStateset:
    case PrometheusType::kUnknown: return false;
  }
  return false;
}

constexpr std::string_view kSuffixes[] = {"_total",   "_bucket", "_sum",  "_count",
                                          "_created", "_info",   "_gsum", "_gcount"};

std::optional<double> ParseBound(std::string_view text) {
  if (text == "+Inf" || text == "Inf") return std::numeric_limits<double>::infinity();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<std::string_view> HexBytes(std::string_view hex, char* to) {
  bool any = false;
  for (size_t i = 0; i < hex.size(); ++i) {
    const char c = hex[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    any |= digit != 0;
    to[i / 2] = static_cast<char>(i % 2 == 0 ? digit << 4 : to[i / 2] | digit);
  }
  if (!any) return std::nullopt;
  return std::string_view(to, hex.size() / 2);
}

// Dense buckets as OTLP has them.
struct DenseBuckets {
  int64_t first = 0;
  std::vector<uint64_t> counts;
  uint64_t total = 0;
};

}  // namespace

class RemoteWriteTranslator::Impl {
 public:
  Impl(MetricFamilies& families, SlabPool& pool, const Options& options)
      : families_(families), pool_(pool), options_(options) {}

  Result<RemoteWriteTranslation> Translate(RemoteWriteVersion version, std::string_view body, uint32_t tenant,
                                           uint64_t now_seconds);

 private:
  // The samples of one label set: of all its entries, in the order of the request.
  class Samples {
   public:
    Samples(const Impl& impl, uint32_t begin, uint32_t end) : impl_(impl), entry_(begin), end_(end) {
      Settle();
    }
    bool done() const { return entry_ == end_; }
    const WireSample& operator*() const { return list_[at_]; }
    void Next() {
      ++at_;
      Settle();
    }

   private:
    void Settle() {
      while (entry_ != end_) {
        list_ = impl_.request_.SamplesOf(impl_.SeriesAt(entry_));
        if (at_ < list_.size()) return;
        at_ = 0;
        ++entry_;
      }
    }
    const Impl& impl_;
    uint32_t entry_;
    const uint32_t end_;
    size_t at_ = 0;
    std::span<WireSample> list_;
  };

  // A run of sorted entries with the same labels.
  struct Member {
    uint32_t begin = 0, end = 0;
    Role role = Role::kPlain;
    double bound = 0;
  };

  const Entry& At(uint32_t position) const { return entries_[sorted_[position]]; }
  const WireSeries& SeriesAt(uint32_t position) const { return request_.series[At(position).series]; }

  void LearnMetadata(uint32_t tenant);
  void Screen();
  void ScreenTimes(WireSeries* series, uint32_t index);
  bool ScreenHistogram(std::string_view message, SeriesFault* fault);
  void Reject(uint32_t index, SeriesFault fault, uint64_t samples, uint64_t histograms, uint64_t exemplars,
              std::string_view detail);
  void AddEntry(uint32_t index);
  void ResolveType(Entry* entry);
  void Classify(Entry* entry);
  bool SkippedLabel(const Entry& entry, const WireLabel& label) const;
  int CompareRest(const Entry& a, const Entry& b) const;
  bool SameGroup(const Entry& a, const Entry& b) const;
  bool SameLabels(const Entry& a, const Entry& b) const;
  void Sort();
  void Group(uint32_t begin, uint32_t end);
  bool Assemble(uint32_t data, std::span<Member> members, const Member& sum, const Member& count);
  bool NoteLayout(uint32_t data, std::span<const Member> members, const Entry& first);
  void AddLoose(const Member& member, const Member* created);
  void AddNative(const Member& member);

  void Emit();
  void OpenHome(const Entry& entry);
  void CloseHome();
  void OpenMetric(const Output& output);
  void CloseMetric();
  void MaybeCut(const Output& output);
  void EmitOutput(const Output& output);
  void EmitNumbers(const Output& output);
  void EmitAssembled(const Output& output);
  void EmitNatives(const Output& output);
  void EmitNative(const Output& output, uint32_t last_begin, bool last);
  void BuildAttributes(const Entry& entry, bool with_part, uint32_t field);
  uint64_t CreatedNanos(const Output& output, int64_t time_ms) const;
  void EmitExemplars(uint32_t begin, uint32_t end, uint32_t field);
  void DropExemplars(uint32_t begin, uint32_t end);
  bool Densify(std::span<const BucketSpan> spans, std::span<const int64_t> deltas,
               std::span<const double> counts, bool is_float, DenseBuckets* to, SeriesFault* fault) const;

  MetricFamilies& families_;
  SlabPool& pool_;
  const Options options_;

  // Of the request under way.
  RemoteWriteRequest request_;
  RemoteWriteTranslation result_;
  uint32_t tenant_ = 0;
  uint64_t now_seconds_ = 0;
  size_t errors_ = 0;
  size_t errors_left_out_ = 0;
  Slab lease_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> sorted_;
  std::vector<Output> outputs_;
  std::vector<std::shared_ptr<const MetricFamilies::Family>> remembered_;
  std::string_view last_name_;  // and what was found for it
  uint32_t last_family_ = kNone;
  bool last_exact_ = false;

  Out out_;
  size_t resource_at_ = 0, scope_at_ = 0, metric_at_ = 0, data_at_ = 0;
  const Output* open_ = nullptr;
  std::string attributes_;
  std::vector<Member> members_;
  std::vector<uint64_t> marks_;
  NativeHistogram native_;
  DenseBuckets positive_, negative_;
  WireExemplar exemplar_;
  std::string scratch_;
};

// ---- What is taken -----------------------------------------------------------------------------------

void RemoteWriteTranslator::Impl::Reject(uint32_t index, SeriesFault fault, uint64_t samples,
                                         uint64_t histograms, uint64_t exemplars, std::string_view detail) {
  const auto reason = static_cast<size_t>(fault);
  ++result_.rejected_series[reason];
  result_.rejected_samples[reason] += samples;
  result_.rejected_histograms[reason] += histograms;
  result_.exemplars_dropped += exemplars;
  if (errors_ == kMaxErrors) {
    ++errors_left_out_;
    return;
  }
  ++errors_;
  std::string& to = result_.errors;
  to += fault == SeriesFault::kMetadata ? "metadata[" : "timeseries[";
  to += std::to_string(index) + "]";
  if (fault != SeriesFault::kMetadata) {
    for (const WireLabel& label : request_.LabelsOf(request_.series[index])) {
      if (label.name == "__name__") to += " " + Quote(label.value);
    }
  }
  (to += ": ").append(detail) += '\n';
}

void RemoteWriteTranslator::Impl::LearnMetadata(uint32_t tenant) {
  for (size_t i = 0; i < request_.metadata.size(); ++i) {
    const WireMetadata& one = request_.metadata[i];
    if (one.fault != SeriesFault::kNone) {
      Reject(static_cast<uint32_t>(i), one.fault, 0, 0, 0, "no family name, or not UTF-8");
      continue;
    }
    ++result_.metadata;
    families_.Remember(tenant, one.family,
                       {one.type, std::string(one.help.substr(0, 4096)), std::string(one.unit)});
  }
}

// Samples without a usable time are taken out; the others stay.
void RemoteWriteTranslator::Impl::ScreenTimes(WireSeries* series, uint32_t index) {
  const std::span<WireSample> samples = request_.SamplesOf(*series);
  const auto bad = [](const WireSample& sample) { return !GoodTime(sample.time_ms); };
  const auto end = std::remove_if(samples.begin(), samples.end(), bad);
  const auto removed = static_cast<uint32_t>(samples.end() - end);
  if (removed == 0) return;
  Reject(index, SeriesFault::kTimestamp, removed, 0, 0, "a sample whose timestamp is not a time after 1970");
  series->sample_count -= removed;
}

void RemoteWriteTranslator::Impl::Screen() {
  for (uint32_t i = 0; i < request_.series.size(); ++i) {
    WireSeries& series = request_.series[i];
    result_.samples += series.sample_count;
    result_.histograms += series.histogram_count;
    result_.exemplars += series.exemplar_count;
    if (series.fault != SeriesFault::kNone) {
      std::string detail;
      switch (series.fault) {
        case SeriesFault::kBadUtf8: detail = "not UTF-8"; break;
        case SeriesFault::kNoName: detail = "no label __name__"; break;
        case SeriesFault::kLabelName: detail = "a label name that is empty or there twice"; break;
        case SeriesFault::kLabelOrder: detail = "label names are not sorted"; break;
        case SeriesFault::kReference:
          detail = "label references are odd in number or beyond the symbols";
          break;
        case SeriesFault::kNoSample: detail = "neither sample nor histogram"; break;
        case SeriesFault::kMixed: detail = "both samples and histograms"; break;
        case SeriesFault::kNone:
        case SeriesFault::kTimestamp:
        case SeriesFault::kHistogram:
        case SeriesFault::kGaugeHistogram:
        case SeriesFault::kFractional:
        case SeriesFault::kMetadata: break;
      }
      if (series.fault != SeriesFault::kNoSample && series.fault != SeriesFault::kMixed &&
          series.fault != SeriesFault::kNoName) {
        detail.insert(0, "label " + std::to_string(series.fault_label) + ": ");
      }
      Reject(i, series.fault, series.sample_count, series.histogram_count, series.exemplar_count, detail);
      continue;
    }
    ScreenTimes(&series, i);
    // Histograms that cannot be expressed are taken out of the list likewise.
    const std::span<std::string_view> histograms = request_.HistogramsOf(series);
    size_t kept = 0;
    for (const std::string_view message : histograms) {
      SeriesFault fault = SeriesFault::kNone;
      if (ScreenHistogram(message, &fault)) {
        histograms[kept++] = message;
        continue;
      }
      std::string_view detail = "a histogram that contradicts itself, or of an unknown schema";
      if (fault == SeriesFault::kTimestamp) detail = "a histogram whose timestamp is not a time after 1970";
      if (fault == SeriesFault::kGaugeHistogram) detail = "a gauge histogram, which OTLP cannot express";
      if (fault == SeriesFault::kFractional) detail = "fractional counts, which OTLP cannot express";
      Reject(i, fault, 0, 1, 0, detail);
    }
    series.histogram_count = static_cast<uint32_t>(kept);
    if (series.sample_count + series.histogram_count == 0 && series.exemplar_count == 0) continue;
    AddEntry(i);
  }
}

bool RemoteWriteTranslator::Impl::ScreenHistogram(std::string_view message, SeriesFault* fault) {
  ParseNativeHistogram(request_.version, message, &native_);
  const NativeHistogram& h = native_;
  *fault = SeriesFault::kTimestamp;
  if (!GoodTime(h.time_ms)) return false;
  if (IsStale(h.sum)) return true;
  *fault = SeriesFault::kGaugeHistogram;
  if (h.reset_hint == 3) return false;
  *fault = SeriesFault::kHistogram;
  const bool custom = h.schema == -53;
  if (h.too_large || (!custom && (h.schema < -4 || h.schema > 8))) return false;
  if (!(h.zero_threshold >= 0) || std::isinf(h.zero_threshold)) return false;
  if (!Densify(h.positive_spans, h.positive_deltas, h.positive_counts, h.count_is_float, &positive_, fault) ||
      !Densify(h.negative_spans, h.negative_deltas, h.negative_counts, h.count_is_float, &negative_, fault)) {
    return false;
  }
  uint64_t zero = h.zero_is_float ? 0 : h.zero_int;
  uint64_t count = h.count_is_float ? 0 : h.count_int;
  if (h.zero_is_float || h.count_is_float) {
    const std::optional<uint64_t> whole_zero =
        h.zero_is_float ? Integer(h.zero_float) : std::optional<uint64_t>(h.zero_int);
    const std::optional<uint64_t> whole_count =
        h.count_is_float ? Integer(h.count_float) : std::optional<uint64_t>(h.count_int);
    if (!whole_zero || !whole_count) {
      *fault = SeriesFault::kFractional;
      return false;
    }
    zero = *whole_zero;
    count = *whole_count;
  }
  // Observations that are NaN are in the count and in no bucket.
  const auto sum = static_cast<unsigned __int128>(positive_.total) + negative_.total + zero;
  if (std::isnan(h.sum) ? sum > count : sum != count) return false;
  if (custom) {
    if (!negative_.counts.empty() || zero != 0) return false;
    for (size_t i = 0; i < h.custom_values.size(); ++i) {
      if (!std::isfinite(h.custom_values[i])) return false;
      if (i > 0 && !(h.custom_values[i - 1] < h.custom_values[i])) return false;
    }
    const auto end = positive_.first + static_cast<int64_t>(positive_.counts.size());
    if (!positive_.counts.empty() &&
        (positive_.first < 0 || end > static_cast<int64_t>(h.custom_values.size()) + 1)) {
      return false;
    }
    // OTLP's count is the sum of its buckets.
    if (sum != count) return false;
  }
  *fault = SeriesFault::kNone;
  return true;
}

bool RemoteWriteTranslator::Impl::Densify(std::span<const BucketSpan> spans, std::span<const int64_t> deltas,
                                          std::span<const double> counts, bool is_float, DenseBuckets* to,
                                          SeriesFault* fault) const {
  *to = {.first = 0, .counts = std::move(to->counts), .total = 0};
  to->counts.clear();
  const size_t given = is_float ? counts.size() : deltas.size();
  size_t next = 0;
  int64_t index = 0;
  uint64_t running = 0;
  unsigned __int128 total = 0;
  for (size_t s = 0; s < spans.size(); ++s) {
    if (s > 0 && spans[s].offset < 0) return false;
    index += spans[s].offset;
    if (spans[s].length > given - next) return false;
    for (uint32_t i = 0; i < spans[s].length; ++i, ++index, ++next) {
      uint64_t count = 0;
      if (is_float) {
        const std::optional<uint64_t> whole = Integer(counts[next]);
        if (!whole) {
          const bool number = counts[next] >= 0 && !std::isinf(counts[next]);
          *fault = number ? SeriesFault::kFractional : SeriesFault::kHistogram;
          return false;
        }
        count = *whole;
      } else {
        // Counts stay within 0..2^63.
        const auto now = static_cast<__int128>(running) + deltas[next];
        if (now < 0 || now > std::numeric_limits<int64_t>::max()) return false;
        running = static_cast<uint64_t>(now);
        count = running;
      }
      if (to->counts.empty()) to->first = index;
      const int64_t at = index - to->first;
      if (at >= static_cast<int64_t>(NativeHistogram::kMaxBuckets)) return false;
      to->counts.resize(static_cast<size_t>(at) + 1);
      to->counts.back() = count;
      total += count;
    }
  }
  if (next != given || total > std::numeric_limits<uint64_t>::max()) return false;
  // OTLP's offset and every upper bound's index have to be 32 bits.
  const int64_t last = to->first + static_cast<int64_t>(to->counts.size());
  if (to->first <= std::numeric_limits<int32_t>::min() || last >= std::numeric_limits<int32_t>::max())
    return false;
  to->total = static_cast<uint64_t>(total);
  return true;
}

// ---- What belongs together ---------------------------------------------------------------------------

void RemoteWriteTranslator::Impl::AddEntry(uint32_t index) {
  Entry entry;
  entry.series = index;
  for (const WireLabel& label : request_.LabelsOf(request_.series[index])) {
    if (label.name == "__name__") entry.name = label.value;
    if (label.name == "job") entry.job = label.value;
    if (label.name == "instance") entry.instance = label.value;
    if (label.name == "otel_scope_name") entry.scope = label.value;
    if (label.name == "otel_scope_version") entry.scope_version = label.value;
  }
  // A scope is known by its name.
  if (entry.scope.empty()) entry.scope_version = {};
  ResolveType(&entry);
  Classify(&entry);
  entries_.push_back(entry);
}

void RemoteWriteTranslator::Impl::ResolveType(Entry* entry) {
  const WireSeries& series = request_.series[entry->series];
  if (request_.version == RemoteWriteVersion::k2) {
    entry->type = series.type;
    return;
  }
  if (entry->name != last_name_) {
    last_name_ = entry->name;
    last_family_ = kNone;
    std::shared_ptr<const MetricFamilies::Family> family = families_.Find(tenant_, entry->name);
    last_exact_ = family != nullptr;
    if (family == nullptr) {
      for (const std::string_view suffix : kSuffixes) {
        if (!entry->name.ends_with(suffix) || entry->name.size() == suffix.size()) continue;
        family = families_.Find(tenant_, entry->name.substr(0, entry->name.size() - suffix.size()));
        if (family != nullptr && !Compatible(family->type, suffix)) family = nullptr;
        break;
      }
    }
    if (family != nullptr) {
      last_family_ = static_cast<uint32_t>(remembered_.size());
      remembered_.push_back(std::move(family));
    }
  }
  entry->family = last_family_;
  entry->exact = last_exact_;
  if (last_family_ != kNone) entry->type = remembered_[last_family_]->type;
}

void RemoteWriteTranslator::Impl::Classify(Entry* entry) {
  const auto label = [&](std::string_view name) -> std::string_view {
    for (const WireLabel& one : request_.LabelsOf(request_.series[entry->series])) {
      if (one.name == name) return one.value;
    }
    return {};
  };
  const auto is_a = [&](std::initializer_list<PrometheusType> types) {
    return entry->type == PrometheusType::kUnknown ||
           std::find(types.begin(), types.end(), entry->type) != types.end();
  };
  const auto take = [&](std::string_view suffix, Role role) {
    entry->role = role;
    entry->base_size = static_cast<uint32_t>(entry->name.size() - suffix.size());
  };
  using enum PrometheusType;
  const auto ends = [&](std::string_view suffix) {
    return entry->name.size() > suffix.size() && entry->name.ends_with(suffix);
  };
  take("", Role::kPlain);
  // Native histograms carry the base name itself.
  if (request_.series[entry->series].histogram_count != 0) return;
  if (ends("_bucket") && is_a({kHistogram}) && !label("le").empty()) {
    entry->part = label("le");
    take("_bucket", Role::kBucket);
  } else if (ends("_sum") && is_a({kHistogram, kSummary})) {
    take("_sum", Role::kSum);
  } else if (ends("_count") && is_a({kHistogram, kSummary})) {
    take("_count", Role::kCount);
  } else if (ends("_created") && is_a({kCounter, kHistogram, kSummary}) &&
             !(entry->exact && entry->type == kCounter)) {
    take("_created", Role::kCreated);
  } else if (ends("_total") && is_a({kCounter})) {
    take("_total", Role::kCounter);
  } else if (entry->type == kCounter) {
    take("", Role::kCounter);
  } else if (is_a({kSummary}) && !label("quantile").empty()) {
    entry->part = label("quantile");
    take("", Role::kQuantile);
  } else {
    entry->part = {};
  }
}

// Labels that are not attributes: they are in the resource, the scope, the name or the place in a histogram.
bool RemoteWriteTranslator::Impl::SkippedLabel(const Entry& entry, const WireLabel& label) const {
  const std::string_view name = label.name;
  if (name == "__name__" || name == "job" || name == "instance") return true;
  if (!entry.scope.empty() && (name == "otel_scope_name" || name == "otel_scope_version")) return true;
  return (entry.role == Role::kBucket && name == "le") ||
         (entry.role == Role::kQuantile && name == "quantile");
}

int RemoteWriteTranslator::Impl::CompareRest(const Entry& a, const Entry& b) const {
  const auto x = request_.LabelsOf(request_.series[a.series]);
  const auto y = request_.LabelsOf(request_.series[b.series]);
  size_t i = 0;
  size_t j = 0;
  while (true) {
    while (i < x.size() && SkippedLabel(a, x[i])) ++i;
    while (j < y.size() && SkippedLabel(b, y[j])) ++j;
    if (i == x.size() || j == y.size())
      return static_cast<int>(i != x.size()) - static_cast<int>(j != y.size());
    if (const int order = x[i].name.compare(y[j].name); order != 0) return order;
    if (const int order = x[i].value.compare(y[j].value); order != 0) return order;
    ++i;
    ++j;
  }
}

bool RemoteWriteTranslator::Impl::SameGroup(const Entry& a, const Entry& b) const {
  return a.home_key() == b.home_key() && a.base() == b.base() && CompareRest(a, b) == 0;
}

bool RemoteWriteTranslator::Impl::SameLabels(const Entry& a, const Entry& b) const {
  return a.role == b.role && a.name == b.name && a.part == b.part;
}

// By resource, scope, family and labels; within those the parts by role. Equal label sets, which a request
// may hold several times, keep their order.
void RemoteWriteTranslator::Impl::Sort() {
  sorted_.resize(entries_.size());
  for (uint32_t i = 0; i < sorted_.size(); ++i) sorted_[i] = i;
  std::sort(sorted_.begin(), sorted_.end(), [this](uint32_t i, uint32_t j) {
    const Entry& a = entries_[i];
    const Entry& b = entries_[j];
    if (const auto x = a.home_key(), y = b.home_key(); x != y) return x < y;
    if (const int order = a.base().compare(b.base()); order != 0) return order < 0;
    if (const int order = CompareRest(a, b); order != 0) return order < 0;
    return std::tie(a.role, a.name, a.part, i) < std::tie(b.role, b.name, b.part, j);
  });
}

// The entries of one base name and set of other labels.
void RemoteWriteTranslator::Impl::Group(uint32_t begin, uint32_t end) {
  members_.clear();
  for (uint32_t i = begin; i < end;) {
    uint32_t next = i + 1;
    while (next < end && SameLabels(At(i), At(next))) ++next;
    members_.push_back({.begin = i, .end = next, .role = At(i).role, .bound = 0});
    i = next;
  }
  const auto first_of = [this](Role role) {
    return std::find_if(members_.begin(), members_.end(), [&](const Member& m) { return m.role == role; });
  };
  const auto range = [&](Role role) {
    const auto from = first_of(role);
    auto to = from;
    while (to != members_.end() && to->role == role) ++to;
    return std::span<Member>(from, to);
  };
  const std::span<Member> buckets = range(Role::kBucket);
  const std::span<Member> quantiles = range(Role::kQuantile);
  const auto sum = first_of(Role::kSum);
  const auto count = first_of(Role::kCount);
  const auto created = first_of(Role::kCreated);
  const bool has_created = created != members_.end();

  bool assembled = false;
  if (buckets.empty() != quantiles.empty()) {
    const uint32_t data = buckets.empty() ? metric::kSummary : metric::kHistogram;
    const std::span<Member> parts = buckets.empty() ? quantiles : buckets;
    // Noted also where it cannot be used, so that the other part of a histogram that was cut is known for
    // one.
    const bool all = NoteLayout(data, parts, At(begin));
    if (all && sum != members_.end() && count != members_.end())
      assembled = Assemble(data, parts, *sum, *count);
  }
  bool created_used = false;
  if (assembled) {
    Output& output = outputs_.back();
    for (uint32_t i = begin; i < end; ++i) {
      const Role role = At(i).role;
      if (role == Role::kSum || role == Role::kCount ||
          role == (buckets.empty() ? Role::kQuantile : Role::kBucket)) {
        result_.assembled_samples += SeriesAt(i).sample_count;
      }
    }
    if (has_created) {
      output.created_begin = created->begin;
      output.created_end = created->end;
      created_used = true;
    }
  }
  for (const Member& member : members_) {
    switch (member.role) {
      case Role::kBucket:
      case Role::kQuantile:
      case Role::kSum:
      case Role::kCount:
        if (!assembled) AddLoose(member, nullptr);
        break;
      case Role::kCounter:
        AddLoose(member, has_created ? &*created : nullptr);
        created_used |= has_created;
        break;
      case Role::kCreated: break;
      case Role::kPlain:
        AddLoose(member, nullptr);
        AddNative(member);
        break;
    }
  }
  if (has_created && !created_used) AddLoose(*created, nullptr);
  // What says when something began has no place for exemplars.
  if (created_used) DropExemplars(created->begin, created->end);
}

bool RemoteWriteTranslator::Impl::NoteLayout(uint32_t data, std::span<const Member> members,
                                             const Entry& first) {
  marks_.clear();
  for (const Member& member : members) {
    const std::string_view part = At(member.begin).part;
    // By number where it is one: clients differ on how they spell it.
    const std::optional<double> bound = ParseBound(part);
    marks_.push_back(bound ? XXH3_64bits_withSeed(&*bound, sizeof *bound, options_.seed ^ data)
                           : XXH3_64bits_withSeed(part.data(), part.size(), options_.seed ^ data));
  }
  std::sort(marks_.begin(), marks_.end());
  marks_.erase(std::unique(marks_.begin(), marks_.end()), marks_.end());
  return families_.NoteLayout(tenant_, first.job, first.base(), marks_, now_seconds_);
}

// Adds an output if the parts make whole histograms or summaries at every one of their times.
bool RemoteWriteTranslator::Impl::Assemble(uint32_t data, std::span<Member> parts, const Member& sum,
                                           const Member& count) {
  for (Member& part : parts) {
    const std::optional<double> bound = ParseBound(At(part.begin).part);
    if (!bound) return false;
    part.bound = *bound;
  }
  std::sort(parts.begin(), parts.end(), [](const Member& a, const Member& b) { return a.bound < b.bound; });
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i - 1].bound == parts[i].bound) return false;
  }
  if (data == metric::kHistogram && !std::isinf(parts.back().bound)) return false;
  if (data == metric::kSummary && (parts.front().bound < 0 || parts.back().bound > 1)) return false;

  Samples counts(*this, count.begin, count.end);
  if (counts.done()) return false;
  for (; !counts.done(); counts.Next()) {
    if (!IsStale((*counts).value) && !Integer((*counts).value)) return false;
  }
  // `check(sample of the part, sample of count, number of the point)` for each point of a part.
  const auto each = [&](const Member& part, auto check) {
    Samples of_count(*this, count.begin, count.end);
    Samples of_part(*this, part.begin, part.end);
    for (; !of_part.done() && !of_count.done(); of_part.Next(), of_count.Next()) {
      if ((*of_part).time_ms != (*of_count).time_ms) return false;
      if (IsStale((*of_part).value) != IsStale((*of_count).value)) return false;
      if (!check(*of_part, *of_count)) return false;
    }
    return of_part.done() && of_count.done();
  };
  if (!each(sum, [](const WireSample&, const WireSample&) { return true; })) return false;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (data == metric::kSummary) {
      // NaN: nothing was observed lately.
      if (!each(parts[i], [](const WireSample& s, const WireSample&) { return !(s.value < 0); }))
        return false;
      continue;
    }
    const bool last = i + 1 == parts.size();
    const auto whole = [&](const WireSample& s, const WireSample& n) {
      return IsStale(s.value) || (Integer(s.value) && (!last || s.value == n.value));
    };
    if (!each(parts[i], whole)) return false;
    if (i == 0) continue;
    Samples below(*this, parts[i - 1].begin, parts[i - 1].end);
    for (Samples here(*this, parts[i].begin, parts[i].end); !here.done(); here.Next(), below.Next()) {
      if ((*here).value < (*below).value) return false;
    }
  }
  const Entry& first = At(parts.front().begin);
  const uint32_t begin = std::min_element(parts.begin(), parts.end(), [](const Member& a, const Member& b) {
                           return a.begin < b.begin;
                         })->begin;
  Output output;
  output.home = first.home;
  output.begin = begin;
  output.end = std::max(sum.end, count.end);
  output.order = static_cast<uint32_t>(outputs_.size());
  output.data = data;
  output.monotonic = true;
  output.assembled = true;
  output.type = data == metric::kHistogram ? PrometheusType::kHistogram : PrometheusType::kSummary;
  output.name = first.base();
  outputs_.push_back(output);
  return true;
}

// The points of one label set as they are.
void RemoteWriteTranslator::Impl::AddLoose(const Member& member, const Member* created) {
  const Entry& entry = At(member.begin);
  uint64_t samples = 0;
  for (uint32_t i = member.begin; i < member.end; ++i) samples += SeriesAt(i).sample_count;
  if (samples == 0) {
    // Exemplars that came without a sample of their series; native histograms take care of their own.
    bool native = false;
    for (uint32_t i = member.begin; i < member.end; ++i) native |= SeriesAt(i).histogram_count != 0;
    if (!native) DropExemplars(member.begin, member.end);
    return;
  }
  Output output;
  output.home = entry.home;
  output.begin = member.begin;
  output.end = member.end;
  output.order = static_cast<uint32_t>(outputs_.size());
  output.name = entry.name;
  output.type = entry.type;
  output.data = metric::kGauge;
  using enum PrometheusType;
  switch (entry.role) {
    case Role::kBucket:
    case Role::kSum:
    case Role::kCount:
      output.data = metric::kSum;
      output.monotonic = true;
      result_.loose_samples += samples;
      break;
    case Role::kQuantile: result_.loose_samples += samples; break;
    case Role::kCounter:
      output.data = metric::kSum;
      output.monotonic = true;
      output.type = kCounter;
      break;
    case Role::kCreated:
      // No counter itself, whatever it belongs to.
      output.type = kUnknown;
      break;
    case Role::kPlain:
      if (entry.type == kInfo || entry.type == kStateset) output.data = metric::kSum;
      break;
  }
  if (created != nullptr) {
    output.created_begin = created->begin;
    output.created_end = created->end;
  }
  outputs_.push_back(output);
}

// The native histograms of one label set: exponential ones and such with custom buckets are different data.
void RemoteWriteTranslator::Impl::AddNative(const Member& member) {
  bool exponential = false;
  bool custom = false;
  for (uint32_t i = member.begin; i < member.end; ++i) {
    for (const std::string_view message : request_.HistogramsOf(SeriesAt(i))) {
      ParseNativeHistogram(request_.version, message, &native_);
      (native_.schema == -53 ? custom : exponential) = true;
    }
  }
  for (const uint32_t data : {metric::kExponential, metric::kHistogram}) {
    if (!(data == metric::kExponential ? exponential : custom)) continue;
    Output output;
    output.home = At(member.begin).home;
    output.begin = member.begin;
    output.end = member.end;
    output.order = static_cast<uint32_t>(outputs_.size());
    output.data = data;
    output.monotonic = true;
    output.type = PrometheusType::kHistogram;
    output.name = At(member.begin).name;
    outputs_.push_back(output);
  }
}

// ---- What is written -----------------------------------------------------------------------------------

void RemoteWriteTranslator::Impl::OpenHome(const Entry& entry) {
  resource_at_ = out_.Begin(1);
  attributes_.clear();
  // "space/name": only where both are there, so that a job can be told back from the two.
  const size_t slash = entry.job.find('/');
  const bool spaced = slash != std::string_view::npos && slash > 0 && slash + 1 < entry.job.size() &&
                      entry.job.find('/', slash + 1) == std::string_view::npos;
  if (spaced) AppendAttribute(&attributes_, 1, "service.namespace", entry.job.substr(0, slash));
  const std::string_view service = spaced ? entry.job.substr(slash + 1) : entry.job;
  if (!service.empty()) AppendAttribute(&attributes_, 1, "service.name", service);
  if (!entry.instance.empty()) AppendAttribute(&attributes_, 1, "service.instance.id", entry.instance);
  if (!attributes_.empty()) out_.Bytes(1, attributes_);
  scope_at_ = out_.Begin(2);
  if (!entry.scope.empty()) {
    const size_t scope = out_.Begin(1);
    out_.Bytes(1, entry.scope);
    if (!entry.scope_version.empty()) out_.Bytes(2, entry.scope_version);
    out_.End(scope);
  }
}

void RemoteWriteTranslator::Impl::CloseHome() {
  out_.End(scope_at_);
  out_.End(resource_at_);
}

void RemoteWriteTranslator::Impl::OpenMetric(const Output& output) {
  open_ = &output;
  metric_at_ = out_.Begin(2);
  out_.Bytes(1, output.name);
  const Entry& entry = At(output.begin);
  std::string_view help = request_.series[entry.series].help;
  std::string_view unit = request_.series[entry.series].unit;
  if (entry.family != kNone) {
    help = remembered_[entry.family]->help;
    unit = remembered_[entry.family]->unit;
  }
  if (!help.empty()) out_.Bytes(2, help);
  if (!unit.empty()) out_.Bytes(3, UcumUnit(unit));
  attributes_.clear();
  AppendAttribute(&attributes_, kMetricMetadata, "prometheus.name", output.name);
  AppendAttribute(&attributes_, kMetricMetadata, "prometheus.type", PrometheusTypeName(output.type));
  out_.Raw(attributes_);
  data_at_ = out_.Begin(output.data);
  if (output.data == metric::kSum || output.data == metric::kHistogram || output.data == metric::kExponential)
    out_.Varint(2, kCumulative);
  if (output.data == metric::kSum && output.monotonic) out_.Varint(3, 1);
}

void RemoteWriteTranslator::Impl::CloseMetric() {
  out_.End(data_at_);
  out_.End(metric_at_);
}

// Before each point: a Metric that grew large goes on in another.
void RemoteWriteTranslator::Impl::MaybeCut(const Output& output) {
  if (out_.size() - metric_at_ < kMaxMetricBytes) return;
  const std::string kept = attributes_;
  CloseMetric();
  OpenMetric(output);
  attributes_ = kept;
}

void RemoteWriteTranslator::Impl::BuildAttributes(const Entry& entry, bool with_part, uint32_t field) {
  attributes_.clear();
  for (const WireLabel& label : request_.LabelsOf(request_.series[entry.series])) {
    const bool is_part = with_part && (label.name == "le" || label.name == "quantile");
    if (is_part || !SkippedLabel(entry, label)) AppendAttribute(&attributes_, field, label.name, label.value);
  }
}

// Seconds since 1970, as the _created sample at or before that time says; 0 if none does.
uint64_t RemoteWriteTranslator::Impl::CreatedNanos(const Output& output, int64_t time_ms) const {
  uint64_t nanos = 0;
  for (Samples s(*this, output.created_begin, output.created_end); !s.done(); s.Next()) {
    const double seconds = (*s).value;
    if ((*s).time_ms > time_ms) break;
    if (!(seconds > 0) || seconds * 1e3 > static_cast<double>(time_ms)) continue;
    const double whole = std::floor(seconds);
    nanos = static_cast<uint64_t>(whole) * 1'000'000'000 + static_cast<uint64_t>((seconds - whole) * 1e9);
  }
  return nanos;
}

void RemoteWriteTranslator::Impl::DropExemplars(uint32_t begin, uint32_t end) {
  for (uint32_t i = begin; i < end; ++i) result_.exemplars_dropped += SeriesAt(i).exemplar_count;
}

void RemoteWriteTranslator::Impl::EmitExemplars(uint32_t begin, uint32_t end, uint32_t field) {
  for (uint32_t i = begin; i < end; ++i) {
    for (const std::string_view message : request_.ExemplarsOf(SeriesAt(i))) {
      ParseExemplar(request_, message, &exemplar_);
      if (exemplar_.fault != SeriesFault::kNone || std::isnan(exemplar_.value)) {
        ++result_.exemplars_dropped;
        continue;
      }
      char trace[16];
      char span[8];
      std::optional<std::string_view> trace_id, span_id;
      scratch_.clear();
      for (const WireLabel& label : exemplar_.labels) {
        if (label.name == "trace_id" && label.value.size() == 32 && !trace_id) {
          trace_id = HexBytes(label.value, trace);
          if (trace_id) continue;
        }
        if (label.name == "span_id" && label.value.size() == 16 && !span_id) {
          span_id = HexBytes(label.value, span);
          if (span_id) continue;
        }
        AppendAttribute(&scratch_, 7, label.name, label.value);
      }
      const size_t at = out_.Begin(field);
      if (GoodTime(exemplar_.time_ms)) out_.Fixed64(2, Nanos(exemplar_.time_ms));
      out_.Double(3, exemplar_.value);
      if (span_id) out_.Bytes(4, *span_id);
      if (trace_id) out_.Bytes(5, *trace_id);
      out_.Raw(scratch_);
      out_.End(at);
    }
  }
}

void RemoteWriteTranslator::Impl::EmitNumbers(const Output& output) {
  BuildAttributes(At(output.begin), true, 7);
  for (Samples s(*this, output.begin, output.end); !s.done();) {
    const WireSample sample = *s;
    s.Next();
    MaybeCut(output);
    const size_t at = out_.Begin(1);
    out_.Raw(attributes_);
    if (output.data == metric::kSum) {
      uint64_t start = StartNanos(sample.start_ms, sample.time_ms);
      if (start == 0) start = CreatedNanos(output, sample.time_ms);
      if (start != 0) out_.Fixed64(2, start);
    }
    out_.Fixed64(3, Nanos(sample.time_ms));
    if (IsStale(sample.value)) {
      out_.Varint(8, kNoRecordedValue);
    } else {
      out_.Double(4, sample.value);
    }
    if (s.done()) EmitExemplars(output.begin, output.end, 5);
    out_.End(at);
  }
}

void RemoteWriteTranslator::Impl::EmitAssembled(const Output& output) {
  // The parts, as they were found to fit together.
  members_.clear();
  Member sum;
  Member count;
  for (uint32_t i = output.begin; i < output.end;) {
    uint32_t next = i + 1;
    while (next < output.end && SameLabels(At(i), At(next))) ++next;
    const Member member{.begin = i, .end = next, .role = At(i).role, .bound = 0};
    i = next;
    if (member.role == Role::kSum) sum = member;
    if (member.role == Role::kCount) count = member;
    if (member.role != (output.data == metric::kHistogram ? Role::kBucket : Role::kQuantile)) continue;
    members_.push_back(member);
    members_.back().bound = *ParseBound(At(member.begin).part);
  }
  std::sort(members_.begin(), members_.end(),
            [](const Member& a, const Member& b) { return a.bound < b.bound; });
  std::vector<Samples> parts;
  parts.reserve(members_.size());
  for (const Member& member : members_) parts.emplace_back(*this, member.begin, member.end);

  const bool histogram = output.data == metric::kHistogram;
  BuildAttributes(At(members_.front().begin), false, histogram ? 9 : 7);
  Samples sums(*this, sum.begin, sum.end);
  for (Samples counts(*this, count.begin, count.end); !counts.done(); sums.Next()) {
    const WireSample sample = *counts;
    counts.Next();
    MaybeCut(output);
    const size_t at = out_.Begin(1);
    out_.Raw(attributes_);
    uint64_t start = StartNanos(sample.start_ms, sample.time_ms);
    if (start == 0) start = CreatedNanos(output, sample.time_ms);
    if (start != 0) out_.Fixed64(2, start);
    out_.Fixed64(3, Nanos(sample.time_ms));
    if (IsStale(sample.value)) {
      out_.Varint(histogram ? 10 : 8, kNoRecordedValue);
    } else {
      out_.Fixed64(4, static_cast<uint64_t>(sample.value));
      out_.Double(5, (*sums).value);
      if (histogram) {
        size_t packed = out_.Begin(6);
        double below = 0;
        for (const Samples& part : parts)
          out_.RawFixed64(static_cast<uint64_t>((*part).value - std::exchange(below, (*part).value)));
        out_.End(packed);
        packed = out_.Begin(7);
        for (size_t i = 0; i + 1 < members_.size(); ++i)
          out_.RawFixed64(std::bit_cast<uint64_t>(members_[i].bound));
        out_.End(packed);
      } else {
        for (size_t i = 0; i < members_.size(); ++i) {
          const size_t value = out_.Begin(6);
          out_.Double(1, members_[i].bound);
          out_.Double(2, (*parts[i]).value);
          out_.End(value);
        }
      }
    }
    for (Samples& part : parts) part.Next();
    if (counts.done()) {
      if (histogram) {
        EmitExemplars(output.begin, output.end, 8);
      } else {
        DropExemplars(output.begin, output.end);
      }
    }
    out_.End(at);
  }
}

void RemoteWriteTranslator::Impl::EmitNatives(const Output& output) {
  const bool custom = output.data == metric::kHistogram;
  BuildAttributes(At(output.begin), true, custom ? 9 : 1);
  // Exemplars go to the last of all points of the label set, whichever kind that is.
  // Where there are samples too, they have them.
  std::string_view last;
  bool with_samples = false;
  for (uint32_t i = output.begin; i < output.end; ++i) {
    for (const std::string_view message : request_.HistogramsOf(SeriesAt(i))) last = message;
    with_samples |= SeriesAt(i).sample_count != 0;
  }
  for (uint32_t i = output.begin; i < output.end; ++i) {
    for (const std::string_view message : request_.HistogramsOf(SeriesAt(i))) {
      ParseNativeHistogram(request_.version, message, &native_);
      const NativeHistogram& h = native_;
      if ((h.schema == -53) != custom) continue;
      MaybeCut(output);
      const size_t at = out_.Begin(1);
      out_.Raw(attributes_);
      if (const uint64_t start = StartNanos(h.start_ms, h.time_ms); start != 0) out_.Fixed64(2, start);
      out_.Fixed64(3, Nanos(h.time_ms));
      if (IsStale(h.sum)) {
        out_.Varint(10, kNoRecordedValue);
      } else {
        SeriesFault ignored;
        Densify(h.positive_spans, h.positive_deltas, h.positive_counts, h.count_is_float, &positive_,
                &ignored);
        Densify(h.negative_spans, h.negative_deltas, h.negative_counts, h.count_is_float, &negative_,
                &ignored);
        out_.Fixed64(4, h.count_is_float ? static_cast<uint64_t>(h.count_float) : h.count_int);
        out_.Double(5, h.sum);
        if (custom) {
          size_t packed = out_.Begin(6);
          for (int64_t b = 0; b <= static_cast<int64_t>(h.custom_values.size()); ++b) {
            const int64_t from_first = b - positive_.first;
            const bool inside = from_first >= 0 && from_first < static_cast<int64_t>(positive_.counts.size());
            out_.RawFixed64(inside ? positive_.counts[static_cast<size_t>(from_first)] : 0);
          }
          out_.End(packed);
          packed = out_.Begin(7);
          for (const double bound : h.custom_values) out_.RawFixed64(std::bit_cast<uint64_t>(bound));
          out_.End(packed);
        } else {
          out_.Sint(6, h.schema);
          out_.Fixed64(7, h.zero_is_float ? static_cast<uint64_t>(h.zero_float) : h.zero_int);
          for (const auto& [field, dense] : {std::pair(8u, &positive_), std::pair(9u, &negative_)}) {
            if (dense->counts.empty()) continue;
            const size_t buckets = out_.Begin(field);
            // Prometheus counts buckets by their upper bound, OTLP by their lower.
            out_.Sint(1, dense->first - 1);
            const size_t packed = out_.Begin(2);
            for (const uint64_t count : dense->counts) out_.RawVarint(count);
            out_.End(packed);
            out_.End(buckets);
          }
          if (h.zero_threshold != 0) out_.Double(14, h.zero_threshold);
        }
      }
      if (message.data() == last.data() && !with_samples)
        EmitExemplars(output.begin, output.end, custom ? 8 : 11);
      out_.End(at);
    }
  }
}

void RemoteWriteTranslator::Impl::Emit() {
  std::sort(outputs_.begin(), outputs_.end(), [](const Output& a, const Output& b) {
    return std::tie(a.home, a.name, a.data, a.monotonic, a.type, a.order) <
           std::tie(b.home, b.name, b.data, b.monotonic, b.type, b.order);
  });
  uint32_t home = kNone;
  open_ = nullptr;
  for (const Output& output : outputs_) {
    const bool same = open_ != nullptr && home == output.home && open_->name == output.name &&
                      open_->data == output.data && open_->monotonic == output.monotonic &&
                      open_->type == output.type;
    if (!same && open_ != nullptr) CloseMetric();
    if (home != output.home) {
      if (home != kNone) CloseHome();
      OpenHome(At(output.begin));
      home = output.home;
    }
    if (!same) OpenMetric(output);
    if (output.assembled) {
      EmitAssembled(output);
    } else if (output.data == metric::kExponential || output.data == metric::kHistogram) {
      EmitNatives(output);
    } else {
      EmitNumbers(output);
    }
    if (out_.failed()) return;
  }
  if (open_ != nullptr) {
    CloseMetric();
    CloseHome();
  }
}

Result<RemoteWriteTranslation> RemoteWriteTranslator::Impl::Translate(RemoteWriteVersion version,
                                                                      std::string_view body, uint32_t tenant,
                                                                      uint64_t now_seconds) {
  // Whatever way this ends, nothing of the request stays here.
  struct Clear {
    ~Clear() {
      self->request_ = {};
      self->result_ = {};
      self->out_.Take().Reset();
      self->lease_.Reset();
      self->remembered_.clear();
      self->last_name_ = {};
      constexpr size_t kKeep = 4096;
      for (auto* list : {&self->sorted_}) {
        list->clear();
        if (list->capacity() > kKeep) list->shrink_to_fit();
      }
      self->entries_.clear();
      if (self->entries_.capacity() > kKeep) self->entries_.shrink_to_fit();
      self->outputs_.clear();
      if (self->outputs_.capacity() > kKeep) self->outputs_.shrink_to_fit();
    }
    Impl* self;
  } clear{this};

  Result<RemoteWriteRequest> parsed = ParseRemoteWrite(version, body, options_.max_tables, pool_);
  if (!parsed.ok()) return parsed.status();
  request_ = std::move(parsed).value();
  result_ = {};
  tenant_ = tenant;
  now_seconds_ = now_seconds;
  errors_ = errors_left_out_ = 0;
  last_family_ = kNone;

  // The lists below are vectors, so that they are there already for requests of usual size; this much of the
  // budget stands for them.
  const size_t lists = request_.series.size() * kBytesPerSeries;
  if (lists > options_.max_tables) {
    return ResourceExhausted(std::to_string(request_.series.size()) +
                             " series in one request: send fewer at once");
  }
  lease_ = pool_.Take(std::max<size_t>(lists, 1));
  if (!lease_) return Unavailable("no memory for a remote write request just now");
  entries_.reserve(request_.series.size());

  LearnMetadata(tenant);
  Screen();
  Sort();
  for (uint32_t i = 0; i < sorted_.size(); ++i) {
    entries_[sorted_[i]].home =
        i == 0 ? 0 : At(i - 1).home + static_cast<uint32_t>(At(i - 1).home_key() != At(i).home_key());
  }
  for (uint32_t begin = 0; begin < sorted_.size();) {
    uint32_t end = begin + 1;
    while (end < sorted_.size() && SameGroup(At(begin), At(end))) ++end;
    Group(begin, end);
    begin = end;
  }
  const size_t max_output = std::min(options_.max_output, kMaxOutput);
  out_.Reset(pool_.Take(std::min(max_output, body.size() * 2 + 1024)), max_output);
  Emit();
  result_.otlp = out_.Take();
  if (const Status status = out_.status(); !status.ok()) return status;
  if (errors_left_out_ != 0) result_.errors += "and " + std::to_string(errors_left_out_) + " more\n";
  return std::move(result_);
}

RemoteWriteTranslator::RemoteWriteTranslator(MetricFamilies& families, SlabPool& pool, const Options& options)
    : impl_(std::make_unique<Impl>(families, pool, options)) {}

RemoteWriteTranslator::~RemoteWriteTranslator() = default;

Result<RemoteWriteTranslation> RemoteWriteTranslator::Translate(RemoteWriteVersion version,
                                                                std::string_view body, uint32_t tenant,
                                                                uint64_t now_seconds) {
  return impl_->Translate(version, body, tenant, now_seconds);
}

}  // namespace braid::ingest
