#include "correlate/window/span_index.h"

#include <algorithm>

namespace braid::correlate {

// Eight entries to a line at a load of 0.75: six Records per line.
SpanIndex::SpanIndex(size_t capacity) : lines_(std::max<size_t>(capacity / 6 + 1, 2)) {}

}  // namespace braid::correlate
