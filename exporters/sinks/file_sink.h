#pragma once

#include <memory>
#include <string>

#include "exporters/sinks/sink_factory.h"

namespace braid::exporters {

// Appends to a file, a named pipe or standard output, to look at: JSON lines for people, or OTLP JSON for
// machines. A request is one write, so that lines of several cores do not mix; a write that fails is undone
// as far as the file allows and repeated by the Lane (a full disk heals). Writing may block the core for as
// long as the disk does.
Result<std::unique_ptr<SinkShared>> MakeFile(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter);

// Refused items, as OTLP JSON requests, one a line, after a line {"reason":"...","signal":"..."}; or refused
// samples, a line for each series.
// `sink` locates errors.
Result<std::unique_ptr<DeadLetter>> OpenDeadLetter(const std::string& sink, const std::string& path,
                                                   SlabPool& slabs);

}  // namespace braid::exporters
