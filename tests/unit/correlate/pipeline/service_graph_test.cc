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

// Scenario: producers and consumers that name their broker by peer attribute, by address, by destination, by
// system. Guarantees: both sides give one broker one name, peer attribute before destination before system; a
// server's own address still names nobody, a consumer's only where there is no messaging system.
TEST_F(ServiceGraphTest, BrokersHaveOneName) {
  const test::Attributes kafka = {{"messaging.system", "kafka"}};
  const test::Attributes topic = {{"messaging.system", "kafka"}, {"messaging.destination.name", "orders"}};
  const test::Attributes address = {
      {"messaging.system", "kafka"}, {"messaging.destination.name", "orders"}, {"server.address", "kafka-1"}};
  const test::Attributes named = {{"messaging.system", "kafka"},
                                  {"messaging.destination.name", "orders"},
                                  {"server.address", "kafka-1"},
                                  {"peer.service", "broker"}};
  uint64_t id = 1;
  for (const test::Attributes& attributes : {kafka, topic, address, named}) {
    Send("a", Make(id, id, 9, kProducer, 5, attributes));
    Send("b", Make(id + 1, id + 1, 0, kConsumer, 5, attributes));
    id += 2;
  }
  Send("c", Make(90, 90, 0, kConsumer, 5, {{"server.address", "own"}, {"messaging.destination.name", "x"}}));
  Send("d", Make(91, 91, 0, kServer, 5, {{"server.address", "own"}}));
  Send("e", Make(92, 92, 0, kServer, 5, {{"server.address", "nats-1"}, {"messaging.system", "nats"}}));
  harness_->Pass(6000);
  std::map<std::string, double> expected;
  for (const char* name : {"kafka", "orders", "kafka-1", "broker"}) {
    expected["{client=a,connection_type=messaging_system,server=" + std::string(name) + "}"] = 1;
    expected["{client=" + std::string(name) + ",connection_type=messaging_system,server=b}"] = 1;
  }
  expected["{client=user,connection_type=virtual_node,server=c}"] = 1;
  expected["{client=user,connection_type=virtual_node,server=d}"] = 1;
  expected["{client=nats-1,connection_type=messaging_system,server=e}"] = 1;
  EXPECT_EQ(Edges(), expected);
}

class BrokerNodesTest : public ServiceGraphTest {
 protected:
  const test::Attributes kOrders = {{"messaging.system", "kafka"}, {"messaging.destination.name", "orders"}};

  static DeriveOptions WithBrokers() {
    DeriveOptions derive;
    derive.graph.broker_nodes = true;
    derive.graph.messaging_latency = true;
    return derive;
  }
  void SetUp() override { Start(WithBrokers()); }
  void Start(const DeriveOptions& derive, uint32_t shards = 1) {
    harness_ = std::make_unique<ShardHarness>(Options(derive), shards);
  }
};

// Scenario: a producer and two consumers of its message, by parent and by link, in any order, without
// waiting. Guarantees: one edge into the broker and one out of it for each consumer, each with its own span's
// duration and failure, at once, and none between the services; nothing counts as unpaired.
TEST_F(BrokerNodesTest, MessagesGoThroughTheirBroker) {
  const std::string in = "{client=a,connection_type=messaging_system,server=orders}";
  const std::string out = "{client=orders,connection_type=messaging_system,server=b}";
  for (const bool producer_first : {true, false}) {
    for (const bool latency : {true, false}) {
      DeriveOptions derive = WithBrokers();
      derive.graph.messaging_latency = latency;
      Start(derive);
      SpanSpec producer = Make(1, 10, 9, kProducer, 300, kOrders);
      SpanSpec child = Make(1, 11, 10, kConsumer, 200, kOrders);
      SpanSpec linked = Make(2, 12, 0, kConsumer, 400, kOrders);
      linked.links = {{{7, 1}, 10}};
      child.status = 2;
      if (producer_first) Send("a", producer);
      Send("b", child);
      Send("b", linked);
      if (!producer_first) Send("a", producer);
      const std::map<std::string, double> counts = {{in, 1}, {out, 2}};
      EXPECT_EQ(Edges(), counts);
      EXPECT_EQ(Edges("traces_service_graph_request_failed")[in], 0);
      EXPECT_EQ(Edges("traces_service_graph_request_failed")[out], 1);
      for (const char* side : {"server", "client"}) {
        auto seconds = Edges("traces_service_graph_request_" + std::string(side) + "_seconds");
        EXPECT_EQ(seconds[in], 0.3);
        EXPECT_DOUBLE_EQ(seconds[out], 0.6);
      }
      harness_->Pass(150'000);
      EXPECT_EQ(Edges().size(), 2u);
      for (const Unpaired reason : {Unpaired::kNoServer, Unpaired::kNoClient, Unpaired::kLate})
        EXPECT_EQ(Alone(reason), 0u);
    }
  }
}

// Scenario: a consumer linked to many producers (a batch), over several shards and repeated; its parent is
// one of them. Guarantees: it counts once, however many links; the time from each producer is measured.
TEST_F(BrokerNodesTest, BatchesCountOnce) {
  Start(WithBrokers(), 3);
  SpanSpec batch = Make(1000, 5000, 10, kConsumer, 20, kOrders);
  batch.trace = {7, 1};
  batch.start_ns += 100 * kMs;
  batch.end_ns += 100 * kMs;
  for (uint64_t i = 0; i < 10; ++i) {
    if (i != 0) batch.links.push_back({{7, 1 + i}, 10});
    if (i == 5) Send("b", batch);
    Send("a", Make(1 + i, 10, 9, kProducer, 40, kOrders));
  }
  Send("b", batch);
  EXPECT_THAT(Edges(), ElementsAre(Pair("{client=a,connection_type=messaging_system,server=orders}", 10),
                                   Pair("{client=orders,connection_type=messaging_system,server=b}", 1)));
}

// Scenario: messages that take 60 ms, and one whose consumer's clock is behind; both sides sampled
// differently. Guarantees: the time is on the consumer's edge, with the weight of the rarer side, and never
// below 0; the edges themselves weigh what their own span weighs.
TEST_F(BrokerNodesTest, LatencyIsOnTheConsumersEdge) {
  DeriveOptions derive = WithBrokers();
  derive.graph.virtual_node_label = true;
  derive.graph.dimensions = {"zone"};
  Start(derive);
  test::Attributes here = kOrders, there = kOrders;
  here.push_back({"zone", "z1"});
  there.push_back({"zone", "z2"});
  SpanSpec producer = Make(1, 10, 9, kProducer, 40, here);
  SpanSpec consumer = Make(1, 11, 10, kConsumer, 20, there);
  consumer.start_ns = producer.end_ns + 60 * kMs;
  consumer.end_ns = consumer.start_ns + 20 * kMs;
  SpanSpec early = Make(1, 12, 10, kConsumer, 20, there);
  early.start_ns = early.end_ns = producer.end_ns - kMs;
  producer.tracestate = "ot=th:c";
  consumer.tracestate = "ot=th:8";
  Send("b", early);
  Send("a", producer);
  Send("b", consumer);
  const std::string out =
      "{client=orders,connection_type=messaging_system,server=b,server_zone=z2,virtual_node=client}";
  const std::string in =
      "{client=a,client_zone=z1,connection_type=messaging_system,server=orders,virtual_node=server}";
  const std::map<std::string, double> counts = {{in, 4}, {out, 3}};
  EXPECT_EQ(Edges(), counts);
  const test::RecordingWriter page = harness_->Page();
  const auto& between = page.points.at("traces_service_graph_request_messaging_system_seconds" + out);
  EXPECT_DOUBLE_EQ(between.sum, 4 * 0.06);
  EXPECT_EQ(between.counts.front(), 8);  // both below 100 ms
  EXPECT_EQ(Edges("traces_service_graph_request_messaging_system_seconds").size(), 1u);
}

// Scenario: producer and consumer share one span ID, as Zipkin has it, in both orders.
// Guarantees: the edge into the broker and the one out of it, and no third.
TEST_F(BrokerNodesTest, HalvesThatShareTheirId) {
  for (const bool producer_first : {true, false}) {
    Start(WithBrokers());
    if (producer_first) Send("a", Make(1, 10, 9, kProducer, 5, kOrders));
    Send("b", Make(1, 10, 9, kConsumer, 5, kOrders));
    if (!producer_first) Send("a", Make(1, 10, 9, kProducer, 5, kOrders));
    EXPECT_THAT(Edges(),
                UnorderedElementsAre(Pair("{client=a,connection_type=messaging_system,server=orders}", 1),
                                     Pair("{client=orders,connection_type=messaging_system,server=b}", 1)));
  }
}

// Scenario: what is under a producer names no broker; a consumer is under a client; a broker's consumer is
// the parent of other services' spans; ends without service.name. Guarantees: the first is called by the
// producer's broker; the second answers nobody but its broker, so that the client's own peer counts; the last
// are edges as everywhere; who has no name is counted.
TEST_F(BrokerNodesTest, MixedWithOtherSpans) {
  Send("a", Make(1, 10, 9, kProducer, 5, kOrders));
  Send("b", Make(1, 11, 10, kConsumer, 20));
  Send("c", Make(1, 12, 10, kServer, 30));
  Send("d", Make(2, 20, 9, kClient, 5, {{"peer.service", "front"}}));
  Send("e", Make(2, 21, 20, kConsumer, 5, kOrders));
  Send("f", Make(2, 22, 21, kServer, 5));
  Send("", Make(3, 30, 9, kProducer, 5, kOrders));
  Send("", Make(3, 31, 0, kConsumer, 5, kOrders));
  harness_->Pass(6000);
  EXPECT_THAT(Edges("traces_service_graph_request_client_seconds"),
              UnorderedElementsAre(Pair("{client=a,connection_type=messaging_system,server=orders}", 0.005),
                                   Pair("{client=orders,connection_type=messaging_system,server=b}", 0.02),
                                   Pair("{client=orders,connection_type=messaging_system,server=c}", 0.03),
                                   Pair("{client=d,connection_type=virtual_node,server=front}", 0.005),
                                   Pair("{client=orders,connection_type=messaging_system,server=e}", 0.005),
                                   Pair("{client=e,connection_type=messaging_system,server=f}", 0.005)));
  EXPECT_EQ(Alone(Unpaired::kNoService), 2u);
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

// Scenario: calls of which some fail, a slow one that does not; and the other dialect's shape.
// Guarantees: failures have the most telling failed call as exemplar, requests prefer a failed one to a
// slower one; where nothing failed there is none.
TEST_F(ServiceGraphTest, FailuresHaveExemplars) {
  for (const auto dialect : {DeriveOptions::Dialect::kTempo, DeriveOptions::Dialect::kOtel}) {
    DeriveOptions derive;
    derive.dialect = dialect;
    harness_ = std::make_unique<ShardHarness>(Options(derive));
    for (uint64_t i = 1; i <= 4; ++i) {
      Send("a", Make(i, 10, 0, kClient, 400));
      SpanSpec server = Make(i, 10 + i, 10, kServer, i == 4 ? 350 : 40 * i);
      server.status = i == 4 ? 0 : 2;
      Send("b", server);
    }
    harness_->Pass(3000);
    const test::RecordingWriter page = harness_->Page();
    const bool tempo = derive.tempo();
    const auto exemplars = [&](const std::string& family, const char* failed) {
      const std::string key =
          tempo ? "{client=a,server=b}" : "{client=a,failed=" + std::string(failed) + ",server=b}";
      return page.points.at("traces_service_graph_request" + family + key).exemplars;
    };
    EXPECT_EQ(exemplars("_failed", "true").at(0).span, 13u);
    EXPECT_EQ(exemplars("_failed", "true").at(0).trace, (TraceId{7, 3}));
    EXPECT_EQ(exemplars("_failed", "true").at(0).value, 1);
    EXPECT_EQ(exemplars("", "true").at(0).span, 13u);
    if (tempo) continue;
    EXPECT_THAT(exemplars("_failed", "false"), IsEmpty());
    EXPECT_EQ(exemplars("", "false").at(0).span, 14u);
  }
}

// Scenario: messages that take different times, between services and through a broker that is a node.
// Guarantees: the histogram of their time has an exemplar in each bucket, the consumer's span with that time.
TEST_F(ServiceGraphTest, MessagesHaveExemplars) {
  for (const bool brokers : {false, true}) {
    DeriveOptions derive;
    derive.graph.messaging_latency = true;
    derive.graph.broker_nodes = brokers;
    harness_ = std::make_unique<ShardHarness>(Options(derive));
    const test::Attributes kafka = {{"messaging.system", "kafka"}};
    for (const uint64_t ms : {50, 90, 150}) {
      SpanSpec producer = Make(ms, 10, 0, kProducer, 5, kafka);
      SpanSpec consumer = Make(ms, 1000 + ms, 10, kConsumer, 1, kafka);
      consumer.start_ns = producer.end_ns + ms * kMs;
      consumer.end_ns = consumer.start_ns + kMs;
      Send("a", producer);
      Send("b", consumer);
    }
    harness_->Pass(3000);
    const std::string client = brokers ? "kafka" : "a";
    const test::RecordingWriter page = harness_->Page();
    const auto& exemplars = page.points
                                .at("traces_service_graph_request_messaging_system_seconds{client=" + client +
                                    ",connection_type=messaging_system,server=b}")
                                .exemplars;
    ASSERT_EQ(exemplars.size(), 2u);
    EXPECT_EQ(exemplars.at(0).span, 1090u);
    EXPECT_DOUBLE_EQ(exemplars.at(0).value, 0.09);
    EXPECT_EQ(exemplars.at(1).span, 1150u);
    EXPECT_DOUBLE_EQ(exemplars.at(1).value, 0.15);
  }
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

// Scenario: more callers than there is room for, so that the oldest of those that are kept lie anywhere;
// their times are longer than a Record holds exactly. Guarantees: those that are kept have their exact times.
TEST_F(ServiceGraphTest, CallersThatAreKeptAreExact) {
  for (size_t room = 90; room < 110; ++room) {
    Shard::Options options = Options();
    options.graph.max_callers = room;
    harness_ = std::make_unique<ShardHarness>(options);
    uint64_t expected_ns = 0;
    for (uint64_t i = 0; i < 300; ++i) {
      SpanSpec client = Make(i + 1, 10, 0, kClient);
      client.end_ns = client.start_ns + 5'000'000'001 + i * 7;
      Send("a", client);
      if (i % 3 == 0) Send("a", Make(i + 1, 12, 10, kInternal));  // ordinals without callers between
      if (i >= 300 - room) expected_ns += 5'000'000'001 + i * 7;
    }
    for (uint64_t i = 300 - room; i < 300; ++i) Send("b", Make(i + 1, 11, 10, kServer));
    EXPECT_DOUBLE_EQ(Edges("traces_service_graph_request_client_seconds")["{client=a,server=b}"],
                     static_cast<double>(expected_ns) / 1e9);
  }
}

// Scenario: edges end because nothing is counted in them, and others get their numbers; then the first come
// again. Guarantees: each request counts for the services it was between.
TEST_F(ServiceGraphTest, EdgesThatEndedComeBack) {
  Shard::Options options = Options();
  options.series.expire_ticks = 400;  // 20 s
  options.window.max_age_ticks = 200;
  harness_ = std::make_unique<ShardHarness>(options);
  uint64_t trace = 1;
  const auto call = [&](const std::string& from, const std::string& to) {
    Send(from, Make(trace, 10, 0, kClient));
    Send(to, Make(trace++, 11, 10, kServer));
  };
  for (int round = 0; round < 3; ++round) {
    for (const char* names : {"ab", "cd", "ad"}) {
      call(std::string(1, names[0]), std::string(1, names[1]));
      call(std::string(1, names[0]), std::string(1, names[1]));
      const std::string edge =
          "{client=" + std::string(1, names[0]) + ",server=" + std::string(1, names[1]) + "}";
      EXPECT_EQ(Edges()[edge], 2) << edge << " of round " << round;
      harness_->Pass(60'000);
    }
  }
}

// Scenario: more edges than series may be kept, the same over and over.
// Guarantees: what has no room counts in overflow series, and no request is lost.
TEST_F(ServiceGraphTest, EdgesThatOverflowAreCounted) {
  Shard::Options options = Options();
  options.series.max_series = 40;
  harness_ = std::make_unique<ShardHarness>(options);
  for (uint64_t i = 0; i < 300; ++i) {
    Send("a", Make(i + 1, 10, 9, kClient, 5,
                   {{"db.system", "x"}, {"server.address", "db" + std::to_string(i % 60)}}));
  }
  double named = 0, overflow = 0;
  for (const auto& [edge, requests] : Edges()) {
    if (edge.find("server=") == std::string::npos) {
      overflow += requests;
    } else {
      named += requests;
      EXPECT_EQ(requests, 5) << edge;
    }
  }
  EXPECT_EQ(named + overflow, 300);
  EXPECT_GT(named, 0);
  EXPECT_GT(overflow, 0);
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
