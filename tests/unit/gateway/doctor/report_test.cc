#include "gateway/doctor/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

namespace braid::gateway::doctor {
namespace {

using testing::HasSubstr;
using testing::Not;

Report Example() {
  Report report;
  Reporter to(&report, "loki", "http://l");
  to.Ok("reachable", "ready");
  to.Fail("write", "refused", "In Loki:\n  allow: true");
  constexpr std::string_view kRest[] = {"reachable", "write", "read", "config"};
  to.SkipRest(kRest, "not known");
  to.Warn("version", "old", "newer");
  return report;
}

// Scenario: a report with each verdict, printed for people.
// Guarantees: a line for each check with its advice below, skipped ones together, and the sum.
TEST(ReportTest, Text) {
  EXPECT_EQ(RenderText(Example(), false),
            "ok       loki.reachable                     ready\n"
            "FAIL     loki.write                         refused\n"
            "         In Loki:\n"
            "           allow: true\n"
            "skipped  loki.read and 1 more               not known\n"
            "warn     loki.version                       old\n"
            "         newer\n"
            "\n1 ok, 1 warning, 1 failed, 2 skipped\n");
  EXPECT_THAT(RenderText(Example(), true), HasSubstr("\x1b[1;31mFAIL    \x1b[0m loki.write"));
}

// Scenario: the same for a program.
// Guarantees: every check with its ID, also the skipped ones; ok is false since one failed.
TEST(ReportTest, Json) {
  const boost::json::object out = RenderJson(Example());
  EXPECT_FALSE(out.at("ok").as_bool());
  ASSERT_EQ(out.at("checks").as_array().size(), 5u);
  EXPECT_EQ(
      boost::json::serialize(out.at("checks").as_array()[1]),
      R"({"id":"loki.write","target":"http://l","verdict":"fail","message":"refused","advice":"In Loki:\n  allow: true"})");
  EXPECT_TRUE(RenderJson(Report()).at("ok").as_bool());
}

// Scenario: a peer's answer with terminal escapes, line breaks and no end is quoted.
// Guarantees: none reaches the terminal; lines of advice stay lines.
TEST(ReportTest, PeersCannotDriveTheTerminal) {
  Report report;
  Reporter to(&report, "x", "http://\x1b]0;t\x07");
  to.Fail("y", "a\x1b[2J\nb" + std::string(100'000, 'm'), "one\r\ntwo\x1b[2J");
  const std::string text = RenderText(report, false);
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("a [2J bm"));
  EXPECT_THAT(text, HasSubstr("         one \n         two [2J\n"));
  EXPECT_LT(text.size(), 2'000u);
}

}  // namespace
}  // namespace braid::gateway::doctor
