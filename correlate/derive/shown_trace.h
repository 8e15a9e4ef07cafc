#pragma once

#include <cstdint>

namespace braid::correlate {

// A trace that an exemplar on a page points to.
struct ShownTrace {
  uint64_t trace_lo = 0;
  uint64_t tick = 0;  // when the exemplar was offered, or its series last refreshed
};

}  // namespace braid::correlate
