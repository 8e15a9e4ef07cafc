#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "ingest/decode/remote_write_parse.h"

namespace braid::ingest {

// What remote write requests say once and later ones rely on: the type, unit and help of each metric family
// (remote write 1.0 sends them apart from the samples, once a minute), and which buckets the histograms of a
// family have (a sender may cut a histogram in two, and a part of one can look like a whole one).
//
// It only decides how samples are put into OTLP, never whether they are taken: after a restart, or what was
// forgotten for lack of room, the next METADATA or the next scrape teaches again.
//
// Thread rule: any thread; short critical sections.
// Time rule: seconds of any steady clock, from the caller.
// Bound: Options::max_bytes each for families and for layouts, as estimated; the least recently used of them
// leave, counted.
class MetricFamilies {
 public:
  struct Options {
    size_t max_bytes = 4u << 20;

    // A longer help text is cut.
    size_t max_help_bytes = 1024;

    // Names and units beyond this are not remembered.
    size_t max_name_bytes = 1024;

    // A bucket that no request had for so long is no longer missed.
    uint64_t forget_seconds = 600;
  };

  struct Family {
    PrometheusType type = PrometheusType::kUnknown;
    std::string help;
    std::string unit;
    friend bool operator==(const Family&, const Family&) = default;
  };

  struct Stats {
    uint64_t families = 0;
    uint64_t layouts = 0;
    uint64_t bytes = 0;
    uint64_t forgotten = 0;
  };

  MetricFamilies() : MetricFamilies(Options()) {}
  explicit MetricFamilies(const Options& options) : options_(options) {}

  void Remember(uint32_t tenant, std::string_view name, Family family);

  // Null if nothing is known.
  std::shared_ptr<const Family> Find(uint32_t tenant, std::string_view name);

  // Notes that a histogram (or summary) of family `name` of `job` came with the buckets (quantiles) whose
  // distinct hashes are `marks`. True if no other bucket of that family is known, so that these can be all of
  // them.
  bool NoteLayout(uint32_t tenant, std::string_view job, std::string_view name,
                  std::span<const uint64_t> marks, uint64_t now_seconds);

  Stats stats() const;

 private:
  // Beyond this many buckets none is missed: nobody makes such histograms by hand.
  static constexpr size_t kMaxMarks = 512;

  struct Entry {
    std::string key;
    std::shared_ptr<const Family> family;
    std::vector<std::pair<uint64_t, uint64_t>> marks;  // hash, second it was seen last
    size_t bytes = 0;
  };
  using Entries = std::list<Entry>;  // most recently used first

  // The two kinds share the code, not the room: a flood of one does not push out the other.
  struct Table {
    Entries entries;
    absl::flat_hash_map<std::string_view, Entries::iterator> index;  // keys are the entries' own
    size_t bytes = 0;
    uint64_t forgotten = 0;

    Entry* Use(std::string_view key);
    Entry& Add(std::string key);
    void Charge(Entry* entry, size_t bytes_now);
    void ShrinkTo(size_t max_bytes);
  };

  const Options options_;
  mutable Mutex mutex_;
  Table families_ BRAID_GUARDED_BY(mutex_);
  Table layouts_ BRAID_GUARDED_BY(mutex_);
};

}  // namespace braid::ingest
