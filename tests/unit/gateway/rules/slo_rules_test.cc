#include "gateway/rules/slo_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace braid::gateway::rules {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

Slo Availability(const std::string& name, uint64_t objective) {
  Slo slo;
  slo.name = name;
  slo.services = {"checkout"};
  slo.kinds = {"server", "consumer"};
  slo.objective = objective;
  return slo;
}

Slo Latency(const std::string& name, int threshold_ms) {
  Slo slo = Availability(name, 99'000'000);
  slo.indicator = Slo::Indicator::kLatency;
  slo.threshold = std::chrono::milliseconds(threshold_ms);
  return slo;
}

class SloRulesTest : public testing::Test {
 protected:
  void Make(const std::vector<Slo>& slos, Dialect dialect = Dialect::kTempo) {
    groups_ = SloRules(slos, {.dialect = dialect, .runbooks = "https://example.org/r.md"});
    rules_.clear();
    for (const Group& group : groups_) {
      for (const Rule& rule : group.rules) rules_[rule.record + rule.alert].push_back(rule);
    }
  }
  const Rule& The(const std::string& name) {
    EXPECT_EQ(rules_[name].size(), 1u) << name;
    return rules_[name].at(0);
  }

  std::vector<Group> groups_;
  std::map<std::string, std::vector<Rule>> rules_;
};

// Scenario: an objective on availability.
// Guarantees: exactly the series that are promised, in two groups of which the first has the alerts, each
// with its labels.
TEST_F(SloRulesTest, RecordsWhatIsPromised) {
  Slo slo = Availability("orders", 99'900'000);
  slo.labels = {{"team", "web"}};
  Make({slo});
  ASSERT_EQ(groups_.size(), 2u);
  EXPECT_EQ(groups_[0].name, "slo:orders");
  EXPECT_EQ(groups_[0].interval, "1m");
  EXPECT_EQ(groups_[1].name, "slo:orders:long");
  EXPECT_EQ(groups_[1].interval, "2m");
  std::set<std::string> names;
  for (const auto& [name, rules] : rules_) {
    names.insert(name);
    if (rules[0].record.empty()) continue;
    EXPECT_THAT(rules[0].labels,
                ElementsAre(Pair("service", "checkout"), Pair("slo", "orders"), Pair("team", "web")))
        << name;
  }
  EXPECT_THAT(names, ElementsAre("SLOFastBurn", "SLOSlowBurn", "service:slo_error_budget:ratio",
                                 "service:slo_error_budget_remaining:ratio", "service:slo_error_ratio:rate1d",
                                 "service:slo_error_ratio:rate1h", "service:slo_error_ratio:rate2h",
                                 "service:slo_error_ratio:rate30d", "service:slo_error_ratio:rate30m",
                                 "service:slo_error_ratio:rate3d", "service:slo_error_ratio:rate5m",
                                 "service:slo_error_ratio:rate6h", "service:slo_errors:rate5m",
                                 "service:slo_objective:ratio", "service:slo_requests:rate5m"));
  EXPECT_EQ(The("service:slo_objective:ratio").expr, "vector(0.999)");
  EXPECT_EQ(The("service:slo_error_budget:ratio").expr, "vector(0.001)");
  EXPECT_EQ(The("service:slo_error_ratio:rate3d").expr,
            "sum(sum_over_time(service:slo_errors:rate5m{service=\"checkout\",slo=\"orders\"}[3d]))\n/\n"
            "(sum(sum_over_time(service:slo_requests:rate5m{service=\"checkout\",slo=\"orders\"}[3d])) > 0)");
}

// Scenario: both indicators in both dialects.
// Guarantees: the metrics, labels and buckets of the dialect.
TEST_F(SloRulesTest, SpeaksTheDialect) {
  Make({Availability("a", 99'000'000)});
  EXPECT_EQ(The("service:slo_requests:rate5m").expr,
            "sum(rate(traces_spanmetrics_calls_total{service=\"checkout\","
            "span_kind=~\"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER\"}[5m]))");
  EXPECT_THAT(The("service:slo_errors:rate5m").expr,
              AllOf(HasSubstr("status_code=\"STATUS_CODE_ERROR\""), HasSubstr("\nor\n0 * sum(")));

  Make({Availability("a", 99'000'000)}, Dialect::kOtel);
  EXPECT_THAT(The("service:slo_requests:rate5m").expr,
              HasSubstr("traces_span_metrics_calls_total{service_name=\"checkout\","));

  Make({Latency("l", 512)});
  EXPECT_THAT(The("service:slo_errors:rate5m").expr,
              AllOf(HasSubstr("clamp_min("), HasSubstr("traces_spanmetrics_latency_count{"),
                    HasSubstr("traces_spanmetrics_latency_bucket{service=\"checkout\","
                              "span_kind=~\"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER\",le=\"0.512\"}[5m]")));

  Make({Latency("l", 1000)}, Dialect::kOtel);
  EXPECT_THAT(The("service:slo_errors:rate5m").expr,
              AllOf(HasSubstr("traces_span_metrics_duration_milliseconds_bucket{service_name=\"checkout\""),
                    HasSubstr("le=~\"1000(\\\\.0)?\"")));
}

// Scenario: operations, kinds and services with names that mean something elsewhere.
// Guarantees: they mean themselves in queries; each service has its own rules, and the alerts cover all.
TEST_F(SloRulesTest, SelectsSpans) {
  Slo slo = Availability("a", 99'000'000);
  slo.services = {"cart", "the \"shop\""};
  slo.operations = {"GET /{id}", "a.b"};
  slo.kinds = {"client"};
  slo.description = "{{ not a template }}";
  slo.runbook = "https://example.org/{{x}}";
  slo.dashboard = "https://example.org/d";
  Make({slo});
  ASSERT_EQ(rules_["service:slo_requests:rate5m"].size(), 2u);
  EXPECT_EQ(rules_["service:slo_requests:rate5m"][1].expr,
            "sum(rate(traces_spanmetrics_calls_total{service=\"the \\\"shop\\\"\","
            "span_name=~\"GET /\\\\{id\\\\}|a\\\\.b\",span_kind=\"SPAN_KIND_CLIENT\"}[5m]))");
  const Rule& alert = The("SLOFastBurn");
  EXPECT_THAT(alert.expr, AllOf(HasSubstr("{slo=\"a\"}"), Not(HasSubstr("service=\""))));
  const std::map<std::string, std::string> annotations(alert.annotations.begin(), alert.annotations.end());
  EXPECT_THAT(annotations.at("description"), HasSubstr("{{\"{{\"}} not a template }}"));
  EXPECT_EQ(annotations.at("runbook_url"), "https://example.org/{{\"{{\"}}x}}");
  EXPECT_EQ(annotations.at("dashboard_url"), "https://example.org/d");
}

// Scenario: the alerts of an objective of 99.99 %.
// Guarantees: their windows, burn rates and severities; the budget is exact; the runbook is where it was
// asked for.
TEST_F(SloRulesTest, AlertsOnBothWindows) {
  Make({Availability("a", 99'990'000)});
  const Rule& page = The("SLOFastBurn");
  EXPECT_EQ(page.expr,
            "(\n"
            "  service:slo_error_ratio:rate1h{slo=\"a\"} > 14.4 * 0.0001\n"
            "  and\n"
            "  service:slo_error_ratio:rate5m{slo=\"a\"} > 14.4 * 0.0001\n"
            ")\n"
            "or\n"
            "(\n"
            "  service:slo_error_ratio:rate6h{slo=\"a\"} > 6 * 0.0001\n"
            "  and\n"
            "  service:slo_error_ratio:rate30m{slo=\"a\"} > 6 * 0.0001\n"
            ")");
  EXPECT_THAT(page.labels, ElementsAre(Pair("severity", "page"), Pair("slo", "a")));
  EXPECT_THAT(page.annotations.back(), Pair("runbook_url", "https://example.org/r.md#slofastburn"));
  const Rule& ticket = The("SLOSlowBurn");
  EXPECT_THAT(
      ticket.expr,
      AllOf(HasSubstr("rate1d{slo=\"a\"} > 3 * 0.0001"), HasSubstr("rate2h{slo=\"a\"} > 3 * 0.0001"),
            HasSubstr("rate3d{slo=\"a\"} > 1 * 0.0001"), HasSubstr("rate6h{slo=\"a\"} > 1 * 0.0001")));
  EXPECT_THAT(ticket.labels, ElementsAre(Pair("severity", "ticket"), Pair("slo", "a")));
}

// Scenario: objectives so low that no share of errors is 14.4, 6 or 3 times their budget.
// Guarantees: what could never fire is left out, and what can stays.
TEST_F(SloRulesTest, LeavesOutWhatCannotFire) {
  Make({Availability("a", 93'055'555)});  // 14.4 times 6.944445 % is just above everything
  EXPECT_THAT(The("SLOFastBurn").expr, AllOf(Not(HasSubstr("14.4")), HasSubstr("6 * 0.06944445")));
  Make({Availability("a", 93'055'556)});
  EXPECT_THAT(The("SLOFastBurn").expr, HasSubstr("14.4"));
  Make({Availability("a", 50'000'000)});
  EXPECT_FALSE(rules_.contains("SLOFastBurn"));
  EXPECT_THAT(The("SLOSlowBurn").expr, AllOf(Not(HasSubstr("3 *")), HasSubstr("1 * 0.5")));
}

}  // namespace
}  // namespace braid::gateway::rules
