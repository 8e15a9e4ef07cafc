#pragma once

#include <cstdint>

namespace braid {

// What decode and every shard must agree on. Changes only with an Epoch record.
struct Epoch {
  uint32_t number = 1;
  uint32_t shards = 1;

  // Keys all hashing of IDs and names, so that nobody outside can aim at a shard or a bucket.
  uint64_t seed = 0;
};

// Mixes all bits of `word` into all bits of the result (the finaliser of splitmix64, Steele et al. 2014).
constexpr uint64_t Mix64(uint64_t word) {
  word ^= word >> 30;
  word *= 0xbf58476d1ce4e5b9u;
  word ^= word >> 27;
  word *= 0x94d049bb133111ebu;
  return word ^ word >> 31;
}

// The hash of a trace within a tenant. Only the low half of the ID takes part, so that the 64- and 128-bit
// forms of one trace meet.
constexpr uint64_t TraceHash(const Epoch& epoch, uint32_t tenant, uint64_t trace_lo) {
  return Mix64(trace_lo ^ epoch.seed ^ static_cast<uint64_t>(tenant) << 32);
}

// The shard that owns a trace, or (given a resource's key) an item without one.
constexpr uint32_t ShardOf(const Epoch& epoch, uint64_t hash) {
  return static_cast<uint32_t>((hash >> 32) * epoch.shards >> 32);
}

}  // namespace braid
