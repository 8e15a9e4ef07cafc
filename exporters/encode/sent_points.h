#pragma once

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "correlate/model/chunk.h"

namespace braid::exporters {

// The points that a sink was sent in the last round: which there were, and where in that round's Chunks they
// lie. So a round can look up what was sent of a point before, and tell the sink of points that are gone.
//
// Thread rule: one owner. Bound: some 60 bytes a point, and the last round's Chunks, which it keeps.
class SentPoints {
 public:
  // A hash of everything that identifies a point.
  struct Key {
    uint64_t lo = 0;
    uint64_t hi = 0;
    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.lo);
    }
  };

  // Where a point was last sent. `at` and `mark` are the writer's own: its place within the item, and what is
  // to be known of it.
  struct Place {
    uint32_t chunk = 0;
    uint32_t item = 0;
    uint32_t at = 0;
    uint32_t mark = 0;
    uint32_t round = 0;
  };

  enum class Seen : uint8_t { kNever, kBefore, kThisRound };

  void BeginRound() { ++round_; }

  // The number of a point, which from now on counts as one of this round. Until its place is set anew that
  // is the one of the round before.
  std::pair<uint32_t, Seen> Find(const Key& key) {
    const auto [at, fresh] = ids_.try_emplace(key, static_cast<uint32_t>(places_.size()));
    if (fresh) {
      if (free_.empty()) {
        places_.emplace_back();
      } else {
        at->second = free_.back();
        free_.pop_back();
        places_[at->second] = {};
      }
    }
    Place& place = places_[at->second];
    const Seen seen = fresh ? Seen::kNever : place.round == round_ ? Seen::kThisRound : Seen::kBefore;
    place.round = round_;
    return {at->second, seen};
  }

  Place& operator[](uint32_t id) { return places_[id]; }
  const Place& operator[](uint32_t id) const { return places_[id]; }

  // Of the last round. REQUIRES: the place was set in it.
  const Chunk& ChunkOf(const Place& place) const { return *last_[place.chunk]; }

  // Forgets the points of the last round that were not in this one, and calls `fn(place)` for each, in the
  // order in which they were written.
  template <typename Fn>
  void TakeGone(Fn fn) {
    std::vector<Place> gone;
    for (auto at = ids_.begin(); at != ids_.end();) {
      if (places_[at->second].round == round_) {
        ++at;
        continue;
      }
      gone.push_back(places_[at->second]);
      free_.push_back(at->second);
      ids_.erase(at++);
    }
    std::sort(gone.begin(), gone.end(), [](const Place& a, const Place& b) {
      return std::tie(a.chunk, a.item, a.at) < std::tie(b.chunk, b.item, b.at);
    });
    for (const Place& place : gone) fn(place);
  }

  // `chunks` are what the places of this round point into.
  void EndRound(std::vector<ChunkPtr> chunks) { last_ = std::move(chunks); }

 private:
  uint32_t round_ = 0;
  absl::flat_hash_map<Key, uint32_t> ids_;
  std::vector<Place> places_;
  std::vector<uint32_t> free_;
  std::vector<ChunkPtr> last_;
};

}  // namespace braid::exporters
