#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/slab.h"
#include "base/status.h"

namespace braid::net {

enum class Encoding : uint8_t { kIdentity, kGzip, kDeflate, kZstd };

// The value of a Content-Encoding or grpc-encoding header, in any case. Absent (empty) means identity.
// kInvalidArgument for one we do not have, and for lists: nobody encodes telemetry twice.
Result<Encoding> ParseEncoding(std::string_view name);

// "identity", "gzip", "deflate", "zstd".
std::string_view EncodingName(Encoding encoding);

// Undoes `encoding`, which is not kIdentity, into a fresh slab.
//
// Memory is taken as output appears: a length that the input merely claims is believed only while it is
// in proportion to the input, so a small body cannot lease a large slab.
//   kInvalidArgument    corrupt, cut short, or followed by something else
//   kResourceExhausted  more than `max_bytes` come out
//   kUnavailable        the pool refuses
// gzip may have several members, zstd several frames; "deflate" is taken with or without its zlib header, as
// senders disagree on what the word means.
//
// Thread rule: any thread; each keeps its decompressor's state (under 100 KiB, 8 MiB for a zstd stream
// that asks for the largest window RFC 9659 allows, given back afterwards).
Result<Slab> Decompress(Encoding encoding, std::string_view input, size_t max_bytes, SlabPool& pool);

// Compresses for speed: gzip by ISA-L level 1, zstd level 1. REQUIRES: kGzip or kZstd.
// The slab is leased beyond the pool's bound if need be (see SlabPool::TakeUnbounded), since what is
// compressed here is on its way out.
Slab Compress(Encoding encoding, std::string_view input, SlabPool& pool);

}  // namespace braid::net
