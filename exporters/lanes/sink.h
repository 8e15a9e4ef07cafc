#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "correlate/model/chunk.h"

namespace braid::exporters {

// Some of a Chunk's items: [first, first + count) of Chunk::items.
struct Piece {
  ChunkPtr chunk;
  uint32_t first = 0;
  uint32_t count = 0;

  bool whole() const { return first == 0 && count == chunk->items.size(); }

  // What the account counts: the sum of ChunkItem::count.
  uint64_t units() const;

  // Bytes of its items in the Chunk.
  size_t bytes() const;
};

// How one request ended.
struct SendResult {
  enum class Kind : uint8_t {
    kDelivered,    // taken, except for the parts counted below
    kRetry,        // not taken; try again later (busy, unreachable, timed out, bad credentials)
    kFailed,       // not taken and nobody says why (HTTP 500, INTERNAL): retried a few times, then bisected
    kRejected,     // these items will never be taken as they stand: bisected
    kTooLarge,     // as kRejected, because of size
    kUnsupported,  // no request of this kind will ever be taken (404, UNIMPLEMENTED): refused whole
  };

  Kind kind = Kind::kDelivered;

  // What the receiver said, located; for kDelivered a warning or empty. Never holds a secret, or payload
  // beyond 256 bytes of the receiver's own message.
  std::string message;

  // The receiver asked for this pause (RetryInfo, Retry-After).
  std::optional<std::chrono::nanoseconds> retry_after;

  // Only with kDelivered, in units of the account: refused by the receiver (partial_success), larger than
  // what it takes, not expressible in its format. Their sum is at most Piece::units(); the rest was
  // delivered.
  uint64_t rejected = 0;
  uint64_t too_large = 0;
  uint64_t unencodable = 0;

  // Attributes left out of delivered items because the receiver takes only so many.
  uint64_t shed_fields = 0;
};

// Where a Lane delivers to: one core's end of one configured destination.
//
// Thread rule: everything on the core's thread; `done` too.
// Lifetime: destroying a Sink abandons its requests: no `done` is called any more.
class Sink {
 public:
  using Done = std::function<void(SendResult)>;

  virtual ~Sink() = default;

  // True where requests of one signal must not overtake each other (Loki: entries of a stream).
  virtual bool ordered() const { return false; }

  // The whole of `chunk` will be sent, perhaps more than once; and will not be any more. Between the two a
  // Sink may keep an encoding of it on Chunk::encodings, which other Sinks of the core share.
  virtual void Expect(const Chunk& chunk) { static_cast<void>(chunk); }
  virtual void Forget(const Chunk& chunk) { static_cast<void>(chunk); }

  // Sends `piece`. `done` is called exactly once, never from within this call, and within the Sink's timeout.
  virtual void Send(Piece piece, Done done) = 0;

  // Gives up what is under way: every `done` still owed comes soon, with kRetry.
  virtual void CancelAll() = 0;
};

// Where items go that a receiver refused for good.
// Thread rule: any thread.
class DeadLetter {
 public:
  virtual ~DeadLetter() = default;

  // Writes the items with the reason. On error nothing counts as written and the caller drops them.
  virtual Status Write(const Piece& piece, std::string_view reason) = 0;
};

}  // namespace braid::exporters
