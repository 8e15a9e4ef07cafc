#pragma once

#include <memory>

#include "exporters/sinks/sink_factory.h"

namespace braid::exporters {

// The sinks that POST to an HTTP/1.1 server, each core over its own connections: OTLP in protobuf, and Loki's
// push API. They differ in what they encode and in how they read a success.
Result<std::unique_ptr<SinkShared>> MakeOtlpHttp(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter,
                                                 SlabPool& slabs);
Result<std::unique_ptr<SinkShared>> MakeLoki(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter,
                                             SlabPool& slabs);

}  // namespace braid::exporters
