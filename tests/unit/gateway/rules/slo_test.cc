#include "gateway/rules/slo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <set>

#include "tests/unit/gateway/rules/broken_slos.h"

namespace braid::gateway::rules {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

constexpr std::string_view kAll = R"(
slos:
  - name: order-availability
    description: Customers cannot order.
    service: checkout
    operation: "POST /orders ${x}"
    kind: [client, internal]
    objective: 99.95
    indicator: availability
    labels: {team: web, tier: "1"}
    annotations: {runbook: "https://example.org/r", dashboard: "https://example.org/d"}
  - name: latency.1
    service: [cart, catalog]
    operation: [a, b]
    kind: server
    objective: 0.000001
    indicator: latency
    threshold: 8ms
  - {name: least, service: s, objective: 50, indicator: availability}
)";

// Scenario: every key is used, in each form it has.
// Guarantees: everything arrives, dollars untouched; what is left out has its default.
TEST(SloTest, ReadsEverything) {
  for (const Dialect dialect : {Dialect::kTempo, Dialect::kOtel}) {
    const SloFile file = LoadSlos("f", dialect, kAll);
    ASSERT_TRUE(file.ok()) << file.Report();
    ASSERT_EQ(file.slos.size(), 3u);
    const Slo& first = file.slos[0];
    EXPECT_EQ(first.name, "order-availability");
    EXPECT_EQ(first.description, "Customers cannot order.");
    EXPECT_THAT(first.services, ElementsAre("checkout"));
    EXPECT_THAT(first.operations, ElementsAre("POST /orders ${x}"));
    EXPECT_THAT(first.kinds, ElementsAre("client", "internal"));
    EXPECT_EQ(first.objective, 99'950'000u);
    EXPECT_EQ(first.indicator, Slo::Indicator::kAvailability);
    EXPECT_THAT(first.labels, ElementsAre(Pair("team", "web"), Pair("tier", "1")));
    EXPECT_EQ(first.runbook, "https://example.org/r");
    EXPECT_EQ(first.dashboard, "https://example.org/d");
    const Slo& second = file.slos[1];
    EXPECT_THAT(second.services, ElementsAre("cart", "catalog"));
    EXPECT_THAT(second.operations, ElementsAre("a", "b"));
    EXPECT_THAT(second.kinds, ElementsAre("server"));
    EXPECT_EQ(second.objective, 1u);
    EXPECT_EQ(second.indicator, Slo::Indicator::kLatency);
    EXPECT_EQ(second.threshold, std::chrono::milliseconds(8));
    Slo least;
    least.name = "least";
    least.services = {"s"};
    least.kinds = {"server", "consumer"};
    least.objective = 50'000'000;
    EXPECT_EQ(file.slos[2], least);
  }
}

// Scenario: the example for the demo shop.
// Guarantees: it is right, and is about all services of the shop with both indicators.
TEST(SloTest, TheExampleIsRight) {
  const std::string path = (std::filesystem::path(BRAID_SOURCE_DIR) / "config/examples/slo.yaml").string();
  const SloFile file = LoadSlos(path, Dialect::kTempo);
  ASSERT_TRUE(file.ok()) << file.Report();
  std::set<std::string> services;
  std::set<Slo::Indicator> indicators;
  for (const Slo& slo : file.slos) {
    services.insert(slo.services.begin(), slo.services.end());
    indicators.insert(slo.indicator);
  }
  EXPECT_THAT(services, ElementsAre("cart", "catalog", "checkout", "frontend", "payment", "shipping"));
  EXPECT_EQ(indicators.size(), 2u);
}

// Scenario: the words for dialects.
// Guarantees: both is tempo, which it shows too; other words are none.
TEST(SloTest, KnowsDialects) {
  EXPECT_EQ(ParseDialect("tempo"), Dialect::kTempo);
  EXPECT_EQ(ParseDialect("both"), Dialect::kTempo);
  EXPECT_EQ(ParseDialect("otel"), Dialect::kOtel);
  EXPECT_EQ(ParseDialect("jaeger"), std::nullopt);
  EXPECT_EQ(LatencyBounds(Dialect::kTempo).back(), std::chrono::milliseconds(16'384));
  EXPECT_EQ(LatencyBounds(Dialect::kOtel).back(), std::chrono::milliseconds(15'000));
}

// Scenario: no file, and a folder.
// Guarantees: an error with its name.
TEST(SloTest, FilesThatAreNotThere) {
  EXPECT_EQ(LoadSlos("/nonexistent/slo.yaml", Dialect::kTempo).Report(),
            "/nonexistent/slo.yaml: cannot be read: No such file or directory\n");
  EXPECT_EQ(LoadSlos("/tmp", Dialect::kTempo).Report(), "/tmp: is a directory\n");
}

// Scenario: every broken file.
// Guarantees: all its errors, each with exact line, column, path and message, and nothing else; what is right
// besides is still read.
TEST(BrokenSloTest, IsReportedExactly) {
  EXPECT_GE(std::size(kBroken), 40u);
  for (const Broken& broken : kBroken) {
    EXPECT_EQ(LoadSlos("f", Dialect::kTempo, broken.text).Report(), broken.errors) << broken.name;
  }
  EXPECT_THAT(LoadSlos("f", Dialect::kTempo, "slos: [a]").slos, IsEmpty());
}

}  // namespace
}  // namespace braid::gateway::rules
