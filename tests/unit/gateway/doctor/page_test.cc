#include "gateway/doctor/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace braid::gateway::doctor {
namespace {

using testing::ElementsAre;

// Scenario: a page with a histogram, exemplars with and without time, a label that looks like an exemplar, an
// own metric. Guarantees: samples are counted, families, values, exemplars and classic buckets are read.
TEST(PageTest, Reads) {
  Page page;
  ReadPage(R"(# TYPE traces_spanmetrics_latency histogram
# UNIT traces_spanmetrics_latency seconds
traces_spanmetrics_latency_bucket{service="a",le="0.002"} 1 # {trace_id="aa",span_id="b"} 0.001 1700000000.25
traces_spanmetrics_latency_bucket{service="a # {trace_id=\"no\"} 1",le="+Inf"} 2
traces_spanmetrics_latency_count{service="a"} 2
# TYPE traces_spanmetrics_calls counter
traces_spanmetrics_calls_total{service="a"} 1 # {trace_id="cc"} 1
traces_spanmetrics_calls_total{service="b"} 1 1700000000 # {span_id="dd"} 1
process_start_time_seconds 1700000000.5
go_weird +Inf
# EOF
)",
           &page);
  EXPECT_EQ(page.samples, 7u);
  EXPECT_EQ(page.odd_lines, 0u);
  EXPECT_THAT(page.families, ElementsAre("traces_spanmetrics_calls", "traces_spanmetrics_latency"));
  EXPECT_THAT(page.classic, ElementsAre("traces_spanmetrics_latency"));
  EXPECT_EQ(page.values.at("process_start_time_seconds"), 1700000000.5);
  ASSERT_EQ(page.exemplars.size(), 2u);
  EXPECT_EQ(page.exemplars[0].trace_id, "aa");
  EXPECT_EQ(page.exemplars[0].timestamp, 1700000000.25);
  EXPECT_EQ(page.exemplars[1].trace_id, "cc");
  EXPECT_EQ(page.exemplars[1].timestamp, 0);
}

// Scenario: native histograms as text: the bucket +Inf alone.
// Guarantees: no classic buckets.
TEST(PageTest, NativeHistogramsHaveNoClassicBuckets) {
  Page page;
  ReadPage("# TYPE traces_spanmetrics_latency histogram\ntraces_spanmetrics_latency_bucket{le=\"+Inf\"} 2\n",
           &page);
  EXPECT_TRUE(page.classic.empty());
  EXPECT_EQ(page.families.count("traces_spanmetrics_latency"), 1u);
}

// Scenario: lines that are cut off anywhere, or no samples at all.
// Guarantees: each is counted as odd, none is read beyond its end.
TEST(PageTest, OddLines) {
  const std::string line = R"(a_total{x="y\"z",le="1"} 1 # {trace_id="t"} 1 2)";
  for (size_t cut = 1; cut < line.size(); ++cut) {
    Page page;
    ReadPage(line.substr(0, cut), &page);
    EXPECT_EQ(page.samples + page.odd_lines, page.odd_lines == 1 && page.samples == 1 ? 2u : 1u)
        << line.substr(0, cut);
  }
  for (const char* odd :
       {"<html>", "{\"a\":1}", "a{", "a{b}", "a{b=\"c", "a{b=\"c\\", "a{b=\"c\"} ", "a 1x", "a", "\xff"}) {
    Page page;
    ReadPage(odd, &page);
    EXPECT_EQ(page.odd_lines, 1u) << odd;
    EXPECT_EQ(page.samples, 0u) << odd;
  }
}

}  // namespace
}  // namespace braid::gateway::doctor
