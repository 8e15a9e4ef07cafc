#pragma once

#include <span>

#include "base/embedded_file.h"

namespace braid::gateway::rules {

// slo.schema.json, alone.
std::span<const EmbeddedFile> SloSchemaFile();

}  // namespace braid::gateway::rules
