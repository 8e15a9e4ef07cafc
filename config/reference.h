#pragma once

#include <string>

namespace braid::config {

// docs/configuration.md: every key of the schema with its type, default and meaning.
std::string ReferencePage();

}  // namespace braid::config
