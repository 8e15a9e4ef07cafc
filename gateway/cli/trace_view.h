#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"

namespace braid::gateway::cli {

struct TraceViewOptions {
  size_t width = 120;       // columns of the terminal; at least 60
  bool color = false;       // ANSI colours
  bool attributes = false;  // span and log attributes too
};

// Renders the body of GET /api/v1/traces/{id} for a terminal: spans indented under their parents with
// service, name, offset, duration, a bar on the trace's time line and status; under each span its logs, each
// with the reason why it joined; then logs without a span, each with the reason why not.
//
// Whatever the senders wrote is shown without control characters, so it cannot drive the terminal. Spans
// whose parent is absent, or is below themselves, are shown as roots that say so. No span is left out.
//
// kInvalidArgument: the body is not what the API answers.
Result<std::string> RenderTrace(std::string_view body, const TraceViewOptions& options);

}  // namespace braid::gateway::cli
