#include "correlate/derive/exemplar_candidates.h"

#include <algorithm>

namespace braid::correlate {
namespace {

constexpr uint64_t kSweepTicks = 200;

// Of two in the same place: the one that ended last. Equal ones are told apart by what else they are.
bool Later(const Exemplar& a, const Exemplar& b) {
  return a.time_ns != b.time_ns ? a.time_ns > b.time_ns : MoreTelling(a, b);
}

}  // namespace

void ExemplarCandidates::Add(const SeriesDelta::Candidate& candidate, uint64_t tick) {
  const uint64_t digest = candidate.match.Digest();
  const auto cell = static_cast<uint8_t>(DurationCell(candidate.exemplar.duration_ns));
  const auto known = by_digest_.find(digest);
  const size_t needed = sizeof(Entry) + (known == by_digest_.end() ? kSetBytes : 0);
  if (known == by_digest_.end()) {
    const auto service = by_service_.find(candidate.match.service);
    const bool full = service != by_service_.end() && service->second.size() >= options_.max_sets_per_service;
    if (full || stats_.bytes + needed > options_.max_bytes) {
      ++stats_.refused;
      return;
    }
    uint32_t at = static_cast<uint32_t>(sets_.size());
    if (free_.empty()) {
      sets_.emplace_back();
    } else {
      at = free_.back();
      free_.pop_back();
    }
    sets_[at].key = candidate.match;
    by_digest_.emplace(digest, at);
    by_service_[candidate.match.service].push_back(at);
    stats_.bytes += kSetBytes;
  }
  std::vector<Entry>& entries = sets_[by_digest_.find(digest)->second].entries;
  const auto same =
      std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.cell == cell; });
  if (same != entries.end()) {
    ++stats_.taken;
    if (!Later(candidate.exemplar, same->exemplar)) return;
    same->exemplar = candidate.exemplar;
    same->tick = static_cast<uint32_t>(tick);
    return;
  }
  if (entries.size() == entries.capacity()) {
    // Grown by hand, so that what is charged is what is held.
    const size_t more = std::max<size_t>(2, entries.capacity() / 2);
    if (stats_.bytes + more * sizeof(Entry) > options_.max_bytes) {
      ++stats_.refused;
      return;
    }
    entries.reserve(entries.size() + more);
    stats_.bytes += more * sizeof(Entry);
  }
  ++stats_.taken;
  ++stats_.candidates;
  entries.push_back({candidate.exemplar, static_cast<uint32_t>(tick), cell});
}

void ExemplarCandidates::Take(const SeriesDelta& delta) {
  if (delta.candidates.empty() && delta.candidates_refused == 0) return;
  MutexLock lock(mutex_);
  stats_.refused += delta.candidates_refused;
  for (const SeriesDelta::Candidate& candidate : delta.candidates) Add(candidate, delta.tick);
}

void ExemplarCandidates::Sweep(uint64_t tick) {
  for (uint32_t at = 0; at < sets_.size(); ++at) {
    Set& set = sets_[at];
    if (set.key.service == 0) continue;
    const size_t gone = std::erase_if(set.entries, [&](const Entry& entry) {
      return static_cast<uint32_t>(tick) - entry.tick > options_.max_age_ticks;
    });
    stats_.candidates -= gone;
    stats_.expired += gone;
    if (!set.entries.empty()) continue;
    stats_.bytes -= kSetBytes + set.entries.capacity() * sizeof(Entry);
    by_digest_.erase(set.key.Digest());
    const auto service = by_service_.find(set.key.service);
    std::erase(service->second, at);
    if (service->second.empty()) by_service_.erase(service);
    set = Set{};
    free_.push_back(at);
  }
}

void ExemplarCandidates::Advance(uint64_t tick) {
  MutexLock lock(mutex_);
  now_ = tick;
  if (tick - swept_ < kSweepTicks) return;
  swept_ = tick;
  Sweep(tick);
  absl::erase_if(lent_traces_, [&](const auto& lent) { return tick - lent.second > options_.max_age_ticks; });
}

void ExemplarCandidates::Find(const MatchKey& point, uint64_t from_ns, uint64_t to_ns,
                              std::vector<Exemplar>* out) const {
  MutexLock lock(mutex_);
  const auto service = by_service_.find(point.service);
  if (service == by_service_.end()) return;
  for (const uint32_t at : service->second) {
    const Set& set = sets_[at];
    if (!Matches(set.key, point)) continue;
    for (const Entry& entry : set.entries) {
      const uint64_t time_ns = entry.exemplar.time_ns;
      if (time_ns >= from_ns && time_ns <= to_ns) out->push_back(entry.exemplar);
    }
  }
}

void ExemplarCandidates::Lent(const std::vector<uint64_t>& traces) {
  MutexLock lock(mutex_);
  stats_.lent += traces.size();
  for (const uint64_t trace : traces) {
    const auto at = lent_traces_.find(trace);
    if (at != lent_traces_.end()) {
      at->second = now_;
    } else if (lent_traces_.size() < kMaxLentTraces) {
      lent_traces_.emplace(trace, now_);
    }
  }
}

void ExemplarCandidates::LentTraces(std::vector<ShownTrace>* out) const {
  MutexLock lock(mutex_);
  for (const auto& [trace, tick] : lent_traces_) out->push_back({trace, tick});
}

ExemplarCandidates::Stats ExemplarCandidates::stats() const {
  MutexLock lock(mutex_);
  return stats_;
}

}  // namespace braid::correlate
