#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace braid::correlate {

// Shares `max_series` between services, so that one which invents series without end cannot take the room of
// the others: half of it is open to whoever comes first, the other half is kept for services below their fair
// share of that half. Shares are those of kServices services, or of as many as there are if they are more; so
// no service has more than half and its share, and others find room whenever they come.
//
// Services are small dense numbers. A service without series costs nothing in the shares.
// Thread rule: one owner.
class Admission {
 public:
  static constexpr size_t kServices = 64;

  explicit Admission(size_t max_series) : max_series_(max_series) {}

  // Whether one more series of `service` may be had; counts it if so.
  bool Admit(uint32_t service) {
    if (counts_.size() <= service) counts_.resize(service + 1);
    uint32_t& count = counts_[service];
    const size_t open = max_series_ - max_series_ / 2;
    const size_t fair = Fair(services_ + (count == 0 ? 1 : 0));
    // Beyond its fair share a series takes of the open half.
    if (total_ >= max_series_ || (count >= fair && beyond_ >= open)) {
      ++refused_;
      return false;
    }
    if (count == 0) ++services_;
    if (count >= fair) ++beyond_;
    ++count;
    ++total_;
    return true;
  }

  void Release(uint32_t service) {
    uint32_t& count = counts_[service];
    const size_t fair = Fair(services_);
    --count;
    --total_;
    if (count >= fair && beyond_ > 0) --beyond_;
    if (count == 0) --services_;
  }

  size_t total() const { return total_; }
  uint64_t refused() const { return refused_; }
  uint32_t CountOf(uint32_t service) const { return service < counts_.size() ? counts_[service] : 0; }

 private:
  size_t Fair(size_t services) const {
    return std::max<size_t>(1, max_series_ / 2 / std::max(services, kServices));
  }

  const size_t max_series_;
  std::vector<uint32_t> counts_;
  size_t services_ = 0;  // with any series
  size_t total_ = 0;
  size_t beyond_ = 0;  // given out of the open half
  uint64_t refused_ = 0;
};

}  // namespace braid::correlate
