#pragma once

#include "config/config.h"
#include "config/node.h"

namespace braid::config {

// The tree as values. REQUIRES: `root` has been through Validate() with RootSchema(), so everything that is
// read here exists and has the right form.
Config Bind(const Node& root);

}  // namespace braid::config
