#pragma once

#include "config/config.h"
#include "exporters/sinks/sink_factory.h"

namespace braid::gateway {

// What the user's sink means to the exporter. `cores` lanes share its queue's bytes.
exporters::SinkConfig SinkConfigOf(const config::Sink& sink, size_t cores);

}  // namespace braid::gateway
