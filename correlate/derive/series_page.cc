// How the derived series look on a page: the names, labels, units and buckets of each dialect
// (docs/metrics.md, "Derived metrics").

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "correlate/derive/native_histogram.h"
#include "correlate/derive/series_state.h"
#include "correlate/model/threshold.h"

namespace braid::correlate {
namespace {

// What one dialect calls things.
struct Names {
  FamilyView calls, latency, size, self_seconds, self_spans, events, exceptions;
  std::string_view service, overflow;
  double unit_ns;  // of durations
  size_t native;   // the native window of that unit
};

constexpr Names kTempo = {
    .calls = {"traces_spanmetrics_calls", "Spans by service, name, kind and status.", "",
              MetricType::kCounter},
    .latency = {"traces_spanmetrics_latency", "Duration of spans in seconds.", "", MetricType::kHistogram},
    .size = {"traces_spanmetrics_size", "Serialised size of spans in bytes.", "", MetricType::kCounter},
    .self_seconds = {"traces_spanmetrics_self_seconds",
                     "Duration of spans less that of their children, of complete traces.", "seconds",
                     MetricType::kCounter},
    .self_spans = {"traces_spanmetrics_self_spans", "Spans that self_seconds is of.", "",
                   MetricType::kCounter},
    .events = {"traces_spanmetrics_events", "Events of spans by name.", "", MetricType::kCounter},
    .exceptions = {"traces_spanmetrics_exceptions", "Exceptions recorded on spans by type.", "",
                   MetricType::kCounter},
    .service = "service",
    .overflow = "metric_overflow",
    .unit_ns = 1e9,
    .native = 0,
};

constexpr Names kOtel = {
    .calls = {"traces_span_metrics_calls", "Spans by service, name, kind and status.", "",
              MetricType::kCounter},
    .latency = {"traces_span_metrics_duration_milliseconds", "Duration of spans in milliseconds.",
                "milliseconds", MetricType::kHistogram},
    .size = {"traces_span_metrics_size", "Serialised size of spans in bytes.", "", MetricType::kCounter},
    .self_seconds = {"traces_span_metrics_self_seconds",
                     "Duration of spans less that of their children, of complete traces.", "seconds",
                     MetricType::kCounter},
    .self_spans = {"traces_span_metrics_self_spans", "Spans that self_seconds is of.", "",
                   MetricType::kCounter},
    .events = {"traces_span_metrics_events", "Events of spans by name.", "", MetricType::kCounter},
    .exceptions = {"traces_span_metrics_exceptions", "Exceptions recorded on spans by type.", "",
                   MetricType::kCounter},
    .service = "service_name",
    .overflow = "otel_metric_overflow",
    .unit_ns = 1e6,
    .native = 1,
};

constexpr std::array<std::string_view, 6> kKinds = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL",
                                                    "SPAN_KIND_SERVER",      "SPAN_KIND_CLIENT",
                                                    "SPAN_KIND_PRODUCER",    "SPAN_KIND_CONSUMER"};
constexpr std::array<std::string_view, 3> kStatuses = {"STATUS_CODE_UNSET", "STATUS_CODE_OK",
                                                       "STATUS_CODE_ERROR"};
constexpr std::array<std::string_view, 5> kErrorSources = {"", "status", "http_5xx", "http_4xx", "grpc"};
constexpr std::array<std::string_view, 4> kConnections = {"", "virtual_node", "messaging_system", "database"};

// One division and one rounding: the sum over planes is formed in 64 bits of mantissa.
double InUnits(unsigned __int128 ns, double unit_ns) {
  return static_cast<double>(static_cast<long double>(ns) / static_cast<long double>(unit_ns));
}

// A bucket layout seen through a coarser one: the place of each of its buckets.
std::vector<size_t> Fold(const BucketMap& from, const std::vector<uint64_t>& to) {
  std::vector<size_t> places;
  for (size_t i = 0; i < from.buckets(); ++i) {
    const auto at =
        i < from.bounds().size() ? std::lower_bound(to.begin(), to.end(), from.bounds()[i]) : to.end();
    places.push_back(static_cast<size_t>(at - to.begin()));
  }
  return places;
}

class PageOfState {
 public:
  PageOfState(const SeriesState& state, ExpositionWriter& writer)
      : state_(state), derive_(state.derive), writer_(writer) {}

  void Write() {
    if (derive_.tempo()) WriteSpans(kTempo, false);
    if (derive_.otel()) WriteSpans(kOtel, true);
    if (derive_.target_info) WriteTargets();
    if (derive_.graph.enabled) WriteGraph();
  }

 private:
  using Series = SeriesState::Series;
  using Plane = SeriesState::Plane;

  // What is shown as one series: of one in the state, or of several put together.
  struct Shown {
    const SeriesKey& key;
    std::span<const Plane> planes;
    uint64_t created_ns;
    std::span<const uint32_t> exemplars;  // 1 + index of the first slot of each
  };

  // Series that differ in the other dialect's labels only, counted together.
  struct Together {
    const SeriesKey* key;
    std::vector<Plane> planes;
    uint64_t created_ns;
    std::vector<uint32_t> exemplars;
  };

  // A series, or several as one.
  struct Group {
    uint32_t id = 0;
    std::unique_ptr<Together> together;
  };

  struct Layout {
    std::vector<uint64_t> bounds_ns;
    std::vector<double> bounds;
    std::vector<size_t> fold;
    double unit_ns = 1e9;
    size_t native = 0;
  };

  static Layout LayoutOf(const BucketMap& counted, std::vector<uint64_t> bounds_ns, double unit_ns,
                         size_t native) {
    Layout layout;
    for (const uint64_t bound : bounds_ns) layout.bounds.push_back(static_cast<double>(bound) / unit_ns);
    layout.fold = Fold(counted, bounds_ns);
    layout.bounds_ns = std::move(bounds_ns);
    layout.unit_ns = unit_ns;
    layout.native = native;
    return layout;
  }

  const std::vector<uint32_t>& Of(RowKind kind) const { return state_.by_kind[static_cast<size_t>(kind)]; }

  static Shown One(const Series& series) {
    return {series.key, series.planes, series.created_ns, std::span(&series.exemplars, 1)};
  }

  // ---- One dialect of two
  //
  // A series is told apart by its labels in both dialects. Where span and resource have the same attribute,
  // one of them may not see what the other tells apart.

  bool Halved() const {
    return derive_.tempo() && derive_.otel() && !(derive_.dimensions.empty() && derive_.mappings.empty());
  }

  // The part of the extras that one dialect shows.
  std::string_view HalfOf(std::string_view extras, bool otel) const {
    if (extras.empty()) return {};
    std::string_view second = extras;
    for (size_t i = 0; i < tempo_extras_.size(); ++i) label_block::Take(&second);
    return otel ? second : extras.substr(0, extras.size() - second.size());
  }

  static void AddPlane(const Plane& plane, std::vector<Plane>* to) {
    const auto rank = [](const Plane& p) { return std::tie(p.threshold, p.failed); };
    const auto at = std::lower_bound(to->begin(), to->end(), plane,
                                     [&](const Plane& a, const Plane& b) { return rank(a) < rank(b); });
    if (at == to->end() || rank(*at) != rank(plane)) {
      to->insert(at, plane);
      return;
    }
    for (size_t i = 0; i < plane.buckets.size(); ++i) at->buckets[i] += plane.buckets[i];
    at->sum_ns += plane.sum_ns;
    at->bytes += plane.bytes;
    at->self_ns += plane.self_ns;
    at->self_spans += plane.self_spans;
    for (size_t i = 0; i < plane.natives.size(); ++i) {
      at->natives[i].zero += plane.natives[i].zero;
      for (const SeriesState::Native::Count& count : plane.natives[i].counts)
        at->natives[i].Add(count.bucket, count.n);
    }
  }

  void Join(const Series& series, Group* group) const {
    if (!group->together) {
      const Series& first = state_.series[group->id];
      group->together =
          std::make_unique<Together>(Together{&first.key, first.planes, first.created_ns, {first.exemplars}});
    }
    Together& to = *group->together;
    for (const Plane& plane : series.planes) AddPlane(plane, &to.planes);
    to.created_ns = std::min(to.created_ns, series.created_ns);
    to.exemplars.push_back(series.exemplars);
  }

  const std::vector<Group>& Groups(RowKind kind, bool otel) {
    std::optional<std::vector<Group>>& groups = groups_[otel ? 1 : 0][static_cast<size_t>(kind)];
    if (groups) return *groups;
    groups.emplace();
    const auto hash = [](const SeriesKey& key) { return HashOf(key, 0); };
    absl::flat_hash_map<SeriesKey, size_t, decltype(hash)> known(0, hash);
    for (const uint32_t id : Of(kind)) {
      SeriesKey key = state_.series[id].key;
      key.text[2] = HalfOf(key.text[2], otel);
      const auto [at, fresh] = known.try_emplace(key, groups->size());
      if (fresh) {
        groups->push_back({id, nullptr});
      } else {
        Join(state_.series[id], &(*groups)[at->second]);
      }
    }
    return *groups;
  }

  // Every series of spans that the dialect has.
  template <typename Fn>
  void ForSpans(RowKind kind, bool otel, Fn show) {
    if (!Halved()) {
      for (const uint32_t id : Of(kind)) show(One(state_.series[id]));
      return;
    }
    for (const Group& group : Groups(kind, otel)) {
      const Together* together = group.together.get();
      show(together == nullptr
               ? One(state_.series[group.id])
               : Shown{*together->key, together->planes, together->created_ns, together->exemplars});
    }
  }

  // ---- Values: integers by plane, put together in the order of their thresholds.

  template <typename Fn>
  static double Weighted(const Shown& series, Fn value) {
    double sum = 0;
    for (const Plane& plane : series.planes)
      sum += static_cast<double>(value(plane)) * WeightOf(plane.threshold);
    return sum;
  }

  template <typename Fn>
  static double WeightedTime(const Shown& series, double unit_ns, Fn value) {
    if (series.planes.size() == 1 && series.planes[0].threshold == 0)
      return InUnits(value(series.planes[0]), unit_ns);
    long double sum = 0;
    for (const Plane& plane : series.planes) {
      sum += static_cast<long double>(value(plane)) * static_cast<long double>(WeightOf(plane.threshold));
    }
    return static_cast<double>(sum / static_cast<long double>(unit_ns));
  }

  // ---- Exemplars

  ExemplarView View(const Exemplar& exemplar, double value) const {
    return {.value = value,
            .time_ns = exemplar.time_ns,
            .trace = exemplar.trace,
            .span = exemplar.span,
            .extra = {},
            .names = {derive_.exemplar_labels.trace_id, derive_.exemplar_labels.span_id}};
  }

  template <typename Fn>
  void ForExemplars(const Shown& series, Fn fn) const {
    for (const uint32_t first : series.exemplars) {
      for (uint32_t at = first; at != 0; at = state_.exemplars[at - 1].next) fn(state_.exemplars[at - 1]);
    }
  }

  // Of a count, as one call: the most telling of the buckets' exemplars, of those that were offered within
  // kExemplarTicks of the last; as in a bucket, where an older one gives way to any. `failing`: of those that
  // failed.
  bool CountExemplar(const Shown& series, bool failing, ExemplarView* view) const {
    uint64_t last = 0;
    ForExemplars(series, [&](const SeriesDelta::Slot& slot) {
      if (slot.exemplar.failing || !failing) last = std::max(last, slot.tick);
    });
    const Exemplar* best = nullptr;
    ForExemplars(series, [&](const SeriesDelta::Slot& slot) {
      if ((failing && !slot.exemplar.failing) || last - slot.tick > SeriesTable::kExemplarTicks) return;
      if (best == nullptr || MoreTelling(slot.exemplar, *best)) best = &slot.exemplar;
    });
    if (best == nullptr) return false;
    *view = View(*best, 1);
    return true;
  }

  // ---- Labels

  void Add(std::string_view name, std::string_view value) {
    if (!name.empty() && !value.empty()) labels_.push_back({name, value});
  }

  void SpanLabelSet(const Shown& series, const Names& names, bool otel, std::string_view detail_name) {
    labels_.clear();
    const SeriesKey& key = series.key;
    if (key.overflow) Add(names.overflow, "true");
    Add(names.service, key.text[0]);
    Add("span_name", key.text[1]);
    if (!derive_.without.span_kind) Add("span_kind", kKinds[key.kind]);
    if (!derive_.without.status_code) Add("status_code", kStatuses[key.status]);
    if (derive_.more_errors()) Add("error_source", kErrorSources[key.detail]);
    std::string_view extras = key.text[2];
    const std::vector<std::string>& own = otel ? otel_extras_ : tempo_extras_;
    if (!extras.empty()) {
      if (otel && derive_.tempo()) extras = HalfOf(extras, true);
      for (const std::string& name : own) Add(name, label_block::Take(&extras));
    }
    std::string_view detail = key.text[3];
    if (key.row == RowKind::kExceptions && derive_.exception_message) {
      if (detail.empty()) return;  // overflow
      Add(detail_name, label_block::Take(&detail));
      Add("exception_message", label_block::Take(&detail));
    } else if (!detail_name.empty()) {
      Add(detail_name, detail);
    }
  }

  // ---- Families

  void PutHistogram(const Shown& series, const Layout& layout) {
    HistogramView histogram;
    histogram.sum = WeightedTime(series, layout.unit_ns, [](const Plane& p) { return p.sum_ns; });
    std::array<ExemplarView, 64> views;
    std::array<const Exemplar*, 64> best{};
    std::array<const ExemplarView*, 64> pointers{};
    if (derive_.classic()) {
      counts_.assign(layout.bounds.size() + 1, 0.0);
      for (const Plane& plane : series.planes) {
        const double weight = WeightOf(plane.threshold);
        folded_.assign(counts_.size(), 0);
        for (size_t i = 0; i < plane.buckets.size(); ++i) folded_[layout.fold[i]] += plane.buckets[i];
        for (size_t i = 0; i < folded_.size(); ++i) counts_[i] += static_cast<double>(folded_[i]) * weight;
      }
      histogram.bounds = layout.bounds;
      histogram.counts = counts_;
      bool any = false;
      ForExemplars(series, [&](const SeriesDelta::Slot& slot) {
        any = true;
        const Exemplar*& kept = best[layout.fold[static_cast<size_t>(slot.bucket)]];
        if (kept == nullptr || MoreTelling(slot.exemplar, *kept)) kept = &slot.exemplar;
      });
      for (size_t i = 0; i < counts_.size(); ++i) {
        if (best[i] == nullptr) continue;
        views[i] = View(*best[i], static_cast<double>(best[i]->duration_ns) / layout.unit_ns);
        pointers[i] = &views[i];
      }
      if (any) histogram.exemplars = std::span(pointers.data(), counts_.size());
    }
    NativeView native;
    if (derive_.native()) {
      ReadNative(series, layout, &native);
      histogram.native = &native;
    }
    writer_.Histogram(labels_, histogram, series.created_ns);
  }

  void ReadNative(const Shown& series, const Layout& layout, NativeView* native) {
    native_.Clear();
    native_.schema = NativeMap::kSchema;
    double zero = 0;
    for (const Plane& plane : series.planes) {
      const double weight = WeightOf(plane.threshold);
      if (layout.native >= plane.natives.size()) continue;
      const SeriesState::Native& from = plane.natives[layout.native];
      zero += static_cast<double>(from.zero) * weight;
      for (const SeriesState::Native::Count& count : from.counts)
        native_.positive.push_back({count.bucket, static_cast<double>(count.n) * weight});
    }
    // Planes lie by rising threshold; equal buckets are added up in that order.
    std::stable_sort(native_.positive.begin(), native_.positive.end(),
                     [](const NativeBucket& a, const NativeBucket& b) { return a.index < b.index; });
    Compact();
    native_.Limit();
    native->schema = native_.schema;
    native->zero_count = zero;
    native->positive = native_.positive;
    ReadNativeExemplars(series, layout);
    native->exemplars = native_exemplars_;
  }

  // One for a bucket of the resolution that is shown, by time.
  void ReadNativeExemplars(const Shown& series, const Layout& layout) {
    by_bucket_.clear();
    ForExemplars(series, [&](const SeriesDelta::Slot& slot) {
      const Exemplar& exemplar = slot.exemplar;
      int32_t bucket = std::numeric_limits<int32_t>::min();  // that of zeros
      if (exemplar.duration_ns != 0) {
        bucket = state_.native_maps[layout.native].Of(exemplar.duration_ns);
        for (int32_t schema = NativeMap::kSchema; schema > native_.schema; --schema)
          bucket = (bucket + 1) >> 1;
      }
      by_bucket_.emplace_back(bucket, &exemplar);
    });
    std::sort(by_bucket_.begin(), by_bucket_.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first < b.first : MoreTelling(*a.second, *b.second);
    });
    native_exemplars_.clear();
    for (size_t i = 0; i < by_bucket_.size(); ++i) {
      if (i != 0 && by_bucket_[i].first == by_bucket_[i - 1].first) continue;
      const Exemplar& exemplar = *by_bucket_[i].second;
      native_exemplars_.push_back(View(exemplar, static_cast<double>(exemplar.duration_ns) / layout.unit_ns));
    }
    std::sort(native_exemplars_.begin(), native_exemplars_.end(),
              [](const ExemplarView& a, const ExemplarView& b) { return a.time_ns < b.time_ns; });
  }

  // Adds up neighbours of the same index.
  void Compact() {
    std::vector<NativeBucket>& buckets = native_.positive;
    size_t to = 0;
    for (const NativeBucket& bucket : buckets) {
      if (to != 0 && buckets[to - 1].index == bucket.index) {
        buckets[to - 1].count += bucket.count;
      } else {
        buckets[to++] = bucket;
      }
    }
    buckets.resize(to);
  }

  template <typename Value>
  void PutCounters(const FamilyView& family, const Names& names, bool otel, bool exemplars, Value value) {
    writer_.Family(family);
    ForSpans(RowKind::kSpans, otel, [&](const Shown& series) {
      SpanLabelSet(series, names, otel, {});
      ExemplarView view;
      const bool has = exemplars && CountExemplar(series, false, &view);
      writer_.Counter(labels_, value(series), series.created_ns, has ? &view : nullptr);
    });
  }

  void WriteSpans(const Names& names, bool otel) {
    if (derive_.calls) {
      PutCounters(names.calls, names, otel, true,
                  [](const Shown& s) { return Weighted(s, [](const Plane& p) { return p.count(); }); });
    }
    if (derive_.latency) {
      const Layout layout = LayoutOf(state_.span_buckets, otel ? OtelLatencyBounds() : TempoLatencyBounds(),
                                     names.unit_ns, names.native);
      writer_.Family(names.latency);
      ForSpans(RowKind::kSpans, otel, [&](const Shown& series) {
        SpanLabelSet(series, names, otel, {});
        PutHistogram(series, layout);
      });
    }
    if (derive_.size) {
      PutCounters(names.size, names, otel, false,
                  [](const Shown& s) { return WeightedTime(s, 1, [](const Plane& p) { return p.bytes; }); });
    }
    if (derive_.self_time) {
      PutSelf(names.self_seconds, names, otel,
              [](const Shown& s) { return WeightedTime(s, 1e9, [](const Plane& p) { return p.self_ns; }); });
      PutSelf(names.self_spans, names, otel,
              [](const Shown& s) { return Weighted(s, [](const Plane& p) { return p.self_spans; }); });
    }
    if (derive_.events) PutDetails(names.events, names, otel, RowKind::kEvents, "event_name");
    if (derive_.exceptions) PutDetails(names.exceptions, names, otel, RowKind::kExceptions, "exception_type");
  }

  // Only series of which some trace was complete.
  template <typename Value>
  void PutSelf(const FamilyView& family, const Names& names, bool otel, Value value) {
    writer_.Family(family);
    ForSpans(RowKind::kSpans, otel, [&](const Shown& series) {
      if (std::all_of(series.planes.begin(), series.planes.end(),
                      [](const Plane& p) { return p.self_spans == 0; }))
        return;
      SpanLabelSet(series, names, otel, {});
      writer_.Counter(labels_, value(series), series.created_ns, nullptr);
    });
  }

  void PutDetails(const FamilyView& family, const Names& names, bool otel, RowKind kind,
                  std::string_view label) {
    writer_.Family(family);
    ForSpans(kind, otel, [&](const Shown& series) {
      SpanLabelSet(series, names, otel, label);
      writer_.Counter(labels_, Weighted(series, [](const Plane& p) { return p.count(); }), series.created_ns,
                      nullptr);
    });
  }

  void WriteTargets() {
    writer_.Family(
        {"traces_target_info", "Attributes of the resources that spans came from.", "", MetricType::kGauge});
    for (const uint32_t id : Of(RowKind::kTarget)) {
      const Series& series = state_.series[id];
      if (series.key.overflow) continue;
      labels_.clear();
      for (std::string_view block = series.key.text[0]; !block.empty();) {
        const std::string_view name = label_block::Take(&block);
        Add(name, label_block::Take(&block));
      }
      writer_.Gauge(labels_, 1);
    }
  }

  void EdgeLabelSet(const Shown& series) {
    labels_.clear();
    const SeriesKey& key = series.key;
    if (key.overflow) Add(derive_.tempo() ? kTempo.overflow : kOtel.overflow, "true");
    Add("client", key.text[0]);
    Add("server", key.text[1]);
    Add("connection_type", kConnections[key.kind]);
    if (derive_.graph.virtual_node_label && key.detail != 0)
      Add("virtual_node", key.detail == 1 ? "client" : "server");
    if (!derive_.tempo()) Add("failed", key.status != 0 ? "true" : "false");
    std::string_view dimensions = key.text[2];
    for (size_t i = 0; i < graph_labels_.size() && !dimensions.empty(); ++i)
      Add(graph_labels_[i], label_block::Take(&dimensions));
  }

  void PutEdgeHistogram(const FamilyView& family, RowKind kind, const Layout& layout) {
    writer_.Family(family);
    for (const uint32_t id : Of(kind)) {
      const Shown series = One(state_.series[id]);
      EdgeLabelSet(series);
      PutHistogram(series, layout);
    }
  }

  void WriteGraph() {
    writer_.Family({"traces_service_graph_request", "Requests between services.", "", MetricType::kCounter});
    for (const uint32_t id : Of(RowKind::kEdgeServer)) {
      const Shown series = One(state_.series[id]);
      EdgeLabelSet(series);
      ExemplarView view;
      const bool has = CountExemplar(series, false, &view);
      writer_.Counter(labels_, Weighted(series, [](const Plane& p) { return p.count(); }), series.created_ns,
                      has ? &view : nullptr);
    }
    writer_.Family({"traces_service_graph_request_failed",
                    "Requests between services that either side calls failed.", "", MetricType::kCounter});
    for (const uint32_t id : Of(RowKind::kEdgeServer)) {
      const Shown series = One(state_.series[id]);
      EdgeLabelSet(series);
      const bool all = series.key.status != 0;
      ExemplarView view;
      const bool has = CountExemplar(series, true, &view);
      writer_.Counter(labels_,
                      Weighted(series, [all](const Plane& p) { return all || p.failed ? p.count() : 0; }),
                      series.created_ns, has ? &view : nullptr);
    }
    const Layout layout =
        LayoutOf(state_.graph_buckets, derive_.tempo() ? TempoGraphBounds() : OtelLatencyBounds(), 1e9, 0);
    PutEdgeHistogram({"traces_service_graph_request_server_seconds",
                      "Duration of requests as the server saw them.", "seconds", MetricType::kHistogram},
                     RowKind::kEdgeServer, layout);
    PutEdgeHistogram({"traces_service_graph_request_client_seconds",
                      "Duration of requests as the client saw them.", "seconds", MetricType::kHistogram},
                     RowKind::kEdgeClient, layout);
    if (derive_.graph.messaging_latency) {
      PutEdgeHistogram(
          {"traces_service_graph_request_messaging_system_seconds",
           "From the end of the producer to the start of the consumer.", "seconds", MetricType::kHistogram},
          RowKind::kEdgeMessaging, layout);
    }
    if (!derive_.graph.connection_info) return;
    writer_.Family(
        {"traces_service_graph_connection_info", "Edges that were seen of late.", "", MetricType::kGauge});
    for (const uint32_t id : Of(RowKind::kEdgeServer)) {
      EdgeLabelSet(One(state_.series[id]));
      writer_.Gauge(labels_, 1);
    }
  }

  const SeriesState& state_;
  const DeriveOptions& derive_;
  ExpositionWriter& writer_;
  const std::vector<std::string> tempo_extras_ = ExtraLabelNames(derive_, false);
  const std::vector<std::string> otel_extras_ = ExtraLabelNames(derive_, true);
  std::array<std::array<std::optional<std::vector<Group>>, kRowKinds>, 2> groups_;  // by dialect and kind
  const std::vector<std::string> graph_labels_ = GraphLabelNames(derive_);
  std::vector<Label> labels_;
  std::vector<double> counts_;
  std::vector<uint64_t> folded_;
  NativeBuckets native_;
  std::vector<ExemplarView> native_exemplars_;
  std::vector<std::pair<int32_t, const Exemplar*>> by_bucket_;
};

}  // namespace

void SeriesState::Write(ExpositionWriter& writer) const { PageOfState(*this, writer).Write(); }

}  // namespace braid::correlate
