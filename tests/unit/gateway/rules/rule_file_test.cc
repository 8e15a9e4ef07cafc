#include "gateway/rules/rule_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "dashboards/embedded.h"
#include "gateway/rules/braid_rules.h"

namespace braid::gateway::rules {
namespace {

using testing::StartsWith;

// Scenario: texts that YAML readers take for something else when they stand there plainly.
// Guarantees: what is written reads back as what it was, and is valid JSON of the same content.
TEST(RuleFileTest, ReadsBackWhatItWrites) {
  RuleFile file;
  for (const std::string text : {"plain",
                                 "with: colon",
                                 "yes",
                                 "1e5",
                                 "12:30",
                                 "0.5",
                                 "a # b",
                                 " lead",
                                 "- x",
                                 "\"quoted\"",
                                 "a\\b",
                                 "line\nbreak",
                                 "\xc2\x85\xe2\x80\xa9\xef\xbb\xbf",
                                 "tab\there",
                                 "~",
                                 "null",
                                 "{{ $value }}",
                                 "5m",
                                 "end:",
                                 "\x7f",
                                 "\xe2\x82\xac"}) {
    Rule record{.record = "a:b:c",
                .alert = "",
                .expr = "sum(\n  x\n)",
                .hold = "",
                .labels = {{"l", text}},
                .annotations = {}};
    Rule alert{.record = "",
               .alert = "A",
               .expr = "x > 1",
               .hold = "5m",
               .labels = {},
               .annotations = {{"summary", text}}};
    file.groups.push_back({.name = text, .interval = "1m", .rules = {record, alert}});
  }
  const std::string yaml = ToYaml(file);
  const Result<RuleFile> again = ParseRuleFile(yaml);
  ASSERT_TRUE(again.ok()) << again.status().message() << '\n' << yaml;
  EXPECT_EQ(*again, file) << yaml;

  const boost::json::value json = boost::json::parse(ToJson(file));
  ASSERT_EQ(json.at("groups").as_array().size(), file.groups.size());
  for (size_t i = 0; i < file.groups.size(); ++i) {
    const boost::json::value& group = json.at("groups").at(i);
    EXPECT_EQ(group.at("name").as_string(), file.groups[i].name);
    EXPECT_EQ(group.at("rules").at(0).at("record").as_string(), "a:b:c");
    EXPECT_EQ(group.at("rules").at(1).at("for").as_string(), "5m");
    EXPECT_EQ(group.at("rules").at(1).at("annotations").at("summary").as_string(), file.groups[i].name);
  }
  EXPECT_EQ(ToYaml({}), "groups: []\n");
}

// Scenario: files that are no rule files.
// Guarantees: the place of what is wrong.
TEST(RuleFileTest, RefusesWhatItDoesNotKnow) {
  const auto problem = [](std::string_view yaml) { return ParseRuleFile(yaml).status().message(); };
  EXPECT_EQ(problem("rules: []"), "rules:1:1: unknown key rules");
  EXPECT_EQ(problem("groups:\n- name: a\n  limit: 3\n"), "rules:3:3: unknown key limit");
  EXPECT_EQ(problem("groups:\n- name: a\n  rules:\n  - record: x\n"), "rules:4:5: this is no rule");
  EXPECT_EQ(problem("groups:\n- name: a\n  rules:\n  - {record: x, alert: y, expr: z}\n"),
            "rules:4:5: this is no rule");
  EXPECT_EQ(problem("groups:\n- name: [a]\n"), "rules:2:9: expected a text");
  EXPECT_THAT(problem("groups: ["), StartsWith("rules:"));
}

// Scenario: the alerts that are part of the binary, with runbooks elsewhere.
// Guarantees: all of the committed file, each with severity, summary, description, and the link to its own
// section.
TEST(BraidRulesTest, AreTheCommittedOnes) {
  const Result<std::vector<Group>> groups = BraidRules("https://example.org/r.md");
  ASSERT_TRUE(groups.ok()) << groups.status().message();
  std::set<std::string> names;
  for (const Group& group : *groups) {
    for (const Rule& rule : group.rules) {
      EXPECT_TRUE(names.insert(rule.alert).second) << rule.alert;
      std::string anchor = rule.alert;
      std::transform(anchor.begin(), anchor.end(), anchor.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      ASSERT_EQ(rule.labels.size(), 1u) << rule.alert;
      EXPECT_EQ(rule.labels[0].first, "severity") << rule.alert;
      EXPECT_THAT(rule.labels[0].second, testing::AnyOf("page", "ticket")) << rule.alert;
      ASSERT_EQ(rule.annotations.size(), 3u) << rule.alert;
      EXPECT_EQ(rule.annotations[0].first, "summary") << rule.alert;
      EXPECT_EQ(rule.annotations[1].first, "description") << rule.alert;
      EXPECT_EQ(rule.annotations[2],
                std::pair(std::string("runbook_url"), "https://example.org/r.md#" + anchor));
    }
  }
  EXPECT_GE(names.size(), 20u);
  EXPECT_TRUE(names.contains("BraidDown"));
}

// Scenario: the list of embedded files.
// Guarantees: sorted, the rules and the scrape job among them with their whole content, and no tests of
// promtool.
TEST(EmbeddedFilesTest, HaveTheFilesOfTheTree) {
  const auto files = dashboards::EmbeddedFiles();
  EXPECT_TRUE(std::is_sorted(files.begin(), files.end(),
                             [](const auto& a, const auto& b) { return a.path < b.path; }));
  std::set<std::string_view> paths;
  for (const EmbeddedFile& file : files) {
    paths.insert(file.path);
    EXPECT_FALSE(file.content.empty()) << file.path;
    EXPECT_TRUE(file.content.ends_with('\n')) << file.path;
  }
  EXPECT_TRUE(paths.contains("prometheus/braid-alerts.yaml"));
  EXPECT_TRUE(paths.contains("prometheus/scrape.yaml"));
  EXPECT_FALSE(paths.contains("prometheus/braid-alerts-test.yaml"));
}

}  // namespace
}  // namespace braid::gateway::rules
