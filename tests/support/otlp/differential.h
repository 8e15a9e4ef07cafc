#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/slab.h"
#include "correlate/model/batch.h"
#include "correlate/model/signal.h"
#include "ingest/decode/decoder.h"

namespace braid::test {

// Holds the decoder against generated protobuf (3.21) on any bytes at all.
//
// The two must agree on whether a request is acceptable as a whole, and on every value the Items, notes
// and tables carry. Differences that are wanted, all in the direction of stricter:
//   - A tag of five bytes whose value exceeds 32 bits: protobuf drops the excess bits and goes on with
//   another field number than
//     the bytes say. No encoder writes such a tag.
//   - Unknown groups nested deeper than 31: protobuf follows 100. wire::Cursor, which reads the bytes later,
//   stops at 31.
// and of finer grain:
//   - A string that is not UTF-8, or nesting beyond the limit, makes protobuf refuse everything; here it
//   costs its item (or its resource's
//     or scope's items). What remains must be acceptable to protobuf, and is checked to be.
//   - Beyond too deep nesting inside an item the item's own framing is not looked at, since it is dropped.
//   - A span without good IDs is turned away; protobuf has no opinion.
class Differential {
 public:
  Differential();

  // An account of the first disagreement; empty if there is none.
  std::string Check(Signal signal, std::string_view request);

 private:
  static constexpr uint32_t kTenant = 7;
  static const Epoch kEpoch;

  SlabPool slabs_;
  BatchPool batches_;
  SlicePool slices_;
  ingest::Decoder best_;
  ingest::Decoder baseline_;
};

}  // namespace braid::test
