#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "correlate/model/signal.h"

namespace braid::ingest {

// What the visitor found, in words. It stops at a fault without keeping track of where it is, because
// that would cost every span; these walk the same bytes again, slowly, by the tables of schema.h.
//
// REQUIRES: recursion_limit as in Decoder::Options.

// The first fault that costs the whole request: "resource_spans[0].scope_spans[1].spans[3].attributes[2]:
// length runs past its message". Empty if there is none.
std::string ExplainFraming(Signal signal, std::string_view request, int recursion_limit);

// The first fault of the field whose tag is at `offset` (an item, a resource, a scope or one of their
// strings) that costs only it or its group: bad UTF-8, nesting too deep, bad IDs. Just the place if there is
// none.
std::string ExplainItem(Signal signal, std::string_view request, int recursion_limit, size_t offset);

// Where the field with its tag at `offset` is: "resource_spans[0].scope_spans[1]".
std::string PathOf(Signal signal, std::string_view request, size_t offset);

}  // namespace braid::ingest
