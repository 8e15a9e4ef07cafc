#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "correlate/model/signal.h"

namespace braid::gateway {

// How many spans, log records or metric data points a serialised Export*ServiceRequest holds. Only the
// framing above the items is walked (and, for metrics, down to the data points); nothing is copied.
// kInvalidArgument if that framing is not protobuf.
Result<uint64_t> CountItems(Signal signal, std::string_view request);

}  // namespace braid::gateway
