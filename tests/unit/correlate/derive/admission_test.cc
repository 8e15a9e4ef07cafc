#include "correlate/derive/admission.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace braid::correlate {
namespace {

// Scenario: one service asks for series without end, then many others come.
// Guarantees: it gets half and its share, the others find theirs, and what is given back can be had again.
TEST(AdmissionTest, SharesAreFair) {
  Admission admission(1280);  // fair: 10
  for (int i = 0; i < 5000; ++i) admission.Admit(1);
  EXPECT_EQ(admission.CountOf(1), 640u + 10);
  for (uint32_t service = 2; service < 60; ++service) {
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(admission.Admit(service)) << service;
    EXPECT_FALSE(admission.Admit(service));
  }
  for (int i = 0; i < 100; ++i) admission.Release(1);
  EXPECT_TRUE(admission.Admit(7));
  EXPECT_LE(admission.total(), 1280u);
}

// Scenario: hundreds of services, more than shares are made for, take and give back series at random.
// Guarantees: admission decides as one that adds up everybody's series above the fair share each time.
TEST(AdmissionTest, SharesFollowTheNumberOfServices) {
  constexpr size_t kMax = 2000;
  Admission admission(kMax);
  std::map<uint32_t, size_t> model;
  const auto beyond = [&](size_t fair) {
    size_t sum = 0;
    for (const auto& [service, count] : model) sum += count > fair ? count - fair : 0;
    return sum;
  };
  size_t total = 0, refused = 0, releases = 0;
  std::mt19937_64 random(5);
  for (int i = 0; i < 40'000; ++i) {
    // Few services ask often, many seldom, and there come to be more of them.
    const auto service = static_cast<uint32_t>(1 + random() % (random() % 3 == 0 ? 5 : 20 + i / 50));
    if (random() % 4 == 0 && model.contains(service)) {
      admission.Release(service);
      if (--model[service] == 0) model.erase(service);
      --total;
      ++releases;
      continue;
    }
    const size_t services = model.size() + (model.contains(service) ? 0 : 1);
    const size_t fair = std::max<size_t>(1, kMax / 2 / std::max<size_t>(services, 64));
    const size_t have = model.contains(service) ? model[service] : 0;
    const bool wanted = total < kMax && (have < fair || beyond(fair) < kMax / 2);
    ASSERT_EQ(admission.Admit(service), wanted) << i;
    refused += wanted ? 0 : 1;
    if (!wanted) continue;
    ++model[service];
    ++total;
  }
  EXPECT_EQ(admission.total(), total);
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(releases, 1000u);
}

}  // namespace
}  // namespace braid::correlate
