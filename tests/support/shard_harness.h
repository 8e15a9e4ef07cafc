#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/wire.h"
#include "correlate/derive/exemplar_candidates.h"
#include "correlate/derive/metric_ingest.h"
#include "correlate/derive/series_owner.h"
#include "correlate/pipeline/shard.h"
#include "ingest/decode/decoder.h"
#include "tests/support/otlp_builder.h"
#include "tests/support/recording_writer.h"

// Shards fed through the real decoder, without threads: what they send out is read back field by field.
namespace braid::test {

// One span or log as it left.
struct Left {
  Signal signal = Signal::kTraces;
  TraceId trace;
  uint64_t span = 0;
  std::string name;  // span name, or a log's body
  std::map<std::string, std::string> attributes;
};

inline std::string AnyToString(std::string_view any) {
  for (wire::Cursor c(any); c.Next();) {
    const auto& f = c.field();
    if (f.number == 1) return std::string(f.bytes);
    if (f.number == 2) return f.scalar != 0 ? "true" : "false";
    if (f.number == 3) return std::to_string(f.scalar);
    if (f.number == 4) {
      double value;
      std::memcpy(&value, &f.scalar, sizeof value);
      return std::to_string(value);
    }
  }
  return "";
}

inline Left ParseItem(Signal signal, std::string_view item) {
  Left out;
  out.signal = signal;
  const bool log = signal == Signal::kLogs;
  for (wire::Cursor c(item); c.Next();) {
    const auto& f = c.field();
    if (f.number == (log ? 9u : 1u) && f.type == wire::Type::kBytes && f.bytes.size() == 16) {
      out.trace = {LoadBigEndian64(f.bytes.data()), LoadBigEndian64(f.bytes.data() + 8)};
    } else if (f.number == (log ? 10u : 2u) && f.type == wire::Type::kBytes && f.bytes.size() == 8) {
      out.span = LoadBigEndian64(f.bytes.data());
    } else if (f.number == 5) {
      out.name = log ? AnyToString(f.bytes) : std::string(f.bytes);
    } else if (f.number == (log ? 6u : 9u) && f.type == wire::Type::kBytes) {
      std::string key;
      std::string value;
      for (wire::Cursor kv(f.bytes); kv.Next();) {
        if (kv.field().number == 1) key = kv.field().bytes;
        if (kv.field().number == 2) value = AnyToString(kv.field().bytes);
      }
      EXPECT_FALSE(out.attributes.contains(key)) << "attribute written twice: " << key;
      out.attributes[key] = value;
    }
  }
  return out;
}

// Collects what a shard sends out, and checks each Chunk's directory against its bytes.
class Collector : public correlate::ShardOutput {
 public:
  void OnChunk(ChunkPtr chunk) override {
    uint64_t count = 0;
    for (const ChunkItem& item : chunk->items) {
      left.push_back(ParseItem(chunk->signal, chunk->ItemBytes(item)));
      count += item.count;
    }
    EXPECT_EQ(count, chunk->count);
    CheckNesting(*chunk);
    chunks.push_back(std::move(chunk));
  }
  void OnSeries(correlate::SeriesDeltaPtr delta) override {
    using correlate::RowKind;
    using What = correlate::SeriesDelta::Carry::What;
    for (const auto& birth : delta->births) {
      if (kinds.size() <= birth.row) kinds.resize(birth.row + 1);
      kinds[birth.row] = birth.kind;
    }
    for (const uint32_t row : delta->touched) {
      if (kinds[row] != RowKind::kSpans) continue;
      for (size_t i = 0; i < delta->layout.buckets; ++i) calls += delta->cell(row).counts()[i];
    }
    for (const auto& carry : delta->carries) {
      if (carry.what == What::kBucket && kinds[carry.row] == RowKind::kSpans) calls += 65'536;
    }
    for (const auto& slot : delta->exemplars) {
      if (kinds[slot.row] == RowKind::kSpans) exemplars.push_back(slot.exemplar);
    }
    for (const auto& candidate : delta->candidates) offered.push_back(candidate.exemplar);
    if (candidates != nullptr) candidates->Take(*delta);
    if (owner != nullptr) owner->Merge(std::move(delta), shard);
  }
  void OnMetrics(SlicePtr slice) override {
    metric_points += slice->count;
    if (ingest != nullptr) ingest->Apply(slice->batch, slice->items);
  }
  void OnExemplar(uint64_t trace_lo, ExemplarOf) override { shown.push_back(trace_lo); }

  std::vector<Left> left;
  std::vector<ChunkPtr> chunks;
  std::vector<correlate::Exemplar> exemplars;
  std::vector<uint64_t> shown;               // traces of OnExemplar()
  std::vector<correlate::Exemplar> offered;  // candidates for ingested histograms
  std::vector<correlate::RowKind> kinds;     // by row
  correlate::SeriesOwner* owner = nullptr;   // gets what is counted
  correlate::ExemplarCandidates* candidates = nullptr;
  correlate::MetricIngest* ingest = nullptr;
  uint32_t shard = 0;
  uint64_t calls = 0;
  uint64_t metric_points = 0;

 private:
  // Walks the whole request as a receiver would and finds the directory's items, in order.
  static void CheckNesting(const Chunk& chunk) {
    size_t at = 0;
    wire::Cursor request(chunk.view());
    while (request.Next()) {
      ASSERT_EQ(request.field().number, 1u);
      for (wire::Cursor resource(request.field().bytes); resource.Next();) {
        if (resource.field().number != 2) continue;
        for (wire::Cursor scope(resource.field().bytes); scope.Next();) {
          if (scope.field().number != 2) continue;
          ASSERT_LT(at, chunk.items.size());
          EXPECT_EQ(scope.field().bytes, chunk.ItemBytes(chunk.items[at]));
          ++at;
        }
      }
    }
    EXPECT_TRUE(request.ok());
    EXPECT_EQ(at, chunk.items.size());
  }
};

class ShardHarness {
 public:
  explicit ShardHarness(correlate::Shard::Options options = SmallOptions(), uint32_t shards = 1) {
    epoch_.shards = shards;
    epoch_.seed = 42;
    decoder_ = std::make_unique<ingest::Decoder>(
        epoch_, batches_, slices_, slabs_, nullptr,
        ingest::Decoder::Options{.watch = std::make_shared<const WatchList>(options.derive->Watch()),
                                 .links = options.derive->graph.enabled,
                                 .votes = true});
    derive_ = options.derive;
    owner_ = std::make_unique<correlate::SeriesOwner>(
        correlate::SeriesOwner::Options{.shards = shards, .expire_ticks = options.series.expire_ticks},
        *derive_);
    for (uint32_t i = 0; i < shards; ++i) {
      options.shard = i;
      options.chunks.shard = i;
      options.epoch = epoch_;
      outputs_.push_back(std::make_unique<Collector>());
      outputs_.back()->owner = owner_.get();
      outputs_.back()->shard = i;
      shards_.push_back(std::make_unique<correlate::Shard>(options, slabs_, batches_, *outputs_.back()));
    }
  }

  static correlate::Shard::Options SmallOptions() {
    correlate::Shard::Options options;
    options.window.capacity = 1 << 12;
    options.window.tombstones = 1 << 8;
    options.sink_takes = {{true, true, true}, {true, true, false}};
    return options;
  }

  // Decodes a request; the slices may be applied by anyone.
  ingest::Submission Decode(Signal signal, std::string_view request) {
    Slab body = slabs_.Take(request.size() + 1);
    body.Append(request);
    Result<ingest::Submission> submission = decoder_->Decode(signal, std::move(body), 0);
    EXPECT_TRUE(submission.ok()) << submission.status().ToString();
    ingest::Submission out = std::move(submission).value();
    out.batch.mutable_batch().sequence = ++sequence_;
    return out;
  }

  void Send(Signal signal, std::string_view request) {
    ingest::Submission submission = Decode(signal, request);
    for (size_t i = 0; i < submission.slices.size(); ++i) {
      if (!submission.slices[i]) continue;
      InboxRecord record;
      record.kind = InboxRecord::Kind::kSlice;
      record.sequence = sequence_;
      record.slice = std::move(submission.slices[i]);
      shards_[i]->Apply(std::move(record));
    }
  }
  void SendSpans(std::string_view service, const std::vector<SpanSpec>& spans) {
    Send(Signal::kTraces, Traces(service, spans));
  }
  void SendLogs(std::string_view service, const std::vector<LogSpec>& logs) {
    Send(Signal::kLogs, Logs(service, logs));
  }

  // Lets this many milliseconds pass.
  void Pass(uint64_t ms) {
    for (uint64_t t = 0; t < ms; t += kTickMs) Control(InboxRecord::Kind::kTick, ++tick_);
  }
  void Pressure(uint64_t level) { Control(InboxRecord::Kind::kPressure, level); }
  void Drain() { Control(InboxRecord::Kind::kDrain, 0); }

  void Control(InboxRecord::Kind kind, uint64_t value) {
    for (auto& shard : shards_) {
      InboxRecord record;
      record.kind = kind;
      record.value = value;
      shard->Apply(std::move(record));
    }
  }

  correlate::Shard& shard(size_t i = 0) { return *shards_[i]; }
  Collector& out(size_t i = 0) { return *outputs_[i]; }
  size_t shards() const { return shards_.size(); }
  SlabPool& slabs() { return slabs_; }
  const Epoch& epoch() const { return epoch_; }

  // The page of everything that was derived so far.
  RecordingWriter Page() {
    Pass(correlate::Shard::kSeriesTicks * kTickMs);
    owner_->Flush();
    RecordingWriter writer;
    owner_->Write(writer);
    EXPECT_EQ(writer.repeated, 0);
    return writer;
  }
  correlate::SeriesOwner& owner() { return *owner_; }

  // What is counted goes to the Collectors only, which give it back at once.
  void WithoutOwner() {
    for (auto& output : outputs_) output->owner = nullptr;
  }

  // What left, in order, of one signal.
  std::vector<Left> LeftOf(Signal signal, size_t i = 0) const {
    std::vector<Left> found;
    for (const Left& item : outputs_[i]->left) {
      if (item.signal == signal) found.push_back(item);
    }
    return found;
  }

  void ExpectBalanced() {
    for (auto& shard : shards_) {
      for (const auto& sink : shard->ledger()) {
        for (const LedgerEntry& entry : sink) EXPECT_TRUE(entry.Balanced());
      }
    }
  }

 private:
  SlabPool slabs_{{.max_bytes = 1u << 30, .max_idle_bytes = 64u << 20}};
  BatchPool batches_;
  SlicePool slices_;
  Epoch epoch_;
  std::unique_ptr<ingest::Decoder> decoder_;
  std::shared_ptr<const correlate::DeriveOptions> derive_;
  std::unique_ptr<correlate::SeriesOwner> owner_;
  std::vector<std::unique_ptr<Collector>> outputs_;
  std::vector<std::unique_ptr<correlate::Shard>> shards_;
  uint64_t sequence_ = 0;
  uint64_t tick_ = 0;
};

}  // namespace braid::test
