#include "base/ledger.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace braid {
namespace {

// Scenario: each movement by itself.
// Guarantees: it takes from the one place and adds to the other, and to nothing else.
TEST(LedgerTest, EachMovementHasTwoEnds) {
  LedgerEntry e;
  e.Accept(100);
  EXPECT_EQ(e.accepted, 100u);
  EXPECT_EQ(e.held, 100u);
  e.DropHeld(DropReason::kDuplicate, 3);
  EXPECT_EQ(e.held, 97u);
  EXPECT_EQ(e.dropped[static_cast<size_t>(DropReason::kDuplicate)], 3u);
  e.Queue(90);
  EXPECT_EQ(e.held, 7u);
  EXPECT_EQ(e.queued, 90u);
  e.Deliver(50);
  EXPECT_EQ(e.queued, 40u);
  EXPECT_EQ(e.delivered, 50u);
  e.DeadLetter(5);
  EXPECT_EQ(e.queued, 35u);
  EXPECT_EQ(e.dead_lettered, 5u);
  e.DropQueued(DropReason::kRejected, 6);
  EXPECT_EQ(e.queued, 29u);
  EXPECT_EQ(e.dropped[static_cast<size_t>(DropReason::kRejected)], 6u);
  EXPECT_EQ(e.dropped_total(), 9u);
  EXPECT_EQ(e.accepted, 100u);
  EXPECT_TRUE(e.Balanced());
}

// Scenario: movements that name the wrong place, and counts that somebody changed beside them.
// Guarantees: the identity breaks.
TEST(LedgerTest, SeesWhatIsNotAccountedFor) {
  LedgerEntry lost;
  lost.Accept(5);
  lost.held -= 1;
  EXPECT_FALSE(lost.Balanced());

  LedgerEntry twice;
  twice.Accept(5);
  twice.Queue(5);
  twice.delivered += 1;
  EXPECT_FALSE(twice.Balanced());

  LedgerEntry wrong_place;  // delivered without having been queued: `queued` goes below zero
  wrong_place.Accept(5);
  wrong_place.Deliver(5);
  EXPECT_FALSE(wrong_place.Balanced());

  LedgerEntry too_many;
  too_many.Accept(5);
  too_many.Queue(6);
  EXPECT_FALSE(too_many.Balanced());
}

// Scenario: two accounts at random, added up.
// Guarantees: every place adds up, and the sum of balanced accounts is balanced.
TEST(LedgerTest, Adds) {
  std::mt19937 random(1);
  LedgerEntry sum;
  LedgerEntry parts[3];
  for (LedgerEntry& part : parts) {
    part.Accept(random() % 1000 + 700);
    part.DropHeld(static_cast<DropReason>(random() % kDropReasons), random() % 100);
    part.Queue(random() % 300 + 300);
    part.Deliver(random() % 100);
    part.DeadLetter(random() % 100);
    part.DropQueued(static_cast<DropReason>(random() % kDropReasons), random() % 100);
    sum += part;
  }
  const auto total = [&](auto place) { return place(parts[0]) + place(parts[1]) + place(parts[2]); };
  EXPECT_EQ(sum.accepted, total([](const LedgerEntry& e) { return e.accepted; }));
  EXPECT_EQ(sum.held, total([](const LedgerEntry& e) { return e.held; }));
  EXPECT_EQ(sum.queued, total([](const LedgerEntry& e) { return e.queued; }));
  EXPECT_EQ(sum.delivered, total([](const LedgerEntry& e) { return e.delivered; }));
  EXPECT_EQ(sum.dead_lettered, total([](const LedgerEntry& e) { return e.dead_lettered; }));
  EXPECT_EQ(sum.dropped_total(), total([](const LedgerEntry& e) { return e.dropped_total(); }));
  EXPECT_TRUE(sum.Balanced());
}

// Scenario: the account before the core.
// Guarantees: received is refused, rejected or submitted, and nothing else.
TEST(LedgerTest, IngressBalances) {
  IngressEntry e;
  e.received = 10;
  e.refused = 2;
  e.rejected[static_cast<size_t>(RejectReason::kBadUtf8)] = 3;
  e.submitted = 5;
  EXPECT_TRUE(e.Balanced());
  ++e.rejected[static_cast<size_t>(RejectReason::kFilter)];
  EXPECT_FALSE(e.Balanced());
}

// Scenario: every reason's name. Guarantees: there is one, and it is of that reason alone.
TEST(LedgerTest, ReasonsHaveNames) {
  std::set<std::string_view> names;
  for (int i = 0; i < kDropReasons; ++i) names.insert(DropReasonName(static_cast<DropReason>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kDropReasons));
  EXPECT_FALSE(names.contains(""));
  names.clear();
  for (int i = 0; i < kRejectReasons; ++i) names.insert(RejectReasonName(static_cast<RejectReason>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kRejectReasons));
  EXPECT_FALSE(names.contains(""));
}

}  // namespace
}  // namespace braid
