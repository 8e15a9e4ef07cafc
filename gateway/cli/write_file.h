#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace braid::gateway::cli {

// Puts `text` in a file, whole or not at all: beside it first, so that who reads meanwhile never sees half of
// it. What is there and is no file, such as a pipe, is written as it is. The error says file and reason.
Status WriteFile(const std::string& file, std::string_view text);

}  // namespace braid::gateway::cli
