#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "config/config.h"
#include "ingest/decode/filter.h"

namespace braid::gateway {

// The user's filter rules, compiled; null if there are none. An error names the rule.
Result<std::shared_ptr<const ingest::Filter>> FilterOf(const std::vector<config::FilterRule>& rules);

}  // namespace braid::gateway
