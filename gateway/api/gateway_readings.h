#pragma once

#include "gateway/api/backend.h"
#include "gateway/telemetry/self_telemetry.h"

namespace braid::gateway {

// The snapshot's account in the form that telemetry writes.
Account AccountOf(const GatewaySnapshot& snapshot);

// Everything else of the snapshot, as self-metrics. docs/metrics.md lists them.
void ReadGateway(const GatewaySnapshot& snapshot, Readings& readings);

}  // namespace braid::gateway
