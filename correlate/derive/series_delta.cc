#include "correlate/derive/series_delta.h"

#include <tuple>

namespace braid::correlate {

bool MoreTelling(const Exemplar& a, const Exemplar& b) {
  const auto rank = [](const Exemplar& e) {
    return std::tie(e.failing, e.duration_ns, e.time_ns, e.trace.hi, e.trace.lo, e.span);
  };
  return rank(a) > rank(b);
}

void SeriesDelta::Clear() {
  for (const uint32_t series : touched) cells[series] = Cell{};
  touched.clear();
  carries.clear();
  exemplars.clear();
  births.clear();
  labels.clear();
  tick = 0;
  since = 0;
  exemplars_refused = 0;
  labels_truncated = 0;
}

size_t SeriesDelta::ByteSize() const {
  return cells.capacity() * sizeof(Cell) + touched.capacity() * sizeof(uint32_t) +
         carries.capacity() * sizeof(Carry) + exemplars.capacity() * sizeof(Slot) +
         births.capacity() * sizeof(Birth) + labels.capacity();
}

void SeriesDeltaRecycler::operator()(SeriesDelta* delta) const { pool->GiveBack(delta); }

SeriesDeltaPool::~SeriesDeltaPool() {
  for (SeriesDelta* delta : idle_) delete delta;
}

SeriesDelta* SeriesDeltaPool::Take() {
  MutexLock lock(mutex_);
  if (!idle_.empty()) {
    SeriesDelta* delta = idle_.back();
    idle_.pop_back();
    return delta;
  }
  if (made_ == max_deltas_) return nullptr;
  ++made_;
  idle_.reserve(max_deltas_);
  return new SeriesDelta;
}

void SeriesDeltaPool::GiveBack(SeriesDelta* delta) {
  delta->Clear();
  MutexLock lock(mutex_);
  idle_.push_back(delta);
}

}  // namespace braid::correlate
