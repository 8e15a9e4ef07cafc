#include "gateway/rules/slo_rules.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "gateway/rules/promql.h"

namespace braid::gateway::rules {
namespace {

constexpr std::string_view kRequests = "service:slo_requests:rate5m";
constexpr std::string_view kErrors = "service:slo_errors:rate5m";
constexpr std::string_view kRatio = "service:slo_error_ratio:rate";
constexpr std::array<std::string_view, 4> kShortWindows = {"30m", "1h", "2h", "6h"};
constexpr std::array<std::string_view, 3> kLongWindows = {"1d", "3d", "30d"};

// A long window and the short one that shows it is still going on.
struct Pair {
  uint64_t burn_rate = 0;  // in tenths
  std::string_view long_window;
  std::string_view short_window;
};

struct Alert {
  std::string_view name;
  std::string_view severity;
  std::string_view what;
  std::array<Pair, 2> pairs;
};

// Of the budget of 30 days: 2 % within 1h, 5 % within 6h; 10 % within 1d or 3d.
constexpr std::array<Alert, 2> kAlerts = {{
    {.name = "SLOFastBurn",
     .severity = "page",
     .what = "is gone within days at this rate",
     .pairs = {{{.burn_rate = 144, .long_window = "1h", .short_window = "5m"},
                {.burn_rate = 60, .long_window = "6h", .short_window = "30m"}}}},
    {.name = "SLOSlowBurn",
     .severity = "ticket",
     .what = "does not last 30 days at this rate",
     .pairs = {{{.burn_rate = 30, .long_window = "1d", .short_window = "2h"},
                {.burn_rate = 10, .long_window = "3d", .short_window = "6h"}}}},
}};

std::string Str(std::string_view text) { return std::string(text); }

std::string BudgetText(const Slo& slo) { return Decimal(Slo::kWhole - slo.objective, 8); }

// What one objective says about one service.
class ServiceRules {
 public:
  ServiceRules(const Slo& slo, const std::string& service, Dialect dialect)
      : slo_(slo), tempo_(dialect == Dialect::kTempo), labels_{{"service", service}, {"slo", slo.name}} {
    labels_.insert(labels_.end(), slo.labels.begin(), slo.labels.end());

    std::vector<std::string> kinds;
    for (std::string kind : slo.kinds) {
      std::transform(kind.begin(), kind.end(), kind.begin(),
                     [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      kinds.push_back("SPAN_KIND_" + kind);
    }
    selected_ = Matcher(tempo_ ? "service" : "service_name", {service});
    if (!slo.operations.empty()) selected_ += ',' + Matcher("span_name", slo.operations);
    selected_ += ',' + Matcher("span_kind", kinds);
    recorded_ = '{' + Matcher("service", {service}) + ',' + Matcher("slo", {slo.name}) + '}';
  }

  void Short(std::vector<Rule>* out) const {
    out->push_back(Record(kRequests, Requests("5m")));
    out->push_back(Record(kErrors, Errors("5m")));
    out->push_back(Record(Str(kRatio) + "5m",
                          Str(kErrors) + recorded_ + "\n/\n(" + Str(kRequests) + recorded_ + " > 0)"));
    for (const std::string_view window : kShortWindows) {
      out->push_back(Record(Str(kRatio) + Str(window),
                            "(\n" + Indented(Errors(window)) + "\n)\n/\n(" + Requests(window) + " > 0)"));
    }
    out->push_back(Record("service:slo_objective:ratio", "vector(" + Decimal(slo_.objective, 8) + ')'));
    out->push_back(Record("service:slo_error_budget:ratio", "vector(" + BudgetText(slo_) + ')'));
  }

  void Long(std::vector<Rule>* out) const {
    for (const std::string_view window : kLongWindows) {
      const std::string over = recorded_ + '[' + Str(window) + "]))";
      out->push_back(Record(Str(kRatio) + Str(window), "sum(sum_over_time(" + Str(kErrors) + over +
                                                           "\n/\n(sum(sum_over_time(" + Str(kRequests) +
                                                           over + " > 0)"));
    }
    out->push_back(Record("service:slo_error_budget_remaining:ratio",
                          "1 - " + Str(kRatio) + "30d" + recorded_ + " / " + BudgetText(slo_)));
  }

 private:
  Rule Record(std::string_view name, std::string expr) const {
    Rule rule;
    rule.record = name;
    rule.expr = std::move(expr);
    rule.labels = labels_;
    return rule;
  }

  static std::string Indented(const std::string& text) {
    std::string out = "  ";
    for (const char c : text) {
      out += c;
      if (c == '\n') out += "  ";
    }
    return out;
  }

  std::string Rate(std::string_view metric, const std::string& matchers, std::string_view window) const {
    return "sum(rate(" + Str(metric) + '{' + matchers + "}[" + Str(window) + "]))";
  }

  std::string Requests(std::string_view window) const {
    const std::string_view metric =
        slo_.indicator == Slo::Indicator::kAvailability
            ? (tempo_ ? "traces_spanmetrics_calls_total" : "traces_span_metrics_calls_total")
            : (tempo_ ? "traces_spanmetrics_latency_count"
                      : "traces_span_metrics_duration_milliseconds_count");
    return Rate(metric, selected_, window);
  }

  std::string Errors(std::string_view window) const {
    if (slo_.indicator == Slo::Indicator::kAvailability) {
      // A series of errors appears with the first of them.
      return Rate(tempo_ ? "traces_spanmetrics_calls_total" : "traces_span_metrics_calls_total",
                  selected_ + R"(,status_code="STATUS_CODE_ERROR")", window) +
             "\nor\n0 * " + Requests(window);
    }
    // Prometheus writes whole bounds as "100" or "100.0", depending on its version and the page's format.
    const auto ms = static_cast<uint64_t>(slo_.threshold.count());
    const std::string le =
        tempo_ ? Matcher("le", {Decimal(ms, 3)}) : "le=~\"" + std::to_string(ms) + R"((\\.0)?")";
    const std::string good = Rate(
        tempo_ ? "traces_spanmetrics_latency_bucket" : "traces_span_metrics_duration_milliseconds_bucket",
        selected_ + ',' + le, window);
    return "clamp_min(\n  " + Requests(window) + "\n  -\n  " + good + ",\n  0\n)";
  }

  const Slo& slo_;
  const bool tempo_;
  Texts labels_;
  std::string selected_;  // matchers of the spans that count
  std::string recorded_;  // selector of what is recorded of them
};

// "99.9 % of requests no slower than 512ms"
std::string Promise(const Slo& slo) {
  std::string out = Decimal(slo.objective, 6) + " % of requests ";
  switch (slo.indicator) {
    case Slo::Indicator::kAvailability: out += "without error"; break;
    case Slo::Indicator::kLatency:
      out += "no slower than " + std::to_string(slo.threshold.count()) + "ms";
      break;
  }
  return out;
}

// The alert's condition; empty if no ratio can meet it.
std::string Condition(const Alert& alert, const Slo& slo) {
  const std::string selector = '{' + Matcher("slo", {slo.name}) + '}';
  std::string out;
  for (const Pair& pair : alert.pairs) {
    if (pair.burn_rate * (Slo::kWhole - slo.objective) >= 10 * Slo::kWhole) continue;
    const std::string limit = selector + " > " + Decimal(pair.burn_rate, 1) + " * " + BudgetText(slo);
    if (!out.empty()) out += "\nor\n";
    out += "(\n  " + Str(kRatio) + Str(pair.long_window) + limit + "\n  and\n  " + Str(kRatio) +
           Str(pair.short_window) + limit + "\n)";
  }
  return out;
}

void AddAlert(const Alert& alert, const Slo& slo, const SloRuleOptions& options, std::vector<Rule>* out) {
  Rule rule;
  rule.alert = alert.name;
  rule.expr = Condition(alert, slo);
  if (rule.expr.empty()) return;
  rule.labels = {{"severity", Str(alert.severity)}, {"slo", slo.name}};
  std::string description =
      "The objective is " + Promise(slo) + " over 30 days. {{ $value | humanizePercentage }} were not.";
  if (!slo.description.empty()) description += ' ' + EscapeTemplate(slo.description);
  rule.annotations = {
      {"summary", "{{ $labels.service }}: the error budget of {{ $labels.slo }} " + Str(alert.what) + '.'},
      {"description", std::move(description)},
      {"runbook_url",
       slo.runbook.empty() ? RunbookUrl(options.runbooks, rule.alert) : EscapeTemplate(slo.runbook)}};
  if (!slo.dashboard.empty()) rule.annotations.emplace_back("dashboard_url", EscapeTemplate(slo.dashboard));
  out->push_back(std::move(rule));
}

}  // namespace

std::vector<Group> SloRules(const std::vector<Slo>& slos, const SloRuleOptions& options) {
  std::vector<Group> groups;
  for (const Slo& slo : slos) {
    Group recent{.name = "slo:" + slo.name, .interval = "1m", .rules = {}};
    Group past{.name = "slo:" + slo.name + ":long", .interval = "2m", .rules = {}};
    for (const std::string& service : slo.services) {
      const ServiceRules rules(slo, service, options.dialect);
      rules.Short(&recent.rules);
      rules.Long(&past.rules);
    }
    for (const Alert& alert : kAlerts) AddAlert(alert, slo, options, &recent.rules);
    groups.push_back(std::move(recent));
    groups.push_back(std::move(past));
  }
  return groups;
}

std::string RunbookUrl(const std::string& base, const std::string& alert) {
  std::string out = base + '#';
  for (const char c : alert) out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace braid::gateway::rules
