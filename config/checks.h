#pragma once

#include <vector>

#include "config/config.h"
#include "config/diagnostic.h"
#include "config/node.h"

namespace braid::config {

// What no schema can say: limits that depend on each other, listeners that others could reach, rules that
// never apply, data sent in circles. What depends on a value that was already refused is left alone.
// `root` is the tree that `config` was made from; it says where.
void CheckTogether(const Config& config, const Node& root, std::vector<Diagnostic>* errors,
                   std::vector<Diagnostic>* warnings);

}  // namespace braid::config
