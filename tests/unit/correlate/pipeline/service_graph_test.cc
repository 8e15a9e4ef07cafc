// The service graph through the real decoder and shards, read from the page.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/support/shard_harness.h"

namespace braid {
namespace {

using correlate::DeriveOptions;
using correlate::Shard;
using correlate::Unpaired;
using test::ShardHarness;
using test::SpanSpec;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr uint64_t kMs = 1'000'000;
constexpr int kInternal = 1, kServer = 2, kClient = 3, kProducer = 4, kConsumer = 5;

struct Sent {
  std::string service;
  SpanSpec span;
};

SpanSpec Make(uint64_t trace, uint64_t id, uint64_t parent, int kind, uint64_t ms = 5,
              test::Attributes attributes = {}) {
  SpanSpec span;
  span.trace = {7, trace};
  span.span = id;
  span.parent = parent;
  span.kind = kind;
  span.end_ns = span.start_ns + ms * kMs;
  span.attributes = std::move(attributes);
  return span;
}

class ServiceGraphTest : public testing::Test {
 protected:
  static Shard::Options Options(DeriveOptions derive = {}) {
    Shard::Options options = ShardHarness::SmallOptions();
    options.window.capacity = 1 << 14;
    derive.graph.wait_ticks = 100;
    options.derive = std::make_shared<DeriveOptions>(std::move(derive));
    return options;
  }

  void Send(const std::string& service, const SpanSpec& span) { harness_->SendSpans(service, {span}); }

  // "client>server type" to requests, of a family.
  std::map<std::string, double> Edges(const std::string& family = "traces_service_graph_request") {
    std::map<std::string, double> edges;
    for (const auto& [key, point] : harness_->Page().points) {
      if (!key.starts_with(family + "{")) continue;
      edges[key.substr(family.size())] = point.type == MetricType::kHistogram ? point.sum : point.value;
    }
    return edges;
  }
  uint64_t Alone(Unpaired reason) {
    uint64_t sum = 0;
    for (size_t i = 0; i < harness_->shards(); ++i)
      sum += harness_->shard(i).graph_stats().unpaired[static_cast<size_t>(reason)];
    return sum;
  }

  std::unique_ptr<ShardHarness> harness_ = std::make_unique<ShardHarness>(Options());
};

// Scenario: client and server halves in both orders.
// Guarantees: one edge each, with each side's own duration, failed if either side is.
TEST_F(ServiceGraphTest, PairsInAnyOrder) {
  for (const bool client_first : {true, false}) {
    harness_ = std::make_unique<ShardHarness>(Options());
    SpanSpec client = Make(1, 10, 0, kClient, 300), server = Make(1, 11, 10, kServer, 200);
    server.status = 2;
    if (client_first) Send("a", client);
    Send("b", server);
    if (!client_first) Send("a", client);
    EXPECT_THAT(Edges(), ElementsAre(Pair("{client=a,server=b}", 1)));
    EXPECT_THAT(Edges("traces_service_graph_request_failed"), ElementsAre(Pair("{client=a,server=b}", 1)));
    EXPECT_THAT(Edges("traces_service_graph_request_server_seconds"),
                ElementsAre(Pair("{client=a,server=b}", 0.2)));
    EXPECT_THAT(Edges("traces_service_graph_request_client_seconds"),
                ElementsAre(Pair("{client=a,server=b}", 0.3)));
  }
}

// Scenario: the second half comes; one second passes.
// Guarantees: the edge is on the page.
TEST_F(ServiceGraphTest, IsShownWithinASecond) {
  Send("b", Make(1, 11, 10, kServer));
  harness_->Pass(3000);
  Send("a", Make(1, 10, 0, kClient));
  harness_->Pass(1000);
  test::RecordingWriter page;
  harness_->owner().Write(page);
  EXPECT_EQ(page.points.at("traces_service_graph_request{client=a,server=b}").value, 1);
}

// Scenario: one producer and 100 consumers by parent; and by links from as many other traces, over several
// shards, some before the producer, some repeated. Guarantees: 100 requests each, of the messaging kind.
TEST_F(ServiceGraphTest, OneProducerManyConsumers) {
  harness_ = std::make_unique<ShardHarness>(Options(), 3);
  for (uint64_t i = 0; i < 100; ++i) {
    if (i == 50) Send("producer", Make(1, 10, 0, kProducer));
    Send("consumer", Make(1, 100 + i, 10, kConsumer));
  }
  for (uint64_t i = 0; i < 100; ++i) {
    if (i == 50) Send("linked", Make(2, 20, 0, kProducer));
    SpanSpec span = Make(1000 + i, 5000 + i, 0, kConsumer);
    span.links = {{{7, 2}, 20}};
    Send("linking", span);
    if (i % 10 == 0) Send("linking", span);
  }
  EXPECT_THAT(Edges(), UnorderedElementsAre(
                           Pair("{client=producer,connection_type=messaging_system,server=consumer}", 100),
                           Pair("{client=linked,connection_type=messaging_system,server=linking}", 100)));
}

// Scenario: a link to the parent itself; links of internal spans; a link that points nowhere.
// Guarantees: no second edge, and none at all.
TEST_F(ServiceGraphTest, LinksThatSayNothingNew) {
  Send("producer", Make(1, 10, 0, kProducer));
  SpanSpec span = Make(1, 11, 10, kConsumer);
  span.links = {{{7, 1}, 10}, {{0, 0}, 5}, {{7, 3}, 0}};
  Send("consumer", span);
  SpanSpec internal = Make(2, 12, 0, kInternal);
  internal.links = {{{7, 1}, 10}};
  Send("other", internal);
  EXPECT_THAT(Edges(),
              ElementsAre(Pair("{client=producer,connection_type=messaging_system,server=consumer}", 1)));
}

// Scenario: services whose client or server spans are missing; spans of one service under each other.
// Guarantees: the step from one service to the other is an edge, with the child's duration; steps within one
// are not.
TEST_F(ServiceGraphTest, SidesThatAreNotInstrumented) {
  Send("a", Make(1, 1, 0, kServer));
  Send("b", Make(1, 2, 1, kServer, 20));  // server to server
  Send("c", Make(2, 3, 0, kClient, 50));
  Send("d", Make(2, 4, 3, kClient, 40));  // client to client
  Send("a", Make(1, 5, 1, kInternal));
  Send("a", Make(1, 6, 1, kClient));
  SpanSpec remote = Make(1, 7, 5, kInternal, 30);
  remote.flags = 0x300;
  Send("e", remote);
  auto edges = Edges("traces_service_graph_request_client_seconds");
  EXPECT_EQ(edges.erase("{client=user,connection_type=virtual_node,server=a}"), 1u);
  EXPECT_THAT(edges,
              UnorderedElementsAre(Pair("{client=a,server=b}", 0.02), Pair("{client=c,server=d}", 0.04),
                                   Pair("{client=a,server=e}", 0.03)));
}

// Scenario: calls to databases and brokers and to services without spans; a database that sends spans of its
// own. Guarantees: databases are edges at once, others when their wait is over; names by the order of
// preference; no edge twice.
TEST_F(ServiceGraphTest, PeersKnownByAttributesOnly) {
  Send("a", Make(1, 1, 9, kClient, 5, {{"db.system", "postgresql"}, {"db.namespace", "orders"}}));
  Send("a", Make(1, 2, 9, kClient, 5, {{"db.system", "redis"}, {"server.address", "cache-1"}}));
  Send("a", Make(1, 3, 9, kClient, 5,
                 {{"db.system", "x"}, {"network.peer.address", "10.0.0.7"}, {"network.peer.port", "5432"}}));
  Send("postgres", Make(1, 4, 1, kServer));
  EXPECT_THAT(Edges(),
              UnorderedElementsAre(Pair("{client=a,connection_type=database,server=orders}", 1),
                                   Pair("{client=a,connection_type=database,server=cache-1}", 1),
                                   Pair("{client=a,connection_type=database,server=10.0.0.7:5432}", 1)));
  Send("a", Make(2, 5, 9, kClient, 5, {{"service.peer.name", "billing"}, {"server.address", "b.local"}}));
  Send("a", Make(2, 6, 9, kProducer, 5,
                 {{"messaging.system", "kafka"}, {"messaging.destination.name", "orders"}}));
  Send("a", Make(2, 7, 9, kClient));
  EXPECT_EQ(Edges().size(), 3u);
  harness_->Pass(6000);
  auto edges = Edges();
  EXPECT_EQ(edges["{client=a,connection_type=virtual_node,server=billing}"], 1);
  EXPECT_EQ(edges["{client=a,connection_type=messaging_system,server=orders}"], 1);
  EXPECT_EQ(edges.size(), 5u);
  EXPECT_EQ(Alone(Unpaired::kNoServer), 1u);
  Send("billing", Make(2, 8, 5, kServer));  // too late: its name has been counted
  EXPECT_EQ(Edges().size(), 5u);
  EXPECT_EQ(Alone(Unpaired::kLate), 1u);
}

// Scenario: servers and consumers that nobody called.
// Guarantees: their caller is a peer that they name, a broker, or else a user; server.address is their own.
TEST_F(ServiceGraphTest, RootsHaveACaller) {
  Send("web", Make(1, 1, 0, kServer, 5, {{"server.address", "shop.example"}}));
  Send("api", Make(2, 2, 0, kServer, 5, {{"peer.service", "partner"}}));
  Send("worker", Make(3, 3, 0, kConsumer, 5, {{"messaging.system", "kafka"}}));
  Send("cron", Make(4, 4, 0, kInternal));
  EXPECT_THAT(Edges(),
              UnorderedElementsAre(Pair("{client=user,connection_type=virtual_node,server=web}", 1),
                                   Pair("{client=partner,connection_type=virtual_node,server=api}", 1),
                                   Pair("{client=kafka,connection_type=messaging_system,server=worker}", 1)));
}

// Scenario: one side without service.name; a parent that never comes; a parent that comes late but within the
// window. Guarantees: counted by reason; the late one still makes its edge.
TEST_F(ServiceGraphTest, WhatStaysAloneIsCounted) {
  Send("", Make(1, 1, 9, kClient));
  Send("b", Make(1, 2, 1, kServer));
  EXPECT_EQ(Alone(Unpaired::kNoService), 1u);
  Send("b", Make(2, 4, 3, kServer));
  Send("b", Make(3, 6, 5, kServer));
  harness_->Pass(60'000);
  Send("a", Make(2, 3, 9, kClient));
  EXPECT_THAT(Edges(), ElementsAre(Pair("{client=a,server=b}", 1)));
  harness_->Pass(70'000);
  EXPECT_EQ(Alone(Unpaired::kNoClient), 1u);
}

// Scenario: halves sampled with different probability.
// Guarantees: the request weighs what the rarer half weighs, in counts and sums.
TEST_F(ServiceGraphTest, WeighsAsTheRarerHalf) {
  SpanSpec client = Make(1, 10, 9, kClient, 100), server = Make(1, 11, 10, kServer, 100);
  client.tracestate = "ot=th:8";
  server.tracestate = "ot=th:c";
  Send("a", client);
  Send("b", server);
  EXPECT_THAT(Edges(), ElementsAre(Pair("{client=a,server=b}", 4)));
  EXPECT_THAT(Edges("traces_service_graph_request_client_seconds"),
              ElementsAre(Pair("{client=a,server=b}", 0.4)));
}

// Scenario: repeated spans, in one request and in another.
// Guarantees: an edge counts once.
TEST_F(ServiceGraphTest, RepetitionsDoNotCount) {
  for (int i = 0; i < 3; ++i) {
    Send("a", Make(1, 10, 9, kClient));
    harness_->SendSpans("b",
                        {Make(1, 11, 10, kServer), Make(2, 100 + static_cast<uint64_t>(i), 10, kServer)});
  }
  EXPECT_THAT(Edges(), ElementsAre(Pair("{client=a,server=b}", 1)));
}

// Scenario: a linking span comes again beside another, so that the request is not a repeated one.
// Guarantees: its link counts once.
TEST_F(ServiceGraphTest, RepeatedLinksDoNotCount) {
  Send("a", Make(1, 10, 0, kProducer));
  SpanSpec span = Make(2, 20, 0, kConsumer);
  span.links = {{{7, 1}, 10}};
  for (uint64_t i = 0; i < 3; ++i) harness_->SendSpans("b", {span, Make(3, 100 + i, 99, kInternal)});
  EXPECT_THAT(Edges(), ElementsAre(Pair("{client=a,connection_type=messaging_system,server=b}", 1)));
}

// Scenario: an edge of which some requests fail.
// Guarantees: in Tempo's shape it is one series; failures are counted apart from the rest.
TEST_F(ServiceGraphTest, FailedRequestsAreSome) {
  for (uint64_t i = 1; i <= 10; ++i) {
    Send("a", Make(i, 10, 0, kClient));
    SpanSpec server = Make(i, 11, 10, kServer);
    server.status = i % 5 == 0 ? 2 : 0;
    Send("b", server);
  }
  EXPECT_THAT(Edges(), ElementsAre(Pair("{client=a,server=b}", 10)));
  EXPECT_THAT(Edges("traces_service_graph_request_failed"), ElementsAre(Pair("{client=a,server=b}", 2)));
}

// Scenario: both dialects' shapes; dimensions of both sides; the virtual node label; messaging latency.
// Guarantees: otel has `failed` and the other buckets; labels of each side carry its prefix; the time between
// producer and consumer is never negative.
TEST_F(ServiceGraphTest, Shapes) {
  DeriveOptions derive;
  derive.dialect = DeriveOptions::Dialect::kOtel;
  derive.graph.dimensions = {"zone"};
  derive.graph.virtual_node_label = true;
  derive.graph.messaging_latency = true;
  derive.graph.connection_info = true;
  harness_ = std::make_unique<ShardHarness>(Options(derive));
  SpanSpec producer = Make(1, 10, 9, kProducer, 5, {{"zone", "z1"}});
  SpanSpec consumer = Make(1, 11, 10, kConsumer, 5, {{"zone", "z2"}});
  consumer.start_ns = producer.end_ns + 250 * kMs;
  consumer.end_ns = consumer.start_ns + kMs;
  consumer.status = 2;
  SpanSpec early = Make(1, 12, 10, kConsumer);  // its clock is behind
  early.start_ns -= 3 * kMs;
  Send("a", producer);
  Send("b", consumer);
  Send("b", early);
  Send("web", Make(2, 20, 0, kServer));
  const std::string failed =
      "{client=a,client_zone=z1,connection_type=messaging_system,failed=true,server=b,server_zone=z2}";
  const std::string fine = "{client=a,client_zone=z1,connection_type=messaging_system,failed=false,server=b}";
  auto edges = Edges();
  EXPECT_EQ(edges[failed], 1);
  EXPECT_EQ(edges[fine], 1);
  EXPECT_EQ(edges["{client=user,connection_type=virtual_node,failed=false,server=web,virtual_node=client}"],
            1);
  auto between = Edges("traces_service_graph_request_messaging_system_seconds");
  EXPECT_EQ(between[failed], 0.25);
  EXPECT_EQ(between[fine], 0);
  EXPECT_EQ(Edges("traces_service_graph_connection_info").size(), 3u);
  EXPECT_EQ(harness_->Page().points.at("traces_service_graph_request_server_seconds" + failed).bounds.size(),
            16u);
}

// Scenario: an edge whose trace is kept.
// Guarantees: its exemplar is the child span with its own end, on requests and on both histograms, after the
// verdict only.
TEST_F(ServiceGraphTest, ExemplarsComeWithTheVerdict) {
  SpanSpec client = Make(1, 10, 0, kClient, 300), server = Make(1, 11, 10, kServer, 200);
  Send("a", client);
  Send("b", server);
  const std::string key = "{client=a,server=b}";
  EXPECT_THAT(harness_->Page().points.at("traces_service_graph_request" + key).exemplars, IsEmpty());
  harness_->Pass(3000);
  const test::RecordingWriter page = harness_->Page();
  const auto& request = page.points.at("traces_service_graph_request" + key).exemplars.at(0);
  EXPECT_EQ(request.span, 11u);
  EXPECT_EQ(request.trace, (TraceId{7, 1}));
  EXPECT_EQ(request.time_ns, server.end_ns);
  EXPECT_EQ(
      page.points.at("traces_service_graph_request_server_seconds" + key).exemplars.begin()->second.value,
      0.2);
  EXPECT_EQ(
      page.points.at("traces_service_graph_request_client_seconds" + key).exemplars.begin()->second.value,
      0.3);
}

// Scenario: random calls over several shards, in random order and batching, durations beyond what a Record
// holds exactly. Guarantees: every edge's count and both sums are those of a plain count, in any order.
TEST_F(ServiceGraphTest, AgreesWithAnOracleInAnyOrder) {
  std::mt19937_64 random(11);
  std::vector<Sent> sent;
  std::map<std::string, std::tuple<double, uint64_t, uint64_t>> expected;
  for (uint64_t trace = 1; trace <= 200; ++trace) {
    const uint64_t calls = 1 + random() % 5;
    for (uint64_t call = 0; call < calls; ++call) {
      const std::string from = "s" + std::to_string(random() % 4), to = "t" + std::to_string(random() % 4);
      SpanSpec client = Make(trace, trace * 100 + call * 10, 1, kClient),
               server = Make(trace, trace * 100 + call * 10 + 1, client.span, kServer);
      client.end_ns = client.start_ns + random() % 20'000'000'000;
      server.end_ns = server.start_ns + random() % 20'000'000'000;
      auto& [count, server_ns, client_ns] = expected["{client=" + from + ",server=" + to + "}"];
      count += 1;
      server_ns += server.end_ns - server.start_ns;
      client_ns += client.end_ns - client.start_ns;
      sent.push_back({from, client});
      sent.push_back({to, server});
    }
  }
  for (int order = 0; order < 5; ++order) {
    harness_ = std::make_unique<ShardHarness>(Options(), static_cast<uint32_t>(1 + order % 3));
    std::shuffle(sent.begin(), sent.end(), random);
    for (const Sent& one : sent) {
      Send(one.service, one.span);
      if (random() % 50 == 0) harness_->Pass(50);
    }
    const auto counts = Edges();
    const auto servers = Edges("traces_service_graph_request_server_seconds");
    const auto clients = Edges("traces_service_graph_request_client_seconds");
    ASSERT_EQ(counts.size(), expected.size());
    for (const auto& [edge, values] : expected) {
      EXPECT_EQ(counts.at(edge), std::get<0>(values));
      EXPECT_DOUBLE_EQ(servers.at(edge), static_cast<double>(std::get<1>(values)) / 1e9);
      EXPECT_DOUBLE_EQ(clients.at(edge), static_cast<double>(std::get<2>(values)) / 1e9);
    }
  }
}

// Scenario: more spans wait than there is room for.
// Guarantees: the oldest give way and are counted; the newest still pair.
TEST_F(ServiceGraphTest, WaitingSpansAreBounded) {
  Shard::Options options = Options();
  options.graph.max_waiting = 100;
  options.graph.max_callers = 100;
  harness_ = std::make_unique<ShardHarness>(options);
  for (uint64_t i = 0; i < 1000; ++i) Send("b", Make(i + 1, 11, 10, kServer));
  EXPECT_EQ(Alone(Unpaired::kEvicted), 900u);
  for (uint64_t i = 0; i < 1000; ++i) Send("a", Make(i + 1, 10, 0, kClient));
  EXPECT_EQ(Edges()["{client=a,server=b}"], 100);
}

// Scenario: traces over several requests; one incomplete, one with a span after its verdict.
// Guarantees: self time is exact for complete traces, and the others are counted.
TEST_F(ServiceGraphTest, SelfTimeOfCompleteTraces) {
  Send("b", Make(1, 2, 1, kServer, 30));
  Send("a", Make(1, 1, 0, kServer, 100));
  Send("b", Make(2, 4, 3, kServer, 30));  // its parent never comes
  harness_->Pass(35'000);
  auto seconds = Edges("traces_spanmetrics_self_seconds");
  EXPECT_EQ(seconds["{service=a,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET}"],
            0.07);
  EXPECT_EQ(seconds["{service=b,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET}"],
            0.03);
  EXPECT_EQ(harness_->shard().stats().self_time_traces, 1u);
  EXPECT_EQ(harness_->shard().stats().self_time_incomplete, 1u);
}

// Scenario: spans with events and exceptions, under a sampling threshold.
// Guarantees: they count by name and type with the span's labels and weight.
TEST_F(ServiceGraphTest, EventsAndExceptions) {
  DeriveOptions derive;
  derive.events = derive.exceptions = true;
  harness_ = std::make_unique<ShardHarness>(Options(derive));
  SpanSpec span = Make(1, 1, 0, kServer);
  span.tracestate = "ot=th:8";
  span.events = {{"retry", {}},
                 {"exception", {{"exception.type", "IOError"}}},
                 {"exception", {{"exception.type", "IOError"}}},
                 {"exception", {}}};
  Send("a", span);
  const std::string labels =
      "service=a,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET}";
  EXPECT_THAT(Edges("traces_spanmetrics_events"),
              UnorderedElementsAre(Pair("{event_name=retry," + labels, 2),
                                   Pair("{event_name=exception," + labels, 6)));
  EXPECT_THAT(Edges("traces_spanmetrics_exceptions"),
              UnorderedElementsAre(Pair("{exception_type=IOError," + labels, 4), Pair("{" + labels, 2)));
}

}  // namespace
}  // namespace braid
