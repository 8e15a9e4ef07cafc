#include "gateway/api/gateway_readings.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <tuple>

namespace braid::gateway {
namespace {

double Seconds(uint64_t ticks) { return static_cast<double>(ticks * kTickMs) / 1000; }

void ReadWindow(const GatewaySnapshot& s, Readings& r) {
  correlate::ShardGauges sum;
  uint64_t horizon = ~uint64_t{0};
  uint64_t digest_horizon = ~uint64_t{0};
  for (const CoreSnapshot& core : s.cores) {
    sum.window_records += core.gauges.window_records;
    sum.window_capacity += core.gauges.window_capacity;
    sum.window_bytes += core.gauges.window_bytes;
    sum.pending_bytes += core.gauges.pending_bytes;
    sum.waiting_logs += core.gauges.waiting_logs;
    sum.open_traces += core.gauges.open_traces;
    sum.batches += core.gauges.batches;
    horizon = std::min(horizon, core.gauges.horizon_ticks);
    digest_horizon = std::min(digest_horizon, core.gauges.digest_horizon_ticks);
  }
  r.Gauge("braid_window_records", "Spans and logs that the window remembers.").Add({}, sum.window_records);
  r.Gauge("braid_window_capacity_records", "Records for which the window has room.")
      .Add({}, sum.window_capacity);
  r.Gauge("braid_window_bytes", "Memory of the window's tables when full.").Add({}, sum.window_bytes);
  r.Gauge("braid_window_horizon_seconds",
          "How far back joins and duplicate spans are recognised, on the core where it is least.")
      .Add({}, Seconds(horizon == ~uint64_t{0} ? 0 : horizon));
  r.Gauge("braid_window_digest_horizon_seconds",
          "How far back repeated requests are recognised, on the core where it is least.")
      .Add({}, Seconds(digest_horizon == ~uint64_t{0} ? 0 : digest_horizon));
  r.Gauge("braid_window_held_bytes", "Logical bytes of items held for a join or a verdict.")
      .Add({}, sum.pending_bytes);
  r.Gauge("braid_window_waiting_logs", "Logs that wait for their span.").Add({}, sum.waiting_logs);
  r.Gauge("braid_window_open_traces", "Traces without a verdict.").Add({}, sum.open_traces);
  r.Gauge("braid_window_batches", "Requests of which some item is still held.").Add({}, sum.batches);
}

// Waits are counted by the bit width of their ticks, so the bounds are 0, 1, 3, 7, ... ticks.
void ReadJoinWait(const correlate::ShardStats& sum, Readings& r) {
  std::array<double, std::tuple_size_v<decltype(sum.join_wait)> - 1> bounds{};
  for (size_t i = 0; i < bounds.size(); ++i) bounds[i] = Seconds((uint64_t{1} << i) - 1);
  auto counts = sum.join_wait;
  counts[0] += sum.logs_joined_at_once;
  r.Histogram("braid_join_wait_seconds",
              "How long joined logs waited for their span; 0 where the span was there.")
      .AddHistogram({}, bounds, counts, Seconds(sum.join_wait_ticks));
}

void ReadCorrelation(const GatewaySnapshot& s, Readings& r) {
  correlate::ShardStats sum;
  for (const CoreSnapshot& core : s.cores) {
    const correlate::ShardStats& c = core.stats;
    sum.spans += c.spans;
    sum.duplicate_spans += c.duplicate_spans;
    sum.duplicate_slices += c.duplicate_slices;
    sum.late_spans += c.late_spans;
    sum.logs += c.logs;
    sum.metrics += c.metrics;
    sum.logs_joined_at_once += c.logs_joined_at_once;
    sum.logs_joined_waiting += c.logs_joined_waiting;
    sum.logs_no_context += c.logs_no_context;
    sum.logs_bad_id += c.logs_bad_id;
    sum.index_evicted += c.index_evicted;
    sum.traces_evicted += c.traces_evicted;
    sum.notes_dropped += c.notes_dropped;
    sum.batches_evacuated += c.batches_evacuated;
    sum.chunks += c.chunks;
    sum.join_wait_ticks += c.join_wait_ticks;
    for (size_t i = 0; i < c.join_wait.size(); ++i) sum.join_wait[i] += c.join_wait[i];
    for (size_t i = 0; i < c.logs_unjoined.size(); ++i) sum.logs_unjoined[i] += c.logs_unjoined[i];
    for (size_t i = 0; i < c.verdicts.size(); ++i) sum.verdicts[i] += c.verdicts[i];
  }
  auto logs = r.Counter(
      "braid_correlated_logs_total",
      "Logs by how they left: joined to their span, or why not. waited says whether they were held.");
  logs.Add({{"result", "span"}, {"reason", "span_was_there"}}, sum.logs_joined_at_once);
  logs.Add({{"result", "span"}, {"reason", "span_came"}}, sum.logs_joined_waiting);
  logs.Add({{"result", "none"}, {"reason", "no_context"}}, sum.logs_no_context - sum.logs_bad_id);
  logs.Add({{"result", "none"}, {"reason", "bad_id"}}, sum.logs_bad_id);
  for (size_t i = 1; i < sum.logs_unjoined.size(); ++i) {
    logs.Add({{"result", "unjoined"},
              {"reason", correlate::UnjoinedReasonName(static_cast<correlate::UnjoinedReason>(i))}},
             sum.logs_unjoined[i]);
  }
  ReadJoinWait(sum, r);
  r.Counter("braid_duplicate_spans_total", "Spans that had arrived before.").Add({}, sum.duplicate_spans);
  r.Counter("braid_duplicate_requests_total", "Requests' shares of a shard that had arrived before.")
      .Add({}, sum.duplicate_slices);
  r.Counter("braid_late_spans_total", "Spans that arrived after their trace's verdict.")
      .Add({}, sum.late_spans);
  auto verdicts = r.Counter("braid_verdicts_total", "Traces decided, by what triggered it.");
  for (size_t i = 0; i < sum.verdicts.size(); ++i) {
    verdicts.Add({{"trigger", correlate::TriggerName(static_cast<correlate::Trigger>(i))}}, sum.verdicts[i]);
  }
  auto evicted =
      r.Counter("braid_window_evicted_total", "Living entries of the window that gave way to new ones.");
  evicted.Add({{"what", "span_index"}}, sum.index_evicted);
  evicted.Add({{"what", "trace"}}, sum.traces_evicted);
  evicted.Add({{"what", "error_message"}}, sum.notes_dropped);
  r.Counter("braid_batches_evacuated_total", "Old requests whose last held items were moved together.")
      .Add({}, sum.batches_evacuated);
  r.Counter("braid_chunks_total", "Chunks of finished telemetry.").Add({}, sum.chunks);
}

void ReadVotes(const GatewaySnapshot& s, Readings& r) {
  std::array<uint64_t, correlate::kVoteResults> votes{};
  uint64_t met = 0, forgotten = 0, waiting = 0;
  for (const CoreSnapshot& core : s.cores) {
    for (size_t i = 0; i < votes.size(); ++i) votes[i] += core.stats.votes[i];
    met += core.stats.early_votes_met;
    forgotten += core.stats.early_votes_forgotten;
    waiting += core.gauges.early_votes;
  }
  auto family =
      r.Counter("braid_votes_total",
                "Exemplars of incoming metrics that name a trace, by what of it was there: the trace, "
                "its tombstone, nothing yet (early), or an earlier vote.");
  for (size_t i = 0; i < votes.size(); ++i) {
    family.Add({{"result", correlate::VoteResultName(static_cast<correlate::VoteResult>(i))}}, votes[i]);
  }
  auto early = r.Counter("braid_votes_early_total",
                         "Early votes that their trace came for, or that gave way to newer ones.");
  early.Add({{"result", "met"}}, met);
  early.Add({{"result", "forgotten"}}, forgotten);
  r.Gauge("braid_votes_early_waiting", "Early votes whose trace has not come.").Add({}, waiting);
}

void ReadMemory(const GatewaySnapshot& s, Readings& r) {
  r.Gauge("braid_memory_budget_bytes", "The configured budget.")
      .Add({}, static_cast<uint64_t>(s.memory_budget));
  auto slabs = r.Gauge("braid_memory_slab_bytes", "Memory of requests and chunks.");
  slabs.Add({{"state", "used"}}, static_cast<uint64_t>(s.slab_used));
  slabs.Add({{"state", "idle"}}, static_cast<uint64_t>(s.slab_idle));
  r.Gauge("braid_memory_slab_limit_bytes", "Beyond this, requests are refused.")
      .Add({}, static_cast<uint64_t>(s.slab_max));
  r.Gauge("braid_memory_pressure_level",
          "0 none, 1 holds are halved, 2 the oldest is decided at once, 3 requests are refused.")
      .Add({}, static_cast<uint64_t>(s.pressure));
}

void ReadStore(const GatewaySnapshot& s, Readings& r) {
  uint64_t bytes = 0;
  uint64_t items = 0;
  uint64_t oldest = 0;
  bool evicted = false;
  for (const CoreSnapshot& core : s.cores) {
    bytes += core.store_bytes;
    items += core.store_items;
    if (core.store_horizon_tick == 0) continue;
    evicted = true;
    oldest = std::max(oldest, std::min<uint64_t>(core.store_horizon_tick, core.tick));
  }
  r.Gauge("braid_store_bytes", "Finished telemetry kept for queries.").Add({}, bytes);
  r.Gauge("braid_store_items", "Spans and logs kept for queries.").Add({}, items);
  correlate::ChunkStore::PinStats pins;
  for (const CoreSnapshot& core : s.cores) {
    pins.traces += core.pins.traces;
    pins.bytes += core.pins.bytes;
    pins.evicted += core.pins.evicted;
    pins.refused += core.pins.refused;
  }
  r.Gauge("braid_store_pinned_traces",
          "Traces that exemplars point to and that are kept beyond the horizon; newer ones are not counted.")
      .Add({}, pins.traces);
  r.Gauge("braid_store_pinned_bytes", "Of braid_store_bytes, what is kept for them.").Add({}, pins.bytes);
  r.Gauge("braid_store_unpinned_traces",
          "Traces that shown exemplars point to and that the store does not have: never sent here, not "
          "finished yet, or gone. As of a second ago.")
      .Add({}, s.unpinned_traces);
  auto lost = r.Counter("braid_store_pins_lost_total",
                        "Traces of exemplars that were not kept: their share of the store was full, the "
                        "longest pinned leaving; or there were too many.");
  lost.Add({{"reason", "bytes"}}, pins.evicted);
  lost.Add({{"reason", "count"}}, pins.refused);
  r.Gauge("braid_store_horizon_seconds", "A trace that was finished no longer ago than this can be fetched.")
      .Add({}, evicted ? Seconds(s.tick - std::min(oldest, s.tick)) : s.uptime_seconds);
}

void ReadLanes(const GatewaySnapshot& s, Readings& r) {
  struct Sum {
    uint64_t queued_bytes = 0;
    uint64_t max_bytes = 0;
    uint64_t in_flight = 0;
    uint64_t requests = 0;
    uint64_t retries = 0;
    uint64_t bisections = 0;
    uint64_t sent_bytes = 0;
    uint64_t shed_fields = 0;
    double oldest = 0;
    uint64_t failures = 0;
    bool present = false;
  };
  std::vector<Sum> sums(s.sinks.size());
  for (const CoreSnapshot& core : s.cores) {
    for (const CoreSnapshot::LaneView& lane : core.lanes) {
      Sum& sum = sums[lane.sink];
      sum.present = true;
      sum.max_bytes += lane.stats.max_bytes;
      sum.queued_bytes += lane.stats.queued_bytes;
      sum.in_flight += lane.stats.in_flight;
      sum.requests += lane.stats.requests;
      sum.retries += lane.stats.retries;
      sum.bisections += lane.stats.bisections;
      sum.sent_bytes += lane.stats.sent_bytes;
      sum.shed_fields += lane.stats.shed_fields;
      sum.oldest = std::max(sum.oldest, std::chrono::duration<double>(lane.stats.oldest_age).count());
      sum.failures = std::max<uint64_t>(sum.failures, lane.stats.consecutive_failures);
    }
  }
  const auto each = [&](Readings::Family family, auto value) {
    for (size_t i = 0; i < sums.size(); ++i) {
      if (sums[i].present) family.Add({{"sink", s.sinks[i]}}, value(sums[i]));
    }
  };
  each(r.Gauge("braid_sink_queue_bytes", "Bytes queued for the sink or under way to it."),
       [](const Sum& x) { return x.queued_bytes; });
  each(r.Gauge("braid_sink_queue_limit_bytes", "Beyond this the sink's on_full applies."),
       [](const Sum& x) { return x.max_bytes; });
  each(r.Gauge("braid_sink_requests_in_flight", "Requests under way."),
       [](const Sum& x) { return x.in_flight; });
  each(r.Gauge("braid_sink_oldest_seconds", "Age of the oldest item queued."),
       [](const Sum& x) { return x.oldest; });
  each(r.Gauge("braid_sink_consecutive_failures", "Failures since the last success; 0 is healthy."),
       [](const Sum& x) { return x.failures; });
  each(r.Counter("braid_sink_requests_total", "Requests sent, repetitions included."),
       [](const Sum& x) { return x.requests; });
  each(r.Counter("braid_sink_retries_total", "Requests sent again."), [](const Sum& x) { return x.retries; });
  each(r.Counter("braid_sink_bisections_total", "Refused requests cut in two to find the bad item."),
       [](const Sum& x) { return x.bisections; });
  each(r.Counter("braid_sink_sent_bytes_total",
                 "Bytes of telemetry that the receiver took, before compression."),
       [](const Sum& x) { return x.sent_bytes; });
  each(r.Counter("braid_sink_shed_fields_total", "Fields left out because the receiver takes no more."),
       [](const Sum& x) { return x.shed_fields; });
}

void ReadPushes(const GatewaySnapshot& s, Readings& r) {
  if (s.pushes.empty()) return;
  const auto each = [&](Readings::Family family, auto value) {
    for (const PushSnapshot& push : s.pushes) family.Add({{"sink", s.sinks[push.sink]}}, value(push));
  };
  using P = PushSnapshot;
  each(r.Counter("braid_push_rounds_total", "Rounds in which metrics were taken for the sink."),
       [](const P& p) { return p.rounds; });
  each(r.Gauge("braid_push_points", "Points of the last round; a whole histogram is one."),
       [](const P& p) { return p.points; });
  each(r.Gauge("braid_push_round_seconds", "How long taking the last round took."),
       [](const P& p) { return p.last_seconds; });
  each(r.Counter("braid_push_exemplars_total", "Exemplars sent along."),
       [](const P& p) { return p.exemplars; });
  each(r.Counter("braid_push_exemplars_dropped_total", "Exemplars that could not be sent along."),
       [](const P& p) { return p.exemplars_dropped; });
  auto skipped = r.Counter("braid_push_skipped_points_total", "Points left out of a round, by reason.");
  for (const P& push : s.pushes) {
    for (size_t i = 0; i < push.skipped.size(); ++i) {
      skipped.Add({{"sink", s.sinks[push.sink]},
                   {"reason", exporters::ExpositionSkipName(static_cast<exporters::ExpositionSkip>(i))}},
                  push.skipped[i]);
    }
    if (push.samples) {
      skipped.Add({{"sink", s.sinks[push.sink]}, {"reason", "equal_by_external_labels"}}, push.merged);
    }
  }
  auto stale = r.Counter("braid_push_stale_markers_total", "Series whose end was told to the sink.");
  for (const P& push : s.pushes) stale.Add({{"sink", s.sinks[push.sink]}}, push.stale_markers);
  auto protocol = r.Gauge("braid_push_protocol_info", "Version of remote write that the sink is sent.");
  for (const P& push : s.pushes) {
    if (push.samples) protocol.Add({{"sink", s.sinks[push.sink]}, {"version", push.protocol}}, uint64_t{1});
  }
}

void ReadListeners(const GatewaySnapshot& s, Readings& r) {
  const auto& all = s.listeners;
  const auto each = [&](Readings::Family family, auto value) {
    for (const auto& [name, stats] : all) family.Add({{"listener", name}}, value(stats));
  };
  using S = ingest::HttpStats;
  each(r.Counter("braid_listener_connections_total", "Connections accepted."),
       [](const S& h) { return h.connections_accepted; });
  each(r.Gauge("braid_listener_connections_open", "Connections open."),
       [](const S& h) { return h.connections_open; });
  each(r.Counter("braid_listener_requests_total", "Requests received."),
       [](const S& h) { return h.requests; });
  each(r.Counter("braid_listener_received_bytes_total", "Bytes received."),
       [](const S& h) { return h.bytes_received; });
  each(r.Counter("braid_listener_sent_bytes_total", "Bytes sent."), [](const S& h) { return h.bytes_sent; });
  const auto refused =
      r.Counter("braid_listener_refused_total", "Connections and requests turned away, by reason.");
  auto family = refused;
  for (const auto& [name, h] : all) {
    family.Add({{"listener", name}, {"reason", "too_many_connections"}}, h.connections_refused);
    family.Add({{"listener", name}, {"reason", "tls"}}, h.tls_failures);
    family.Add({{"listener", name}, {"reason", "protocol_error"}}, h.protocol_errors);
    family.Add({{"listener", name}, {"reason", "flood"}}, h.floods);
    family.Add({{"listener", name}, {"reason", "header_timeout"}}, h.header_timeouts);
    family.Add({{"listener", name}, {"reason", "body_timeout"}}, h.body_timeouts);
    family.Add({{"listener", name}, {"reason", "idle_timeout"}}, h.idle_timeouts);
    family.Add({{"listener", name}, {"reason", "write_timeout"}}, h.write_timeouts);
    family.Add({{"listener", name}, {"reason", "deadline"}}, h.deadlines_passed);
    family.Add({{"listener", name}, {"reason", "too_large"}}, h.refused_too_large);
    family.Add({{"listener", name}, {"reason", "no_memory"}}, h.refused_no_memory);
  }
}

void ReadReceiver(const ingest::OtlpReceiver::Stats& stats, Readings& r) {
  auto requests =
      r.Counter("braid_receiver_requests_total", "Requests by how they ended, as their sender was told.");
  for (size_t t = 0; t < ingest::kOtlpTransports; ++t) {
    for (size_t s = 0; s < kSignals; ++s) {
      for (size_t o = 0; o < ingest::kReceiveOutcomes; ++o) {
        requests.Add({{"receiver", ingest::ReceiverName(static_cast<ingest::OtlpTransport>(t))},
                      {"signal", SignalName(static_cast<Signal>(s))},
                      {"outcome", ingest::ReceiveOutcomeName(static_cast<ingest::ReceiveOutcome>(o))}},
                     stats.requests[t][s][o]);
      }
    }
  }
  const auto bytes = [&](std::string_view name, std::string_view help, const auto& values) {
    auto family = r.Counter(name, help);
    for (size_t t = 0; t < ingest::kOtlpTransports; ++t) {
      for (size_t s = 0; s < kSignals; ++s) {
        family.Add({{"receiver", ingest::ReceiverName(static_cast<ingest::OtlpTransport>(t))},
                    {"signal", SignalName(static_cast<Signal>(s))}},
                   values[t][s]);
      }
    }
  };
  bytes("braid_receiver_bytes_total", "Request bodies as sent.", stats.bytes);
  bytes("braid_receiver_decompressed_bytes_total", "Request bodies after decompression.",
        stats.decompressed_bytes);
  r.Counter("braid_receiver_unknown_path_total", "Requests for no path or method of OTLP.")
      .Add({}, stats.unknown_path);
}

void ReadGraph(const GatewaySnapshot& s, Readings& r) {
  correlate::ServiceGraph::Stats stats;
  uint64_t waiting = 0, callers = 0, signatures = 0, nodes = 0, rows = 0, bytes = 0, traces = 0,
           incomplete = 0;
  for (const CoreSnapshot& c : s.cores) {
    stats.edges += c.graph.edges;
    stats.virtual_edges += c.graph.virtual_edges;
    stats.exemplars_refused += c.graph.exemplars_refused;
    for (size_t i = 0; i < stats.unpaired.size(); ++i) stats.unpaired[i] += c.graph.unpaired[i];
    waiting += c.gauges.graph_waiting;
    callers += c.gauges.graph_callers;
    signatures += c.gauges.signatures;
    nodes += c.gauges.template_nodes;
    rows += c.gauges.series;
    bytes += c.gauges.graph_bytes;
    traces += c.stats.self_time_traces;
    incomplete += c.stats.self_time_incomplete;
  }
  r.Counter("braid_graph_edges_total", "Requests between services that were found.").Add({}, stats.edges);
  r.Counter("braid_graph_virtual_edges_total", "Of those, the ones whose other side only attributes name.")
      .Add({}, stats.virtual_edges);
  auto unpaired = r.Counter("braid_graph_unpaired_spans_total", "Spans that made no edge, by reason.");
  for (size_t i = 0; i < stats.unpaired.size(); ++i) {
    unpaired.Add({{"reason", correlate::UnpairedName(static_cast<correlate::Unpaired>(i))}},
                 stats.unpaired[i]);
  }
  r.Counter("braid_graph_exemplars_refused_total", "Exemplars of edges that found no room to wait.")
      .Add({}, stats.exemplars_refused);
  auto pending = r.Gauge("braid_graph_pending_spans", "Spans that may still become part of an edge.");
  pending.Add({{"side", "child"}}, waiting);
  pending.Add({{"side", "parent"}}, callers);
  r.Gauge("braid_graph_bytes", "Memory of the service graph's pending spans.").Add({}, bytes);
  r.Gauge("braid_series_signatures", "Distinct combinations of what decides where a span counts, by shard.")
      .Add({}, signatures);
  r.Gauge("braid_series_template_nodes", "Beginnings of span names whose parts are learned, by shard.")
      .Add({}, nodes);
  r.Gauge("braid_series_rows", "Series by shard and sampling threshold.").Add({}, rows);
  auto self = r.Counter("braid_self_time_traces_total",
                        "Traces at their verdict: complete, so that self time is known, or not.");
  self.Add({{"complete", "true"}}, traces);
  self.Add({{"complete", "false"}}, incomplete);
}

void ReadRemoteWrite(const ingest::RemoteWriteReceiver::Stats& stats, Readings& r) {
  auto requests =
      r.Counter("braid_receiver_requests_total", "Requests by how they ended, as their sender was told.");
  const std::string_view metrics = SignalName(Signal::kMetrics);
  constexpr std::array kVersions = {ingest::RemoteWriteVersion::k1, ingest::RemoteWriteVersion::k2};
  for (const ingest::RemoteWriteVersion version : kVersions) {
    for (size_t o = 0; o < ingest::kReceiveOutcomes; ++o) {
      requests.Add({{"receiver", ingest::ReceiverName(version)},
                    {"signal", metrics},
                    {"outcome", ingest::ReceiveOutcomeName(static_cast<ingest::ReceiveOutcome>(o))}},
                   stats.requests[static_cast<size_t>(version)][o]);
    }
  }
  const auto bytes = [&](std::string_view name, std::string_view help, const auto& values) {
    auto family = r.Counter(name, help);
    for (const ingest::RemoteWriteVersion version : kVersions) {
      family.Add({{"receiver", ingest::ReceiverName(version)}, {"signal", metrics}},
                 values[static_cast<size_t>(version)]);
    }
  };
  bytes("braid_receiver_bytes_total", "Request bodies as sent.", stats.bytes);
  bytes("braid_receiver_decompressed_bytes_total", "Request bodies after decompression.",
        stats.decompressed_bytes);
  r.Counter("braid_remote_write_unknown_path_total", "Requests for no path of remote write.")
      .Add({}, stats.unknown_path);
  r.Counter("braid_remote_write_written_total", "What was taken, as its sender counts.")
      .Add({{"kind", "sample"}}, stats.samples_written)
      .Add({{"kind", "histogram"}}, stats.histograms_written)
      .Add({{"kind", "exemplar"}}, stats.exemplars_written);
  r.Counter("braid_remote_write_exemplars_dropped_total",
            "Exemplars without a data point to hang on: malformed, or sent apart from their sample.")
      .Add({}, stats.exemplars_dropped);
  const auto faults = [&](std::string_view name, std::string_view help, const auto& values) {
    auto family = r.Counter(name, help);
    for (size_t i = 1; i < ingest::kSeriesFaults; ++i) {
      family.Add({{"reason", ingest::SeriesFaultName(static_cast<ingest::SeriesFault>(i))}}, values[i]);
    }
  };
  faults("braid_remote_write_rejected_series_total", "Series of which something was rejected, by reason.",
         stats.rejected_series);
  faults("braid_remote_write_rejected_samples_total", "Samples rejected for good, by reason.",
         stats.rejected_samples);
  faults("braid_remote_write_rejected_histograms_total", "Native histograms rejected for good, by reason.",
         stats.rejected_histograms);
  r.Counter("braid_remote_write_composite_samples_total",
            "Samples of classic histograms and summaries: put together again, or forwarded one by one.")
      .Add({{"form", "assembled"}}, stats.assembled_samples)
      .Add({{"form", "loose"}}, stats.loose_samples);
  r.Gauge("braid_remote_write_families", "Metric families whose type is remembered.")
      .Add({}, stats.families.families);
  r.Gauge("braid_remote_write_families_bytes", "Memory of what is remembered of metric families.")
      .Add({}, stats.families.bytes);
  r.Counter("braid_remote_write_families_forgotten_total", "Metric families forgotten for lack of room.")
      .Add({}, stats.families.forgotten);
}

void ReadFilters(const GatewaySnapshot& s, Readings& r) {
  if (s.filters.empty()) return;
  auto family = r.Counter("braid_filter_items_total", "Items that a filter rule dropped or changed.");
  for (const ingest::Filter::RuleCount& count : s.filters) {
    using Action = ingest::Filter::Rule::Action;
    const std::string_view action = count.action == Action::kDrop     ? "drop"
                                    : count.action == Action::kRedact ? "redact"
                                                                      : "remove";
    family.Add({{"rule", count.rule}, {"action", action}, {"signal", SignalName(count.signal)}}, count.items);
  }
}

}  // namespace

Account AccountOf(const GatewaySnapshot& snapshot) {
  Account account;
  account.journal_mode = snapshot.journal_mode;
  account.ingress = snapshot.ingress;
  for (size_t sink = 0; sink < snapshot.sinks.size(); ++sink) {
    account.sinks.push_back({snapshot.sinks[sink], snapshot.sink_takes[sink], snapshot.ledger[sink]});
  }
  for (size_t signal = 0; signal < kSignals; ++signal) {
    account.backlog[signal] = snapshot.ingress[signal].submitted -
                              snapshot.ledger[correlate::Shard::kInternalSink][signal].accepted;
  }
  return account;
}

void ReadGateway(const GatewaySnapshot& snapshot, Readings& readings) {
  if (!snapshot.config_sha256.empty()) {
    readings
        .Gauge("braid_config_info",
               "The configuration in effect, as a digest of `braid print-config`; always 1.")
        .Add({{"sha256", snapshot.config_sha256}}, uint64_t{1});
  }
  Read(snapshot.series, readings);
  Read(snapshot.ingested, readings);
  if (snapshot.candidates) Read(*snapshot.candidates, readings);
  ReadWindow(snapshot, readings);
  ReadCorrelation(snapshot, readings);
  ReadGraph(snapshot, readings);
  ReadVotes(snapshot, readings);
  ReadMemory(snapshot, readings);
  ReadStore(snapshot, readings);
  ReadLanes(snapshot, readings);
  ReadPushes(snapshot, readings);
  ReadListeners(snapshot, readings);
  ReadFilters(snapshot, readings);
  ReadReceiver(snapshot.receiver, readings);
  if (snapshot.remote_write) ReadRemoteWrite(*snapshot.remote_write, readings);
}

}  // namespace braid::gateway
