// Prints one metrics page: exposition_page text|openmetrics|protobuf
//
// On it are derived, ingested-looking and own families, with every character that formats escape, exemplars
// at the limit, families that collide, and series that occur twice. exposition_pages_test.py has independent
// parsers read it.

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/summary.h>

#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "correlate/derive/series_owner.h"
#include "correlate/derive/series_table.h"
#include "exporters/encode/exposition.h"
#include "gateway/telemetry/self_telemetry.h"
#include "tests/support/span_counter.h"

namespace braid {
namespace {

void WriteDerived(ExpositionWriter& writer) {
  const correlate::DeriveOptions derive;
  correlate::SeriesOwner owner({.shards = 1}, derive);
  owner.Anchor(0, 1'700'000'000'000'000'000);
  correlate::SeriesTable table({.max_series = 8}, derive, 1);
  test::SpanCounter counter;
  const std::vector<std::string> names = {"GET /", "a\"b",       "c\\d", "e\nf", "\xc3\xa9\xf0\x9f\x98\x80",
                                          "",      "overflowing"};
  for (uint64_t i = 0; i < names.size(); ++i) {
    test::SpanSpec spec;
    spec.name = names[i];
    spec.kind = static_cast<int>(i % 6);
    spec.status = static_cast<int>(i % 3);
    const auto id = counter.Place(table, i == 4 ? "" : "shop", spec).row;
    for (uint64_t ms = 1; ms < 40'000; ms = ms * 3 + i) {
      table.Count(id, ms * 1'000'000, 430);
      table.Offer(id, {ms * 1'000'000, 1'700'000'000'000'000'000 + ms, {i, ms}, ms, i == 2});
    }
  }
  owner.Merge(table.TakeDelta(20), 0);
  owner.Write(writer);
}

void WriteIngested(ExpositionWriter& writer) {
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string long_value(200, 'x');
  const std::vector<Label> extra = {{"user", "u\"1"}, {"long", long_value}};
  const ExemplarView exemplar{0.5, 1'700'000'000'000'000'001, {1, 2}, 3, extra};
  const std::vector<Label> labels = {{"job", "shop"}, {"path", "C:\\x\n\"y\""}};

  writer.Family({"app_requests", "With \"quotes\", a \\ and a\nnewline.", "", MetricType::kCounter});
  writer.Counter(labels, 12.5, 1'600'000'000'000'000'000, &exemplar);
  writer.Counter(labels, 13, 0, nullptr);  // twice
  writer.Counter({}, 1e300, 0, nullptr);
  writer.Counter(std::vector<Label>{{"bad", "\xff"}}, 1, 0, nullptr);
  writer.Counter(std::vector<Label>{{"negative", "1"}}, -1, 0, nullptr);

  writer.Family({"app_temperature_celsius", "", "celsius", MetricType::kGauge});
  writer.Gauge(labels, nan);
  writer.Gauge(std::vector<Label>{{"job", "a"}}, inf);
  writer.Gauge(std::vector<Label>{{"job", "b"}}, -inf);
  writer.Gauge(std::vector<Label>{{"job", "c"}}, 5e-324);

  writer.Family({"app_latency_seconds", "", "seconds", MetricType::kHistogram});
  const std::vector<double> bounds = {0.005, 0.1, 1, 10, 1000000, 123456789};
  const std::vector<double> counts = {1, 2, 3, 4, 5, 6, 7};
  const std::vector<const ExemplarView*> exemplars = {nullptr, nullptr, &exemplar, nullptr,
                                                      nullptr, nullptr, nullptr};
  writer.Histogram(labels, {bounds, counts, 12.25, true, exemplars}, 1'600'000'000'000'000'000);
  const std::vector<double> negative = {-1, 0, 1};
  const std::vector<double> four = {1, 2, 3, 4};
  writer.Histogram(std::vector<Label>{{"job", "negative"}}, {negative, four, -3, true, {}}, 0);
  const std::vector<double> one = {9};
  writer.Histogram(std::vector<Label>{{"job", "no_bounds"}}, {{}, one, 3, true, {}}, 0);

  // Native: beside classic buckets, alone, and below 0.
  writer.Family({"app_native_seconds", "", "seconds", MetricType::kHistogram});
  const std::vector<NativeBucket> buckets = {{-3, 2}, {-2, 1}, {40, 6}};
  const std::vector<ExemplarView> native_exemplars = {exemplar};
  const NativeView above{.zero_count = 4, .positive = buckets, .exemplars = native_exemplars};
  const NativeView below{.zero_count = 1, .negative = buckets};
  const std::vector<double> same = {6, 7};
  const std::vector<double> second = {1};
  writer.Histogram(labels, {.bounds = second, .counts = same, .sum = 3, .native = &above}, 0);
  writer.Histogram(std::vector<Label>{{"job", "alone"}}, {.sum = 3, .native = &above},
                   1'600'000'000'000'000'000);
  writer.Histogram(std::vector<Label>{{"job", "below"}}, {.sum = -3, .native = &below}, 0);

  writer.Family({"app_latency_seconds_count", "", "", MetricType::kGauge});  // collides
  writer.Gauge({}, 1);

  writer.Family({"app_sizes", "", "", MetricType::kSummary});
  const std::vector<double> quantiles = {0, 0.5, 0.99, 1};
  const std::vector<double> values = {1, 2, nan, 3};
  writer.Summary(labels, {quantiles, values, 3, 4}, 1'600'000'000'000'000'000);
  writer.Summary({}, {{}, {}, -1, 4}, 0);

  writer.Family({"app_untyped", "", "", MetricType::kUnknown});
  writer.Gauge(labels, 1);
}

void WriteSelf(ExpositionWriter& writer) {
  gateway::SelfTelemetry self(
      {.version = "1.2.3", .compiler = "gcc", .start_unix_ns = 1'700'000'000'000'000'000});
  auto& requests = prometheus::BuildCounter()
                       .Name("braid_http_requests_total")
                       .Help("Requests.")
                       .Register(self.registry());
  requests.Add({{"status", "200"}}).Increment(3);
  requests.Add({{"status", "400"}}).Increment();
  prometheus::BuildHistogram()
      .Name("braid_http_request_seconds")
      .Help("Time.")
      .Register(self.registry())
      .Add({{"path", "/v1/traces"}}, prometheus::Histogram::BucketBoundaries{0.001, 0.1, 1})
      .Observe(0.05);
  prometheus::BuildSummary()
      .Name("braid_page_seconds")
      .Help("Time.")
      .Register(self.registry())
      .Add({}, prometheus::Summary::Quantiles{{0.5, 0.05}, {0.9, 0.01}})
      .Observe(0.25);
  gateway::Account account;
  account.journal_mode = "memory";
  account.ingress[0] = {.received = 12, .refused = 1, .rejected = {0, 1, 0, 0, 0, 0}, .submitted = 10};
  account.sinks.push_back({.name = "tempo", .takes = {true, false, false}, .ledger = {}});
  account.sinks[0].ledger[0].Accept(10);
  account.sinks[0].ledger[0].Queue(7);
  account.sinks[0].ledger[0].Deliver(5);
  account.sinks[0].ledger[0].DropHeld(DropReason::kDuplicate, 1);
  self.Write(writer, account, [](gateway::Readings& readings) {
    gateway::Read(correlate::SeriesOwner::Stats{}, readings);
    gateway::Read(correlate::MetricIngest::Stats{}, readings);
    gateway::Read(correlate::ExemplarCandidates::Stats{}, readings);
  });
}

int Run(const std::string& format) {
  const auto chosen = format == "text"          ? exporters::ExpositionFormat::kText
                      : format == "openmetrics" ? exporters::ExpositionFormat::kOpenMetrics
                                                : exporters::ExpositionFormat::kProtobuf;
  const auto writer = exporters::PageWriter::New(chosen);
  WriteDerived(*writer);
  WriteIngested(*writer);
  WriteSelf(*writer);
  writer->Finish();
  for (const std::string& chunk : writer->TakeChunks()) std::fwrite(chunk.data(), 1, chunk.size(), stdout);
  return 0;
}

}  // namespace
}  // namespace braid

int main(int argc, char** argv) { return argc == 2 ? braid::Run(argv[1]) : 64; }
