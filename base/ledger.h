#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace braid {

// Why an accepted item did not reach a sink. Label values are DropReasonName().
enum class DropReason : uint8_t {
  kDuplicate,  // the same span, or a repeated request
  kSampled,    // the trace's verdict was drop
  kQueueFull,  // the sink's lane was over its quota (drop_oldest)
  kRejected,   // the receiver refused the item for good (4xx, partial_success)
  kTooLarge,   // one item alone exceeds what the receiver takes
  kShutdown,   // still undelivered when the drain deadline passed
  kEncode,     // cannot be expressed in the sink's format
};
constexpr int kDropReasons = 7;

constexpr std::string_view DropReasonName(DropReason reason) {
  switch (reason) {
    case DropReason::kDuplicate: return "duplicate";
    case DropReason::kSampled: return "sampled";
    case DropReason::kQueueFull: return "queue_full";
    case DropReason::kRejected: return "rejected";
    case DropReason::kTooLarge: return "too_large";
    case DropReason::kShutdown: return "shutdown";
    case DropReason::kEncode: return "encode";
  }
  return "";
}

// The account of one (signal, sink) in one shard. At every instant
//   accepted = held + queued + delivered + dead_lettered + sum(dropped).
// An item is moved from one place to another by exactly one call, so the identity can only break by a
// call that names the wrong place; then a count wraps below zero, which Balanced() and the tests see.
struct LedgerEntry {
  uint64_t accepted = 0;
  uint64_t held = 0;    // in the window, awaiting join, verdict or encoding
  uint64_t queued = 0;  // in a Chunk, in the sink's lane or under way to the receiver
  uint64_t delivered = 0;
  uint64_t dead_lettered = 0;
  std::array<uint64_t, kDropReasons> dropped{};

  void Accept(uint64_t n) {
    accepted += n;
    held += n;
  }
  void DropHeld(DropReason reason, uint64_t n) {
    held -= n;
    dropped[static_cast<size_t>(reason)] += n;
  }
  void Queue(uint64_t n) {
    held -= n;
    queued += n;
  }
  void Deliver(uint64_t n) {
    queued -= n;
    delivered += n;
  }
  void DeadLetter(uint64_t n) {
    queued -= n;
    dead_lettered += n;
  }
  void DropQueued(DropReason reason, uint64_t n) {
    queued -= n;
    dropped[static_cast<size_t>(reason)] += n;
  }

  uint64_t dropped_total() const {
    uint64_t sum = 0;
    for (const uint64_t n : dropped) sum += n;
    return sum;
  }

  bool Balanced() const {
    constexpr uint64_t kWrapped = uint64_t{1} << 63;
    return held < kWrapped && queued < kWrapped &&
           accepted == held + queued + delivered + dead_lettered + dropped_total();
  }

  LedgerEntry& operator+=(const LedgerEntry& other) {
    accepted += other.accepted;
    held += other.held;
    queued += other.queued;
    delivered += other.delivered;
    dead_lettered += other.dead_lettered;
    for (size_t i = 0; i < dropped.size(); ++i) dropped[i] += other.dropped[i];
    return *this;
  }
};

// Why an item never entered the core. Label values are RejectReasonName().
enum class RejectReason : uint8_t {
  kMalformed,      // not decodable: the whole request is refused
  kBadUtf8,        // a string of the item is not UTF-8
  kBadId,          // a span without a valid trace or span ID
  kTooDeep,        // nesting beyond what protobuf accepts
  kTooManyScopes,  // more than 65,536 scopes in one request
  kFilter,         // dropped by a filter rule, on the operator's wish
  kBadSeries,      // a remote write series whose labels, timestamps or histograms cannot be taken
};
constexpr int kRejectReasons = 7;

constexpr std::string_view RejectReasonName(RejectReason reason) {
  switch (reason) {
    case RejectReason::kMalformed: return "malformed";
    case RejectReason::kBadUtf8: return "bad_utf8";
    case RejectReason::kBadId: return "bad_id";
    case RejectReason::kTooDeep: return "too_deep";
    case RejectReason::kTooManyScopes: return "too_many_scopes";
    case RejectReason::kFilter: return "filter";
    case RejectReason::kBadSeries: return "bad_series";
  }
  return "";
}

// The account of one signal before the core:
//   received = refused + sum(rejected) + submitted, and submitted = backlog + accepted (by the shards).
struct IngressEntry {
  uint64_t received = 0;  // items of decoded requests
  uint64_t refused = 0;   // told to come back later
  std::array<uint64_t, kRejectReasons> rejected{};
  uint64_t submitted = 0;             // sequenced
  uint64_t undecodable_requests = 0;  // their items cannot be counted
  uint64_t refused_requests = 0;      // told to come back before they were decoded: nor can theirs

  bool Balanced() const {
    uint64_t sum = refused + submitted;
    for (const uint64_t n : rejected) sum += n;
    return received == sum;
  }
};

}  // namespace braid
