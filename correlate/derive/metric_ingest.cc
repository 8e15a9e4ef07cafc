#include "correlate/derive/metric_ingest.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <re2/re2.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/wire.h"
#include "correlate/derive/any_value.h"
#include "correlate/derive/exemplar_candidates.h"
#include "correlate/derive/metric_labels.h"
#include "correlate/derive/metric_names.h"
#include "correlate/derive/metric_point.h"
#include "correlate/model/epoch.h"

namespace braid::correlate {
namespace {

constexpr uint64_t kSweepTicks = 200;
constexpr uint32_t kNoSeries = ~uint32_t{0};

// Of an explicit histogram.
struct Buckets {
  std::vector<double> bounds;
  std::vector<double> counts;
  double sum = 0;
  bool has_sum = false;
  std::vector<KeptExemplarPtr> exemplars;  // per bucket, or empty

  size_t bytes() const {
    return sizeof *this + (bounds.size() + counts.size()) * sizeof(double) +
           exemplars.size() * sizeof(KeptExemplarPtr);
  }
};

// An exponential histogram.
struct Native {
  static constexpr size_t kMaxExemplars = 10;

  struct Slot {
    int sign = 0;  // 0: the zero bucket
    int32_t index = 0;
    KeptExemplarPtr exemplar;
  };

  NativeBuckets buckets;
  double sum = 0;
  bool has_sum = false;
  std::vector<Slot> exemplars;  // of a bucket each, the oldest first

  size_t bytes() const {
    return sizeof *this - sizeof buckets + buckets.bytes() + exemplars.capacity() * sizeof(Slot);
  }

  // Keeps the latest exemplar of each bucket, and of the buckets those that had one last. False if one, be it
  // this, is given up for the bound.
  bool Offer(KeptExemplarPtr exemplar);
};

struct Quantiles {
  std::vector<double> quantiles;
  std::vector<double> values;
  double sum = 0;
  uint64_t count = 0;

  size_t bytes() const { return sizeof *this + quantiles.size() * 2 * sizeof(double); }
};

// Which spans may be exemplars of a histogram, and what a unit of it is.
struct Loan {
  MatchKey match;
  double unit_ns = 0;
};

// The state of one series. What it points to is never changed, only replaced, so a page can be written from
// a copy of the pointers.
struct Point {
  std::shared_ptr<const std::string> labels;
  double value = 0;
  uint64_t created_ns = 0;
  uint64_t time_ns = 0;  // of the last point
  KeptExemplarPtr exemplar;
  std::shared_ptr<const Buckets> buckets;  // of a histogram this or `native`
  std::shared_ptr<const Native> native;
  std::shared_ptr<const Quantiles> quantiles;
  std::shared_ptr<const Loan> loan;  // null: no exemplars are lent to it
};

struct Series {
  Point point;
  uint64_t tick = 0;   // of the last refresh
  uint64_t bytes = 0;  // charged
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

  // Nobody said what it is: gives its name to who knows.
  bool guess() const { return type == MetricType::kUnknown; }
};

size_t BytesOf(const KeptExemplar& exemplar) {
  size_t bytes = sizeof exemplar;
  for (const auto& [name, value] : exemplar.extra) bytes += sizeof(NameValue) + name.size() + value.size();
  return bytes;
}

size_t BytesOf(const Point& point) {
  size_t bytes = point.labels->size() + sizeof(std::string);
  if (point.exemplar) bytes += BytesOf(*point.exemplar);
  if (point.loan) bytes += sizeof(Loan) + 16;  // with its counts of owners
  if (point.quantiles) bytes += point.quantiles->bytes();
  if (point.buckets) {
    bytes += point.buckets->bytes();
    for (const KeptExemplarPtr& exemplar : point.buckets->exemplars) {
      if (exemplar) bytes += BytesOf(*exemplar);
    }
  }
  if (point.native) {
    bytes += point.native->bytes();
    for (const Native::Slot& slot : point.native->exemplars) bytes += BytesOf(*slot.exemplar);
  }
  return bytes;
}

bool Native::Offer(KeptExemplarPtr exemplar) {
  Slot slot;
  const double value = exemplar->value;
  if (value != 0 && std::abs(value) > buckets.zero_threshold) {
    slot.sign = value > 0 ? 1 : -1;
    // Beyond all doubles there is no bucket; such a value goes with the last one.
    slot.index = NativeIndex(std::min(std::abs(value), std::numeric_limits<double>::max()), buckets.schema);
  }
  const uint64_t time_ns = exemplar->time_ns;
  slot.exemplar = std::move(exemplar);
  const auto same = std::find_if(exemplars.begin(), exemplars.end(), [&](const Slot& other) {
    return other.sign == slot.sign && other.index == slot.index;
  });
  bool kept_all = true;
  if (same != exemplars.end()) {
    if (same->exemplar->time_ns > time_ns) return true;
    exemplars.erase(same);
  } else if (exemplars.size() == kMaxExemplars) {
    kept_all = false;
    if (exemplars.front().exemplar->time_ns > time_ns) return false;
    exemplars.erase(exemplars.begin());
  }
  const auto later = [](uint64_t time, const Slot& other) { return time < other.exemplar->time_ns; };
  exemplars.insert(std::upper_bound(exemplars.begin(), exemplars.end(), time_ns, later), std::move(slot));
  return kept_all;
}

// Spans for the buckets of one histogram that have no exemplar. Kept for its capacity.
class Lender {
 public:
  Lender(ExemplarCandidates* candidates, uint64_t max_age_ns)
      : candidates_(candidates), max_age_ns_(max_age_ns) {}
  ~Lender() {
    if (!lent_.empty()) candidates_->Lent(lent_);
  }
  Lender(const Lender&) = delete;
  Lender& operator=(const Lender&) = delete;

  // Puts lent ones among the sender's own, which are in `views` where `pointers` is not null: one for each
  // bucket then, or none at all.
  void Fill(const Point& to, const Buckets& buckets, std::vector<ExemplarView>* views,
            std::vector<const ExemplarView*>* pointers) {
    if (!Search(to)) return;
    const size_t own = pointers->size();
    views->resize(buckets.counts.size());
    pointers->resize(buckets.counts.size(), nullptr);
    for (size_t i = 0; i < own; ++i) {
      if ((*pointers)[i] != nullptr) (*pointers)[i] = &(*views)[i];
    }
    const auto of_sender = [&](size_t bucket) {
      return bucket < buckets.exemplars.size() && buckets.exemplars[bucket] != nullptr;
    };
    for (const Exemplar& span : found_) {
      const double value = static_cast<double>(span.duration_ns) / to.loan->unit_ns;
      const auto bucket = static_cast<size_t>(
          std::lower_bound(buckets.bounds.begin(), buckets.bounds.end(), value) - buckets.bounds.begin());
      // found_ begins with the latest. What the sender did not count is not an example of what it did.
      if (of_sender(bucket) || (*pointers)[bucket] != nullptr || buckets.counts[bucket] <= 0) continue;
      (*views)[bucket] = ViewOf(span, value);
      (*pointers)[bucket] = &(*views)[bucket];
      lent_.push_back(span.trace.lo);
    }
  }

  // The same for a native histogram: of buckets that have none in `views`, up to its maximum.
  void Fill(const Point& to, const Native& native, std::vector<ExemplarView>* views) {
    if (views->size() >= Native::kMaxExemplars || !Search(to)) return;
    taken_.clear();
    for (const Native::Slot& slot : native.exemplars) taken_.emplace_back(slot.sign, slot.index);
    const size_t own = views->size();
    for (const Exemplar& span : found_) {
      if (views->size() >= Native::kMaxExemplars) break;
      const double value = static_cast<double>(span.duration_ns) / to.loan->unit_ns;
      std::pair<int, int32_t> place{0, 0};
      bool counted = native.buckets.zero_count > 0;
      if (value != 0 && value > native.buckets.zero_threshold) {
        place = {1, NativeIndex(value, native.buckets.schema)};
        const auto& buckets = native.buckets.positive;
        const auto at =
            std::lower_bound(buckets.begin(), buckets.end(), place.second,
                             [](const NativeBucket& b, int32_t index) { return b.index < index; });
        counted = at != buckets.end() && at->index == place.second && at->count > 0;
      }
      if (!counted || std::find(taken_.begin(), taken_.end(), place) != taken_.end()) continue;
      taken_.push_back(place);
      views->push_back(ViewOf(span, value));
      lent_.push_back(span.trace.lo);
    }
    if (views->size() == own) return;
    std::stable_sort(views->begin(), views->end(),
                     [](const ExemplarView& a, const ExemplarView& b) { return a.time_ns < b.time_ns; });
  }

 private:
  static ExemplarView ViewOf(const Exemplar& span, double value) {
    return {value, span.time_ns, span.trace, span.span, {}};
  }

  // Those that match, the latest first. False: there are none.
  bool Search(const Point& to) {
    if (candidates_ == nullptr || to.loan == nullptr) return false;
    uint64_t from_ns = to.created_ns;
    uint64_t until_ns = std::numeric_limits<uint64_t>::max();
    if (to.time_ns != 0) {
      if (to.time_ns > max_age_ns_) from_ns = std::max(from_ns, to.time_ns - max_age_ns_);
      if (until_ns - to.time_ns > max_age_ns_) until_ns = to.time_ns + max_age_ns_;
    }
    found_.clear();
    candidates_->Find(to.loan->match, from_ns, until_ns, &found_);
    std::sort(found_.begin(), found_.end(), [](const Exemplar& a, const Exemplar& b) {
      return a.time_ns != b.time_ns ? a.time_ns > b.time_ns : MoreTelling(a, b);
    });
    return !found_.empty();
  }

  ExemplarCandidates* const candidates_;
  const uint64_t max_age_ns_;
  std::vector<Exemplar> found_;
  std::vector<std::pair<int, int32_t>> taken_;
  std::vector<uint64_t> lent_;  // low halves of trace IDs
};

// A series beside what it points to: its row, its place in the indexes, allocator overhead.
constexpr size_t kSeriesBytes = sizeof(Series) + 96;

struct PointKey {
  uint32_t family = 0;
  std::string_view labels;
};

// Looks series up by family and labels. The order of the set is never used.
struct ByLabels {
  using is_transparent = void;
  const std::vector<Series>* series;
  uint64_t seed;

  PointKey Of(uint32_t id) const { return {(*series)[id].family, *(*series)[id].point.labels}; }
  const PointKey& Of(const PointKey& key) const { return key; }

  template <typename T>
  size_t operator()(const T& value) const {
    const PointKey key = Of(value);
    return XXH3_64bits_withSeed(key.labels.data(), key.labels.size(), seed ^ key.family);
  }
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    const PointKey x = Of(a);
    const PointKey y = Of(b);
    return x.family == y.family && x.labels == y.labels;
  }
};

}  // namespace

std::string_view NotExposedName(NotExposed reason) {
  switch (reason) {
    case NotExposed::kScale: return "scale";
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
  std::string LabelsOf(const Batch& batch, const Item& item, const ParsedMetric& from) const {
    return PointLabels(batch, item, point.attributes, from.type(), !from.prometheus_name.empty(),
                       options.max_value_bytes);
  }
  void Arrange(Series* to, const Batch& batch, const Item& item, const ParsedMetric& from);
  bool Update(Series* to, const ParsedMetric& metric, bool fresh);
  bool IsPossible(const ParsedMetric& metric) const;
  uint64_t StartOfDelta() const { return point.start_ns != 0 ? point.start_ns : point.time_ns; }
  void UpdateBuckets(Series* to, bool add);
  void UpdateNative(Series* to, bool add);
  void Charge(Series* to);
  void Remove(uint32_t id);
  void DropIfEmpty(uint32_t family);
  void Drop(uint32_t family);
  void RefreshTarget(const Batch& batch, uint32_t resource);

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
// -----------------------------------------------------------------------------------------------

std::optional<uint32_t> MetricIngest::State::FamilyFor(const ParsedMetric& from, NotExposed* why) {
  MetricName name = PrometheusMetricName(from.name, from.unit, from.type());
  if (!from.prometheus_name.empty()) {
    std::string_view own = from.prometheus_name;
    if (from.type() == MetricType::kCounter) own.remove_suffix(std::string_view("_total").size());
    if (name.name != own) name = {std::string(own), ""};
  }
  if (name.name.empty()) {
    *why = NotExposed::kBadName;
    return std::nullopt;
  }
  return FamilyNamed(std::move(name), from.type(), from.help, why);
}

std::optional<uint32_t> MetricIngest::State::FamilyNamed(MetricName name, MetricType type,
                                                         std::string_view help, NotExposed* why) {
  if (const auto at = claimed.find(name.name); at != claimed.end()) {
    Family& family = families[at->second];
    if (family.name == name.name && family.type != type) {
      if (family.guess() && type == MetricType::kGauge) {
        // What was shown is right, but for its type.
        family.type = type;
      } else if (family.type == MetricType::kGauge && type == MetricType::kUnknown) {
        return at->second;
      } else if (family.guess()) {
        Drop(at->second);
      }
    }
  }
  if (const auto at = claimed.find(name.name); at != claimed.end()) {
    Family& family = families[at->second];
    if (family.name == name.name) {
      // No unit at all contradicts none: "x.seconds" without and "x" with unit "s" are one family.
      const bool same_unit = family.unit == name.unit || family.unit.empty() || name.unit.empty();
      *why = family.type != type ? NotExposed::kType : NotExposed::kUnit;
      if (family.type != type || !same_unit) return std::nullopt;
      // What was said of nothing, as remote write's samples come before their metadata, is filled in.
      if (family.unit.empty()) family.unit = std::move(name.unit);
      if (family.help.empty()) family.help = CutToCharacter(help, options.max_value_bytes);
      if (family.help != CutToCharacter(help, options.max_value_bytes)) ++stats.help_conflicts;
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
    const auto at = claimed.find(std::string(name.name).append(suffix));
    if (at == claimed.end()) continue;
    if (type != MetricType::kUnknown && families[at->second].guess()) {
      Drop(at->second);
      continue;
    }
    *why = NotExposed::kName;
    return std::nullopt;
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
  family.help = CutToCharacter(help, options.max_value_bytes);
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

// With all of its series.
void MetricIngest::State::Drop(uint32_t id) {
  while (!families[id].series.empty()) Remove(families[id].series.back());
  DropIfEmpty(id);
}

// ---- Series
// -------------------------------------------------------------------------------------------------

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
  if (const auto at = known.find(PointKey{family, labels}); at != known.end()) {
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

// ---- Targets
// -------------------------------------------------------------------------------------------------

void MetricIngest::State::RefreshTarget(const Batch& batch, uint32_t index) {
  const uint64_t alias = Mix64(batch.resources[index].key ^ options.seed ^ 0x7461726765740000u);
  if (const std::optional<uint32_t> id = Lookup(alias)) {
    series[*id].tick = now;
    return;
  }
  Target target = ReadTarget(batch, index, options.max_value_bytes);
  if ((target.job.empty() && target.instance.empty()) || target.rest.empty()) return;
  if (target.rest.size() > options.max_labels) target.rest.resize(options.max_labels);
  std::vector<NameValue> labels = ToLabels(target.rest);
  SetLabel(&labels, "job", target.job);
  SetLabel(&labels, "instance", target.instance);
  NotExposed why = NotExposed::kCap;
  const std::optional<uint32_t> family =
      FamilyNamed({"target_info", ""}, MetricType::kGauge, "Resource attributes of a target.", &why);
  if (!family) {
    Count(why);
    return;
  }
  bool fresh = false;
  const uint32_t id = Enter(*family, EncodeLabels(std::move(labels)), alias, &fresh);
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
// -------------------------------------------------------------------------------------------------

// Whether the value is one that its type can have: a counter none below 0, and nothing that is added up an
// infinity or what is no number, which would stay for good.
bool MetricIngest::State::IsPossible(const ParsedMetric& from) const {
  if (from.data != kMetricSum) return true;
  if (from.monotonic && from.type() == MetricType::kCounter)
    return point.value >= 0 && std::isfinite(point.value);
  return from.temporality != kDelta || std::isfinite(point.value);
}

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
    to->point.created_ns = StartOfDelta();
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
  to->point.native.reset();
  to->point.buckets = std::move(next);
}

void MetricIngest::State::UpdateNative(Series* to, bool add) {
  auto next = std::make_shared<Native>();
  next->buckets = point.native;
  next->sum = point.sum;
  next->has_sum = point.has_sum;
  const Native* last = to->point.native.get();
  if (add && last != nullptr) {
    next->buckets.Add(last->buckets);
    next->sum += last->sum;
    next->has_sum &= last->has_sum;
  } else if (add) {
    to->point.created_ns = StartOfDelta();
  }
  next->exemplars.reserve(Native::kMaxExemplars);
  if (last != nullptr) {
    for (const Native::Slot& slot : last->exemplars) next->Offer(slot.exemplar);
  }
  for (const std::string_view message : point.exemplars) {
    KeptExemplarPtr exemplar = ParseExemplar(message);
    if (!exemplar || !next->Offer(std::move(exemplar))) ++stats.exemplars_dropped;
  }
  next->exemplars.shrink_to_fit();
  to->point.buckets.reset();
  to->point.native = std::move(next);
}

// Whether, and from which spans, exemplars are lent to a new series.
void MetricIngest::State::Arrange(Series* to, const Batch& batch, const Item& item,
                                  const ParsedMetric& from) {
  if (options.lend == nullptr || from.type() != MetricType::kHistogram) return;
  const bool prometheus = !from.prometheus_name.empty();
  const std::string_view name = prometheus ? from.prometheus_name : from.name;
  auto loan = std::make_shared<Loan>();
  loan->unit_ns = UnitNs(name, from.unit);
  if (loan->unit_ns == 0) return;
  if (options.lend->metrics && !re2::RE2::PartialMatch({name.data(), name.size()}, *options.lend->metrics))
    return;
  loan->match = ReadPointMatch(batch, item.group, point.attributes, name, prometheus, options.lend->match,
                               options.seed);
  if (loan->match.Usable()) to->point.loan = std::move(loan);
}

// False, and counted, if the point changes nothing.
bool MetricIngest::State::Update(Series* to, const ParsedMetric& from, bool fresh) {
  const bool delta = from.temporality == kDelta;
  const bool late = point.time_ns != 0 && point.time_ns <= to->point.time_ns;
  // What was counted from before the total began is no part of it: the start time would be wrong.
  const bool older = delta && point.start_ns != 0 && point.start_ns < to->point.created_ns;
  if (!fresh && (late || older)) {
    Count(NotExposed::kOutOfOrder);
    return false;
  }
  if (fresh || !delta) to->point.created_ns = delta ? StartOfDelta() : point.start_ns;
  switch (from.type()) {
    case MetricType::kHistogram:
      // Once added, it would never be a number again.
      if (delta && !std::isfinite(point.sum)) point.has_sum = false;
      if (from.data == kMetricExponential) {
        UpdateNative(to, delta && !fresh);
      } else {
        UpdateBuckets(to, delta && !fresh);
      }
      break;
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
    case MetricType::kUnknown:
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
  }
  to->point.time_ns = std::max(to->point.time_ns, point.time_ns);
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
      const auto at = known.find(PointKey{family, LabelsOf(batch, item, from)});
      if (at != known.end()) id = *at;
    }
    if (id) Remove(*id);
    return;
  }
  if (!point.has_value || !IsPossible(from)) {
    Count(point.too_coarse ? NotExposed::kScale : NotExposed::kBadPoint);
    return;
  }
  if (!id) {
    const uint32_t entered = point.attributes.size() > options.max_labels
                                 ? kNoSeries
                                 : Enter(family, LabelsOf(batch, item, from), alias, &fresh);
    if (entered == kNoSeries) {
      Count(NotExposed::kCap);
      return;
    }
    id = entered;
  }
  if (fresh) Arrange(&series[*id], batch, item, from);
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
  if (!metric.has_temporality() || metric.temporality == kDelta || metric.temporality == kCumulative) {
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
  Lender lender(options_.candidates, options_.max_loan_age_ns);

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
    // A page may have to keep the kinds of histogram apart.
    std::stable_partition(points.begin(), points.end(), [](const Point& point) { return !point.native; });
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
        case MetricType::kGauge:
        case MetricType::kUnknown: writer.Gauge(labels, point.value); break;
        case MetricType::kHistogram: {
          HistogramView histogram;
          if (point.native) {
            const Native& kept = *point.native;
            views.clear();
            extras.resize(std::max(extras.size(), kept.exemplars.size()));
            for (size_t i = 0; i < kept.exemplars.size(); ++i) {
              views.push_back(view_of(*kept.exemplars[i].exemplar, &extras[i]));
            }
            lender.Fill(point, kept, &views);
            const NativeView native{.schema = kept.buckets.schema,
                                    .zero_threshold = kept.buckets.zero_threshold,
                                    .zero_count = kept.buckets.zero_count,
                                    .positive = kept.buckets.positive,
                                    .negative = kept.buckets.negative,
                                    .exemplars = views};
            histogram.sum = kept.sum;
            histogram.has_sum = kept.has_sum;
            histogram.native = &native;
            writer.Histogram(labels, histogram, point.created_ns);
            break;
          }
          const Buckets& buckets = *point.buckets;
          histogram.bounds = buckets.bounds;
          histogram.counts = buckets.counts;
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
          lender.Fill(point, buckets, &views, &pointers);
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
      }
    }
  }
}

void MetricIngest::ShownTraces(std::vector<ShownTrace>* out) const {
  if (options_.candidates != nullptr) options_.candidates->LentTraces(out);
  constexpr size_t kAtOnce = 1024;  // series under one lock
  for (size_t id = 0;;) {
    MutexLock lock(mutex_);
    const size_t end = std::min(id + kAtOnce, state_->series.size());
    if (id >= end) return;
    for (; id < end; ++id) {
      const Series& one = state_->series[id];
      if (!one.live) continue;
      const auto add = [&](const KeptExemplarPtr& exemplar) {
        if (exemplar && exemplar->trace.lo != 0) out->push_back({exemplar->trace.lo, one.tick});
      };
      add(one.point.exemplar);
      if (one.point.buckets) {
        for (const KeptExemplarPtr& exemplar : one.point.buckets->exemplars) add(exemplar);
      }
      if (one.point.native) {
        for (const Native::Slot& slot : one.point.native->exemplars) add(slot.exemplar);
      }
    }
  }
}

MetricIngest::Stats MetricIngest::stats() const {
  MutexLock lock(mutex_);
  return state_->stats;
}

}  // namespace braid::correlate
