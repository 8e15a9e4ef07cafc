#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Text of users as parts of PromQL and of Prometheus' templates, where it must mean itself whatever is in it.
namespace braid::gateway::rules {

// A PromQL string in double quotes. What cannot be seen is escaped.
std::string QuotePromql(std::string_view text);

// `label="a"`, or `label=~"a|b"` for any of several. REQUIRES: at least one value.
std::string Matcher(std::string_view label, const std::vector<std::string>& values);

// For annotations, which Prometheus expands as Go templates: braces stay braces.
std::string EscapeTemplate(std::string_view text);

// The length in bytes of the first character of `text` if it is one that people cannot see and YAML readers
// treat differently: controls, line and paragraph separators, the byte order mark. Otherwise 0.
size_t InvisibleLength(std::string_view text);

// value / 10^decimals without rounding: Decimal(100'000, 8) is "0.001".
std::string Decimal(uint64_t value, unsigned decimals);

}  // namespace braid::gateway::rules
