#include "gateway/telemetry/self_telemetry.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numeric>
#include <tuple>
#include <utility>

namespace braid::gateway {
namespace {

constexpr std::array kAllSignals = {Signal::kTraces, Signal::kLogs, Signal::kMetrics};

MetricType TypeOf(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter: return MetricType::kCounter;
    case prometheus::MetricType::Gauge: return MetricType::kGauge;
    case prometheus::MetricType::Summary: return MetricType::kSummary;
    case prometheus::MetricType::Untyped: return MetricType::kUnknown;
    case prometheus::MetricType::Histogram: return MetricType::kHistogram;
  }
  return MetricType::kUnknown;
}

void WriteHistogram(const prometheus::ClientMetric::Histogram& from, std::span<const Label> labels,
                    ExpositionWriter& writer) {
  std::vector<double> bounds;
  std::vector<double> counts;
  uint64_t below = 0;
  for (const auto& bucket : from.bucket) {
    if (std::isinf(bucket.upper_bound)) break;
    bounds.push_back(bucket.upper_bound);
    counts.push_back(
        static_cast<double>(bucket.cumulative_count - std::exchange(below, bucket.cumulative_count)));
  }
  counts.push_back(static_cast<double>(from.sample_count - below));
  HistogramView histogram;
  histogram.bounds = bounds;
  histogram.counts = counts;
  histogram.sum = from.sample_sum;
  writer.Histogram(labels, histogram, 0);
}

void WriteSummary(const prometheus::ClientMetric::Summary& from, std::span<const Label> labels,
                  ExpositionWriter& writer) {
  std::vector<double> quantiles, values;
  for (const auto& quantile : from.quantile) {
    quantiles.push_back(quantile.quantile);
    values.push_back(quantile.value);
  }
  writer.Summary(labels, {quantiles, values, from.sample_sum, from.sample_count}, 0);
}

void ReadProcess(uint64_t start_unix_ns, Readings& readings) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  readings.Counter("process_cpu_seconds_total", "User and system CPU time spent.")
      .Add({}, seconds(usage.ru_utime) + seconds(usage.ru_stime));
  uint64_t size = 0;
  uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  readings.Gauge("process_resident_memory_bytes", "Resident memory.").Add({}, resident * page);
  readings.Gauge("process_virtual_memory_bytes", "Virtual memory.").Add({}, size * page);
  readings.Gauge("process_start_time_seconds", "Start time of the process, Unix time.")
      .Add({}, static_cast<double>(start_unix_ns) / 1e9);
}

}  // namespace

SelfTelemetry::SelfTelemetry(const Options& options) : options_(options) {}

std::vector<std::string> SelfTelemetry::ReservedNames() {
  return {"process_cpu_seconds", "process_resident_memory_bytes", "process_virtual_memory_bytes",
          "process_start_time_seconds"};
}

void SelfTelemetry::AddSource(const prometheus::Collectable& source) {
  MutexLock lock(mutex_);
  sources_.push_back(&source);
}

void SelfTelemetry::CountPage(const exporters::ExpositionStats& stats) {
  MutexLock lock(mutex_);
  ++pages_;
  skipped_.exemplars_dropped += stats.exemplars_dropped;
  for (size_t i = 0; i < stats.skipped.size(); ++i) skipped_.skipped[i] += stats.skipped[i];
}

void SelfTelemetry::Write(ExpositionWriter& writer, const Account& account,
                          const std::function<void(Readings&)>& more) const {
  Readings readings;
  ReadProcess(options_.start_unix_ns, readings);
  readings.Gauge("braid_build_info", "The build, as labels; always 1.")
      .Add({{"version", options_.version}, {"compiler", options_.compiler}}, 1.0);
  Read(account, readings);
  std::vector<const prometheus::Collectable*> sources;
  {
    MutexLock lock(mutex_);
    sources = sources_;
    readings.Counter("braid_exposition_pages_total", "Metrics pages written.").Add({}, pages_);
    readings.Counter("braid_exposition_exemplars_dropped_total", "Exemplars that no page may carry.")
        .Add({}, skipped_.exemplars_dropped);
    auto skipped =
        readings.Counter("braid_exposition_skipped_series_total", "Series left out of pages, by reason.");
    for (int i = 0; i < exporters::kExpositionSkips; ++i) {
      skipped.Add({{"reason", ExpositionSkipName(static_cast<exporters::ExpositionSkip>(i))}},
                  skipped_.skipped[static_cast<size_t>(i)]);
    }
  }
  if (more) more(readings);
  std::vector<prometheus::MetricFamily> families = readings.Take();
  const auto take = [&families](std::vector<prometheus::MetricFamily> collected) {
    std::move(collected.begin(), collected.end(), std::back_inserter(families));
  };
  take(registry_.Collect());
  for (const prometheus::Collectable* source : sources) take(source->Collect());
  WriteCollected(families, writer);
}

void Read(const Account& account, Readings& readings) {
  readings.Gauge("braid_journal_mode_info", "How records are made durable, as a label; always 1.")
      .Add({{"mode", account.journal_mode}}, 1.0);

  for (const Signal signal : kAllSignals) {
    const size_t s = static_cast<size_t>(signal);
    const IngressEntry& in = account.ingress[s];
    const std::string_view name = SignalName(signal);
    auto items = readings.Counter("braid_ingress_items_total",
                                  "Items of decoded requests: received = refused + rejected + submitted.");
    items.Add({{"signal", name}, {"outcome", "received"}}, in.received);
    items.Add({{"signal", name}, {"outcome", "refused"}}, in.refused);
    items.Add({{"signal", name}, {"outcome", "submitted"}}, in.submitted);
    for (int i = 0; i < kRejectReasons; ++i) {
      const std::string outcome = "rejected_" + std::string(RejectReasonName(static_cast<RejectReason>(i)));
      items.Add({{"signal", name}, {"outcome", outcome}}, in.rejected[static_cast<size_t>(i)]);
    }
    readings.Counter("braid_ingress_undecodable_requests_total", "Requests whose items could not be counted.")
        .Add({{"signal", name}}, in.undecodable_requests);
    readings.Gauge("braid_ingress_backlog_items", "Items submitted that no shard has accepted yet.")
        .Add({{"signal", name}}, account.backlog[s]);
  }

  for (const Account::Sink& sink : account.sinks) {
    for (const Signal signal : kAllSignals) {
      const size_t s = static_cast<size_t>(signal);
      if (!sink.takes[s]) continue;
      const LedgerEntry& entry = sink.ledger[s];
      const std::string_view name = SignalName(signal);
      auto items =
          readings.Counter("braid_account_items_total",
                           "Items by sink: accepted = held + queued + delivered + dead_lettered + dropped.");
      items.Add({{"signal", name}, {"sink", sink.name}, {"outcome", "accepted"}}, entry.accepted);
      items.Add({{"signal", name}, {"sink", sink.name}, {"outcome", "delivered"}}, entry.delivered);
      items.Add({{"signal", name}, {"sink", sink.name}, {"outcome", "dead_lettered"}}, entry.dead_lettered);
      auto pending = readings.Gauge("braid_account_pending_items", "Items accepted that have not left yet.");
      pending.Add({{"signal", name}, {"sink", sink.name}, {"place", "held"}}, entry.held);
      pending.Add({{"signal", name}, {"sink", sink.name}, {"place", "queued"}}, entry.queued);
      auto dropped = readings.Counter("braid_dropped_items_total", "Items that left undelivered, by reason.");
      for (int i = 0; i < kDropReasons; ++i) {
        dropped.Add(
            {{"signal", name}, {"sink", sink.name}, {"reason", DropReasonName(static_cast<DropReason>(i))}},
            entry.dropped[static_cast<size_t>(i)]);
      }
      readings.Gauge("braid_account_balanced", "1 if the sink's account adds up, as it always should.")
          .Add({{"signal", name}, {"sink", sink.name}}, entry.Balanced() ? 1.0 : 0.0);
    }
  }
}

void Read(const correlate::SeriesOwner::Stats& stats, Readings& readings) {
  readings
      .Gauge("braid_series_derived_series",
             "Label sets that are counted apart: of spans, edges and resources.")
      .Add({}, stats.series);
  readings
      .Gauge("braid_series_derived_series_limit",
             "How many there may be (metrics.max_series); beyond it spans count in overflow series.")
      .Add({}, stats.max_series);
  readings
      .Gauge("braid_series_overflow_series", "Of those, the ones that stand for combinations beyond the cap.")
      .Add({}, stats.overflow_series);
  readings.Counter("braid_series_overflow_spans_total", "Spans counted without their name, beyond the cap.")
      .Add({}, stats.overflow_spans);
  readings.Gauge("braid_series_exemplars", "Exemplars kept for derived series.").Add({}, stats.exemplars);
  readings.Counter("braid_series_exemplars_refused_total", "Exemplars that found no room.")
      .Add({}, stats.exemplars_refused);
  readings.Counter("braid_series_truncated_labels_total", "Series whose service or span name was cut.")
      .Add({}, stats.labels_truncated);
  readings.Counter("braid_series_expired_total", "Series that ended because nothing counted in them.")
      .Add({}, stats.expired_series);
  readings
      .Counter("braid_series_malformed_thresholds_total",
               "Series of spans whose sampling threshold (ot=th) cannot be read; they weigh 1.")
      .Add({}, stats.thresholds_malformed);
  readings
      .Counter("braid_series_coarsened_thresholds_total",
               "Series whose sampling threshold was rounded, because there are too many different ones.")
      .Add({}, stats.thresholds_coarsened);
  readings.Counter("braid_series_merged_names_total", "Span names that templates stand for (metrics.names).")
      .Add({}, stats.names_merged);
  readings
      .Counter("braid_series_template_refused_total",
               "Parts of span names that were not learned, for want of a node in their service's share.")
      .Add({}, stats.template_nodes_refused);
  readings
      .Counter("braid_series_template_replaced_total",
               "Nodes with a single value that gave way to a newer one of their service.")
      .Add({}, stats.template_nodes_replaced);
  readings.Gauge("braid_series_bytes", "Memory of the derived series.").Add({}, stats.bytes);
}

void Read(const correlate::MetricIngest::Stats& stats, Readings& readings) {
  readings.Gauge("braid_ingested_families", "Metric families that arrived and are exposed.")
      .Add({}, stats.families);
  readings.Gauge("braid_ingested_series", "Series that arrived and are exposed.").Add({}, stats.series);
  readings.Gauge("braid_ingested_bytes", "Memory of the ingested series.").Add({}, stats.bytes);
  readings.Counter("braid_ingested_points_total", "Data points taken into a series.").Add({}, stats.points);
  readings.Counter("braid_ingested_expired_series_total", "Series that nothing refreshed any more.")
      .Add({}, stats.expired_series);
  readings.Counter("braid_ingested_help_conflicts_total", "Metrics whose help differs from their family's.")
      .Add({}, stats.help_conflicts);
  readings
      .Counter("braid_ingested_exemplars_dropped_total",
               "Exemplars on metrics that cannot show one, or not as many.")
      .Add({}, stats.exemplars_dropped);
  auto not_exposed = readings.Counter("braid_ingested_not_exposed_points_total",
                                      "Data points that are forwarded, but not on this page, by reason.");
  for (int i = 0; i < correlate::kNotExposedReasons; ++i) {
    not_exposed.Add({{"reason", NotExposedName(static_cast<correlate::NotExposed>(i))}},
                    stats.not_exposed[static_cast<size_t>(i)]);
  }
}

void Read(const correlate::ExemplarCandidates::Stats& stats, Readings& readings) {
  readings
      .Gauge("braid_exemplar_candidates",
             "Spans kept as possible exemplars of histograms that arrive without.")
      .Add({}, stats.candidates);
  readings.Gauge("braid_exemplar_candidates_bytes", "Memory of those spans.").Add({}, stats.bytes);
  readings
      .Counter("braid_exemplar_candidates_taken_total", "Spans that became one, in place of another or not.")
      .Add({}, stats.taken);
  readings.Counter("braid_exemplar_candidates_refused_total", "Spans for which there was no room.")
      .Add({}, stats.refused);
  readings.Counter("braid_exemplar_candidates_expired_total", "Spans that became too old.")
      .Add({}, stats.expired);
  readings
      .Counter("braid_exemplars_lent_total",
               "Exemplars from spans in histograms that arrived without, on every page and push.")
      .Add({}, stats.lent);
}

void WriteCollected(const std::vector<prometheus::MetricFamily>& families, ExpositionWriter& writer) {
  std::vector<size_t> order(families.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::tie(families[a].name, a) < std::tie(families[b].name, b);
  });
  std::string_view open;
  prometheus::MetricType open_type{};
  std::vector<Label> labels;
  for (const size_t index : order) {
    const prometheus::MetricFamily& family = families[index];
    if (family.metric.empty()) continue;
    if (family.name != open) {
      std::string_view name = family.name;
      if (family.type == prometheus::MetricType::Counter && name.ends_with("_total")) name.remove_suffix(6);
      std::string_view unit;
      for (const std::string_view known : {"seconds", "bytes", "ratio"}) {
        if (name.ends_with(known)) unit = known;
      }
      writer.Family({name, family.help, unit, TypeOf(family.type)});
      open = family.name;
      open_type = family.type;
    } else if (family.type != open_type) {
      continue;
    }
    for (const prometheus::ClientMetric& metric : family.metric) {
      labels.clear();
      for (const auto& label : metric.label) labels.push_back({label.name, label.value});
      std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.name < b.name; });
      switch (family.type) {
        case prometheus::MetricType::Counter: writer.Counter(labels, metric.counter.value, 0, nullptr); break;
        case prometheus::MetricType::Gauge: writer.Gauge(labels, metric.gauge.value); break;
        case prometheus::MetricType::Untyped: writer.Gauge(labels, metric.untyped.value); break;
        case prometheus::MetricType::Histogram: WriteHistogram(metric.histogram, labels, writer); break;
        case prometheus::MetricType::Summary: WriteSummary(metric.summary, labels, writer); break;
      }
    }
  }
}

}  // namespace braid::gateway
