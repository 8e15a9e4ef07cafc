#include "correlate/model/watch.h"

#include <algorithm>

namespace braid {

void WatchList::WatchSpan(std::string_view key, uint8_t classes) {
  if (key.empty()) return;
  for (Key& known : span_keys_) {
    if (known.key == key) {
      known.classes |= classes;
      return;
    }
  }
  uint16_t& bucket = buckets_[BRAID_WATCH_BUCKET(key.data(), key.size())];
  span_keys_.push_back({std::string(key), classes, bucket});
  bucket = static_cast<uint16_t>(span_keys_.size());
  sizes_ |= uint64_t{1} << std::min<size_t>(key.size(), 63);
}

void WatchList::WatchResource(std::string_view key) {
  if (key.empty() || std::find(resource_keys_.begin(), resource_keys_.end(), key) != resource_keys_.end())
    return;
  resource_keys_.emplace_back(key);
}

}  // namespace braid
