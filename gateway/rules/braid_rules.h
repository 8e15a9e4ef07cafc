#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "gateway/rules/rule_file.h"

namespace braid::gateway::rules {

// Braid's own alerts, dashboards/prometheus/braid-alerts.yaml, with their runbooks at `runbooks`
// (RunbookUrl()). An error only if that file is not what this program reads, which a test rules out.
Result<std::vector<Group>> BraidRules(const std::string& runbooks);

}  // namespace braid::gateway::rules
