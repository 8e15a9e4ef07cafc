#include "tests/bench/reference_kernel.h"

#include <xxhash.h>

#include <bit>
#include <cstring>

#include "base/ids.h"
#include "base/wire.h"
#include "correlate/model/epoch.h"

namespace braid::bench {
namespace {

constexpr uint64_t kSeed = 0x5eed;

inline bool IsUtf8Slow(const uint8_t* p, const uint8_t* end) {
  while (p < end) {
    if (*p < 0x80) {
      ++p;
      continue;
    }
    const int more = *p >= 0xc2 && *p < 0xe0   ? 1
                     : *p >= 0xe0 && *p < 0xf0 ? 2
                     : *p >= 0xf0 && *p < 0xf5 ? 3
                                               : 0;
    if (more == 0 || end - p <= more) return false;
    for (int i = 1; i <= more; ++i) {
      if ((p[i] & 0xc0) != 0x80) return false;
    }
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
        (*p == 0xf4 && p[1] > 0x8f)) {
      return false;
    }
    p += more + 1;
  }
  return true;
}

inline bool IsUtf8(std::string_view text) {
  const char* p = text.data();
  size_t left = text.size();
  uint64_t high = 0;
  for (; left >= 8; p += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    high |= word;
  }
  for (; left > 0; ++p, --left) high |= static_cast<uint8_t>(*p);
  if ((high & 0x8080808080808080u) == 0) [[likely]]
    return true;
  const auto* begin = reinterpret_cast<const uint8_t*>(text.data());
  return IsUtf8Slow(begin, begin + text.size());
}

struct Field {
  uint32_t number;
  uint32_t type;
  uint64_t scalar;
  std::string_view bytes;
};

// Reads one field at *p; false at a malformed one.
inline bool Next(const char*& p, const char* end, Field* field) {
  uint64_t tag;
  p = wire::ReadVarint(p, end, &tag);
  if (p == nullptr) return false;
  field->number = static_cast<uint32_t>(tag >> 3);
  field->type = static_cast<uint32_t>(tag & 7);
  switch (field->type) {
    case 0: p = wire::ReadVarint(p, end, &field->scalar); return p != nullptr;
    case 1:
      if (end - p < 8) return false;
      std::memcpy(&field->scalar, p, 8);
      p += 8;
      return true;
    case 2: {
      uint64_t length;
      p = wire::ReadVarint(p, end, &length);
      if (p == nullptr || length > static_cast<uint64_t>(end - p)) return false;
      field->bytes = {p, static_cast<size_t>(length)};
      p += length;
      return true;
    }
    case 5:
      if (end - p < 4) return false;
      p += 4;
      return true;
    default: return false;
  }
}

template <typename Fn>
inline bool Walk(std::string_view message, Fn fn) {
  const char* p = message.data();
  const char* const end = p + message.size();
  Field field;
  while (p < end) {
    if (!Next(p, end, &field) || !fn(field)) return false;
  }
  return true;
}

inline bool WalkValue(std::string_view value) {
  return Walk(value, [](const Field& f) { return f.number != 1 || IsUtf8(f.bytes); });
}

// A KeyValue, its value handed to `fn(key, value message)` where the key is one that counts.
template <typename Fn>
inline bool WalkAttribute(std::string_view pair, Fn fn) {
  std::string_view key;
  std::string_view value;
  const bool ok = Walk(pair, [&](const Field& f) {
    if (f.number == 1) {
      key = f.bytes;
      return IsUtf8(key);
    }
    value = f.bytes;
    return f.number != 2 || WalkValue(value);
  });
  if (ok) fn(key, value);
  return ok;
}

}  // namespace

struct ReferenceKernel::Walker {
  std::vector<Extracted>& out;
  uint64_t service = 0;

  bool Request(Signal signal, std::string_view request) {
    return Walk(request, [&](const Field& f) { return f.number != 1 || Resource(signal, f.bytes); });
  }

  bool Resource(Signal signal, std::string_view resource) {
    return Walk(resource, [&](const Field& f) {
      if (f.number == 1) {
        return Walk(f.bytes, [&](const Field& attribute) {
          return attribute.number != 1 ||
                 WalkAttribute(attribute.bytes, [&](std::string_view key, std::string_view value) {
                   if (key == "service.name")
                     service = XXH3_64bits_withSeed(value.data(), value.size(), kSeed);
                 });
        });
      }
      return f.number != 2 || Walk(f.bytes, [&](const Field& scope) {
               if (scope.number != 2) return true;
               return signal == Signal::kTraces ? Span(scope.bytes) : Log(scope.bytes);
             });
    });
  }

  bool Span(std::string_view span) {
    Extracted item = {};
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t kind = 0;
    uint64_t status = 0;
    uint64_t code = 0;
    std::string_view name;
    const bool ok = Walk(span, [&](const Field& f) {
      switch (f.number) {
        case 1:
          if (f.bytes.size() != 16) return false;
          item.trace_hi = LoadBigEndian64(f.bytes.data());
          item.trace_lo = LoadBigEndian64(f.bytes.data() + 8);
          return true;
        case 2:
          if (f.bytes.size() != 8) return false;
          item.span = LoadBigEndian64(f.bytes.data());
          return true;
        case 4:
          if (f.bytes.size() == 8) item.parent = LoadBigEndian64(f.bytes.data());
          return true;
        case 5: name = f.bytes; return IsUtf8(name);
        case 6: kind = f.scalar; return true;
        case 7: start = f.scalar; return true;
        case 8: end = f.scalar; return true;
        case 9:
          return WalkAttribute(f.bytes, [&](std::string_view key, std::string_view value) {
            if (key == "http.response.status_code") code = value.size();
          });
        case 11:
          return Walk(f.bytes, [](const Field& event) {
            return event.number != 3 || WalkAttribute(event.bytes, [](std::string_view, std::string_view) {});
          });
        case 15:
          return Walk(f.bytes, [&](const Field& s) {
            if (s.number == 3) status = s.scalar;
            return s.number != 2 || IsUtf8(s.bytes);
          });
        default: return true;
      }
    });
    if (!ok || item.span == 0) return false;
    item.duration_ns = end > start ? end - start : 0;
    item.error = status == 2;
    item.series = XXH3_64bits_withSeed(name.data(), name.size(), service ^ (kind << 8 | status));
    item.parent ^= code & 0;  // keeps the extraction alive
    out.push_back(item);
    return true;
  }

  bool Log(std::string_view log) {
    Extracted item = {};
    item.log = true;
    const bool ok = Walk(log, [&](const Field& f) {
      switch (f.number) {
        case 2: item.error = f.scalar >= 17; return true;
        case 3: return IsUtf8(f.bytes);
        case 5: return WalkValue(f.bytes);
        case 6: return WalkAttribute(f.bytes, [](std::string_view, std::string_view) {});
        case 9:
          if (f.bytes.size() != 16) return true;
          item.trace_hi = LoadBigEndian64(f.bytes.data());
          item.trace_lo = LoadBigEndian64(f.bytes.data() + 8);
          return true;
        case 10:
          if (f.bytes.size() == 8) item.span = LoadBigEndian64(f.bytes.data());
          return true;
        default: return true;
      }
    });
    out.push_back(item);
    return ok;
  }
};

ReferenceKernel::ReferenceKernel(size_t capacity)
    : ring_(capacity), index_(capacity / 6), traces_(std::bit_ceil(capacity / 4)), series_(1 << 15) {}

bool ReferenceKernel::Take(Signal signal, std::string_view request) {
  batch_.clear();
  Walker walker{batch_};
  if (!walker.Request(signal, request)) return false;
  const size_t n = batch_.size();
  for (size_t i = 0; i < std::min(n, kAhead); ++i) Prefetch(batch_[i]);
  for (size_t i = 0; i < n; ++i) {
    if (i + kAhead < n) Prefetch(batch_[i + kAhead]);
    Apply(batch_[i]);
  }
  return true;
}

void ReferenceKernel::Prefetch(Extracted& item) {
  item.trace_hash = Mix64(item.trace_lo ^ kSeed);
  item.span_hash = Mix64(item.trace_lo * 0x9e3779b97f4a7c15u ^ item.span ^ kSeed);
  __builtin_prefetch(&traces_[item.trace_hash & (traces_.size() - 1)], 1);
  __builtin_prefetch(&index_[FirstLine(item.span_hash)], 1);
  __builtin_prefetch(&index_[SecondLine(item.span_hash)], 1);
  if (!item.log) __builtin_prefetch(&series_[item.series & (series_.size() - 1)]);
}

uint32_t ReferenceKernel::CellOf(uint64_t hash) {
  for (uint64_t at = hash & (series_.size() - 1);; at = (at + 1) & (series_.size() - 1)) {
    if (series_[at].id == 0) {
      cells_.emplace_back();
      series_[at] = {hash, static_cast<uint32_t>(cells_.size())};
    }
    if (series_[at].hash == hash) return series_[at].id - 1;
  }
}

uint32_t* ReferenceKernel::Find(const Extracted& item) {
  const auto tag = static_cast<uint32_t>(item.span_hash) | 1;
  for (const size_t at : {FirstLine(item.span_hash), SecondLine(item.span_hash)}) {
    Line& line = index_[at];
    unsigned hits = 0;
    for (unsigned i = 0; i < 8; ++i) hits |= static_cast<unsigned>(line.tags[i] == tag) << i;
    for (; hits != 0; hits &= hits - 1) {
      uint32_t& ordinal = line.ordinals[std::countr_zero(hits)];
      if (!Alive(ordinal)) continue;
      const Record& record = ring_[ordinal & (ring_.size() - 1)];
      if (record.span == item.span && record.trace_lo == item.trace_lo) return &ordinal;
    }
  }
  return nullptr;
}

// Into the emptier line; over the oldest where both are full.
void ReferenceKernel::Put(uint64_t hash, uint32_t ordinal) {
  Line* const lines[2] = {&index_[FirstLine(hash)], &index_[SecondLine(hash)]};
  unsigned dead[2] = {0, 0};
  for (int which = 0; which < 2; ++which) {
    for (unsigned i = 0; i < 8; ++i)
      dead[which] |= static_cast<unsigned>(!Alive(lines[which]->ordinals[i])) << i;
  }
  Line* line = lines[std::popcount(dead[1]) > std::popcount(dead[0]) ? 1 : 0];
  const unsigned places = line == lines[0] ? dead[0] : dead[1];
  unsigned at = places == 0 ? 0 : static_cast<unsigned>(std::countr_zero(places));
  if (places == 0) {
    for (unsigned i = 1; i < 8; ++i) {
      if (head_ - line->ordinals[i] > head_ - line->ordinals[at]) at = i;
    }
  }
  line->tags[at] = static_cast<uint32_t>(hash) | 1;
  line->ordinals[at] = ordinal;
}

void ReferenceKernel::Apply(const Extracted& item) {
  if (item.log) ++logs_;
  if (item.span == 0) return;  // a log without context

  uint32_t* const place = Find(item);  // of the span's newest record
  const uint32_t found = place == nullptr ? 0 : *place;

  uint32_t cell = kLog;
  if (item.log) {
    if (found != 0 && ring_[found & (ring_.size() - 1)].series != kLog) {
      ++joined_;
      return;  // joined at once
    }
  } else {
    if (found != 0 && ring_[found & (ring_.size() - 1)].series != kLog) {
      ++duplicates_;
      return;
    }
    // Logs that waited for it.
    for (uint32_t log = found; Alive(log);) {
      const Record& record = ring_[log & (ring_.size() - 1)];
      if (record.series != kLog || record.span != item.span) break;
      ++joined_;
      log = static_cast<uint32_t>(record.parent);
    }
    ++spans_;
    cell = CellOf(item.series);
    Cell& red = cells_[cell];
    ++red.count;
    red.errors += item.error ? 1 : 0;
    red.sum_ns += item.duration_ns;
    const uint64_t units = item.duration_ns / 2'000'000;
    ++red.buckets[units == 0 ? 0 : std::min(15, static_cast<int>(std::bit_width(units)))];
  }

  // The trace's slot.
  const uint64_t trace_mask = traces_.size() - 1;
  uint64_t slot_at = item.trace_hash & trace_mask;
  while (true) {
    const TraceSlot& slot = traces_[slot_at];
    if (!Alive(slot.head) || (slot.lo == item.trace_lo && slot.hi == item.trace_hi)) break;
    slot_at = (slot_at + 1) & trace_mask;
  }
  TraceSlot& slot = traces_[slot_at];
  if (!Alive(slot.head) || slot.lo != item.trace_lo) slot = {item.trace_hi, item.trace_lo, 0, 0};

  const uint32_t ordinal = head_++;
  Record& record = ring_[ordinal & (ring_.size() - 1)];
  record.span = item.span;
  record.trace_lo = item.trace_lo;
  record.parent = item.log ? found : item.parent;  // of a log: the log before it that waits for the same span
  record.duration_ns = item.duration_ns;
  record.previous = slot.head;
  record.series = cell;
  slot.head = ordinal;
  ++slot.count;
  if (place != nullptr) {
    *place = ordinal;
  } else {
    Put(item.span_hash, ordinal);
  }
}

uint64_t ReferenceKernel::errors() const {
  uint64_t sum = 0;
  for (const Cell& cell : cells_) sum += cell.errors;
  return sum;
}

}  // namespace braid::bench
