#include "exporters/encode/whole_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace braid::exporters {
namespace {

using testing::ElementsAre;

// A histogram that is sent in rounds.
class Sent {
 public:
  explicit Sent(size_t buckets) : counts_(buckets), sent_(buckets) {}

  void Count(size_t bucket, double weight) { counts_[bucket] += weight; }

  // The largest error of the count up to any bound; checks what must hold in every round.
  double Round() {
    const std::vector<uint64_t> before = sent_;
    // What each bucket may have been sent too much.
    bool more = false;
    for (size_t i = 0; i < counts_.size(); ++i) more |= static_cast<double>(before[i]) > counts_[i] + 1e-9;
    rounding_.Round(counts_, sent_);
    double counted = 0, told = 0, worst = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      EXPECT_GE(sent_[i], before[i]) << "bucket " << i << " falls";
      counted += counts_[i];
      told += static_cast<double>(sent_[i]);
      worst = std::max(worst, std::abs(told - counted));
    }
    EXPECT_LE(std::abs(told - counted), 0.5 + 1e-6);
    if (!more) {
      EXPECT_LE(worst, 0.5 + 1e-6);
    }
    return worst;
  }

  const std::vector<uint64_t>& sent() const { return sent_; }

 private:
  std::vector<double> counts_;
  std::vector<uint64_t> sent_;
  WholeCounts rounding_;
};

// Guarantees: what is whole stays as it is; of fractions the counts up to each bound are the nearest.
TEST(WholeCountsTest, OneRound) {
  WholeCounts rounding;
  const auto once = [&](std::vector<double> counts) {
    std::vector<uint64_t> sent(counts.size());
    rounding.Round(counts, sent);
    return sent;
  };
  EXPECT_THAT(once({1, 0, 3, 4}), ElementsAre(1, 0, 3, 4));
  EXPECT_THAT(once({0.4, 0.4, 0.4, 0.4}), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(once({4.0 / 3, 0, 4.0 / 3, 4.0 / 3}), ElementsAre(1, 0, 2, 1));
  EXPECT_THAT(once({0.25}), ElementsAre(0));
  EXPECT_TRUE(once({}).empty());
}

// Scenario: a bucket that was rounded up waits while those below it grow.
// Guarantees: it is not taken back, and all together stay within a half.
TEST(WholeCountsTest, NothingFalls) {
  Sent sent(3);
  sent.Count(2, 1.5);
  sent.Round();
  EXPECT_THAT(sent.sent(), ElementsAre(0, 0, 2));
  sent.Count(0, 1.25);
  sent.Round();
  EXPECT_THAT(sent.sent(), ElementsAre(1, 0, 2));
  sent.Count(1, 1.25);
  sent.Round();
  EXPECT_THAT(sent.sent(), ElementsAre(1, 1, 2));
}

// Scenario: random weighted spans, few or many between two rounds, in 15 and in 160 buckets.
// Guarantees: no bucket ever falls, all together are always within a half; counts up to a bound are within a
// half where nothing was sent too much, and stay within 3 and 4 where rounds are full of ones that were.
TEST(WholeCountsTest, ManyRounds) {
#ifdef BRAID_SANITIZED
  constexpr int kRounds = 1000;
#else
  constexpr int kRounds = 10'000;
#endif
  const double weights[] = {4.0 / 3, 2.5, 1 / 0.382, 10, 100, 1.0001, 1.9, 1};
  std::mt19937_64 random(5);
  for (const size_t buckets : {size_t{15}, size_t{160}}) {
    for (const double rate : {0.5, 3.0, 50.0}) {
      double worst = 0;
      for (int series = 0; series < 10; ++series) {
        const double pair[] = {weights[random() % std::size(weights)],
                               weights[random() % std::size(weights)]};
        Sent sent(buckets);
        for (int round = 0; round < kRounds / 10; ++round) {
          for (int spans = std::poisson_distribution<int>(rate)(random); spans > 0; --spans)
            sent.Count(random() % buckets, pair[random() % 2]);
          worst = std::max(worst, sent.Round());
        }
      }
      EXPECT_LE(worst, buckets == 15 ? 3 : 4) << buckets << " buckets, " << rate << " spans a round";
    }
  }
}

// Scenario: whoever rounds plays against whoever decides which span comes next. Four buckets, spans of weight
// 1.5 and 1; errors of the counts up to each bound are halves.
// Guarantees: the rounding loses, however it plays, if it may not let a bucket fall nor any error reach 1.
// That is why WholeCounts does not promise it. With errors of 1 allowed it can go on for ever.
TEST(WholeCountsTest, NoRoundingKeepsAllErrorsBelowOne) {
  constexpr int kBounds = 4;
  const auto wins = [](int limit) {  // in halves
    const int width = 2 * limit + 1;
    size_t states = 1;
    for (int i = 0; i < kBounds; ++i) states *= static_cast<size_t>(width);
    std::vector<bool> safe(states, true);
    // Whether some tokens, none taken back, lead from the errors to a safe state.
    const auto answer = [&](const std::array<int, kBounds>& errors, auto&& self, int bound, int tokens,
                            size_t state) -> bool {
      if (bound == kBounds) return safe[state];
      for (int more = tokens; more <= 4; ++more) {
        const int error = errors[static_cast<size_t>(bound)] + 2 * more;
        if (error < -limit || error > limit) continue;
        const size_t next = state * static_cast<size_t>(width) + static_cast<size_t>(error + limit);
        if (self(errors, self, bound + 1, more, next)) return true;
      }
      return false;
    };
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t state = 0; state < states; ++state) {
        if (!safe[state]) continue;
        bool good = true;
        for (int bucket = 0; bucket < kBounds; ++bucket) {
          for (const int weight : {2, 3}) {
            std::array<int, kBounds> errors{};
            size_t left = state;
            for (int i = kBounds; i-- > 0; left /= static_cast<size_t>(width)) {
              errors[static_cast<size_t>(i)] =
                  static_cast<int>(left % static_cast<size_t>(width)) - limit - (i >= bucket ? weight : 0);
            }
            good &= answer(errors, answer, 0, 0, 0);
          }
        }
        if (good) continue;
        safe[state] = false;
        changed = true;
      }
    }
    return static_cast<bool>(safe[states / 2]);  // no errors
  };
  EXPECT_FALSE(wins(1));
  EXPECT_TRUE(wins(2));
}

}  // namespace
}  // namespace braid::exporters
