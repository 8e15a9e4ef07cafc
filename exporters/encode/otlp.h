#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/net/codec.h"
#include "base/slab.h"
#include "correlate/model/chunk.h"

namespace braid::exporters {

// The path of a signal's Export method, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", and
// its default path over HTTP, "/v1/traces".
std::string_view OtlpMethod(Signal signal);
std::string_view OtlpPath(Signal signal);

// Calls `visit(group, first, count)` for each group that has some of the items [first, first + count), with
// those items.
template <typename Visit>
void ForEachGroup(const Chunk& chunk, uint32_t first, uint32_t count, Visit visit) {
  const uint32_t end = first + count;
  while (first < end) {
    const ChunkGroup& group = chunk.groups[chunk.items[first].group];
    const uint32_t group_end = group.first_item + group.item_count;
    const uint32_t part = (group_end < end ? group_end : end) - first;
    visit(group, first, part);
    first += part;
  }
}

// The serialised Export{Trace,Logs,Metrics}ServiceRequest of the items [first, first + count), with each
// item's bytes as they are in the Chunk. For the whole Chunk, send Chunk::bytes instead. REQUIRES: count > 0
// and the range lies within the items.
Slab EncodeOtlp(const Chunk& chunk, uint32_t first, uint32_t count, SlabPool& slabs);

// The name under which a compressed whole Chunk is shared (encoding_cache.h); empty for kIdentity, whose
// bytes are the Chunk's own.
std::string_view OtlpEncodingKey(net::Encoding compression);

// Bytes to send, and what keeps them.
struct Body {
  std::string_view bytes;
  std::shared_ptr<const void> owner;
};

// The request for some of a Chunk's items, compressed. Nothing is copied for a whole Chunk without
// compression. Thread rule: the thread of the Chunk's shard.
Body OtlpBody(const ChunkPtr& chunk, uint32_t first, uint32_t count, net::Encoding compression,
              SlabPool& slabs);

}  // namespace braid::exporters
