#include "base/ring_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace braid {
namespace {

// Scenario: pushes, pops and compactions at random, against std::deque.
// Guarantees: the same content in the same order after every step, whatever wraps.
TEST(RingQueueTest, IsAQueue) {
  std::mt19937 random(7);
  RingQueue<int> queue;
  std::deque<int> model;
  for (int step = 0; step < 200'000; ++step) {
    const auto what = static_cast<unsigned>(random() % 1000);
    if (what < 520) {
      queue.push_back(step);
      model.push_back(step);
    } else if (what < 999) {
      if (model.empty()) continue;
      queue.pop_front();
      model.pop_front();
    } else {
      const int keep = static_cast<int>(random() % 3);
      queue.Compact([&](int value) { return value % 3 == keep; });
      std::erase_if(model, [&](int value) { return value % 3 != keep; });
    }
    ASSERT_EQ(queue.size(), model.size());
    if (model.empty()) continue;
    ASSERT_EQ(queue.front(), model.front());
    const size_t at = random() % model.size();
    ASSERT_EQ(queue[at], model[at]);
    ASSERT_EQ(queue[model.size() - 1], model.back());
  }
}

}  // namespace
}  // namespace braid
