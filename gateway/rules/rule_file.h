#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

// A file of recording and alerting rules, as Prometheus loads it.
namespace braid::gateway::rules {

using Texts = std::vector<std::pair<std::string, std::string>>;  // in the order they are written

struct Rule {
  std::string record;  // a recording rule's series; or
  std::string alert;   // an alert's name
  std::string expr;    // may have several lines
  std::string hold;    // `for` of an alert; empty: fires at once
  Texts labels;
  Texts annotations;  // of alerts

  friend bool operator==(const Rule&, const Rule&) = default;
};

// Rules of a group are evaluated in order, so a rule sees what those before it have just recorded.
struct Group {
  std::string name;
  std::string interval;  // empty: Prometheus' own
  std::vector<Rule> rules;

  friend bool operator==(const Group&, const Group&) = default;
};

struct RuleFile {
  std::vector<Group> groups;

  friend bool operator==(const RuleFile&, const RuleFile&) = default;
};

// YAML for Prometheus and people: expressions as blocks, one key a line. ParseRuleFile() gives back what was
// written.
std::string ToYaml(const RuleFile& file);

// The same as JSON, indented; Prometheus takes that too.
std::string ToJson(const RuleFile& file);

// Reads a rule file, as far as RuleFile goes. kInvalidArgument for anything else, with line and column.
Result<RuleFile> ParseRuleFile(std::string_view yaml);

}  // namespace braid::gateway::rules
