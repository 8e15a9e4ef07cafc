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
// Thread rule: one owner. Cost: constant, but for the rare time that the fair share itself changes, when the
// services are gone through once (with S of them, a share changes at most 2 * sqrt(max_series) times as they
// come).
class Admission {
 public:
  static constexpr size_t kServices = 64;

  explicit Admission(size_t max_series) : max_series_(max_series), fair_(FairOf(0)) {}

  // Whether one more series of `service` may be had; counts it if so.
  bool Admit(uint32_t service) {
    if (total_ >= max_series_) return false;
    if (counts_.size() <= service) counts_.resize(service + 1);
    uint32_t& count = counts_[service];
    const size_t fair = FairOf(services_ + (count == 0 ? 1 : 0));
    // Beyond its fair share a series takes of the open half.
    if (count >= fair && beyond_ >= max_series_ - max_series_ / 2) return false;
    if (count == 0) SetServices(services_ + 1);
    if (count >= fair_) ++beyond_;
    ++count;
    ++total_;
    return true;
  }

  // REQUIRES: a series of `service` was admitted and has not been released.
  void Release(uint32_t service) {
    uint32_t& count = counts_[service];
    if (count > fair_) --beyond_;
    --count;
    --total_;
    if (count == 0) SetServices(services_ - 1);
  }

  size_t total() const { return total_; }
  uint32_t CountOf(uint32_t service) const { return service < counts_.size() ? counts_[service] : 0; }

 private:
  size_t FairOf(size_t services) const {
    return std::max<size_t>(1, max_series_ / 2 / std::max(services, kServices));
  }

  void SetServices(size_t services) {
    services_ = services;
    const size_t fair = FairOf(services);
    if (fair == fair_) return;
    fair_ = fair;
    beyond_ = 0;
    for (const uint32_t count : counts_) beyond_ += count > fair ? count - fair : 0;
  }

  const size_t max_series_;
  std::vector<uint32_t> counts_;
  size_t services_ = 0;  // with any series
  size_t total_ = 0;
  size_t fair_;
  size_t beyond_ = 0;  // of all services, what they have above the fair share
};

}  // namespace braid::correlate
