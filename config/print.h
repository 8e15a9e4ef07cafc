#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "config/load.h"

namespace braid::config {

struct PrintOptions {
  // After each value that is not a default, where it is from.
  bool origins = true;

  // In front of each key, what it is for.
  bool descriptions = false;
};

// The effective configuration as YAML that Load() reads back. Secrets are printed as *** unless the file has
// nothing but a reference for them (${env:NAME}, ${file:path}); then the reference is printed.
std::string PrintYaml(const Loaded& loaded, const PrintOptions& options);

// The same as JSON.
boost::json::value PrintJson(const Loaded& loaded);

}  // namespace braid::config
