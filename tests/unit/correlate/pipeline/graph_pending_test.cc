// A million edges of the service graph pending at once, and what one of them takes.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "correlate/pipeline/service_graph.h"
#include "tests/support/span_counter.h"

namespace braid::correlate {
namespace {

constexpr size_t kPairs = 1'000'000;
constexpr uint32_t kTicks = 1'000;  // for either half; both are within a window of 2,400

class GraphPendingTest : public testing::TestWithParam<bool> {
 protected:
  GraphPendingTest() {
    derive_.graph.wait_ticks = window_.max_age_ticks();
    series_ = std::make_unique<SeriesTable>(SeriesTable::Options{}, derive_, 1);
    graph_ = std::make_unique<ServiceGraph>(options_, window_, *series_);
    test::SpanCounter counter;
    test::SpanSpec spec;
    spec.parent = 9;
    for (const bool server : {false, true}) {
      spec.kind = server ? 2 : 3;
      places_[server] = counter.Place(*series_, server ? "b" : "a", spec);
    }
  }

  // As Shard folds it. Every pair has a trace of its own, with two spans.
  void Arrive(uint64_t pair, bool server) {
    ServiceGraph::Span span;
    span.trace = {pair * 0x9e3779b97f4a7c15u, Mix64(pair + 1)};
    span.span = Mix64(pair * 2 + (server ? 101 : 100));
    span.parent = server ? Mix64(pair * 2 + 100) : 7;
    span.start_ns = 1'000'000'000;
    span.duration_ns = server ? 2 + pair % 1000 : 5 + pair % 1000;
    span.end_ns = span.start_ns + span.duration_ns;
    span.place = places_[server];
    span.flags = server ? 2 : 3 | item_flags::kParentLocal;
    Record record;
    record.span = span.span;
    record.parent = span.parent;
    record.series = span.place.row;
    record.duration = PackDuration(span.duration_ns);
    span.ordinal = window_.Append(record, [](Ordinal) {});
    window_.index().Put(window_.SpanHash(span.trace, span.span), 0, span.ordinal, window_.head(),
                        [&](Ordinal o) { return window_.Alive(o); });
    graph_->OnSpan(span, 0);
  }

  // All of one half, in random order, over kTicks.
  void AllArrive(bool server) {
    std::vector<uint32_t> order(kPairs);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random_);
    for (size_t i = 0; i < order.size(); ++i) {
      if (i % (kPairs / kTicks) == 0) {
        ++tick_;
        series_->SetNow(tick_);
        window_.Advance(tick_, [](Ordinal) {});
        graph_->Advance(tick_, [](uint32_t, const TraceId&) { return Verdict::kUndecided; });
        if (tick_ % 20 == 0) series_->TakeDelta(tick_);
      }
      Arrive(order[i], server);
    }
  }

  DeriveOptions derive_;
  const ServiceGraph::Options options_{.max_waiting = size_t{1} << 20, .max_callers = size_t{1} << 20};
  Window window_{Epoch{.number = 1, .shards = 1, .seed = 1}, {.capacity = size_t{1} << 21}};
  std::unique_ptr<SeriesTable> series_;
  std::unique_ptr<ServiceGraph> graph_;
  SeriesTable::Place places_[2];
  std::mt19937 random_{1};
  uint32_t tick_ = 0;
};

// Scenario: a million servers wait for their clients, or a million clients for their servers, in random order
// over most of the window; then all of the others come, in another order.
// Guarantees: a million edges; none evicted, late or given up; a pending one takes at most 256 bytes, its
// place in the window and the room that tables have left included.
TEST_P(GraphPendingTest, AllPairsWithinTheWindow) {
  const bool servers_first = GetParam();
  const size_t before = graph_->bytes();
  AllArrive(servers_first);
  const double one = static_cast<double>(graph_->bytes() - before) / kPairs;
  const double in_window = static_cast<double>(window_.bytes()) / static_cast<double>(window_.capacity());
  EXPECT_EQ(graph_->stats().edges, 0u);
  EXPECT_EQ(servers_first ? graph_->waiting() : graph_->callers(), kPairs);
  AllArrive(!servers_first);
  const double both = static_cast<double>(graph_->bytes() - before) / kPairs;
  EXPECT_EQ(graph_->stats().edges, kPairs);
  EXPECT_EQ(graph_->stats().virtual_edges, 0u);
  for (const uint64_t alone : graph_->stats().unpaired) EXPECT_EQ(alone, 0u);
  EXPECT_LE(one + in_window, 256);
  EXPECT_LE(both, 256);
  std::cout << (servers_first ? "servers" : "clients") << " first: " << one << " bytes a pending span and "
            << in_window << " in the window; " << both << " with all of both halves\n";
}

INSTANTIATE_TEST_SUITE_P(Order, GraphPendingTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "ServersFirst" : "ClientsFirst"; });

}  // namespace
}  // namespace braid::correlate
