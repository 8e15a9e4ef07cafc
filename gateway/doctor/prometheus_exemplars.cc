#include "gateway/doctor/prometheus_exemplars.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <utility>
#include <vector>

#include "gateway/json/json_read.h"

namespace braid::gateway::doctor {
namespace {

namespace json = boost::json;

constexpr double kRecent = 300;   // seconds
constexpr size_t kResolve = 20;   // traces to ask Braid for
constexpr double kEnough = 0.99;  // of them

constexpr const char* kNames =
    "traces_spanmetrics_(latency|latency_bucket|calls_total)|"
    "traces_span_metrics_(duration_milliseconds|duration_milliseconds_bucket|calls_total)";

constexpr const char* kStorageAdvice =
    "Start Prometheus with\n"
    "  --enable-feature=exemplar-storage\n"
    "(several features are separated by commas in one flag; some operators call it enableFeatures). Without "
    "it exemplars "
    "are dropped silently.";

struct Kept {
  std::vector<std::pair<double, std::string>> traces;  // time, trace ID
  std::set<std::string> labels;                        // of exemplars without trace_id
};

Kept Collect(const json::value& data) {
  Kept kept;
  if (!data.is_array()) return kept;
  for (const json::value& series : data.as_array()) {
    for (const json::value& value : JsonList(JsonMap(series), "exemplars")) {
      const json::object& labels = JsonMap(JsonMap(value), "labels");
      const std::string_view trace = JsonText(labels, "trace_id");
      if (!trace.empty()) {
        kept.traces.emplace_back(JsonNumber(JsonMap(value), "timestamp").value_or(0), trace);
        continue;
      }
      for (const auto& [name, unused] : labels) kept.labels.emplace(std::string(name));
    }
  }
  std::sort(kept.traces.begin(), kept.traces.end());
  return kept;
}

// At most kResolve different ones, spread evenly over the time.
std::vector<std::string> Choose(const std::vector<std::pair<double, std::string>>& traces) {
  std::vector<std::string> different;
  std::set<std::string> seen;
  for (const auto& [time, trace] : traces) {
    if (seen.insert(trace).second) different.push_back(trace);
  }
  if (different.size() <= kResolve) return different;
  std::vector<std::string> chosen;
  for (size_t i = 0; i < kResolve; ++i) {
    chosen.push_back(different[i * (different.size() - 1) / (kResolve - 1)]);
  }
  return chosen;
}

std::string Join(const std::set<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

void Resolve(const Kept& kept, const BraidFacts& facts, Peer* braid, Reporter& to) {
  if (braid == nullptr || !facts.answered) return to.Skip("exemplar_traces", "Braid is not there to ask");
  size_t found = 0, asked = 0;
  std::string missing;
  for (const std::string& trace : Choose(kept.traces)) {
    const Result<bool> has = HasTrace(*braid, trace);
    if (!has.ok()) {
      return to.Fail("exemplar_traces", "trace " + trace + " cannot be asked for: " + has.status().message(),
                     "See braid.ready.");
    }
    ++asked;
    found += *has ? 1 : 0;
    if (!*has) missing = trace;
  }
  const std::string counts = std::to_string(found) + " of " + std::to_string(asked);
  if (static_cast<double>(found) >= kEnough * static_cast<double>(asked)) {
    return to.Ok("exemplar_traces", counts + " traces of exemplars can be fetched from Braid");
  }
  char horizon[80] = "";
  if (facts.has_status) {
    std::snprintf(horizon, sizeof horizon, "; its store reaches back %.0f s", facts.store_horizon_seconds);
  }
  to.Warn("exemplar_traces",
          "only " + counts + " traces of exemplars can be fetched from Braid" + horizon + " (not " + missing +
              ")",
          "Braid keeps traces of exemplars for as long as its page shows them; older ones go as the store "
          "fills. Let it "
          "reach further back:\n"
          "  store:\n    max_bytes: 512MiB\n  memory:\n    budget: 2GiB\n"
          "or forward traces to a trace backend (a sink) and point the data source's "
          "exemplarTraceIdDestinations at it.\n"
          "If Braid was restarted within the last minutes: its store began empty.");
}

}  // namespace

bool HasFeature(const std::string& features, std::string_view feature) {
  const std::string list = "," + features + ",";
  return list.find("," + std::string(feature) + ",") != std::string::npos;
}

void CheckExemplars(PrometheusApi& api, const std::optional<std::string>& features, const Scraped& scraped,
                    const BraidFacts& facts, Peer* braid, Reporter& to) {
  const bool off = features && !HasFeature(*features, "exemplar-storage");
  if (off) {
    to.Fail("exemplar_storage",
            "exemplar storage is off (--enable-feature is " +
                (features->empty() ? "empty" : "'" + *features + "'") + ")",
            kStorageAdvice);
    return;
  }
  if (features) {
    to.Ok("exemplar_storage", "--enable-feature has exemplar-storage");
  } else {
    to.Skip("exemplar_storage", "it does not tell its flags; what it has decides");
  }
  if (!scraped.found) return to.Skip("exemplars", "not looked for: this Braid is not there");

  const auto now = api.Scalar("vector(time())");
  if (!now.ok() || !*now) {
    return to.Fail("exemplars", "cannot be asked for: " + (now.ok() ? "no time" : now.status().message()),
                   "--prometheus is to name a Prometheus, or what speaks all of its API.");
  }
  char range[80];
  std::snprintf(range, sizeof range, "&start=%.3f&end=%.3f", **now - kRecent, **now + 60);
  const std::string query = "{__name__=~\"" + std::string(kNames) + "\"," + scraped.matchers + "}";
  const Result<json::value> data = api.Data("/api/v1/query_exemplars?query=" + Escape(query) + range);
  if (!data.ok()) {
    return to.Fail("exemplars", "cannot be asked for: " + data.status().message(),
                   features ? "See its log." : kStorageAdvice);
  }
  const Kept kept = Collect(*data);
  if (kept.traces.empty() && !kept.labels.empty()) {
    return to.Fail("exemplars",
                   "those of the last five minutes have no label trace_id (but " + Join(kept.labels) + ")",
                   "Braid writes trace_id and span_id: does something rename them on the way?\n"
                   "The data source's exemplarTraceIdDestinations need `name: trace_id`.");
  }
  if (kept.traces.empty()) {
    if (facts.has_page && facts.traces.empty()) {
      return to.Warn("exemplars", "none within the last five minutes; Braid's page has none either",
                     "See braid.exemplars.");
    }
    return to.Fail(
        "exemplars", "none within the last five minutes, though Braid's page has some",
        features ? "They come with OpenMetrics only: does a proxy or an agent stand between that asks for "
                   "another format, or drops them?\nAfter a restart of either, ask again after the next "
                   "scrape. storage.exemplars.max_exemplars must not be 0."
                 : kStorageAdvice);
  }
  to.Ok("exemplars", std::to_string(kept.traces.size()) + " within the last five minutes, label trace_id");
  Resolve(kept, facts, braid, to);
}

}  // namespace braid::gateway::doctor
