#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "correlate/derive/admission.h"
#include "correlate/derive/series_delta.h"
#include "correlate/derive/series_owner.h"
#include "correlate/derive/series_table.h"

namespace braid::correlate {

// What the Series owner keeps; its own header so that merging, writing pages and keeping it over a restart
// can be apart. Not for use outside of correlate/derive.
//
// Thread rule: under the owner's lock.
class SeriesState {
 public:
  // A native histogram as whole counts: by bucket, rising.
  struct Native {
    struct Count {
      int32_t bucket = 0;
      uint64_t n = 0;
    };
    std::vector<Count> counts;
    uint64_t zero = 0;

    void Add(int32_t bucket, uint64_t n);
  };

  // What was counted at one sampling threshold (and, for edges in Tempo's shape, one outcome): only whole
  // numbers, so that sums are the same in any order.
  struct Plane {
    uint64_t threshold = 0;
    bool failed = false;
    std::vector<uint64_t> buckets;
    unsigned __int128 sum_ns = 0;
    unsigned __int128 bytes = 0;
    unsigned __int128 self_ns = 0;
    uint64_t self_spans = 0;
    std::vector<Native> natives;  // by window

    uint64_t count() const {
      uint64_t sum = 0;
      for (const uint64_t n : buckets) sum += n;
      return sum;
    }
  };

  struct Series {
    SeriesKey key;  // views of `text`
    std::unique_ptr<char[]> text;
    std::vector<Plane> planes;  // by rising threshold, healthy before failed
    uint64_t created_ns = 0;
    uint64_t orphan_since = 0;  // tick; counts where refs is 0: restored, and not seen since
    uint32_t refs = 0;          // rows of shards
    uint32_t exemplars = 0;     // 1 + index of the first slot
    uint32_t place = 0;         // in by_kind
    uint32_t payer = 0;         // number in `payers`, if `admitted`
    bool admitted = false;
    bool live = false;
  };

  SeriesState(const SeriesOwner::Options& options, const DeriveOptions& derive);

  void MergeReady(bool all, std::vector<SeriesDeltaPtr>* done);
  void Advance(uint64_t tick);
  uint64_t WallOf(uint64_t tick) const;

  // The labels of a series in one dialect, then its families. See series_page.cc.
  void Write(ExpositionWriter& writer) const;

  std::string Serialize() const;
  Status Restore(std::string_view bytes, uint64_t tick);
  uint64_t Digest() const;

  const SeriesOwner::Options& options;
  const DeriveOptions& derive;
  const BucketMap span_buckets;
  const BucketMap graph_buckets;
  const std::vector<NativeMap> native_maps;
  const size_t windows;
  const ExemplarBuckets span_exemplars;
  const ExemplarBuckets edge_exemplars;

  bool anchored = false;
  uint64_t anchor_tick = 0;
  uint64_t anchor_ns = 0;

  std::vector<Series> series;
  std::vector<uint32_t> free_series;
  std::array<std::vector<uint32_t>, kRowKinds> by_kind;

  std::vector<SeriesDelta::Slot> exemplars;
  uint32_t free_exemplars = 0;  // 1 + index of the first free slot, chained by `next`
  size_t exemplars_used = 0;

  // By dimensions, without storing them twice. Looked up, never iterated.
  struct ByKey {
    using is_transparent = void;
    const std::vector<Series>* series;
    uint64_t seed = 0;
    const SeriesKey& Of(uint32_t id) const { return (*series)[id].key; }
    const SeriesKey& Of(const SeriesKey& key) const { return key; }
    template <typename T>
    size_t operator()(const T& value) const {
      return HashOf(Of(value), seed);
    }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Of(a) == Of(b);
    }
  };
  absl::flat_hash_set<uint32_t, ByKey, ByKey> known;

  StringPool payers;  // whose series they are, see SeriesKey::payer()
  Admission admission;
  size_t label_bytes = 0;
  size_t overflows = 0;

  // By shard and row: where it counts.
  struct Target {
    uint32_t series = 0;
    uint32_t plane_threshold = 0;  // index into thresholds
    bool failed = false;
    bool live = false;
  };
  std::vector<std::vector<Target>> targets;
  std::vector<uint64_t> thresholds;
  absl::flat_hash_map<uint64_t, uint32_t> threshold_ids;

  std::vector<std::deque<SeriesDeltaPtr>> waiting;
  std::vector<uint64_t> handed_over;  // tick of each shard's last delta
  std::vector<uint64_t> merged_tick;  // of each shard's last delta that was merged
  uint64_t last_tick = 0;
  uint64_t swept = 0;
  int trims_left = 0;  // of memory that a burst left in the allocator

  // Names that were counted under another: examples by (service, template).
  struct Merged {
    std::string service;
    std::string name;
    uint64_t count = 0;
    std::vector<std::string> examples;
  };
  std::vector<Merged> merged;
  absl::flat_hash_map<std::string, uint32_t> merged_ids;

  uint64_t overflow_series = 0;
  uint64_t overflow_spans = 0;
  uint64_t expired_series = 0;
  uint64_t exemplars_refused = 0;
  uint64_t labels_truncated = 0;
  uint64_t thresholds_malformed = 0;
  uint64_t thresholds_coarsened = 0;
  uint64_t names_merged = 0;
  uint64_t template_nodes_refused = 0;
  uint64_t template_nodes_replaced = 0;
  uint64_t deltas_merged = 0;
  size_t live = 0;

 private:
  // Takes off the labels of DeriveOptions::without.
  void Narrow(SeriesKey* key) const;
  void MergeOne(const SeriesDelta& delta, uint32_t shard);
  uint32_t Intern(SeriesKey key, uint64_t created_ns);
  uint32_t Add(const SeriesKey& key, uint64_t created_ns);
  void Remove(uint32_t id);
  Plane& PlaneOf(Series* of, uint64_t threshold, bool failed);
  void PackExemplars();
  void Keep(const SeriesDelta::Slot& offered, uint32_t id);
  void List(const SeriesDelta& delta);
};

}  // namespace braid::correlate
