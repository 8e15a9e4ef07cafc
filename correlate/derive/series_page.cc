// How the derived series look on a page: the names, labels, units and buckets of each dialect
// (docs/metrics.md, "Derived metrics").

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <string>
#include <string_view>
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

  // ---- Values: integers by plane, put together in the order of their thresholds.

  template <typename Fn>
  static double Weighted(const Series& series, Fn value) {
    double sum = 0;
    for (const Plane& plane : series.planes)
      sum += static_cast<double>(value(plane)) * WeightOf(plane.threshold);
    return sum;
  }

  template <typename Fn>
  static double WeightedTime(const Series& series, double unit_ns, Fn value) {
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

  // Of a count, as one call: the most telling of the buckets' exemplars, of those that were offered within
  // kExemplarTicks of the last; as in a bucket, where an older one gives way to any. `failing`: of those that
  // failed.
  bool CountExemplar(const Series& series, bool failing, ExemplarView* view) const {
    uint64_t last = 0;
    const auto each = [&](auto fn) {
      for (uint32_t at = series.exemplars; at != 0; at = state_.exemplars[at - 1].next) {
        const SeriesDelta::Slot& slot = state_.exemplars[at - 1];
        if (slot.exemplar.failing || !failing) fn(slot);
      }
    };
    each([&](const SeriesDelta::Slot& slot) { last = std::max(last, slot.tick); });
    const Exemplar* best = nullptr;
    each([&](const SeriesDelta::Slot& slot) {
      if (last - slot.tick > SeriesTable::kExemplarTicks) return;
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

  void SpanLabelSet(const Series& series, const Names& names, bool otel, std::string_view detail_name) {
    labels_.clear();
    const SeriesKey& key = series.key;
    if (key.overflow) Add(names.overflow, "true");
    Add(names.service, key.text[0]);
    Add("span_name", key.text[1]);
    Add("span_kind", kKinds[key.kind]);
    Add("status_code", kStatuses[key.status]);
    if (derive_.more_errors()) Add("error_source", kErrorSources[key.detail]);
    std::string_view extras = key.text[2];
    const std::vector<std::string>& own = otel ? otel_extras_ : tempo_extras_;
    if (!extras.empty()) {
      // The other dialect's come first.
      if (otel && derive_.tempo()) {
        for (size_t i = 0; i < tempo_extras_.size(); ++i) label_block::Take(&extras);
      }
      for (const std::string& name : own) Add(name, label_block::Take(&extras));
    }
    if (!detail_name.empty()) Add(detail_name, key.text[3]);
  }

  // ---- Families

  void PutHistogram(const Series& series, const Layout& layout) {
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
      for (uint32_t at = series.exemplars; at != 0; at = state_.exemplars[at - 1].next) {
        const SeriesDelta::Slot& slot = state_.exemplars[at - 1];
        const Exemplar*& kept = best[layout.fold[static_cast<size_t>(slot.bucket)]];
        if (kept == nullptr || MoreTelling(slot.exemplar, *kept)) kept = &slot.exemplar;
      }
      for (size_t i = 0; i < counts_.size(); ++i) {
        if (best[i] == nullptr) continue;
        views[i] = View(*best[i], static_cast<double>(best[i]->duration_ns) / layout.unit_ns);
        pointers[i] = &views[i];
      }
      if (series.exemplars != 0) histogram.exemplars = std::span(pointers.data(), counts_.size());
    }
    NativeView native;
    if (derive_.native()) {
      ReadNative(series, layout, &native);
      histogram.native = &native;
    }
    writer_.Histogram(labels_, histogram, series.created_ns);
  }

  void ReadNative(const Series& series, const Layout& layout, NativeView* native) {
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
  void ReadNativeExemplars(const Series& series, const Layout& layout) {
    by_bucket_.clear();
    for (uint32_t at = series.exemplars; at != 0; at = state_.exemplars[at - 1].next) {
      const Exemplar& exemplar = state_.exemplars[at - 1].exemplar;
      int32_t bucket = std::numeric_limits<int32_t>::min();  // that of zeros
      if (exemplar.duration_ns != 0) {
        bucket = state_.native_maps[layout.native].Of(exemplar.duration_ns);
        for (int32_t schema = NativeMap::kSchema; schema > native_.schema; --schema)
          bucket = (bucket + 1) >> 1;
      }
      by_bucket_.emplace_back(bucket, &exemplar);
    }
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
    for (const uint32_t id : Of(RowKind::kSpans)) {
      const Series& series = state_.series[id];
      SpanLabelSet(series, names, otel, {});
      ExemplarView view;
      const bool has = exemplars && CountExemplar(series, false, &view);
      writer_.Counter(labels_, value(series), series.created_ns, has ? &view : nullptr);
    }
  }

  void WriteSpans(const Names& names, bool otel) {
    if (derive_.calls) {
      PutCounters(names.calls, names, otel, true,
                  [](const Series& s) { return Weighted(s, [](const Plane& p) { return p.count(); }); });
    }
    if (derive_.latency) {
      const Layout layout = LayoutOf(state_.span_buckets, otel ? OtelLatencyBounds() : TempoLatencyBounds(),
                                     names.unit_ns, names.native);
      writer_.Family(names.latency);
      for (const uint32_t id : Of(RowKind::kSpans)) {
        const Series& series = state_.series[id];
        SpanLabelSet(series, names, otel, {});
        PutHistogram(series, layout);
      }
    }
    if (derive_.size) {
      PutCounters(names.size, names, otel, false,
                  [](const Series& s) { return WeightedTime(s, 1, [](const Plane& p) { return p.bytes; }); });
    }
    if (derive_.self_time) {
      PutSelf(names.self_seconds, names, otel,
              [](const Series& s) { return WeightedTime(s, 1e9, [](const Plane& p) { return p.self_ns; }); });
      PutSelf(names.self_spans, names, otel,
              [](const Series& s) { return Weighted(s, [](const Plane& p) { return p.self_spans; }); });
    }
    if (derive_.events) PutDetails(names.events, names, otel, RowKind::kEvents, "event_name");
    if (derive_.exceptions) PutDetails(names.exceptions, names, otel, RowKind::kExceptions, "exception_type");
  }

  // Only series of which some trace was complete.
  template <typename Value>
  void PutSelf(const FamilyView& family, const Names& names, bool otel, Value value) {
    writer_.Family(family);
    for (const uint32_t id : Of(RowKind::kSpans)) {
      const Series& series = state_.series[id];
      if (std::all_of(series.planes.begin(), series.planes.end(),
                      [](const Plane& p) { return p.self_spans == 0; }))
        continue;
      SpanLabelSet(series, names, otel, {});
      writer_.Counter(labels_, value(series), series.created_ns, nullptr);
    }
  }

  void PutDetails(const FamilyView& family, const Names& names, bool otel, RowKind kind,
                  std::string_view label) {
    writer_.Family(family);
    for (const uint32_t id : Of(kind)) {
      const Series& series = state_.series[id];
      SpanLabelSet(series, names, otel, label);
      writer_.Counter(labels_, Weighted(series, [](const Plane& p) { return p.count(); }), series.created_ns,
                      nullptr);
    }
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

  void EdgeLabelSet(const Series& series) {
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
    for (const bool client : {true, false}) {
      for (const auto& [client_label, server_label] : graph_labels_) {
        if (dimensions.empty()) break;
        Add(client ? client_label : server_label, label_block::Take(&dimensions));
      }
    }
  }

  void PutEdgeHistogram(const FamilyView& family, RowKind kind, const Layout& layout) {
    writer_.Family(family);
    for (const uint32_t id : Of(kind)) {
      EdgeLabelSet(state_.series[id]);
      PutHistogram(state_.series[id], layout);
    }
  }

  void WriteGraph() {
    graph_labels_.clear();
    for (const std::string& key : derive_.graph.dimensions) {
      const std::string label = SanitizedLabel(key);
      graph_labels_.emplace_back("client_" + label, "server_" + label);
    }
    writer_.Family({"traces_service_graph_request", "Requests between services.", "", MetricType::kCounter});
    for (const uint32_t id : Of(RowKind::kEdgeServer)) {
      const Series& series = state_.series[id];
      EdgeLabelSet(series);
      ExemplarView view;
      const bool has = CountExemplar(series, false, &view);
      writer_.Counter(labels_, Weighted(series, [](const Plane& p) { return p.count(); }), series.created_ns,
                      has ? &view : nullptr);
    }
    writer_.Family({"traces_service_graph_request_failed",
                    "Requests between services that either side calls failed.", "", MetricType::kCounter});
    for (const uint32_t id : Of(RowKind::kEdgeServer)) {
      const Series& series = state_.series[id];
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
      EdgeLabelSet(state_.series[id]);
      writer_.Gauge(labels_, 1);
    }
  }

  const SeriesState& state_;
  const DeriveOptions& derive_;
  ExpositionWriter& writer_;
  const std::vector<std::string> tempo_extras_ = ExtraLabelNames(derive_, false);
  const std::vector<std::string> otel_extras_ = ExtraLabelNames(derive_, true);
  std::vector<std::pair<std::string, std::string>> graph_labels_;
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
