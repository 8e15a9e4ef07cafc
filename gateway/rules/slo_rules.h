#pragma once

#include <string>
#include <vector>

#include "gateway/rules/rule_file.h"
#include "gateway/rules/slo.h"

namespace braid::gateway::rules {

struct SloRuleOptions {
  Dialect dialect = Dialect::kTempo;

  // Where sections on alerts are: an alert's runbook_url is this, '#' and the alert's name in lower case.
  std::string runbooks = "docs/runbooks.md";
};

// Recording rules and burn-rate alerts for a period of 30 days. For each objective two groups:
//
//   slo:NAME (every minute)        for each service, with labels service, slo and the objective's own:
//     service:slo_requests:rate5m, service:slo_errors:rate5m      per second, over 5 minutes
//     service:slo_error_ratio:rate5m, 30m, 1h, 2h, 6h             from the counters themselves
//     service:slo_objective:ratio, service:slo_error_budget:ratio constants
//     and for all its services SLOFastBurn (severity page) and SLOSlowBurn (ticket)
//   slo:NAME:long (every two)      service:slo_error_ratio:rate1d, 3d, 30d: the recorded 5-minute rates of
//   errors and
//     of requests, each summed over time, divided. So each request weighs the same whenever it was, and no
//     query reads days of counters. Then service:slo_error_budget_remaining:ratio, over 30 days.
//
// A ratio is 0 when there were requests and no errors, and absent when there were no requests; then no alert
// fires. An alert needs both a long and a short window above its burn rate:
//   page 14.4 (1h and 5m) or 6 (6h and 30m), ticket 3 (1d and 2h) or 1 (3d and 6h)
// A pair that no ratio could exceed, because its burn rate times the budget is 1 or more, is left out; an
// alert of which nothing is left, too.
std::vector<Group> SloRules(const std::vector<Slo>& slos, const SloRuleOptions& options);

// `base`, '#' and the anchor of the section named `alert`.
std::string RunbookUrl(const std::string& base, const std::string& alert);

}  // namespace braid::gateway::rules
