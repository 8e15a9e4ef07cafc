#pragma once

#include <memory>

#include "exporters/sinks/sink_factory.h"

namespace braid::exporters {

// Prometheus remote write, to one receiver. Takes Chunks of samples (exporters/encode/samples.h), one request
// at a time, because a receiver takes a series' samples in order only.
//
// Version: with `auto` the first request is 2.0. A receiver that answers 415, or a success without saying
// what it wrote, does not know 2.0 (specification 2.0-rc.4, "Required Written Response Headers"): it gets the
// same samples again as 1.0, at once, and 1.0 from then on. The same for a 400 as long as it has never
// understood 2.0, if it takes them as 1.0.
//
// Refusals: where a 2.0 receiver says how much it wrote, the rest was refused and the request is done with. A
// 400 without a word on that refuses all, and the Lane looks for the bad points. Everything else is as for
// other HTTP sinks, but that a 500 is repeated as long as it takes, as the specification demands.
Result<std::unique_ptr<SinkShared>> MakeRemoteWrite(SinkConfig config,
                                                    std::unique_ptr<DeadLetter> dead_letter, SlabPool& slabs);

}  // namespace braid::exporters
