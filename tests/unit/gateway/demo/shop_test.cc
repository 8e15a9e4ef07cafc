#include "gateway/demo/shop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "otlp.pb.h"

namespace braid::gateway::demo {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;

constexpr uint64_t kOpens = 1'700'000'000'000'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

std::string Attribute(const google::protobuf::RepeatedPtrField<oracle::KeyValue>& attributes,
                      const std::string& key) {
  for (const auto& pair : attributes) {
    if (pair.key() == key) return pair.value().string_value();
  }
  return "";
}

uint64_t Duration(const auto& seen) {
  return seen.span.end_time_unix_nano() - seen.span.start_time_unix_nano();
}

// A shop that ran for a while, and what it exported, read by generated protobuf.
class ShopTest : public ::testing::Test {
 protected:
  struct SeenSpan {
    std::string service;
    oracle::Span span;
    uint64_t exported_ns;
  };
  struct SeenLog {
    std::string service;
    oracle::LogRecord log;
    uint64_t exported_ns;
  };

  void Run(uint64_t seconds, double rate, uint64_t seed = 1, uint64_t step_ns = kSecond / 3,
           bool close = true) {
    Shop shop({.seed = seed, .rate = rate, .start_ns = kOpens},
              [this](Shop::Export made) { Take(std::move(made)); });
    const uint64_t end = kOpens + seconds * kSecond;
    for (uint64_t now = kOpens; now < end; now += step_ns) shop.Advance(now);
    shop.Advance(end);
    if (close) shop.Close();
    truth_ = shop.truth();
    failed_trace_ = shop.failed_trace();
  }

  void Take(Shop::Export made) {
    const std::string service(kServiceNames[static_cast<size_t>(made.service)]);
    uint64_t items = 0;
    switch (made.signal) {
      case Signal::kTraces: {
        oracle::ExportTraceServiceRequest request;
        ASSERT_TRUE(request.ParseFromString(made.request));
        ASSERT_EQ(request.resource_spans_size(), 1);
        EXPECT_EQ(Attribute(request.resource_spans(0).resource().attributes(), "service.name"), service);
        for (const auto& span : request.resource_spans(0).scope_spans(0).spans()) {
          spans_.push_back({service, span, made.time_ns});
          ++items;
        }
        break;
      }
      case Signal::kLogs: {
        oracle::ExportLogsServiceRequest request;
        ASSERT_TRUE(request.ParseFromString(made.request));
        EXPECT_EQ(Attribute(request.resource_logs(0).resource().attributes(), "service.name"), service);
        for (const auto& log : request.resource_logs(0).scope_logs(0).log_records()) {
          logs_.push_back({service, log, made.time_ns});
          ++items;
        }
        break;
      }
      case Signal::kMetrics: {
        oracle::ExportMetricsServiceRequest request;
        ASSERT_TRUE(request.ParseFromString(made.request));
        for (const auto& metric : request.resource_metrics(0).scope_metrics(0).metrics()) {
          items += static_cast<uint64_t>(metric.histogram().data_points_size() +
                                         metric.sum().data_points_size() + metric.gauge().data_points_size());
          metrics_[service][metric.name()] = metric;
        }
        break;
      }
    }
    EXPECT_EQ(items, made.items);
    exports_.push_back(std::move(made));
  }

  std::vector<Shop::Export> exports_;
  std::vector<SeenSpan> spans_;
  std::vector<SeenLog> logs_;
  std::map<std::string, std::map<std::string, oracle::Metric>> metrics_;  // the latest, by service and name
  Truth truth_;
  TraceId failed_trace_;
};

// Scenario: ten minutes of the shop.
// Guarantees: the truth is what an independent reader counts in the exports: spans, errors and time by
// operation, calls and failures between services, logs by severity, requests.
TEST_F(ShopTest, TellsTheTruth) {
  Run(600, 5);
  std::map<std::tuple<std::string, std::string, SpanKind>, Truth::Operation> operations;
  std::map<std::string, const SeenSpan*> by_id;
  std::set<std::string> traces;
  uint64_t failed = 0;
  for (const SeenSpan& seen : spans_) {
    Truth::Operation& operation =
        operations[{seen.service, seen.span.name(), static_cast<SpanKind>(seen.span.kind())}];
    ++operation.spans;
    operation.errors += seen.span.status().code() == 2 ? 1 : 0;
    operation.durations.Add(Duration(seen));
    by_id[seen.span.span_id()] = &seen;
    traces.insert(seen.span.trace_id());
    if (seen.span.parent_span_id().empty() && seen.span.status().code() == 2) ++failed;
  }
  EXPECT_EQ(by_id.size(), spans_.size());
  EXPECT_EQ(truth_.spans, spans_.size());
  EXPECT_EQ(truth_.requests, traces.size());
  EXPECT_EQ(truth_.failed_requests, failed);
  ASSERT_EQ(truth_.operations.size(), operations.size());
  for (const auto& [key, operation] : operations) {
    const Truth::Operation& told = truth_.operations[key];
    EXPECT_EQ(told.spans, operation.spans) << std::get<1>(key);
    EXPECT_EQ(told.errors, operation.errors) << std::get<1>(key);
    EXPECT_EQ(told.durations.sum_ns(), operation.durations.sum_ns()) << std::get<1>(key);
    EXPECT_EQ(told.durations.AtMost(), operation.durations.AtMost()) << std::get<1>(key);
  }

  std::map<std::pair<std::string, std::string>, Truth::Edge> calls;
  for (const SeenSpan& seen : spans_) {
    const auto parent = by_id.find(seen.span.parent_span_id());
    if (parent == by_id.end() || parent->second->service == seen.service) continue;
    Truth::Edge& edge = calls[{parent->second->service, seen.service}];
    ++edge.calls;
    if (parent->second->span.status().code() == 2 || seen.span.status().code() == 2) ++edge.failed;
    edge.client.Add(Duration(*parent->second));
    edge.server.Add(Duration(seen));
  }
  uint64_t checked = 0;
  for (const auto& [key, edge] : truth_.edges) {
    const auto& [client, server, type] = key;
    if (type == "database" || type == "external") {
      EXPECT_EQ(edge.client.AtMost(), edge.server.AtMost()) << client << " " << server;
      continue;
    }
    const Truth::Edge& seen = calls[{client, server}];
    EXPECT_EQ(seen.calls, edge.calls) << client << " " << server;
    EXPECT_EQ(seen.failed, edge.failed) << client << " " << server;
    EXPECT_EQ(seen.client.sum_ns(), edge.client.sum_ns()) << client << " " << server;
    EXPECT_EQ(seen.server.sum_ns(), edge.server.sum_ns()) << client << " " << server;
    EXPECT_EQ(seen.client.AtMost(), edge.client.AtMost()) << client << " " << server;
    EXPECT_EQ(seen.server.AtMost(), edge.server.AtMost()) << client << " " << server;
    ++checked;
  }
  EXPECT_EQ(checked, calls.size());

  std::map<std::pair<std::string, Severity>, Truth::Logs> severities;
  for (const SeenLog& seen : logs_) {
    Truth::Logs& count = severities[{seen.service, static_cast<Severity>(seen.log.severity_number())}];
    ++count.records;
    if (!seen.log.span_id().empty()) ++count.with_span;
  }
  EXPECT_EQ(truth_.logs, logs_.size());
  ASSERT_EQ(truth_.severities.size(), severities.size());
  for (const auto& [key, count] : severities) {
    EXPECT_EQ(truth_.severities[key].records, count.records) << key.first;
    EXPECT_EQ(truth_.severities[key].with_span, count.with_span) << key.first;
  }
}

// Scenario: the same ten minutes.
// Guarantees: telemetry is well-formed: IDs of the right size, parents that exist and began before, remote
// exactly where the service changes, logs that point at spans of their own service, ERROR spans with a cause.
TEST_F(ShopTest, MakesWellFormedTraces) {
  Run(600, 5);
  std::map<std::string, const SeenSpan*> by_id;
  for (const SeenSpan& seen : spans_) by_id[seen.span.span_id()] = &seen;
  for (const SeenSpan& seen : spans_) {
    const oracle::Span& span = seen.span;
    ASSERT_EQ(span.trace_id().size(), 16u);
    ASSERT_EQ(span.span_id().size(), 8u);
    EXPECT_LT(span.start_time_unix_nano(), span.end_time_unix_nano()) << span.name();
    const bool remote = (span.flags() & 0x200) != 0;
    EXPECT_TRUE(span.flags() & 0x100);
    if (span.parent_span_id().empty()) {
      EXPECT_FALSE(remote);
      EXPECT_EQ(seen.service, "frontend");
      continue;
    }
    const auto parent = by_id.find(span.parent_span_id());
    ASSERT_NE(parent, by_id.end()) << span.name();
    EXPECT_EQ(parent->second->span.trace_id(), span.trace_id());
    EXPECT_LE(parent->second->span.start_time_unix_nano(), span.start_time_unix_nano()) << span.name();
    EXPECT_EQ(remote, parent->second->service != seen.service) << span.name();
  }
  for (const SeenLog& seen : logs_) {
    if (seen.log.span_id().empty()) continue;
    const auto span = by_id.find(seen.log.span_id());
    ASSERT_NE(span, by_id.end()) << seen.log.body().string_value();
    EXPECT_EQ(span->second->span.trace_id(), seen.log.trace_id());
    EXPECT_EQ(span->second->service, seen.service);
  }
}

// Scenario: half an hour of the shop.
// Guarantees: it has what the documentation promises: about 3 % failed requests with exception events and
// ERROR logs, slow ones, an endpoint with a query for every row, retried payments, a queue, a cache.
TEST_F(ShopTest, HasSomethingToFind) {
  Run(1'800, 5);
  const double failed = static_cast<double>(truth_.failed_requests) / static_cast<double>(truth_.requests);
  EXPECT_GT(failed, 0.02);
  EXPECT_LT(failed, 0.04);
  EXPECT_NEAR(static_cast<double>(truth_.requests), 9'000, 400);

  std::map<std::string, int> product_queries;  // by trace
  int exceptions = 0;
  int retries = 0;
  int slow = 0;
  int consumed = 0;
  for (const SeenSpan& seen : spans_) {
    if (seen.span.name() == "SELECT products") ++product_queries[seen.span.trace_id()];
    for (const auto& event : seen.span.events()) exceptions += event.name() == "exception" ? 1 : 0;
    for (const auto& pair : seen.span.attributes()) retries += pair.key() == "retry.attempt" ? 1 : 0;
    const uint64_t ns = seen.span.end_time_unix_nano() - seen.span.start_time_unix_nano();
    if (seen.span.parent_span_id().empty() && ns > kSecond / 2) ++slow;
    if (seen.span.kind() == 5) {
      ++consumed;
      EXPECT_EQ(seen.span.links(0).span_id(), seen.span.parent_span_id());
    }
  }
  const auto most = std::max_element(product_queries.begin(), product_queries.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  EXPECT_GE(most->second, 20);
  EXPECT_GT(exceptions, 150);
  EXPECT_GT(retries, 25);
  EXPECT_GT(slow, 50);
  EXPECT_EQ(static_cast<uint64_t>(consumed), truth_.counters["orders.placed"]);
  for (const Severity severity : {Severity::kDebug, Severity::kInfo, Severity::kWarn, Severity::kError}) {
    EXPECT_TRUE(std::any_of(truth_.severities.begin(), truth_.severities.end(),
                            [&](const auto& entry) { return entry.first.second == severity; }));
  }
  EXPECT_TRUE(truth_.edges.contains({"catalog", "redis", "database"}));
  EXPECT_TRUE(truth_.edges.contains({"payment", "card-processor", "external"}));
  EXPECT_TRUE(truth_.edges.contains({"checkout", "shipping", "messaging"}));
}

// Scenario: a minute of the shop that is not closed.
// Guarantees: nothing is exported before it happened, and nothing waits for longer than a second: like SDKs
// do.
TEST_F(ShopTest, ExportsInTime) {
  Run(60, 20, 1, kSecond / 7, false);
  for (const SeenSpan& seen : spans_) {
    EXPECT_LE(seen.span.end_time_unix_nano(), seen.exported_ns);
    EXPECT_LE(seen.exported_ns, seen.span.end_time_unix_nano() + kSecond);
  }
  for (const SeenLog& seen : logs_) {
    EXPECT_LE(seen.log.time_unix_nano(), seen.exported_ns);
    EXPECT_LE(seen.exported_ns, seen.log.time_unix_nano() + kSecond);
  }
}

// Scenario: the same seed, driven in different steps; and another seed.
// Guarantees: equal seeds make equal exports, byte for byte; another one makes others.
TEST_F(ShopTest, IsDeterministic) {
  const auto bytes = [&](uint64_t seed, uint64_t step_ns) {
    exports_.clear();
    Run(20, 10, seed, step_ns);
    std::string all;
    for (const Shop::Export& made : exports_) all += made.request;
    return all;
  };
  const std::string one = bytes(7, kSecond / 3);
  EXPECT_THAT(one, Not(IsEmpty()));
  EXPECT_EQ(one, bytes(7, kSecond / 50));
  EXPECT_EQ(one, bytes(7, 20 * kSecond));
  EXPECT_NE(one, bytes(8, kSecond / 3));
}

// Scenario: ten minutes of the shop, its last metrics.
// Guarantees: latency histograms count exactly the server spans; exemplars name real spans of that service
// and lie in their bucket; orders are the truth; the queue is empty again.
TEST_F(ShopTest, MeasuresItself) {
  Run(600, 5);
  std::map<std::string, const SeenSpan*> by_id;
  std::map<std::string, uint64_t> served;
  for (const SeenSpan& seen : spans_) {
    by_id[seen.span.span_id()] = &seen;
    if (seen.span.kind() == 2 && !Attribute(seen.span.attributes(), "http.route").empty())
      ++served[seen.service];
  }
  int exemplars = 0;
  for (const auto& [service, count] : served) {
    const oracle::Metric& metric = metrics_[service]["http.server.request.duration"];
    EXPECT_EQ(metric.histogram().aggregation_temporality(), 2);
    uint64_t total = 0;
    for (const auto& point : metric.histogram().data_points()) {
      total += point.count();
      uint64_t in_buckets = 0;
      for (const uint64_t n : point.bucket_counts()) in_buckets += n;
      EXPECT_EQ(in_buckets, point.count());
      EXPECT_EQ(point.start_time_unix_nano(), kOpens);
      ASSERT_EQ(point.bucket_counts_size(), point.explicit_bounds_size() + 1);
      for (const auto& exemplar : point.exemplars()) {
        ++exemplars;
        const auto span = by_id.find(exemplar.span_id());
        ASSERT_NE(span, by_id.end());
        EXPECT_EQ(span->second->service, service);
        EXPECT_EQ(span->second->span.trace_id(), exemplar.trace_id());
        const double seconds = static_cast<double>(span->second->span.end_time_unix_nano() -
                                                   span->second->span.start_time_unix_nano()) /
                               1e9;
        EXPECT_DOUBLE_EQ(exemplar.as_double(), seconds);
      }
    }
    EXPECT_EQ(total, count) << service;
  }
  EXPECT_GT(exemplars, 0);

  const auto& orders = metrics_["checkout"]["shop.orders"].sum();
  EXPECT_TRUE(orders.is_monotonic());
  for (const auto& point : orders.data_points()) {
    EXPECT_EQ(static_cast<uint64_t>(point.as_int()),
              truth_.counters["orders." + Attribute(point.attributes(), "outcome")]);
  }
  EXPECT_EQ(metrics_["shipping"]["shop.queue.length"].gauge().data_points(0).as_int(), 0);
}

// Scenario: the shop names a failed request to look at, long before it is closed.
// Guarantees: the trace's root failed, and all of its spans and logs have been exported by then.
TEST_F(ShopTest, NamesACompleteFailedTrace) {
  Run(120, 20, 1, kSecond / 3, false);
  ASSERT_TRUE(failed_trace_.valid());
  char id[16];
  StoreBigEndian64(failed_trace_.hi, id);
  StoreBigEndian64(failed_trace_.lo, id + 8);
  const std::string trace(id, sizeof id);
  const auto named = [&](const SeenSpan& seen) { return seen.span.trace_id() == trace; };
  const auto exported = static_cast<size_t>(std::count_if(spans_.begin(), spans_.end(), named));
  EXPECT_TRUE(std::any_of(spans_.begin(), spans_.end(), [&](const SeenSpan& seen) {
    return named(seen) && seen.span.parent_span_id().empty() && seen.span.status().code() == 2;
  }));
  spans_.clear();
  Run(120, 20, 1, kSecond / 3, true);
  EXPECT_EQ(static_cast<size_t>(std::count_if(spans_.begin(), spans_.end(), named)), exported);
}

}  // namespace
}  // namespace braid::gateway::demo
