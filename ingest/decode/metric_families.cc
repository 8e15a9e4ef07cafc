#include "ingest/decode/metric_families.h"

#include <algorithm>

namespace braid::ingest {
namespace {

// List node, index slot and allocator overhead.
constexpr size_t kEntryBytes = 200;

std::string KeyOf(uint32_t tenant, std::string_view first, std::string_view second = {}) {
  std::string key;
  key.reserve(sizeof tenant + first.size() + second.size() + 1);
  key.append(reinterpret_cast<const char*>(&tenant), sizeof tenant);
  key.append(first);
  if (!second.empty()) (key += '\0').append(second);
  return key;
}

std::string_view Cut(std::string_view text, size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xc0) == 0x80) --max;
  return text.substr(0, max);
}

}  // namespace

MetricFamilies::Entry* MetricFamilies::Table::Use(std::string_view key) {
  const auto at = index.find(key);
  if (at == index.end()) return nullptr;
  entries.splice(entries.begin(), entries, at->second);
  return &*at->second;
}

MetricFamilies::Entry& MetricFamilies::Table::Add(std::string key) {
  entries.push_front({.key = std::move(key), .family = nullptr, .marks = {}, .bytes = 0});
  index.emplace(entries.front().key, entries.begin());
  return entries.front();
}

void MetricFamilies::Table::Charge(Entry* entry, size_t bytes_now) {
  bytes_now += kEntryBytes + entry->key.size();
  bytes += bytes_now - entry->bytes;
  entry->bytes = bytes_now;
}

void MetricFamilies::Table::ShrinkTo(size_t max_bytes) {
  while (bytes > max_bytes && !entries.empty()) {
    const Entry& oldest = entries.back();
    bytes -= oldest.bytes;
    index.erase(oldest.key);
    entries.pop_back();
    ++forgotten;
  }
}

void MetricFamilies::Remember(uint32_t tenant, std::string_view name, Family family) {
  if (name.size() > options_.max_name_bytes || family.unit.size() > options_.max_name_bytes) return;
  family.help.resize(Cut(family.help, options_.max_help_bytes).size());
  std::string key = KeyOf(tenant, name);
  MutexLock lock(mutex_);
  Entry* entry = families_.Use(key);
  if (entry != nullptr && *entry->family == family) return;
  if (entry == nullptr) entry = &families_.Add(std::move(key));
  families_.Charge(entry, sizeof(Family) + family.help.size() + family.unit.size());
  entry->family = std::make_shared<const Family>(std::move(family));
  families_.ShrinkTo(options_.max_bytes);
}

std::shared_ptr<const MetricFamilies::Family> MetricFamilies::Find(uint32_t tenant, std::string_view name) {
  if (name.size() > options_.max_name_bytes) return nullptr;
  const std::string key = KeyOf(tenant, name);
  MutexLock lock(mutex_);
  const Entry* entry = families_.Use(key);
  return entry == nullptr ? nullptr : entry->family;
}

bool MetricFamilies::NoteLayout(uint32_t tenant, std::string_view job, std::string_view name,
                                std::span<const uint64_t> marks, uint64_t now_seconds) {
  if (job.size() > options_.max_name_bytes || name.size() > options_.max_name_bytes) return true;
  if (marks.size() > kMaxMarks) return true;
  std::string key = KeyOf(tenant, name, job);
  MutexLock lock(mutex_);
  Entry* entry = layouts_.Use(key);
  if (entry == nullptr) entry = &layouts_.Add(std::move(key));
  auto& known = entry->marks;
  std::erase_if(known, [&](const auto& mark) { return now_seconds - mark.second > options_.forget_seconds; });
  for (const uint64_t mark : marks) {
    const auto at = std::lower_bound(known.begin(), known.end(), std::pair<uint64_t, uint64_t>(mark, 0));
    if (at != known.end() && at->first == mark) {
      at->second = now_seconds;
    } else if (known.size() < kMaxMarks) {
      known.insert(at, {mark, now_seconds});
    }
  }
  const bool all = known.size() <= marks.size() || known.size() >= kMaxMarks;
  layouts_.Charge(entry, known.size() * sizeof(known[0]));
  layouts_.ShrinkTo(options_.max_bytes);
  return all;
}

MetricFamilies::Stats MetricFamilies::stats() const {
  MutexLock lock(mutex_);
  Stats stats;
  stats.families = families_.entries.size();
  stats.layouts = layouts_.entries.size();
  stats.bytes = families_.bytes + layouts_.bytes;
  stats.forgotten = families_.forgotten + layouts_.forgotten;
  return stats;
}

}  // namespace braid::ingest
