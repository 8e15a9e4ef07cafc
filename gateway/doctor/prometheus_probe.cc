#include "gateway/doctor/prometheus_probe.h"

#include <re2/re2.h>

#include <cmath>
#include <cstdio>
#include <optional>

#include "gateway/doctor/prometheus_api.h"
#include "gateway/doctor/prometheus_exemplars.h"
#include "gateway/doctor/prometheus_scrape.h"
#include "gateway/json/json_read.h"

namespace braid::gateway::doctor {
namespace {

namespace json = boost::json;

constexpr std::string_view kNames[] = {
    "reachable",        "scrape",    "scrape_age",      "samples",           "one_braid", "derived",
    "exemplar_storage", "exemplars", "exemplar_traces", "native_histograms", "rules",     "rule_health"};

constexpr const char* kTempoCalls = "traces_spanmetrics_calls_total";
constexpr const char* kOtelCalls = "traces_span_metrics_calls_total";

std::string Number(double value, int digits = 0) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

class PrometheusProbe {
 public:
  PrometheusProbe(Peer& peer, const BraidFacts& facts, Peer* braid, Report* report)
      : peer_(peer), api_(peer), facts_(facts), braid_(braid), to_(report, "prometheus", peer.url()) {}

  void Run() {
    if (!Reachable()) return to_.SkipRest(kNames, "Prometheus does not answer");
    LookAtFeatures();
    scraped_ = FindBraid(api_, facts_, to_);
    if (scraped_.found) {
      if (scraped_.by_target) {
        ScrapeAge();
        Samples();
      }
      Derived();
    }
    OneBraid();
    CheckExemplars(api_, features_, scraped_, facts_, braid_, to_);
    NativeHistograms();
    Rules();
    to_.SkipRest(kNames, scraped_.found ? "not known: see the checks above" : "this Braid is not scraped");
  }

 private:
  bool Reachable() {
    Ask ask;
    ask.path = "/-/ready";
    const Result<Answer> ready = peer_.Send(std::move(ask));
    if (!ready.ok()) {
      to_.Fail("reachable", "no answer: " + ready.status().message(),
               ReachAdvice("--prometheus", "Prometheus", ready.status()));
      return false;
    }
    if (ready->status == 503) {
      to_.Fail("reachable", "not ready: /-/ready " + Describe(*ready),
               "Wait until it has read its data, then ask again.");
      return false;
    }
    // Others that speak its API have no /-/ready, so buildinfo decides.
    const Result<json::value> info = api_.Data("/api/v1/status/buildinfo");
    version_ = info.ok() ? std::string(JsonText(JsonMap(*info), "version")) : "";
    if (version_.empty()) {
      const Status status =
          info.ok() ? InvalidArgument("/api/v1/status/buildinfo tells no version") : info.status();
      to_.Fail("reachable", "does not answer as Prometheus does: " + status.message(),
               ReachAdvice("--prometheus", "Prometheus", status));
      return false;
    }
    to_.Ok("reachable", "version " + version_);
    return true;
  }

  // The value of --enable-feature, of those who tell their flags.
  void LookAtFeatures() {
    const Result<json::value> flags = api_.Data("/api/v1/status/flags");
    if (!flags.ok() || !JsonMap(*flags).contains("enable-feature")) return;
    features_ = std::string(JsonText(JsonMap(*flags), "enable-feature"));
  }

  std::string Select(const std::string& name) const { return name + "{" + scraped_.matchers + "}"; }

  void ScrapeAge() {
    const auto age = api_.Scalar("time() - timestamp(" + Select("up") + ")");
    if (!age.ok())
      return to_.Fail("scrape_age", "cannot tell: " + age.status().message(), "See prometheus.reachable.");
    const std::string every =
        ", every " + Number(scraped_.interval_seconds, scraped_.interval_seconds < 1 ? 1 : 0) + " s";
    if (*age && **age <= 3 * scraped_.interval_seconds + 1) {
      return to_.Ok("scrape_age", Number(**age, 1) + " s ago" + every);
    }
    to_.Warn(
        "scrape_age",
        *age ? "the last scrape was " + Number(**age) + " s ago" + every : "no scrape within five minutes",
        "Is Prometheus overloaded, or the target's scrape_interval above five minutes? Graphs have gaps "
        "then.");
  }

  void Samples() {
    const auto scraped = api_.Scalar(Select("scrape_samples_scraped"));
    const auto kept = api_.Scalar(Select("scrape_samples_post_metric_relabeling"));
    if (!scraped.ok() || !kept.ok()) {
      return to_.Fail("samples", "cannot tell: " + (scraped.ok() ? kept : scraped).status().message(),
                      "See prometheus.reachable.");
    }
    if (!*scraped || !*kept) return to_.Skip("samples", "no scrape yet that says how many it took");
    std::string counts = Number(**scraped) + " samples a scrape";
    if (facts_.whole_page) counts += "; Braid's page has " + std::to_string(facts_.page.samples);
    if (**kept < **scraped) {
      return to_.Warn(
          "samples", counts + "; metric_relabel_configs drop " + Number(**scraped - **kept) + " of them",
          "Dashboards and alerts need traces_.* and braid_.*: look at metric_relabel_configs of its job.");
    }
    // Native histograms count as one sample for all their buckets.
    const bool comparable = facts_.whole_page && !facts_.page.families.empty() && !facts_.native_only &&
                            (!features_ || !HasFeature(*features_, "native-histograms"));
    if (comparable && **scraped < 0.5 * static_cast<double>(facts_.page.samples)) {
      return to_.Warn("samples", counts,
                      "It takes a part of the page: look at `params: {only: ...}` of its job. (If Braid has "
                      "just begun to "
                      "get spans, ask again after the next scrape.)");
    }
    to_.Ok("samples", counts);
  }

  void OneBraid() {
    const auto all = api_.Vector("count by (job, instance) (braid_build_info)");
    if (!all.ok())
      return to_.Fail("one_braid", "cannot tell: " + all.status().message(), "See prometheus.reachable.");
    if (all->empty()) return;
    if (all->size() == 1) return to_.Ok("one_braid", "it has the series of one Braid");
    std::string instances;
    for (size_t i = 0; i < all->size() && i < 5; ++i)
      instances += (i == 0 ? "" : ", ") + (*all)[i].label("instance");
    to_.Warn("one_braid", "it has the series of " + std::to_string(all->size()) + " Braids: " + instances,
             "Fine if each gets whole traces of its own. If all get the same spans, every rate is that many "
             "times too "
             "high: give them different `cluster` labels, or scrape one.");
  }

  void Derived() {
    const auto rows = api_.Vector("count by (__name__) ({__name__=~\"" + std::string(kTempoCalls) + "|" +
                                  kOtelCalls + "\"," + scraped_.matchers + "})");
    if (!rows.ok())
      return to_.Fail("derived", "cannot tell: " + rows.status().message(), "See prometheus.reachable.");
    bool tempo = false, otel = false;
    std::string found;
    for (const Sample& row : *rows) {
      tempo = tempo || row.label("__name__") == kTempoCalls;
      otel = otel || row.label("__name__") == kOtelCalls;
      found += (found.empty() ? "" : ", ") + Number(row.value) + " series of " + row.label("__name__");
    }
    if (!facts_.has_page) {
      if (!found.empty()) return to_.Ok("derived", found);
      return to_.Warn("derived", "none of the metrics derived from spans", "Is Braid getting spans?");
    }
    const bool missing = (facts_.page.families.contains("traces_spanmetrics_calls") && !tempo) ||
                         (facts_.page.families.contains("traces_span_metrics_calls") && !otel);
    if (missing) {
      return to_.Fail(
          "derived",
          "Braid's page has metrics derived from spans that are not here" +
              (found.empty() ? std::string() : " (here: " + found + ")"),
          "Scrape the whole page, or ?only=derived at least: look at `params` and metric_relabel_configs of "
          "its job. If the first spans have just come, ask again after the next scrape.");
    }
    if (found.empty()) return to_.Skip("derived", "Braid's page has none of the counters: see braid.derived");
    to_.Ok("derived", found + "; dialect " + (tempo && otel ? "both" : tempo ? "tempo" : "otel"));
  }

  // Needed only where there are no classic buckets; what Prometheus has decides, not its flags.
  void NativeHistograms() {
    if (!facts_.has_page || !(facts_.tempo || facts_.otel)) return;
    if (!facts_.native_only)
      return to_.Skip("native_histograms", "not needed: Braid's page has classic buckets");
    if (!scraped_.found) return;
    const auto native = api_.Scalar(
        "count(histogram_count({__name__=~\"traces_spanmetrics_latency|"
        "traces_span_metrics_duration_milliseconds\"," +
        scraped_.matchers + "}))");
    if (!native.ok()) {
      return to_.Fail("native_histograms", "cannot tell: " + native.status().message(),
                      "See prometheus.reachable.");
    }
    if (*native)
      return to_.Ok("native_histograms", Number(**native) + " series of native latency histograms");
    to_.Fail("native_histograms",
             "Braid's latency histograms are native only, and they are not here: there are no quantiles",
             "Start Prometheus " + version_ +
                 " with\n  --enable-feature=native-histograms\n"
                 "(from 3.8 on, in its job: scrape_native_histograms: true), or let Braid show classic "
                 "buckets too:\n"
                 "  metrics:\n    histograms: both");
  }

  void Rules() {
    static const RE2 kOwn("\\bbraid_[a-z]");
    static const RE2 kAny("\\bbraid_[a-z]|\\btraces_span_?metrics_|\\btraces_service_graph_|service:slo_");
    const Result<json::value> data = api_.Data("/api/v1/rules");
    if (!data.ok())
      return to_.Fail("rules", "cannot tell: " + data.status().message(), "See prometheus.reachable.");
    size_t alerts = 0, about = 0;
    bool sick = false;
    for (const json::value& group : JsonList(JsonMap(*data), "groups")) {
      for (const json::value& value : JsonList(JsonMap(group), "rules")) {
        const json::object& rule = JsonMap(value);
        const std::string query(JsonText(rule, "query"));
        const std::string name(JsonText(rule, "name"));
        if (JsonText(rule, "type") == "alerting" && RE2::PartialMatch(query, kOwn)) ++alerts;
        if (!RE2::PartialMatch(query, kAny) && !RE2::PartialMatch(name, kAny)) continue;
        ++about;
        if (JsonText(rule, "health") != "err") continue;
        sick = true;
        to_.Fail("rule_health",
                 "rule '" + name + "' of group '" + std::string(JsonText(JsonMap(group), "name")) +
                     "' fails: " + std::string(JsonText(rule, "lastError")),
                 "Usually two Braids or two jobs have the same series: see prometheus.one_braid. Else write "
                 "the rules "
                 "anew:\n  braid rules export");
      }
    }
    if (alerts > 0) {
      to_.Ok("rules", std::to_string(alerts) + " alerts about Braid are loaded");
    } else {
      to_.Warn("rules", "no alert about Braid itself is loaded",
               "  braid rules export > braid-rules.yaml\nand in prometheus.yml\n  rule_files:\n    - "
               "braid-rules.yaml");
    }
    if (about == 0) return to_.Skip("rule_health", "no rule about Braid's metrics is loaded");
    if (!sick)
      to_.Ok("rule_health", "none of " + std::to_string(about) + " rules about Braid's metrics fails");
  }

  Peer& peer_;
  PrometheusApi api_;
  const BraidFacts& facts_;
  Peer* const braid_;
  Reporter to_;
  std::string version_;
  std::optional<std::string> features_;  // nothing: it does not tell
  Scraped scraped_;
};

}  // namespace

void ProbePrometheus(Peer& prometheus, const BraidFacts& facts, Peer* braid, Report* report) {
  PrometheusProbe(prometheus, facts, braid, report).Run();
}

void SkipPrometheus(Report* report) {
  Reporter(report, "prometheus", "")
      .SkipRest(kNames, "not probed: --prometheus http://HOST:9090 includes it");
}

}  // namespace braid::gateway::doctor
