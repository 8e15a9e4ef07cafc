#pragma once

#include <memory>

#include "base/status.h"
#include "config/config.h"
#include "correlate/derive/derive_options.h"

namespace braid::gateway {

// What the configuration asks to be derived from spans. Patterns have been checked by the loader; one that
// RE2 refuses all the same is an error.
Result<std::shared_ptr<const correlate::DeriveOptions>> DeriveOptionsOf(const config::Config& config);

}  // namespace braid::gateway
