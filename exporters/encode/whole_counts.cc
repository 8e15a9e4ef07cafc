#include "exporters/encode/whole_counts.h"

#include <algorithm>
#include <cmath>

namespace braid::exporters {

void WholeCounts::Round(std::span<const double> counts, std::span<uint64_t> sent) {
  // What is missing up to each bound. It would be added as it is if it rose from bound to bound, for then no
  // bucket would fall; where it does not, neighbours share their mean.
  blocks_.clear();
  double counted = 0;
  double told = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    counted += counts[i];
    told += static_cast<double>(sent[i]);
    Block block{counted - told, 1};
    while (!blocks_.empty() && blocks_.back().mean >= block.mean) {
      const Block& before = blocks_.back();
      const double size = before.size + block.size;
      block = {(before.mean * before.size + block.mean * block.size) / size, size};
      blocks_.pop_back();
    }
    blocks_.push_back(block);
  }
  const auto whole = [](double missing) { return std::floor(std::max(missing, 0.0) + 0.5); };
  const double total = whole(counted - told);
  double added = 0;  // up to the bound before
  size_t i = 0;
  for (const Block& block : blocks_) {
    const double up_to = std::min(whole(block.mean), total);
    sent[i] += static_cast<uint64_t>(up_to - added);
    added = up_to;
    i += static_cast<size_t>(block.size);
  }
  if (!sent.empty()) sent.back() += static_cast<uint64_t>(total - added);
}

}  // namespace braid::exporters
