#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "correlate/model/chunk.h"
#include "exporters/encode/exposition.h"
#include "exporters/encode/sent_points.h"

namespace braid::exporters {

// Takes the points of one round into Chunks, checked as those of a page are: what /metrics would leave out is
// left out here.
class RoundWriter : public PageWriter {
 public:
  // A marker for a point of the round before that is gone. REQUIRES: Finish() was called.
  virtual void PutGone(const SentPoints::Place& place) = 0;

  // REQUIRES: Finish() was called.
  virtual std::vector<ChunkPtr> Take() = 0;

  uint64_t points() const { return points_; }

 protected:
  using PageWriter::PageWriter;

  uint64_t points_ = 0;
};

// Rounds of metrics for one sink: each takes what producers write as it stands at one time and yields Chunks.
// Between rounds it remembers what was sent (SentPoints), so that a series that is gone gets a marker, once.
//
// Thread rule: one owner. Bound: that of a round, of which the last one is kept until the next has ended; and
// some 60 bytes for each point.
class MetricRounds {
 public:
  struct Stats {
    uint64_t rounds = 0;
    uint64_t points = 0;         // in the last round, without markers; a whole histogram is one
    uint64_t samples = 0;        // as the account counts, in all rounds, markers included
    uint64_t stale_markers = 0;  // of those
    uint64_t exemplars = 0;
    uint64_t exemplars_dropped = 0;                    // as ExpositionStats has it
    uint64_t merged = 0;                               // points that external labels made equal to another
    std::array<uint64_t, kExpositionSkips> skipped{};  // points
  };

  virtual ~MetricRounds() = default;
  MetricRounds(const MetricRounds&) = delete;
  MetricRounds& operator=(const MetricRounds&) = delete;

  // The writer of a round at `time_ms`, which has to be later than that of the round before. It lives until
  // End().
  PageWriter& Begin(int64_t time_ms);

  // The round's Chunks, with the markers of series that were in the round before and are not in this one.
  // REQUIRES: Begin().
  std::vector<ChunkPtr> End();

  // A marker for every series of the last round; then nothing is remembered.
  std::vector<ChunkPtr> EndAll(int64_t time_ms);

  const Stats& stats() const { return stats_; }

 protected:
  MetricRounds() = default;

  // What it counts and remembers goes to stats_ and sent_.
  virtual std::unique_ptr<RoundWriter> NewWriter(int64_t time_ms) = 0;

  Stats stats_;
  SentPoints sent_;

 private:
  std::unique_ptr<RoundWriter> writer_;
};

}  // namespace braid::exporters
