#include "correlate/derive/metric_ingest.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>

#include "base/wire.h"
#include "correlate/derive/metric_names.h"
#include "correlate/model/epoch.h"

namespace braid::correlate {
namespace {

// Field numbers of opentelemetry/proto/{common,resource,metrics}/v1.
constexpr uint32_t kKey = 1, kAnyValue = 2;
constexpr uint32_t kAnyString = 1, kAnyBool = 2, kAnyInt = 3, kAnyDouble = 4, kAnyArray = 5, kAnyKvlist = 6,
                   kAnyBytes = 7;
constexpr uint32_t kResourceMetricsResource = 1, kResourceAttributes = 1;
constexpr uint32_t kScopeMetricsScope = 1, kScopeName = 1, kScopeVersion = 2;
constexpr uint32_t kMetricName = 1, kMetricDescription = 2, kMetricUnit = 3, kMetricGauge = 5, kMetricSum = 7,
                   kMetricHistogram = 9, kMetricExponential = 10, kMetricSummary = 11;
constexpr uint32_t kDataPoints = 1, kTemporality = 2, kMonotonic = 3;
constexpr uint64_t kDelta = 1, kCumulative = 2;
constexpr uint64_t kNoRecordedValue = 1;

constexpr uint64_t kSweepTicks = 200;
constexpr uint32_t kNoSeries = ~uint32_t{0};
constexpr size_t kMaxExtraBytes = 512;  // of an exemplar's filtered attributes; a page shows 128 characters

double AsDouble(uint64_t bits) { return std::bit_cast<double>(bits); }
double AsInt(uint64_t bits) { return static_cast<double>(static_cast<int64_t>(bits)); }

std::string_view CutValue(std::string_view value, size_t max) {
  if (value.size() <= max) return value;
  size_t end = max;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xc0) == 0x80) --end;
  return value.substr(0, end);
}

// ---- Attribute values as label values ----------------------------------------------------------------

template <typename T>
void AppendDigits(std::string* out, T value) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out->append(digits, end);
}

void AppendBase64(std::string* out, std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](size_t k) {
      return k < bytes.size() ? static_cast<uint32_t>(static_cast<unsigned char>(bytes[k])) : 0u;
    };
    const uint32_t word = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    *out += kDigits[word >> 18];
    *out += kDigits[word >> 12 & 63];
    *out += i + 1 < bytes.size() ? kDigits[word >> 6 & 63] : '=';
    *out += i + 2 < bytes.size() ? kDigits[word & 63] : '=';
  }
}

void AppendJsonString(std::string* out, std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  *out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      (*out += '\\') += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      (out->append("\\u00") += kHex[static_cast<size_t>(c) >> 4]) += kHex[static_cast<size_t>(c) & 15];
    } else {
      *out += c;
    }
  }
  *out += '"';
}

// Scalars plainly; arrays and maps as JSON, and strings in them quoted. Nesting is bounded by what decode
// lets through (32 levels).
void AppendAnyValue(std::string* out, std::string_view any, bool json) {
  wire::Field last;
  for (wire::Cursor c(any); c.Next();) last = c.field();  // of a oneof the last member counts
  switch (last.number) {
    case kAnyString:
      if (json) {
        AppendJsonString(out, last.bytes);
      } else {
        out->append(last.bytes);
      }
      return;
    case kAnyBool: out->append(last.scalar != 0 ? "true" : "false"); return;
    case kAnyInt: AppendDigits(out, static_cast<int64_t>(last.scalar)); return;
    case kAnyDouble: AppendDigits(out, AsDouble(last.scalar)); return;
    case kAnyBytes:
      if (json) *out += '"';
      AppendBase64(out, last.bytes);
      if (json) *out += '"';
      return;
    case kAnyArray: {
      *out += '[';
      bool first = true;
      for (wire::Cursor c(last.bytes); c.Next();) {
        if (c.field().number != 1) continue;
        if (!std::exchange(first, false)) *out += ',';
        AppendAnyValue(out, c.field().bytes, true);
      }
      *out += ']';
      return;
    }
    case kAnyKvlist: {
      *out += '{';
      bool first = true;
      for (wire::Cursor c(last.bytes); c.Next();) {
        if (c.field().number != 1) continue;
        if (!std::exchange(first, false)) *out += ',';
        std::string_view key, value;
        for (wire::Cursor kv(c.field().bytes); kv.Next();) {
          if (kv.field().number == kKey) key = kv.field().bytes;
          if (kv.field().number == kAnyValue) value = kv.field().bytes;
        }
        AppendJsonString(out, key);
        *out += ':';
        AppendAnyValue(out, value, true);
      }
      *out += '}';
      return;
    }
    default:
      if (json) out->append("null");
      return;
  }
}

struct Attribute {
  std::string key;  // as sent
  std::string value;
};

Attribute ReadAttribute(std::string_view key_value, size_t max_value_bytes) {
  Attribute attribute;
  std::string_view value;
  for (wire::Cursor c(key_value); c.Next();) {
    if (c.field().number == kKey) attribute.key = c.field().bytes;
    if (c.field().number == kAnyValue) value = c.field().bytes;
  }
  AppendAnyValue(&attribute.value, value, false);
  attribute.value.resize(CutValue(attribute.value, max_value_bytes).size());
  return attribute;
}

// ---- Label sets -------------------------------------------------------------------------------------------

using NameValue = std::pair<std::string, std::string>;

// One string for a whole label set, sorted by name, so that equal sets are equal bytes.
void AppendSized(std::string* out, std::string_view text) {
  const uint32_t size = static_cast<uint32_t>(text.size());
  out->append(reinterpret_cast<const char*>(&size), sizeof size);
  out->append(text);
}

std::string_view TakeSized(std::string_view* in) {
  uint32_t size;
  std::memcpy(&size, in->data(), sizeof size);
  const std::string_view text = in->substr(sizeof size, size);
  in->remove_prefix(sizeof size + size);
  return text;
}

void DecodeLabels(std::string_view encoded, std::vector<Label>* out) {
  out->clear();
  while (!encoded.empty()) {
    const std::string_view name = TakeSized(&encoded);
    out->push_back({name, TakeSized(&encoded)});
  }
}

// Attributes under their label names. Of one key the last value counts; values of keys that become the same
// name are joined by ';' in the order of the keys, as the specification says.
std::vector<NameValue> ToLabels(const std::vector<Attribute>& attributes) {
  struct Named {
    std::string name;
    size_t index;
  };
  std::vector<Named> named;
  for (size_t i = 0; i < attributes.size(); ++i) named.push_back({PrometheusLabelName(attributes[i].key), i});
  std::sort(named.begin(), named.end(), [&](const Named& a, const Named& b) {
    return std::tie(a.name, attributes[a.index].key, a.index) <
           std::tie(b.name, attributes[b.index].key, b.index);
  });
  std::vector<NameValue> labels;
  for (size_t i = 0; i < named.size(); ++i) {
    const Attribute& attribute = attributes[named[i].index];
    if (i + 1 < named.size() && attributes[named[i + 1].index].key == attribute.key) continue;
    if (!labels.empty() && labels.back().first == named[i].name) {
      labels.back().second.append(";").append(attribute.value);
    } else {
      labels.emplace_back(std::move(named[i].name), attribute.value);
    }
  }
  return labels;
}

void Set(std::vector<NameValue>* labels, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  for (NameValue& label : *labels) {
    if (label.first == name) {
      label.second = value;
      return;
    }
  }
  labels->emplace_back(name, value);
}

std::string Encode(std::vector<NameValue> labels) {
  std::sort(labels.begin(), labels.end());
  std::string encoded;
  for (const auto& [name, value] : labels) {
    if (value.empty()) continue;
    AppendSized(&encoded, name);
    AppendSized(&encoded, value);
  }
  return encoded;
}

// What a resource says about all of its metrics.
struct Target {
  std::string job;
  std::string instance;
  std::vector<Attribute> rest;
};

// ---- What is kept
// ------------------------------------------------------------------------------------------

struct KeptExemplar {
  double value = 0;
  uint64_t time_ns = 0;
  TraceId trace;
  uint64_t span = 0;
  std::vector<NameValue> extra;
};
using KeptExemplarPtr = std::shared_ptr<const KeptExemplar>;

struct Buckets {
  std::vector<double> bounds;
  std::vector<uint64_t> counts;
  double sum = 0;
  bool has_sum = false;
  std::vector<KeptExemplarPtr> exemplars;  // per bucket, or empty

  size_t bytes() const {
    return sizeof *this + bounds.size() * sizeof(double) + counts.size() * sizeof(uint64_t) +
           exemplars.size() * sizeof(KeptExemplarPtr);
  }
};

struct Quantiles {
  std::vector<double> quantiles;
  std::vector<double> values;
  double sum = 0;
  uint64_t count = 0;

  size_t bytes() const { return sizeof *this + quantiles.size() * 2 * sizeof(double); }
};

// The state of one series. What it points to is never changed, only replaced, so a page can be written from
// a copy of the pointers.
struct Point {
  std::shared_ptr<const std::string> labels;
  double value = 0;
  uint64_t created_ns = 0;
  KeptExemplarPtr exemplar;
  std::shared_ptr<const Buckets> buckets;
  std::shared_ptr<const Quantiles> quantiles;
};

struct Series {
  Point point;
  uint64_t time_ns = 0;  // of the last point
  uint64_t tick = 0;     // of the last refresh
  uint64_t bytes = 0;    // charged
  uint32_t family = 0;
  uint32_t position = 0;  // in Family::series
  uint32_t generation = 0;
  bool live = false;
};

struct Family {
  std::string name;
  std::string unit;
  std::string help;
  MetricType type = MetricType::kUnknown;
  std::vector<uint32_t> series;
  bool live = false;
};

size_t BytesOf(const KeptExemplar& exemplar) {
  size_t bytes = sizeof exemplar;
  for (const auto& [name, value] : exemplar.extra) bytes += sizeof(NameValue) + name.size() + value.size();
  return bytes;
}

size_t BytesOf(const Point& point) {
  size_t bytes = point.labels->size() + sizeof(std::string);
  if (point.exemplar) bytes += BytesOf(*point.exemplar);
  if (point.quantiles) bytes += point.quantiles->bytes();
  if (point.buckets) {
    bytes += point.buckets->bytes();
    for (const KeptExemplarPtr& exemplar : point.buckets->exemplars) {
      if (exemplar) bytes += BytesOf(*exemplar);
    }
  }
  return bytes;
}

// A series beside what it points to: its row, its place in the indexes, allocator overhead.
constexpr size_t kSeriesBytes = sizeof(Series) + 96;

struct SeriesKey {
  uint32_t family = 0;
  std::string_view labels;
};

// Looks series up by family and labels. The order of the set is never used.
struct ByLabels {
  using is_transparent = void;
  const std::vector<Series>* series;
  uint64_t seed;

  SeriesKey Of(uint32_t id) const { return {(*series)[id].family, *(*series)[id].point.labels}; }
  const SeriesKey& Of(const SeriesKey& key) const { return key; }

  template <typename T>
  size_t operator()(const T& value) const {
    const SeriesKey key = Of(value);
    return XXH3_64bits_withSeed(key.labels.data(), key.labels.size(), seed ^ key.family);
  }
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    const SeriesKey x = Of(a);
    const SeriesKey y = Of(b);
    return x.family == y.family && x.labels == y.labels;
  }
};

// ---- One data point as parsed -----------------------------------------------------------------------------

struct ParsedPoint {
  std::vector<std::string_view> attributes;
  std::vector<std::string_view> exemplars;
  uint64_t start_ns = 0;
  uint64_t time_ns = 0;
  uint64_t flags = 0;
  bool has_value = false;
  double value = 0;
  uint64_t count = 0;
  bool has_sum = false;
  double sum = 0;
  std::vector<uint64_t> counts;
  std::vector<double> bounds;
  std::vector<double> quantiles;
  std::vector<double> values;

  void Clear() {
    attributes.clear();
    exemplars.clear();
    start_ns = time_ns = flags = count = 0;
    has_value = has_sum = false;
    value = sum = 0;
    counts.clear();
    bounds.clear();
    quantiles.clear();
    values.clear();
  }
};

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

// One Metric: what all of its points share.
struct ParsedMetric {
  std::string_view name;
  std::string_view help;
  std::string_view unit;
  uint32_t data = 0;                    // field number of the oneof's member
  std::vector<std::string_view> parts;  // its messages: a member that occurs twice is merged
  uint64_t temporality = 0;
  bool monotonic = false;

  MetricType type() const {
    switch (data) {
      case kMetricSum: return monotonic ? MetricType::kCounter : MetricType::kGauge;
      case kMetricHistogram: return MetricType::kHistogram;
      case kMetricSummary: return MetricType::kSummary;
      default: return MetricType::kGauge;
    }
  }
};

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

}  // namespace

std::string_view NotExposedName(NotExposed reason) {
  switch (reason) {
    case NotExposed::kExponential: return "exponential";
    case NotExposed::kType: return "type_conflict";
    case NotExposed::kUnit: return "unit_conflict";
    case NotExposed::kName: return "name_conflict";
    case NotExposed::kReserved: return "reserved_name";
    case NotExposed::kBadName: return "bad_name";
    case NotExposed::kBadPoint: return "bad_point";
    case NotExposed::kOutOfOrder: return "out_of_order";
    case NotExposed::kCap: return "cap";
  }
  return "";
}

struct MetricIngest::State {
  explicit State(const Options& o)
      : options(o), known(0, ByLabels{&series, o.seed}, ByLabels{&series, o.seed}) {}

  // The series an exact sequence of attribute bytes stood for the last time: spares building labels again.
  struct Alias {
    uint32_t series = 0;
    uint32_t generation = 0;
  };

  void Count(NotExposed reason, uint64_t points = 1) {
    stats.not_exposed[static_cast<size_t>(reason)] += points;
  }

  void ApplyMetric(const Batch& batch, const Item& item);
  std::optional<uint32_t> FamilyFor(const ParsedMetric& metric, NotExposed* why);
  std::optional<uint32_t> FamilyNamed(MetricName name, MetricType type, std::string_view help,
                                      NotExposed* why);
  void ApplyPoint(const Batch& batch, const Item& item, const ParsedMetric& metric, uint32_t family);
  uint64_t AliasOf(const Batch& batch, const Item& item, uint32_t family) const;
  std::optional<uint32_t> Lookup(uint64_t alias);
  uint32_t Enter(uint32_t family, std::string labels, uint64_t alias, bool* fresh);
  std::string PointLabels(const Batch& batch, const Item& item, MetricType type);
  bool Update(Series* to, const ParsedMetric& metric, bool fresh);
  void UpdateBuckets(Series* to, bool add);
  void Charge(Series* to);
  void Remove(uint32_t id);
  void DropIfEmpty(uint32_t family);
  void RefreshTarget(const Batch& batch, uint32_t resource);
  Target ReadTarget(const Batch& batch, uint32_t resource) const;

  const Options& options;
  uint64_t now = 0;
  uint64_t swept = 0;
  Stats stats;

  std::vector<Family> families;
  std::vector<uint32_t> free_families;
  absl::flat_hash_map<std::string, uint32_t> claimed;  // every sample name of every family

  std::vector<Series> series;
  std::vector<uint32_t> free_series;
  absl::flat_hash_set<uint32_t, ByLabels, ByLabels> known;
  absl::flat_hash_map<uint64_t, Alias> aliases;

  ParsedMetric metric;  // scratch
  ParsedPoint point;
};

// ---- Families
// ----------------------------------------------------------------------------------------------

std::optional<uint32_t> MetricIngest::State::FamilyFor(const ParsedMetric& from, NotExposed* why) {
  MetricName name = PrometheusMetricName(from.name, from.unit, from.type());
  if (name.name.empty()) {
    *why = NotExposed::kBadName;
    return std::nullopt;
  }
  return FamilyNamed(std::move(name), from.type(), from.help, why);
}

std::optional<uint32_t> MetricIngest::State::FamilyNamed(MetricName name, MetricType type,
                                                         std::string_view help, NotExposed* why) {
  if (const auto at = claimed.find(name.name); at != claimed.end()) {
    const Family& family = families[at->second];
    if (family.name == name.name) {
      // No unit at all contradicts none: "x.seconds" without and "x" with unit "s" are one family.
      const bool same_unit = family.unit == name.unit || family.unit.empty() || name.unit.empty();
      *why = family.type != type ? NotExposed::kType : NotExposed::kUnit;
      if (family.type != type || !same_unit) return std::nullopt;
      if (family.help != help) ++stats.help_conflicts;
      return at->second;
    }
  }
  const auto is = [&](const std::string& reserved) { return name.name == reserved; };
  const auto begins = [&](const std::string& prefix) { return name.name.starts_with(prefix); };
  if (std::any_of(options.reserved_names.begin(), options.reserved_names.end(), is) ||
      std::any_of(options.reserved_prefixes.begin(), options.reserved_prefixes.end(), begins)) {
    *why = NotExposed::kReserved;
    return std::nullopt;
  }
  for (const std::string_view suffix : SampleSuffixes(type)) {
    if (claimed.contains(std::string(name.name).append(suffix))) {
      *why = NotExposed::kName;
      return std::nullopt;
    }
  }
  uint32_t id;
  if (free_families.empty()) {
    id = static_cast<uint32_t>(families.size());
    families.emplace_back();
  } else {
    id = free_families.back();
    free_families.pop_back();
  }
  for (const std::string_view suffix : SampleSuffixes(type))
    claimed[std::string(name.name).append(suffix)] = id;
  Family& family = families[id];
  family.name = std::move(name.name);
  family.unit = std::move(name.unit);
  family.help = CutValue(help, options.max_value_bytes);
  family.type = type;
  family.live = true;
  ++stats.families;
  return id;
}

void MetricIngest::State::DropIfEmpty(uint32_t id) {
  Family& family = families[id];
  if (!family.live || !family.series.empty()) return;
  for (const std::string_view suffix : SampleSuffixes(family.type)) {
    claimed.erase(std::string(family.name).append(suffix));
  }
  family = Family{};
  free_families.push_back(id);
  --stats.families;
}

// ---- Series
// ------------------------------------------------------------------------------------------------

uint64_t MetricIngest::State::AliasOf(const Batch& batch, const Item& item, uint32_t family) const {
  const BatchGroup& group = batch.groups[item.group];
  uint64_t hash = Mix64(batch.resources[group.resource].key ^ options.seed ^ family);
  hash = Mix64(hash ^ group.key);
  for (const std::string_view attribute : point.attributes) {
    hash = XXH3_64bits_withSeed(attribute.data(), attribute.size(), hash);
  }
  return hash;
}

std::optional<uint32_t> MetricIngest::State::Lookup(uint64_t alias) {
  const auto at = aliases.find(alias);
  if (at == aliases.end()) return std::nullopt;
  const Series& known_as = series[at->second.series];
  if (!known_as.live || known_as.generation != at->second.generation) {
    aliases.erase(at);
    return std::nullopt;
  }
  return at->second.series;
}

// The series with these labels, made if need be; kNoSeries if there is no room.
uint32_t MetricIngest::State::Enter(uint32_t family, std::string labels, uint64_t alias, bool* fresh) {
  *fresh = false;
  uint32_t id = static_cast<uint32_t>(series.size());
  if (const auto at = known.find(SeriesKey{family, labels}); at != known.end()) {
    id = *at;
  } else {
    const size_t cost = kSeriesBytes + labels.size() + sizeof(std::string);
    if (stats.series >= options.max_series || stats.bytes + cost > options.max_bytes) return kNoSeries;
    if (free_series.empty()) {
      series.emplace_back();
    } else {
      id = free_series.back();
      free_series.pop_back();
    }
    Series& made = series[id];
    made.point.labels = std::make_shared<const std::string>(std::move(labels));
    made.family = family;
    made.position = static_cast<uint32_t>(families[family].series.size());
    made.live = true;
    families[family].series.push_back(id);
    known.insert(id);
    ++stats.series;
    *fresh = true;
  }
  // Senders that shuffle their attributes make new aliases without end: start over then.
  if (aliases.size() > options.max_series * 2) aliases.clear();
  aliases[alias] = {id, series[id].generation};
  return id;
}

void MetricIngest::State::Charge(Series* to) {
  const uint64_t bytes = kSeriesBytes + BytesOf(to->point);
  stats.bytes += bytes - to->bytes;
  to->bytes = bytes;
}

void MetricIngest::State::Remove(uint32_t id) {
  Series& gone = series[id];
  known.erase(id);
  std::vector<uint32_t>& members = families[gone.family].series;
  members[gone.position] = members.back();
  series[members.back()].position = gone.position;
  members.pop_back();
  stats.bytes -= gone.bytes;
  --stats.series;
  const uint32_t generation = gone.generation + 1;
  gone = Series{};
  gone.generation = generation;
  free_series.push_back(id);
}

// ---- Labels
// ------------------------------------------------------------------------------------------------

Target MetricIngest::State::ReadTarget(const Batch& batch, uint32_t index) const {
  Target target;
  std::string name, space;
  const BatchResource& resource = batch.resources[index];
  for (uint32_t i = 0; i < resource.range_count; ++i) {
    for (wire::Cursor c(batch.bytes(batch.ranges[resource.first_range + i])); c.Next();) {
      if (c.field().number != kResourceMetricsResource) continue;
      for (wire::Cursor a(c.field().bytes); a.Next();) {
        if (a.field().number != kResourceAttributes) continue;
        Attribute attribute = ReadAttribute(a.field().bytes, options.max_value_bytes);
        if (attribute.key == "service.name") {
          name = std::move(attribute.value);
        } else if (attribute.key == "service.namespace") {
          space = std::move(attribute.value);
        } else if (attribute.key == "service.instance.id") {
          target.instance = std::move(attribute.value);
        } else {
          target.rest.push_back(std::move(attribute));
        }
      }
    }
  }
  if (!name.empty()) target.job = space.empty() ? name : space + "/" + name;
  return target;
}

// Empty if there are too many.
std::string MetricIngest::State::PointLabels(const Batch& batch, const Item& item, MetricType type) {
  std::vector<Attribute> attributes;
  for (const std::string_view attribute : point.attributes) {
    attributes.push_back(ReadAttribute(attribute, options.max_value_bytes));
  }
  std::vector<NameValue> labels = ToLabels(attributes);
  for (NameValue& label : labels) {
    const bool taken = (type == MetricType::kHistogram && label.first == "le") ||
                       (type == MetricType::kSummary && label.first == "quantile");
    if (taken) label.first.insert(0, "exported_");
  }
  const BatchGroup& group = batch.groups[item.group];
  const Target target = ReadTarget(batch, group.resource);
  Set(&labels, "job", target.job);
  Set(&labels, "instance", target.instance);
  for (uint32_t i = 0; i < group.range_count; ++i) {
    for (wire::Cursor c(batch.bytes(batch.ranges[group.first_range + i])); c.Next();) {
      if (c.field().number != kScopeMetricsScope) continue;
      for (wire::Cursor s(c.field().bytes); s.Next();) {
        const std::string_view value = CutValue(s.field().bytes, options.max_value_bytes);
        if (s.field().number == kScopeName) Set(&labels, "otel_scope_name", value);
        if (s.field().number == kScopeVersion) Set(&labels, "otel_scope_version", value);
      }
    }
  }
  return Encode(std::move(labels));
}

void MetricIngest::State::RefreshTarget(const Batch& batch, uint32_t index) {
  const uint64_t alias = Mix64(batch.resources[index].key ^ options.seed ^ 0x7461726765740000u);
  if (const std::optional<uint32_t> id = Lookup(alias)) {
    series[*id].tick = now;
    return;
  }
  Target target = ReadTarget(batch, index);
  if ((target.job.empty() && target.instance.empty()) || target.rest.empty()) return;
  if (target.rest.size() > options.max_labels) target.rest.resize(options.max_labels);
  std::vector<NameValue> labels = ToLabels(target.rest);
  Set(&labels, "job", target.job);
  Set(&labels, "instance", target.instance);
  NotExposed why = NotExposed::kCap;
  const std::optional<uint32_t> family =
      FamilyNamed({"target_info", ""}, MetricType::kGauge, "Resource attributes of a target.", &why);
  if (!family) {
    Count(why);
    return;
  }
  bool fresh = false;
  const uint32_t id = Enter(*family, Encode(std::move(labels)), alias, &fresh);
  if (id == kNoSeries) {
    Count(NotExposed::kCap);
    DropIfEmpty(*family);
    return;
  }
  Series& to = series[id];
  to.point.value = 1;
  to.tick = now;
  Charge(&to);
}

// ---- Points
// ------------------------------------------------------------------------------------------------

void MetricIngest::State::UpdateBuckets(Series* to, bool add) {
  auto next = std::make_shared<Buckets>();
  next->bounds = point.bounds;
  next->counts = point.counts;
  next->sum = point.sum;
  next->has_sum = point.has_sum;
  const Buckets* last = to->point.buckets.get();
  const bool same_bounds = last != nullptr && last->bounds == next->bounds;
  if (add && same_bounds) {
    for (size_t i = 0; i < next->counts.size(); ++i) next->counts[i] += last->counts[i];
    next->sum += last->sum;
    next->has_sum &= last->has_sum;
  } else if (add) {
    to->point.created_ns = point.start_ns;
  }
  if (same_bounds) next->exemplars = last->exemplars;
  for (const std::string_view message : point.exemplars) {
    KeptExemplarPtr exemplar = ParseExemplar(message);
    if (!exemplar) {
      ++stats.exemplars_dropped;
      continue;
    }
    const size_t bucket = static_cast<size_t>(
        std::lower_bound(next->bounds.begin(), next->bounds.end(), exemplar->value) - next->bounds.begin());
    next->exemplars.resize(next->counts.size());
    KeptExemplarPtr& slot = next->exemplars[bucket];
    if (!slot || exemplar->time_ns >= slot->time_ns) slot = std::move(exemplar);
  }
  to->point.buckets = std::move(next);
}

// False, and counted, if the point changes nothing.
bool MetricIngest::State::Update(Series* to, const ParsedMetric& from, bool fresh) {
  if (!fresh && point.time_ns != 0 && point.time_ns <= to->time_ns) {
    Count(NotExposed::kOutOfOrder);
    return false;
  }
  const bool delta = from.temporality == kDelta;
  const uint64_t start_ns = point.start_ns != 0 || !delta ? point.start_ns : point.time_ns;
  if (fresh || !delta) to->point.created_ns = start_ns;
  switch (from.type()) {
    case MetricType::kHistogram: UpdateBuckets(to, delta && !fresh); break;
    case MetricType::kSummary: {
      auto next = std::make_shared<Quantiles>();
      next->quantiles = point.quantiles;
      next->values = point.values;
      next->sum = point.sum;
      next->count = point.count;
      to->point.quantiles = std::move(next);
      stats.exemplars_dropped += point.exemplars.size();
      break;
    }
    case MetricType::kGauge:
      to->point.value = delta && !fresh ? to->point.value + point.value : point.value;
      stats.exemplars_dropped += point.exemplars.size();
      break;
    case MetricType::kCounter:
      to->point.value = delta && !fresh ? to->point.value + point.value : point.value;
      for (const std::string_view message : point.exemplars) {
        KeptExemplarPtr exemplar = ParseExemplar(message);
        if (!exemplar) {
          ++stats.exemplars_dropped;
        } else if (!to->point.exemplar || exemplar->time_ns >= to->point.exemplar->time_ns) {
          to->point.exemplar = std::move(exemplar);
        }
      }
      break;
    case MetricType::kUnknown: break;  // OTLP has no such type
  }
  to->time_ns = point.time_ns;
  to->tick = now;
  Charge(to);
  return true;
}

void MetricIngest::State::ApplyPoint(const Batch& batch, const Item& item, const ParsedMetric& from,
                                     uint32_t family) {
  const uint64_t alias = AliasOf(batch, item, family);
  std::optional<uint32_t> id = Lookup(alias);
  bool fresh = false;
  if ((point.flags & kNoRecordedValue) != 0) {
    if (!id) {
      const auto at = known.find(SeriesKey{family, PointLabels(batch, item, from.type())});
      if (at != known.end()) id = *at;
    }
    if (id) Remove(*id);
    return;
  }
  if (!point.has_value) {
    Count(NotExposed::kBadPoint);
    return;
  }
  if (!id) {
    const uint32_t entered = point.attributes.size() > options.max_labels
                                 ? kNoSeries
                                 : Enter(family, PointLabels(batch, item, from.type()), alias, &fresh);
    if (entered == kNoSeries) {
      Count(NotExposed::kCap);
      return;
    }
    id = entered;
  }
  if (!Update(&series[*id], from, fresh)) return;
  // What a point brings along may be large: a histogram's bounds.
  if (stats.bytes > options.max_bytes) {
    Remove(*id);
    Count(NotExposed::kCap);
    return;
  }
  ++stats.points;
}

void MetricIngest::State::ApplyMetric(const Batch& batch, const Item& item) {
  metric.name = metric.help = metric.unit = {};
  metric.data = 0;
  metric.temporality = 0;
  metric.monotonic = false;
  ParseMetric(batch.ItemBytes(item.offset), &metric);

  std::optional<uint32_t> family;
  NotExposed why = NotExposed::kBadPoint;
  const bool has_temporality = metric.data == kMetricSum || metric.data == kMetricHistogram;
  if (metric.data == kMetricExponential) {
    why = NotExposed::kExponential;
  } else if (!has_temporality || metric.temporality == kDelta || metric.temporality == kCumulative) {
    if (metric.data != 0) family = FamilyFor(metric, &why);
  }
  for (const std::string_view part : metric.parts) {
    for (wire::Cursor c(part); c.Next();) {
      if (c.field().number != kDataPoints || c.field().type != wire::Type::kBytes) continue;
      if (!family) {
        Count(why);
        continue;
      }
      ParsePoint(metric, c.field().bytes, &point);
      ApplyPoint(batch, item, metric, *family);
    }
  }
  if (family) DropIfEmpty(*family);
}

// ---- The public face ------------------------------------------------------------------------------------

MetricIngest::MetricIngest(const Options& options)
    : options_(options), state_(std::make_unique<State>(options_)) {}

MetricIngest::~MetricIngest() = default;

void MetricIngest::Apply(const BatchRef& batch, std::span<const Item> items) {
  MutexLock lock(mutex_);
  uint32_t resource = ~0u;
  for (const Item& item : items) {
    state_->ApplyMetric(*batch, item);
    const uint32_t of_item = batch->groups[item.group].resource;
    if (!options_.target_info || of_item == resource) continue;
    resource = of_item;
    state_->RefreshTarget(*batch, resource);
  }
}

void MetricIngest::Advance(uint64_t tick) {
  MutexLock lock(mutex_);
  State& state = *state_;
  state.now = tick;
  if (tick - state.swept < kSweepTicks) return;
  state.swept = tick;
  for (uint32_t id = 0; id < state.series.size(); ++id) {
    const Series& one = state.series[id];
    if (!one.live || tick - one.tick <= options_.stale_ticks) continue;
    const uint32_t family = one.family;
    state.Remove(id);
    state.DropIfEmpty(family);
    ++state.stats.expired_series;
  }
}

void MetricIngest::Write(ExpositionWriter& writer) const {
  Family family;
  std::vector<Point> points;
  std::vector<Label> labels;
  std::vector<Label> extra;
  std::vector<std::vector<Label>> extras;
  std::vector<ExemplarView> views;
  std::vector<const ExemplarView*> pointers;
  std::vector<double> counts;

  const auto view_of = [](const KeptExemplar& exemplar, std::vector<Label>* storage) {
    storage->clear();
    for (const auto& [name, value] : exemplar.extra) storage->push_back({name, value});
    return ExemplarView{exemplar.value, exemplar.time_ns, exemplar.trace, exemplar.span, *storage};
  };

  for (size_t id = 0;; ++id) {
    {
      MutexLock lock(mutex_);
      if (id >= state_->families.size()) return;
      const Family& from = state_->families[id];
      if (!from.live) continue;
      family.name = from.name;
      family.unit = from.unit;
      family.help = from.help;
      family.type = from.type;
      points.clear();
      points.reserve(from.series.size());
      for (const uint32_t member : from.series) points.push_back(state_->series[member].point);
    }
    writer.Family({family.name, family.help, family.unit, family.type});
    for (const Point& point : points) {
      DecodeLabels(*point.labels, &labels);
      switch (family.type) {
        case MetricType::kCounter: {
          ExemplarView view;
          if (point.exemplar) view = view_of(*point.exemplar, &extra);
          writer.Counter(labels, point.value, point.created_ns, point.exemplar ? &view : nullptr);
          break;
        }
        case MetricType::kGauge: writer.Gauge(labels, point.value); break;
        case MetricType::kHistogram: {
          const Buckets& buckets = *point.buckets;
          HistogramView histogram;
          histogram.bounds = buckets.bounds;
          counts.assign(buckets.counts.begin(), buckets.counts.end());
          histogram.counts = counts;
          histogram.sum = buckets.sum;
          histogram.has_sum = buckets.has_sum;
          const size_t slots = buckets.exemplars.size();
          views.assign(slots, {});
          extras.resize(std::max(extras.size(), slots));
          pointers.assign(slots, nullptr);
          for (size_t i = 0; i < slots; ++i) {
            if (!buckets.exemplars[i]) continue;
            views[i] = view_of(*buckets.exemplars[i], &extras[i]);
            pointers[i] = &views[i];
          }
          histogram.exemplars = pointers;
          writer.Histogram(labels, histogram, point.created_ns);
          break;
        }
        case MetricType::kSummary: {
          const Quantiles& quantiles = *point.quantiles;
          writer.Summary(labels, {quantiles.quantiles, quantiles.values, quantiles.sum, quantiles.count},
                         point.created_ns);
          break;
        }
        case MetricType::kUnknown: break;
      }
    }
  }
}

MetricIngest::Stats MetricIngest::stats() const {
  MutexLock lock(mutex_);
  return state_->stats;
}

}  // namespace braid::correlate
