#include "correlate/derive/series_owner.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <map>
#include <utility>

#include "correlate/derive/series_state.h"

namespace braid::correlate {
namespace {

void KeepWorst(std::vector<SeriesOwner::Cardinality::Share>* shares, size_t top) {
  std::sort(shares->begin(), shares->end(), [](const auto& a, const auto& b) {
    return a.count != b.count ? a.count > b.count : a.name < b.name;
  });
  if (shares->size() > top) shares->resize(top);
}

}  // namespace

SeriesOwner::SeriesOwner(const Options& options, const DeriveOptions& derive)
    : options_(options), derive_(derive), state_(std::make_unique<SeriesState>(options_, derive_)) {
  MutexLock lock(mutex_);
  Publish();
}

SeriesOwner::~SeriesOwner() = default;

void SeriesOwner::Anchor(uint64_t tick, uint64_t unix_ns) {
  MutexLock lock(mutex_);
  if (std::exchange(state_->anchored, true)) return;
  state_->anchor_tick = tick;
  state_->anchor_ns = unix_ns;
}

void SeriesOwner::Merge(SeriesDeltaPtr delta, uint32_t shard) {
  // Merged deltas are emptied for their next round after the lock is released.
  std::vector<SeriesDeltaPtr> done;
  MutexLock lock(mutex_);
  state_->handed_over[shard] = delta->tick;
  state_->waiting[shard].push_back(std::move(delta));
  state_->MergeReady(false, &done);
  Publish();
}

void SeriesOwner::Flush() {
  std::vector<SeriesDeltaPtr> done;
  MutexLock lock(mutex_);
  state_->MergeReady(true, &done);
  Publish();
}

void SeriesOwner::Write(ExpositionWriter& writer) const {
  MutexLock lock(mutex_);
  state_->Write(writer);
}

void SeriesOwner::ShownTraces(std::vector<ShownTrace>* out, std::vector<uint64_t>* merged) const {
  MutexLock lock(mutex_);
  for (const SeriesDelta::Slot& slot : state_->exemplars) {
    if (slot.exemplar.trace.lo != 0) out->push_back({slot.exemplar.trace.lo, slot.tick});
  }
  *merged = state_->merged_tick;
}

SeriesOwner::Stats SeriesOwner::stats() const {
  MutexLock lock(stats_mutex_);
  return stats_;
}

void SeriesOwner::Publish() {
  const SeriesState& state = *state_;
  Stats stats;
  stats.series = state.live;
  stats.max_series = options_.max_series;
  stats.overflow_series = state.overflow_series;
  stats.overflow_spans = state.overflow_spans;
  stats.expired_series = state.expired_series;
  stats.exemplars = state.exemplars_used;
  stats.exemplars_refused = state.exemplars_refused;
  stats.labels_truncated = state.labels_truncated;
  stats.thresholds_malformed = state.thresholds_malformed;
  stats.thresholds_coarsened = state.thresholds_coarsened;
  stats.names_merged = state.names_merged;
  stats.template_nodes_refused = state.template_nodes_refused;
  stats.template_nodes_replaced = state.template_nodes_replaced;
  stats.deltas_merged = state.deltas_merged;
  // Close enough for a gauge, and independent of how many series there are.
  const size_t plane =
      sizeof(SeriesState::Plane) + state.span_buckets.buckets() * sizeof(uint64_t) +
      state.windows * (sizeof(SeriesState::Native) + 32 * sizeof(SeriesState::Native::Count));
  stats.bytes = state.series.capacity() * sizeof(SeriesState::Series) + state.live * plane +
                state.exemplars.capacity() * sizeof(SeriesDelta::Slot) + state.label_bytes +
                state.known.capacity() * (sizeof(uint32_t) + 1);
  for (const auto& map : state.targets) stats.bytes += map.capacity() * sizeof(SeriesState::Target);
  for (const auto& queue : state.waiting) stats.deltas_pending += queue.size();
  MutexLock lock(stats_mutex_);
  stats_ = stats;
}

SeriesOwner::Cardinality SeriesOwner::WhoMakesSeries(size_t top) const {
  MutexLock lock(mutex_);
  Cardinality result;
  result.series = state_->live;
  result.max_series = options_.max_series;
  absl::flat_hash_map<std::string_view, uint64_t> services;
  std::map<std::string, absl::flat_hash_set<std::string_view>> values;
  const auto add = [&values](const std::string& name, std::string_view value) {
    if (!name.empty() && !value.empty()) values[name].insert(value);
  };
  const std::string service = derive_.tempo() ? "service" : "service_name";
  std::vector<std::string> extras;  // of spans, in the order of their block
  if (derive_.tempo()) extras = ExtraLabelNames(derive_, false);
  if (derive_.otel()) {
    for (std::string& name : ExtraLabelNames(derive_, true)) extras.push_back(std::move(name));
  }
  const std::vector<std::string> sides = GraphLabelNames(derive_);
  for (const SeriesState::Series& one : state_->series) {
    if (!one.live) continue;
    const SeriesKey& key = one.key;
    const auto add_block = [&](const std::vector<std::string>& names, std::string_view block) {
      for (size_t i = 0; i < names.size() && !block.empty(); ++i) add(names[i], label_block::Take(&block));
    };
    if (key.row != RowKind::kTarget) ++services[key.payer()];
    switch (key.row) {
      case RowKind::kEvents:
      case RowKind::kExceptions:
        if (key.row == RowKind::kEvents) {
          add("event_name", key.text[3]);
        } else if (derive_.exception_message) {
          add_block({"exception_type", "exception_message"}, key.text[3]);
        } else {
          add("exception_type", key.text[3]);
        }
        [[fallthrough]];
      case RowKind::kSpans:
        add(service, key.text[0]);
        add("span_name", key.text[1]);
        add_block(extras, key.text[2]);
        break;
      case RowKind::kEdgeServer:
      case RowKind::kEdgeClient:
      case RowKind::kEdgeMessaging:
        add("client", key.text[0]);
        add("server", key.text[1]);
        add_block(sides, key.text[2]);
        break;
      case RowKind::kTarget:
        for (std::string_view block = key.text[0]; !block.empty();) {
          const std::string_view name = label_block::Take(&block);
          add(std::string(name), label_block::Take(&block));
        }
        break;
    }
  }
  for (const auto& [name, count] : services) result.services.push_back({std::string(name), count});
  for (const auto& [label, distinct] : values) result.labels.push_back({label, distinct.size()});
  KeepWorst(&result.services, top);
  KeepWorst(&result.labels, top);
  return result;
}

std::vector<SeriesOwner::MergedName> SeriesOwner::MergedNames() const {
  MutexLock lock(mutex_);
  std::vector<MergedName> names;
  for (const SeriesState::Merged& one : state_->merged)
    names.push_back({one.service, one.name, one.count, one.examples});
  std::sort(names.begin(), names.end(), [](const MergedName& a, const MergedName& b) {
    return a.count != b.count ? a.count > b.count : std::tie(a.service, a.name) < std::tie(b.service, b.name);
  });
  return names;
}

std::string SeriesOwner::Serialize() const {
  MutexLock lock(mutex_);
  return state_->Serialize();
}

Status SeriesOwner::Restore(std::string_view bytes, uint64_t tick) {
  MutexLock lock(mutex_);
  Status status = state_->Restore(bytes, tick);
  Publish();
  return status;
}

uint64_t SeriesOwner::Digest() const {
  MutexLock lock(mutex_);
  return state_->Digest();
}

}  // namespace braid::correlate
