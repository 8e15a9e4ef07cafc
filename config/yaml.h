#pragma once

#include <string_view>
#include <vector>

#include "config/node.h"

namespace braid::config {

// Bounds of one source.
constexpr size_t kMaxYamlBytes = 1 << 20;
constexpr size_t kMaxYamlNodes = 20'000;  // after aliases have been expanded
constexpr size_t kMaxYamlDepth = 64;

// Reads one YAML document with yaml-cpp and refuses what that library lets pass: duplicate keys, further
// documents, aliases that contain themselves or multiply beyond the bound, tags, merge keys, keys that are
// not text, text that is not UTF-8. An empty document is a null Node.
//
// `source` goes into every Position. Errors are appended to `errors`; then the Node is what could be read.
Node ParseYaml(std::string_view text, int source, std::vector<Diagnostic>* errors);

}  // namespace braid::config
