#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "base/slab.h"
#include "correlate/model/chunk.h"

namespace braid::exporters {

// Encodings of whole Chunks, shared by the sinks of one core that want the same one, on Chunk::encodings. One
// exists from the first Encoded() until the last of its users has called ForgetEncoding(), so that the trace
// store, which keeps the Chunk for long, does not keep them too.
//
// Thread rule: the thread of the Chunk's shard.

// One more user for the encoding named `key`.
void ExpectEncoding(const Chunk& chunk, std::string_view key);

// One user less. REQUIRES: an ExpectEncoding() of the same key before.
void ForgetEncoding(const Chunk& chunk, std::string_view key);

// The encoding named `key`; made by `encode` if there is none yet. It is kept only if somebody expects it.
std::shared_ptr<const Slab> Encoded(const Chunk& chunk, std::string_view key,
                                    const std::function<Slab()>& encode);

}  // namespace braid::exporters
