#pragma once

#include <memory>

#include "exporters/sinks/sink_factory.h"

namespace braid::exporters {

// OTLP over gRPC, unary Export calls. One channel for each core (one shared channel would serialise the cores
// on one connection), one completion thread for all of them, which hands answers to the cores.
//
// A Chunk's bytes are sent from where they lie; each slice given to gRPC holds its Chunk until the transport
// has let go of it, which may be after the call's end. Chunks are compressed by us, once for all sinks, and
// sent as already compressed: gRPC's own zlib costs twelve times as much.
Result<std::unique_ptr<SinkShared>> MakeOtlpGrpc(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter,
                                                 SlabPool& slabs);

}  // namespace braid::exporters
