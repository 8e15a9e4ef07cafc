#pragma once

#include <string>
#include <string_view>

#include "base/slab.h"
#include "ingest/decode/decoder.h"
#include "ingest/decode/metric_families.h"
#include "ingest/decode/remote_write.h"

namespace braid::test {

// Holds the reading of remote write requests against generated protobuf on any bytes at all, and its
// translation against what must hold of every one.
//
// The two must agree on whether a request is well-framed, on every value read, and on which series are at
// fault. Wanted differences, both stricter: groups, and tags of five bytes with more than 32 bits, are
// refused. Of the translation: the same bytes twice give the same OTLP; generated protobuf and Braid's
// decoder take it whole; every accepted native histogram, every exemplar not counted as dropped and no more
// points than samples and histograms are in it.
class WriteDifferential {
 public:
  WriteDifferential();

  // An account of the first disagreement; empty if there is none.
  std::string Check(ingest::RemoteWriteVersion version, std::string_view request);

 private:
  std::string CheckTranslation(ingest::RemoteWriteVersion version, std::string_view request);

  SlabPool slabs_;
  BatchPool batches_;
  SlicePool slices_;
  ingest::Decoder decoder_;
};

}  // namespace braid::test
