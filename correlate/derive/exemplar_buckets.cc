#include "correlate/derive/exemplar_buckets.h"

#include <array>

namespace braid::correlate {

ExemplarBuckets::ExemplarBuckets(const BucketMap& classic, const NativeMap* native) : classic_(classic) {
  if (native != nullptr) native_.emplace(*native);
}

SeriesDelta::Slot& ExemplarBuckets::GivesWay(std::vector<SeriesDelta::Slot>& slots, uint32_t first) const {
  // There are more slots than classic buckets, so some of those have several.
  std::array<uint8_t, 256> sharing{};
  for (uint32_t at = first; at != 0; at = slots[at - 1].next)
    ++sharing[classic_.Of(slots[at - 1].exemplar.duration_ns)];
  SeriesDelta::Slot* found = nullptr;
  for (uint32_t at = first; at != 0; at = slots[at - 1].next) {
    SeriesDelta::Slot& slot = slots[at - 1];
    if (sharing[classic_.Of(slot.exemplar.duration_ns)] < 2) continue;
    const bool weaker = found == nullptr || slot.tick < found->tick ||
                        (slot.tick == found->tick && MoreTelling(found->exemplar, slot.exemplar));
    if (weaker) found = &slot;
  }
  return found != nullptr ? *found : slots[first - 1];
}

}  // namespace braid::correlate
