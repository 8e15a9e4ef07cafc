#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "correlate/derive/derive_options.h"
#include "correlate/derive/series_table.h"
#include "ingest/decode/decoder.h"
#include "tests/support/otlp_builder.h"

namespace braid::test {

// Counts single spans in a SeriesTable, led there by the real decoder. Spans of equal (service, spec but for
// times and IDs) are decoded once.
class SpanCounter {
 public:
  explicit SpanCounter(const correlate::DeriveOptions& derive = {}, uint64_t seed = 1)
      : decoder_(Epoch{.number = 1, .shards = 1, .seed = seed}, batches_, slices_, slabs_, nullptr,
                 ingest::Decoder::Options{.watch = std::make_shared<const WatchList>(derive.Watch())}) {}

  correlate::SeriesTable::Place Place(correlate::SeriesTable& table, const std::string& service,
                                      const SpanSpec& spec, const Attributes& resource = {}) {
    const Slice& slice = Decoded(service, spec, resource);
    const Item& item = slice.items.at(0);
    correlate::SeriesTable::Place place = table.Find(item.series);
    if (place) return place;
    return table.Intern(
        item.series, *slice.batch, item.group, slice.batch->ItemBytes(item.offset),
        static_cast<uint8_t>(item.flags & item_flags::kKindMask),
        static_cast<uint8_t>((item.flags & item_flags::kStatusMask) >> item_flags::kStatusShift),
        item.parent == 0);
  }

  correlate::SeriesTable::Id Count(correlate::SeriesTable& table, const std::string& service,
                                   const SpanSpec& spec, uint64_t duration_ns, uint64_t bytes = 100) {
    const correlate::SeriesTable::Id row = Place(table, service, spec).row;
    table.Count(row, duration_ns, bytes);
    return row;
  }

 private:
  const Slice& Decoded(const std::string& service, SpanSpec spec, const Attributes& resource) {
    spec.trace = {1, 2};
    spec.span = 3;
    std::string request = Traces(service, {spec}, resource);
    auto at = decoded_.find(request);
    if (at == decoded_.end()) {
      if (decoded_.size() > 10'000) decoded_.clear();
      Slab body = slabs_.Take(request.size() + 1);
      body.Append(request);
      Result<ingest::Submission> submission = decoder_.Decode(Signal::kTraces, std::move(body), 0);
      EXPECT_TRUE(submission.ok()) << submission.status().ToString();
      at = decoded_.emplace(std::move(request), std::move(submission->slices.at(0))).first;
    }
    return *at->second;
  }

  SlabPool slabs_{{.max_bytes = 1u << 30, .max_idle_bytes = 64u << 20}};
  BatchPool batches_;
  SlicePool slices_;
  ingest::Decoder decoder_;
  std::map<std::string, SlicePtr> decoded_;
};

}  // namespace braid::test
