#include "correlate/pipeline/self_time.h"

#include <algorithm>

namespace braid::correlate {

bool SelfTime::Compute() {
  if (spans_.empty()) return false;
  std::sort(spans_.begin(), spans_.end(), [](const Span& a, const Span& b) { return a.span < b.span; });
  children_.clear();
  size_t roots = 0;
  for (size_t i = 0; i < spans_.size(); ++i) {
    if (i != 0 && spans_[i - 1].span == spans_[i].span) return false;
    if (spans_[i].parent == 0) {
      ++roots;
      continue;
    }
    const auto parent =
        std::lower_bound(spans_.begin(), spans_.end(), spans_[i].parent,
                         [](const Span& span, uint64_t wanted) { return span.span < wanted; });
    if (parent == spans_.end() || parent->span != spans_[i].parent) return false;
    children_.push_back(static_cast<uint64_t>(parent - spans_.begin()) << 32 | i);
  }
  if (roots != 1) return false;
  std::sort(children_.begin(), children_.end(), [this](uint64_t a, uint64_t b) {
    if (a >> 32 != b >> 32) return a < b;
    const Span& x = spans_[a & 0xffffffff];
    const Span& y = spans_[b & 0xffffffff];
    return x.start_ns != y.start_ns ? x.start_ns < y.start_ns : a < b;
  });
  for (Span& span : spans_) span.self_ns = span.end_ns > span.start_ns ? span.end_ns - span.start_ns : 0;
  for (size_t i = 0; i < children_.size();) {
    const uint64_t at = children_[i] >> 32;
    Span& parent = spans_[at];
    uint64_t covered_to = parent.start_ns;
    for (; i < children_.size() && children_[i] >> 32 == at; ++i) {
      const Span& child = spans_[children_[i] & 0xffffffff];
      const uint64_t from = std::max(child.start_ns, covered_to);
      const uint64_t to = std::min(child.end_ns, parent.end_ns);
      if (to <= from) continue;
      parent.self_ns -= to - from;
      covered_to = to;
    }
  }
  return true;
}

}  // namespace braid::correlate
