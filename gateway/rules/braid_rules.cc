#include "gateway/rules/braid_rules.h"

#include "dashboards/embedded.h"
#include "gateway/rules/slo_rules.h"

namespace braid::gateway::rules {

Result<std::vector<Group>> BraidRules(const std::string& runbooks) {
  for (const EmbeddedFile& file : dashboards::EmbeddedFiles()) {
    if (file.path != "prometheus/braid-alerts.yaml") continue;
    Result<RuleFile> read = ParseRuleFile(file.content);
    if (!read.ok()) return read.status();
    for (Group& group : read->groups) {
      for (Rule& rule : group.rules) {
        for (auto& [name, text] : rule.annotations) {
          if (name == "runbook_url") text = RunbookUrl(runbooks, rule.alert);
        }
      }
    }
    return std::move(read->groups);
  }
  return Internal("braid-alerts.yaml is not part of this build");
}

}  // namespace braid::gateway::rules
