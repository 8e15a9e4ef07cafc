#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "gateway/api/api.h"
#include "gateway/version.h"

namespace braid::gateway {
namespace {

namespace json = boost::json;

json::object IngressJson(const IngressEntry& entry, uint64_t accepted) {
  json::object rejected;
  for (int i = 0; i < kRejectReasons; ++i) {
    rejected[RejectReasonName(static_cast<RejectReason>(i))] = entry.rejected[static_cast<size_t>(i)];
  }
  return {{"received", entry.received},
          {"refused", entry.refused},
          {"rejected", std::move(rejected)},
          {"submitted", entry.submitted},
          {"backlog", entry.submitted - accepted},
          {"accepted", accepted},
          {"undecodableRequests", entry.undecodable_requests},
          {"refusedRequests", entry.refused_requests},
          {"balanced", entry.Balanced() && entry.submitted >= accepted}};
}

json::object LedgerJson(const LedgerEntry& entry) {
  json::object dropped;
  for (int i = 0; i < kDropReasons; ++i) {
    dropped[DropReasonName(static_cast<DropReason>(i))] = entry.dropped[static_cast<size_t>(i)];
  }
  return {{"accepted", entry.accepted},
          {"held", entry.held},
          {"queued", entry.queued},
          {"delivered", entry.delivered},
          {"deadLettered", entry.dead_lettered},
          {"dropped", std::move(dropped)},
          {"balanced", entry.Balanced()}};
}

double Seconds(uint64_t ticks) { return static_cast<double>(ticks * kTickMs) / 1000; }

}  // namespace

std::string RenderStatus(const GatewaySnapshot& s) {
  json::object ingress;
  json::object sinks;
  for (int signal = 0; signal < kSignals; ++signal) {
    const auto i = static_cast<size_t>(signal);
    ingress[SignalName(static_cast<Signal>(signal))] =
        IngressJson(s.ingress[i], s.ledger[correlate::Shard::kInternalSink][i].accepted);
  }
  for (size_t sink = 0; sink < s.sinks.size(); ++sink) {
    json::object signals;
    for (int signal = 0; signal < kSignals; ++signal) {
      if (!s.sink_takes[sink][static_cast<size_t>(signal)]) continue;
      signals[SignalName(static_cast<Signal>(signal))] =
          LedgerJson(s.ledger[sink][static_cast<size_t>(signal)]);
    }
    sinks[s.sinks[sink]] = std::move(signals);
  }

  correlate::ShardStats stats;
  correlate::ServiceGraph::Stats graph;
  json::object unjoined;
  std::array<uint64_t, correlate::kUnjoinedReasons> reasons{};
  json::object verdicts;
  std::array<uint64_t, correlate::kTriggers> triggers{};
  correlate::ShardGauges gauges;
  uint64_t store_bytes = 0;
  uint64_t store_items = 0;
  uint64_t store_horizon = 0;
  bool store_evicted = false;
  json::array lanes;
  uint64_t horizon = ~uint64_t{0};
  for (size_t core = 0; core < s.cores.size(); ++core) {
    const CoreSnapshot& c = s.cores[core];
    stats.spans += c.stats.spans;
    stats.duplicate_spans += c.stats.duplicate_spans;
    stats.logs += c.stats.logs;
    stats.late_spans += c.stats.late_spans;
    stats.logs_joined_at_once += c.stats.logs_joined_at_once;
    stats.logs_joined_waiting += c.stats.logs_joined_waiting;
    stats.logs_no_context += c.stats.logs_no_context;
    stats.logs_bad_id += c.stats.logs_bad_id;
    stats.duplicate_slices += c.stats.duplicate_slices;
    stats.index_evicted += c.stats.index_evicted;
    stats.traces_evicted += c.stats.traces_evicted;
    stats.batches_evacuated += c.stats.batches_evacuated;
    for (size_t i = 0; i < reasons.size(); ++i) reasons[i] += c.stats.logs_unjoined[i];
    graph.edges += c.graph.edges;
    graph.virtual_edges += c.graph.virtual_edges;
    for (size_t i = 0; i < graph.unpaired.size(); ++i) graph.unpaired[i] += c.graph.unpaired[i];
    for (size_t i = 0; i < triggers.size(); ++i) triggers[i] += c.stats.verdicts[i];
    gauges.window_records += c.gauges.window_records;
    gauges.window_capacity += c.gauges.window_capacity;
    gauges.window_bytes += c.gauges.window_bytes;
    gauges.series_bytes += c.gauges.series_bytes;
    gauges.pending_bytes += c.gauges.pending_bytes;
    gauges.waiting_logs += c.gauges.waiting_logs;
    gauges.open_traces += c.gauges.open_traces;
    gauges.batches += c.gauges.batches;
    horizon = std::min(horizon, c.gauges.horizon_ticks);
    store_bytes += c.store_bytes;
    store_items += c.store_items;
    if (c.store_horizon_tick != 0) {
      store_evicted = true;
      store_horizon = std::max(store_horizon, std::min<uint64_t>(c.store_horizon_tick, c.tick));
    }
    for (const CoreSnapshot::LaneView& lane : c.lanes) {
      lanes.push_back({{"sink", s.sinks[lane.sink]},
                       {"core", core},
                       {"state", exporters::Lane::StateName(lane.stats.state)},
                       {"queuedItems", lane.stats.queued_items},
                       {"queuedBytes", lane.stats.queued_bytes},
                       {"inFlight", lane.stats.in_flight},
                       {"oldestSeconds", std::chrono::duration<double>(lane.stats.oldest_age).count()},
                       {"requests", lane.stats.requests},
                       {"retries", lane.stats.retries},
                       {"consecutiveFailures", lane.stats.consecutive_failures},
                       {"lastError", lane.stats.last_error}});
    }
  }
  for (size_t i = 1; i < reasons.size(); ++i) {
    unjoined[correlate::UnjoinedReasonName(static_cast<correlate::UnjoinedReason>(i))] = reasons[i];
  }
  for (size_t i = 0; i < triggers.size(); ++i) {
    verdicts[correlate::TriggerName(static_cast<correlate::Trigger>(i))] = triggers[i];
  }

  json::object out;
  out["version"] = kVersion;
  out["journal"] = {{"mode", s.journal_mode}};
  out["uptimeSeconds"] = s.uptime_seconds;
  out["shards"] = s.cores.size();
  out["pressure"] = s.pressure;
  out["memory"] = {{"budgetBytes", s.memory_budget},     {"slabUsedBytes", s.slab_used},
                   {"slabIdleBytes", s.slab_idle},       {"slabMaxBytes", s.slab_max},
                   {"windowBytes", gauges.window_bytes}, {"seriesBytes", gauges.series_bytes}};
  out["account"] = {{"ingress", std::move(ingress)}, {"sinks", std::move(sinks)}};
  out["correlation"] = {{"spans", stats.spans},
                        {"duplicateSpans", stats.duplicate_spans},
                        {"duplicateSlices", stats.duplicate_slices},
                        {"lateSpans", stats.late_spans},
                        {"logs", stats.logs},
                        {"logsJoinedAtOnce", stats.logs_joined_at_once},
                        {"logsJoinedWaiting", stats.logs_joined_waiting},
                        {"logsNoContext", stats.logs_no_context},
                        {"logsBadId", stats.logs_bad_id},
                        {"logsUnjoined", std::move(unjoined)},
                        {"verdicts", std::move(verdicts)},
                        {"indexEvicted", stats.index_evicted},
                        {"tracesEvicted", stats.traces_evicted},
                        {"batchesEvacuated", stats.batches_evacuated}};
  out["window"] = {{"records", gauges.window_records},
                   {"capacity", gauges.window_capacity},
                   {"horizonSeconds", Seconds(horizon == ~uint64_t{0} ? 0 : horizon)},
                   {"pendingBytes", gauges.pending_bytes},
                   {"waitingLogs", gauges.waiting_logs},
                   {"openTraces", gauges.open_traces},
                   {"batches", gauges.batches}};
  const uint64_t since = store_evicted ? store_horizon : 0;
  out["store"] = {{"bytes", store_bytes},
                  {"items", store_items},
                  {"horizonSeconds",
                   store_evicted ? Seconds(s.tick - std::min<uint64_t>(since, s.tick)) : s.uptime_seconds}};
  json::object unpaired_spans;
  for (size_t i = 0; i < graph.unpaired.size(); ++i)
    unpaired_spans[correlate::UnpairedName(static_cast<correlate::Unpaired>(i))] = graph.unpaired[i];
  out["graph"] = {
      {"edges", graph.edges}, {"virtualEdges", graph.virtual_edges}, {"unpaired", std::move(unpaired_spans)}};
  out["series"] = {{"derived", s.series.series},
                   {"overflow", s.series.overflow_series},
                   {"overflowSpans", s.series.overflow_spans},
                   {"expired", s.series.expired_series},
                   {"ingested", s.ingested.series}};
  if (s.remote_write) {
    const ingest::RemoteWriteReceiver::Stats& rw = *s.remote_write;
    json::object rejected;
    for (size_t i = 1; i < ingest::kSeriesFaults; ++i) {
      const uint64_t points = rw.rejected_samples[i] + rw.rejected_histograms[i];
      rejected[ingest::SeriesFaultName(static_cast<ingest::SeriesFault>(i))] = points;
    }
    out["remoteWrite"] = {
        {"samplesWritten", rw.samples_written},     {"histogramsWritten", rw.histograms_written},
        {"exemplarsWritten", rw.exemplars_written}, {"exemplarsDropped", rw.exemplars_dropped},
        {"rejected", std::move(rejected)},          {"assembledSamples", rw.assembled_samples},
        {"looseSamples", rw.loose_samples},         {"families", rw.families.families}};
  }
  out["lanes"] = std::move(lanes);
  json::array pushes;
  for (const PushSnapshot& push : s.pushes) {
    json::object one{{"sink", s.sinks[push.sink]},
                     {"rounds", push.rounds},
                     {"points", push.points},
                     {"lastSeconds", push.last_seconds},
                     {"exemplars", push.exemplars}};
    if (push.samples) {
      one["protocol"] = push.protocol;
      one["staleMarkers"] = push.stale_markers;
    }
    pushes.push_back(std::move(one));
  }
  out["pushes"] = std::move(pushes);
  return json::serialize(out);
}

}  // namespace braid::gateway
