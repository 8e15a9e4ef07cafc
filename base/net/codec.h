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

// Undoes snappy's block format, which Prometheus remote write and Loki push use whatever they call it. Its
// header says how much comes out: that is held against `max_bytes`, and against the most that so many bytes
// of input can stand for, before a byte of memory is taken.
//   kInvalidArgument    corrupt, cut short, or a header that cannot be true
//   kResourceExhausted  more than `max_bytes`
//   kUnavailable        the pool refuses
// Thread rule: any thread.
Result<Slab> DecompressSnappy(std::string_view input, size_t max_bytes, SlabPool& pool);

// Compresses for speed: gzip by ISA-L level 1, zstd level 1. REQUIRES: kGzip or kZstd.
// The slab is leased beyond the pool's bound if need be (see SlabPool::TakeUnbounded), since what is
// compressed here is on its way out.
Slab Compress(Encoding encoding, std::string_view input, SlabPool& pool);

}  // namespace braid::net
