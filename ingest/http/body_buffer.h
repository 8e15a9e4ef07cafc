#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/slab.h"
#include "base/status.h"

namespace braid::ingest {

// Gathers one request's body in a slab as its bytes arrive. No claim of the sender (Content-Length, a gRPC
// length prefix) leases more than kFirstLease ahead of the bytes themselves.
//
// A gRPC body is one length-prefixed message, cut by HTTP/2 wherever it likes; the 5-byte prefix is taken off
// on the way.
//
// Thread rule: the connection's core.
class BodyBuffer {
 public:
  // The usual export of a few hundred spans fits, so it is received with one lease and never moved.
  static constexpr size_t kFirstLease = 256u << 10;

  enum class Fill : uint8_t {
    kOk,
    kTooLarge,      // beyond max_bytes, or announced to be
    kNoMemory,      // the pool refuses
    kExtraMessage,  // gRPC: bytes follow the message
    kBadPrefix,     // gRPC: the compressed flag is neither 0 nor 1
  };

  // `expected` is what the sender announced, if anything.
  void Start(SlabPool* pool, size_t max_bytes, std::optional<uint64_t> expected, bool grpc);

  // After anything but kOk the buffer must only be dropped.
  Fill Append(std::string_view bytes);

  // Room to receive into directly, at most `limit` and at least one byte unless the pool refuses (null).
  // REQUIRES: not gRPC, limit > 0, Start()ed with an `expected` that is not yet reached.
  char* Window(size_t limit, size_t* size);
  void Commit(size_t n) { slab_.set_size(slab_.size() + n); }

  // gRPC: the state at the end of the stream. kOk if exactly one whole message came.
  Status CheckGrpcEnd() const;

  bool grpc_compressed() const { return prefix_[0] == 1; }

  // Content so far, without the gRPC prefix.
  size_t size() const { return slab_.size(); }

  // The content; a slab even if it is empty, unless the pool refuses that.
  Slab Take();

 private:
  // Room for `n` bytes more.
  bool Grow(size_t n);

  static constexpr size_t kPrefix = 5;

  SlabPool* pool_ = nullptr;
  size_t max_bytes_ = 0;
  std::optional<uint64_t> expected_;
  Slab slab_;
  bool grpc_ = false;
  size_t prefix_size_ = 0;
  std::array<uint8_t, kPrefix> prefix_{};
};

}  // namespace braid::ingest
