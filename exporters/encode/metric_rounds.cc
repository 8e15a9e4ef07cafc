#include "exporters/encode/metric_rounds.h"

#include <utility>

namespace braid::exporters {

PageWriter& MetricRounds::Begin(int64_t time_ms) {
  sent_.BeginRound();
  writer_ = NewWriter(time_ms);
  return *writer_;
}

std::vector<ChunkPtr> MetricRounds::End() {
  const std::unique_ptr<RoundWriter> writer = std::move(writer_);
  writer->Finish();
  sent_.TakeGone([&](const SentPoints::Place& place) { writer->PutGone(place); });
  ++stats_.rounds;
  stats_.points = writer->points();
  stats_.exemplars_dropped += writer->stats().exemplars_dropped;
  for (size_t i = 0; i < stats_.skipped.size(); ++i) stats_.skipped[i] += writer->stats().skipped[i];
  std::vector<ChunkPtr> chunks = writer->Take();
  sent_.EndRound(chunks);
  return chunks;
}

std::vector<ChunkPtr> MetricRounds::EndAll(int64_t time_ms) {
  sent_.BeginRound();
  const std::unique_ptr<RoundWriter> writer = NewWriter(time_ms);
  writer->Finish();
  sent_.TakeGone([&](const SentPoints::Place& place) { writer->PutGone(place); });
  std::vector<ChunkPtr> chunks = writer->Take();
  sent_.EndRound({});
  return chunks;
}

}  // namespace braid::exporters
