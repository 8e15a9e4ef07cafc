// What is derived from spans under each option, read from the page.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "correlate/derive/series_owner.h"
#include "correlate/derive/series_table.h"
#include "correlate/model/threshold.h"
#include "tests/support/recording_writer.h"
#include "tests/support/span_counter.h"

namespace braid::correlate {
namespace {

using test::RecordingWriter;
using test::SpanSpec;
using testing::Contains;
using testing::Key;
using testing::Not;

constexpr uint64_t kMs = 1'000'000;

// One shard, its owner, and spans that come by.
class Derived {
 public:
  explicit Derived(DeriveOptions derive = {}, SeriesTable::Options table = {},
                   SeriesOwner::Options owner = {})
      : derive_(std::move(derive)), counter_(derive_), table_(table, derive_, 1), owner_(owner, derive_) {}

  SeriesTable::Id Span(const std::string& service, const SpanSpec& spec, uint64_t duration_ns = 5 * kMs) {
    return counter_.Count(table_, service, spec, duration_ns);
  }
  void SpanOf(const test::Attributes& resource, const SpanSpec& spec) {
    table_.Count(counter_.Place(table_, "shop", spec, resource).row, 5 * kMs, 100);
  }
  void Pass(uint64_t ticks) {
    for (const uint64_t end = tick_ + ticks; tick_ < end;) {
      tick_ += 20;
      table_.SetNow(tick_);
      owner_.Merge(table_.TakeDelta(tick_), 0);
    }
  }
  RecordingWriter Page() {
    Pass(20);
    RecordingWriter writer;
    owner_.Write(writer);
    EXPECT_EQ(writer.repeated, 0);
    return writer;
  }
  SeriesTable& table() { return table_; }
  SeriesOwner& owner() { return owner_; }
  const DeriveOptions& derive() const { return derive_; }

 private:
  const DeriveOptions derive_;
  test::SpanCounter counter_;
  SeriesTable table_;
  SeriesOwner owner_;
  uint64_t tick_ = 0;
};

SpanSpec Named(std::string name, int kind = 2, int status = 0) {
  SpanSpec spec;
  spec.name = std::move(name);
  spec.kind = kind;
  spec.status = status;
  return spec;
}

Pattern Re(const char* text) { return std::make_shared<const re2::RE2>(text); }

// Scenario: the same spans under each dialect.
// Guarantees: names, labels, units and buckets are those of the dialect; `both` has both, with equal counts.
TEST(DialectTest, NamesLabelsUnitsAndBuckets) {
  const std::string tempo =
      "{service=shop,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_ERROR}";
  const std::string otel =
      "{service_name=shop,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_ERROR}";
  for (const auto dialect :
       {DeriveOptions::Dialect::kTempo, DeriveOptions::Dialect::kOtel, DeriveOptions::Dialect::kBoth}) {
    DeriveOptions derive;
    derive.dialect = dialect;
    Derived derived(derive);
    for (const uint64_t ms : {1, 3, 6, 7, 9, 12, 300, 1024, 1025, 1200, 5000, 16'000, 20'000})
      derived.Span("shop", Named("op", 2, 2), ms * kMs);
    const RecordingWriter page = derived.Page();
    if (derive.tempo()) {
      EXPECT_EQ(page.points.at("traces_spanmetrics_calls" + tempo).value, 13);
      const auto& latency = page.points.at("traces_spanmetrics_latency" + tempo);
      EXPECT_THAT(latency.counts, testing::ElementsAre(1, 1, 2, 2, 0, 0, 0, 0, 1, 1, 2, 0, 1, 1, 1));
      EXPECT_DOUBLE_EQ(latency.sum, 44.587);
      EXPECT_EQ(latency.bounds.front(), 0.002);
      EXPECT_EQ(latency.bounds.back(), 16.384);
    }
    if (derive.otel()) {
      EXPECT_EQ(page.points.at("traces_span_metrics_calls" + otel).value, 13);
      const auto& duration = page.points.at("traces_span_metrics_duration_milliseconds" + otel);
      EXPECT_THAT(duration.counts, testing::ElementsAre(1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 3, 0, 1, 0, 0, 2));
      EXPECT_DOUBLE_EQ(duration.sum, 44'587);
      EXPECT_EQ(duration.bounds.front(), 2);
      EXPECT_EQ(duration.bounds.back(), 15'000);
    }
    EXPECT_EQ(page.points.contains("traces_spanmetrics_calls" + tempo), derive.tempo());
    EXPECT_EQ(page.points.contains("traces_span_metrics_calls" + otel), derive.otel());
  }
}

// Scenario: random durations, weights among them, in classic and native histograms of both units.
// Guarantees: native counts and sums equal the classic ones; each observation is in the bucket that its value
// belongs to, also those far from the first.
TEST(DialectTest, NativeAgreesWithClassic) {
  DeriveOptions derive;
  derive.dialect = DeriveOptions::Dialect::kBoth;
  derive.histograms = DeriveOptions::Histograms::kBoth;
  Derived derived(derive);
  std::mt19937_64 random(9);
  std::map<int32_t, double> seconds, millis;
  double zeros = 0;
  for (int i = 0; i < 20'000; ++i) {
    SpanSpec spec = Named("op");
    double weight = 1;
    if (i % 3 == 0) {
      spec.tracestate = "ot=th:8";
      weight = 2;
    } else if (i % 3 == 1) {
      spec.tracestate = "ot=th:5555555555554";
      weight = WeightOf(0x55555555555540);
    }
    const uint64_t duration = i % 50 == 0 ? 0 : random() >> (20 + random() % 40);
    derived.Span("shop", spec, duration);
    if (duration == 0) {
      zeros += weight;
      continue;
    }
    seconds[static_cast<int32_t>(std::ceil(std::log2(static_cast<double>(duration) / 1e9) * 8))] += weight;
    millis[static_cast<int32_t>(std::ceil(std::log2(static_cast<double>(duration) / 1e6) * 8))] += weight;
    if (i % 500 == 0) derived.Pass(20);
  }
  const RecordingWriter page = derived.Page();
  const auto check = [&](const std::string& key, const std::map<int32_t, double>& expected) {
    const auto& point = page.points.at(key);
    const double classic = std::accumulate(point.counts.begin(), point.counts.end(), 0.0);
    double native = point.zero_count;
    for (const NativeBucket& bucket : point.positive) native += bucket.count;
    EXPECT_NEAR(native, classic, classic * 1e-12);
    EXPECT_NEAR(point.zero_count, zeros, zeros * 1e-12);
    std::map<int32_t, double> scaled;
    for (const auto& [index, n] : expected) {
      int32_t at = index;
      for (int schema = 3; schema > point.schema; --schema) at = (at + 1) >> 1;
      scaled[at] += n;
    }
    ASSERT_EQ(point.positive.size(), scaled.size());
    EXPECT_LE(point.positive.size(), 160u);
    auto at = scaled.begin();
    for (const NativeBucket& bucket : point.positive) {
      EXPECT_EQ(bucket.index, at->first);
      EXPECT_NEAR(bucket.count, at->second, at->second * 1e-12);
      ++at;
    }
  };
  check(
      "traces_spanmetrics_latency{service=shop,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_"
      "CODE_UNSET}",
      seconds);
  check(
      "traces_span_metrics_duration_milliseconds{service_name=shop,span_kind=SPAN_KIND_SERVER,span_name=op,"
      "status_code="
      "STATUS_CODE_UNSET}",
      millis);
}

// Scenario: spans kept with p = 0.75, 0.4, 0.382, 0.1 and 0.01, in two replicas and two orders.
// Guarantees: counts are the sum of 1/p to 1e-9, sums and sizes are weighted alike, and both replicas agree
// bit for bit.
TEST(WeightTest, SumsOfWeightsAreExact) {
  const double shares[] = {0.75, 0.4, 0.382, 0.1, 0.01};
  std::vector<SpanSpec> specs;
  long double expected = 0;
  for (int i = 0; i < 5000; ++i) {
    const double p = shares[i % 5];
    const auto threshold = static_cast<uint64_t>((1 - p) * 0x1p56);
    char text[64];
    std::snprintf(text, sizeof text, i % 2 == 0 ? "ot=th:%014llx" : "ot=rv:fffffffffffff0;th:%014llx",
                  static_cast<unsigned long long>(threshold));
    SpanSpec spec = Named("op");
    spec.tracestate = text;
    specs.push_back(spec);
    expected += 0x1p56L / static_cast<long double>((uint64_t{1} << 56) - threshold);
  }
  std::vector<RecordingWriter> pages;
  for (int replica = 0; replica < 2; ++replica) {
    Derived derived;
    std::shuffle(specs.begin(), specs.end(), std::mt19937(static_cast<unsigned>(replica)));
    for (size_t i = 0; i < specs.size(); ++i) {
      derived.Span("s", specs[i], 3 * kMs);
      if (i % (700 + static_cast<size_t>(replica) * 31) == 0) derived.Pass(20);
    }
    pages.push_back(derived.Page());
  }
  const std::string key = "{service=s,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET}";
  const auto& calls = pages[0].points.at("traces_spanmetrics_calls" + key);
  const auto& latency = pages[0].points.at("traces_spanmetrics_latency" + key);
  const auto want = static_cast<double>(expected);
  EXPECT_NEAR(calls.value, want, want * 1e-9);
  EXPECT_NEAR(latency.counts[1], want, want * 1e-9);
  EXPECT_NEAR(latency.sum, want * 0.003, want * 0.003 * 1e-9);
  EXPECT_NEAR(pages[0].points.at("traces_spanmetrics_size" + key).value, want * 100, want * 100 * 1e-9);
  for (const auto& [name, point] : pages[0].points) {
    const auto& other = pages[1].points.at(name);
    EXPECT_EQ(point.value, other.value) << name;
    EXPECT_EQ(point.sum, other.sum) << name;
    EXPECT_EQ(point.counts, other.counts) << name;
  }
}

// Scenario: more different thresholds than there is room for, and unreadable ones.
// Guarantees: further ones are rounded to the nearest step, so that their sum is near the truth, and counted;
// unreadable ones weigh 1, and are counted.
TEST(WeightTest, ThresholdsAreBounded) {
  Derived derived({}, {.max_thresholds = 10});
  double expected = 0;
  for (uint64_t i = 1; i <= 400; ++i) {
    SpanSpec spec = Named("op");
    char text[64];
    std::snprintf(text, sizeof text, "ot=th:%014llx", static_cast<unsigned long long>(i) * 0x00a3d70a3d70a3u);
    spec.tracestate = text;
    derived.Span("s", spec);
    expected += WeightOf(i * 0x00a3d70a3d70a3u);
  }
  SpanSpec odd = Named("odd");
  odd.tracestate = "ot=th:xyz";
  derived.Span("s", odd);
  const RecordingWriter page = derived.Page();
  EXPECT_NEAR(page.points
                  .at("traces_spanmetrics_calls{service=s,span_kind=SPAN_KIND_SERVER,span_name=op,status_"
                      "code=STATUS_CODE_"
                      "UNSET}")
                  .value,
              expected, expected / 200);
  EXPECT_EQ(page.points
                .at("traces_spanmetrics_calls{service=s,span_kind=SPAN_KIND_SERVER,span_name=odd,status_code="
                    "STATUS_CODE_"
                    "UNSET}")
                .value,
            1);
  EXPECT_EQ(derived.owner().stats().thresholds_malformed, 1u);
  EXPECT_EQ(derived.owner().stats().thresholds_coarsened, 390u);
  EXPECT_LE(derived.table().series(), 200u);
}

// Scenario: the thresholds that took all the room belong to series that have ended.
// Guarantees: others are exact from then on.
TEST(WeightTest, ThresholdsEndWithTheirSeries) {
  Derived derived({}, {.max_thresholds = 10, .expire_ticks = 100});
  const auto send = [&](const char* name, uint64_t threshold) {
    SpanSpec spec = Named(name);
    char text[64];
    std::snprintf(text, sizeof text, "ot=th:%014llx", static_cast<unsigned long long>(threshold));
    spec.tracestate = text;
    derived.Span("s", spec);
  };
  const uint64_t odd = 0x9e353f7ced9168;  // p = 0.382
  for (uint64_t i = 1; i <= 10; ++i) send("then", i * 0x00a3d70a3d70a3u);
  send("rounded", odd);
  const auto calls = [](const RecordingWriter& page, const std::string& name) {
    return page.points
        .at("traces_spanmetrics_calls{service=s,span_kind=SPAN_KIND_SERVER,span_name=" + name +
            ",status_code=STATUS_CODE_UNSET}")
        .value;
  };
  EXPECT_NEAR(calls(derived.Page(), "rounded"), WeightOf(odd), WeightOf(odd) * 0.032);
  EXPECT_NE(calls(derived.Page(), "rounded"), WeightOf(odd));
  derived.Pass(400);
  send("exact", odd);
  EXPECT_EQ(calls(derived.Page(), "exact"), WeightOf(odd));
  EXPECT_EQ(derived.owner().stats().thresholds_coarsened, 1u);
}

// Scenario: a service whose spans are left out has a new name for each, beside one that counts.
// Guarantees: they take no room from the one that counts, and are bounded themselves.
TEST(IncludeExcludeTest, WhatIsLeftOutTakesNoRoom) {
  DeriveOptions derive;
  derive.exclude.emplace_back().span_name = Re("^probe");
  Derived derived(derive, {.max_series = 1000});
  for (int i = 0; i < 5000; ++i) derived.Span("prober", Named("probe " + std::to_string(i)));
  for (int i = 0; i < 400; ++i) derived.Span("shop", Named("op " + std::to_string(i)));
  const RecordingWriter page = derived.Page();
  size_t named = 0;
  for (const auto& [key, point] : page.points) {
    if (!key.starts_with("traces_spanmetrics_calls{")) continue;
    EXPECT_NE(key.find("service=shop,"), std::string::npos) << key;
    named += key.find("span_name=op ") != std::string::npos;
  }
  EXPECT_EQ(named, 400u);
  EXPECT_LE(derived.table().series(), 400u + 250 + 1);
}

// Scenario: events, exceptions, edges and resources whose labels have many values.
// Guarantees: the list of labels with most values has them.
TEST(CardinalityTest, ListsTheLabelsOfEverySeries) {
  DeriveOptions derive;
  derive.graph.dimensions = {"zone"};
  Derived derived(derive);
  SeriesTable& table = derived.table();
  const SeriesTable::Id row = derived.Span("shop", Named("op"));
  for (int i = 0; i < 40; ++i) {
    table.CountOne(table.DetailRow(RowKind::kEvents, row, "event" + std::to_string(i)));
    if (i < 30) table.CountOne(table.DetailRow(RowKind::kExceptions, row, "type" + std::to_string(i)));
    if (i >= 20) continue;
    std::string zones;
    label_block::Append(&zones, "z" + std::to_string(i));
    label_block::Append(&zones, "same");
    const uint32_t shop = table.InternName("shop"), bank = table.InternName("bank");
    table.CountEdge(
        table.EdgeRow(RowKind::kEdgeServer, shop, bank, Connection::kDirect, false, 0, false, zones, 0), kMs);
  }
  derived.Pass(20);
  std::map<std::string, uint64_t> labels;
  for (const auto& share : derived.owner().WhoMakesSeries(20).labels) labels[share.name] = share.count;
  EXPECT_EQ(labels["event_name"], 40u);
  EXPECT_EQ(labels["exception_type"], 30u);
  EXPECT_EQ(labels["client_zone"], 20u);
  EXPECT_EQ(labels["server_zone"], 1u);
  EXPECT_EQ(labels["span_name"], 1u);
}

// Scenario: dimensions that collide with intrinsic labels and each other, and mappings.
// Guarantees: Tempo's rules for names; the later of equal names counts; absent values make no label; spans
// that differ in nothing else are told apart.
TEST(LabelTest, DimensionsAndMappings) {
  DeriveOptions derive;
  derive.dimensions = {
      {.key = "http.method"}, {.key = "service"}, {.key = "a.b"}, {.key = "a_b"}, {.key = "1st"}};
  derive.mappings = {{"place", {"region", "zone"}, "-"}};
  derive.status_message = true;
  Derived derived(derive);
  SpanSpec spec = Named("op");
  spec.attributes = {{"http.method", "GET"}, {"service", "x"}, {"a.b", "first"},
                     {"a_b", "second"},      {"1st", "y"},     {"zone", "z1"}};
  derived.Span("shop", spec);
  spec.attributes = {{"http.method", "PUT"}, {"region", "eu"}, {"zone", "z1"}};
  derived.Span("shop", spec);
  derived.Span("shop", spec);
  const RecordingWriter page = derived.Page();
  EXPECT_EQ(page.points
                .at("traces_spanmetrics_calls{_1st=y,__service=x,a_b=second,http_method=GET,place=z1,service="
                    "shop,span_kind=SPAN_KIND_"
                    "SERVER,span_name=op,status_code=STATUS_CODE_UNSET}")
                .value,
            1);
  EXPECT_EQ(page.points
                .at("traces_spanmetrics_calls{http_method=PUT,place=eu-z1,service=shop,span_kind=SPAN_KIND_"
                    "SERVER,span_name=op,status_code="
                    "STATUS_CODE_UNSET}")
                .value,
            2);
}

// Scenario: an attribute on the resource and, with another value, on the span; and resources that differ in
// nothing else. Guarantees: Tempo's dialect takes the resource's value, the Collector's the span's; with
// target_info each resource is shown, and told apart by job and instance.
TEST(LabelTest, ResourcesAndSpans) {
  DeriveOptions derive;
  derive.dialect = DeriveOptions::Dialect::kBoth;
  derive.dimensions = {{.key = "zone"}};
  derive.target_info = true;
  Derived derived(derive);
  SpanSpec spec = Named("op");
  spec.attributes = {{"zone", "of span"}};
  derived.SpanOf({{"zone", "of resource"}, {"service.instance.id", "1"}, {"service.namespace", "n"}}, spec);
  derived.SpanOf({{"service.instance.id", "2"}}, spec);
  const RecordingWriter page = derived.Page();
  const std::string rest = "span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET,zone=";
  EXPECT_THAT(page.points, Contains(Key("traces_spanmetrics_calls{instance=1,job=n/shop,service=shop," +
                                        rest + "of resource}")));
  EXPECT_THAT(page.points, Contains(Key("traces_span_metrics_calls{instance=1,job=n/shop,service_name=shop," +
                                        rest + "of span}")));
  EXPECT_THAT(page.points, Contains(Key("traces_spanmetrics_calls{instance=2,job=shop,service=shop," + rest +
                                        "of span}")));
  EXPECT_THAT(page.points, Contains(Key("traces_target_info{instance=1,job=n/shop,zone=of resource}")));
  // Nothing but its identity is known of the other.
  EXPECT_THAT(page.points, Not(Contains(Key("traces_target_info{instance=2,job=shop}"))));
}

// Scenario: each way to include and exclude, and both.
// Guarantees: all conditions of an entry must hold, any entry suffices, exclude wins; what does not count
// leaves no series.
TEST(LabelTest, IncludeAndExclude) {
  DeriveOptions derive;
  derive.include.resize(2);
  derive.include[0].kind = 2;
  derive.include[1].span_name = Re("^batch");
  derive.include[1].status = 2;
  derive.exclude.resize(1);
  derive.exclude[0].attributes = {{"url.path", Re("^/healthz$")}};
  Derived derived(derive);
  SpanSpec health = Named("GET");
  health.attributes = {{"url.path", "/healthz"}};
  derived.Span("s", Named("GET"));
  derived.Span("s", health);
  derived.Span("s", Named("GET", 3));
  derived.Span("s", Named("batch 1", 1, 2));
  derived.Span("s", Named("batch 1", 1, 0));
  const RecordingWriter page = derived.Page();
  std::vector<std::string> calls;
  for (const auto& [key, point] : page.points) {
    if (key.starts_with("traces_spanmetrics_calls")) calls.push_back(key);
  }
  EXPECT_THAT(calls,
              testing::UnorderedElementsAre("traces_spanmetrics_calls{service=s,span_kind=SPAN_KIND_SERVER,"
                                            "span_name=GET,status_code=STATUS_CODE_UNSET}",
                                            "traces_spanmetrics_calls{service=s,span_kind=SPAN_KIND_INTERNAL,"
                                            "span_name=batch 1,status_code=STATUS_CODE_ERROR}"));
}

// Scenario: every source of errors, on servers and clients.
// Guarantees: the policy decides status_code and says why; codes that are the caller's fault are no server's
// error.
TEST(LabelTest, ErrorPolicy) {
  DeriveOptions derive;
  derive.errors_http_5xx = derive.errors_http_4xx = derive.errors_grpc = true;
  Derived derived(derive);
  const auto source = [&](int kind, int status, const test::Attributes& attributes) -> std::string {
    static int n = 0;
    SpanSpec spec = Named("op" + std::to_string(n++), kind, status);
    spec.attributes = attributes;
    derived.Span("s", spec);
    for (const auto& [key, point] : derived.Page().points) {
      if (!key.starts_with("traces_spanmetrics_calls") ||
          key.find("span_name=" + spec.name + ",") == std::string::npos)
        continue;
      const bool error = key.find("STATUS_CODE_ERROR") != std::string::npos;
      const size_t at = key.find("error_source=");
      EXPECT_EQ(error, at != std::string::npos) << key;
      return at == std::string::npos ? "" : key.substr(at + 13, key.find(',', at) - at - 13);
    }
    return "no series";
  };
  EXPECT_EQ(source(2, 0, {}), "");
  EXPECT_EQ(source(2, 2, {{"http.response.status_code", "503"}}), "status");
  EXPECT_EQ(source(2, 0, {{"http.response.status_code", "503"}}), "http_5xx");
  EXPECT_EQ(source(2, 1, {{"http.status_code", "404"}}), "http_4xx");
  EXPECT_EQ(source(2, 0, {{"http.response.status_code", "200"}}), "");
  EXPECT_EQ(source(2, 0, {{"rpc.grpc.status_code", "5"}}), "");
  EXPECT_EQ(source(3, 0, {{"rpc.grpc.status_code", "5"}}), "grpc");
  EXPECT_EQ(source(2, 0, {{"rpc.grpc.status_code", "14"}}), "grpc");
  EXPECT_EQ(source(2, 0, {{"rpc.response.status_code", "UNAVAILABLE"}}), "grpc");
  EXPECT_EQ(source(3, 0, {{"rpc.response.status_code", "OK"}}), "");
}

// Scenario: names with IDs under each setting.
// Guarantees: templates count together what differs in IDs only; dry_run lists the same and changes nothing.
TEST(LabelTest, NameTemplates) {
  for (const auto names : {DeriveOptions::Names::kDryRun, DeriveOptions::Names::kTemplates}) {
    DeriveOptions derive;
    derive.names = names;
    Derived derived(derive);
    for (int i = 0; i < 10; ++i) derived.Span("s", Named("GET /cart/" + std::to_string(i)));
    const RecordingWriter page = derived.Page();
    const auto merged = derived.owner().MergedNames();
    ASSERT_EQ(merged.size(), 1u);
    EXPECT_EQ(merged[0].name, "GET /cart/{id}");
    EXPECT_EQ(merged[0].count, 10u);
    EXPECT_THAT(merged[0].examples, Contains("GET /cart/0"));
    const std::string key =
        "traces_spanmetrics_calls{service=s,span_kind=SPAN_KIND_SERVER,span_name=GET "
        "/cart/{id},status_code=STATUS_CODE_UNSET}";
    if (names == DeriveOptions::Names::kTemplates) {
      EXPECT_EQ(page.points.at(key).value, 10);
    } else {
      EXPECT_THAT(page.points, Not(Contains(Key(key))));
      EXPECT_EQ(derived.owner().stats().series, 10u);
    }
  }
}

// Scenario: a service with more beginnings of names than there are nodes for, then nothing for long.
// Guarantees: the nodes in use, those that were refused and those that gave way are told, and what was
// learned ends four times after what was counted.
TEST(LabelTest, NodesOfTemplates) {
  DeriveOptions derive;
  derive.names = DeriveOptions::Names::kTemplates;
  Derived derived(derive, {.max_template_nodes = 128, .expire_ticks = 400});
  const auto span = [&](size_t i, const char* end) { derived.Span("s", Named(std::string(i, 'x') + end)); };
  for (size_t i = 1; i <= 200; ++i) span(i, " one");
  derived.Pass(20);
  EXPECT_EQ(derived.table().template_nodes(), 65u);  // half, and its share of the other half
  EXPECT_EQ(derived.owner().stats().template_nodes_replaced, 200u - 65);
  EXPECT_EQ(derived.owner().stats().template_nodes_refused, 0u);
  for (size_t i = 136; i <= 200; ++i) span(i, " two");  // the last 65
  for (size_t i = 201; i <= 230; ++i) span(i, " one");
  derived.Pass(20);
  EXPECT_EQ(derived.owner().stats().template_nodes_refused, 30u);
  derived.Pass(1600);
  EXPECT_GT(derived.table().template_nodes(), 0u);
  derived.Pass(300);
  EXPECT_EQ(derived.table().template_nodes(), 0u);
}

// Scenario: a burst of series, then one that goes on alone.
// Guarantees: the others end after expire_ticks and not before, the memory of shard and owner comes back, the
// survivor keeps its count and start, and one that returns begins anew.
TEST(ExpiryTest, SeriesEndAndMemoryComesBack) {
  Derived derived({}, {.max_series = 100'000, .expire_ticks = 400},
                  {.max_series = 100'000, .expire_ticks = 400});
  derived.owner().Anchor(0, 1'000'000'000'000);
  derived.Span("s", Named("lasting"));
  for (int i = 0; i < 30'000; ++i) derived.Span("s", Named("burst" + std::to_string(i)));
  derived.Pass(20);
  EXPECT_EQ(derived.owner().stats().series, 30'001u);
  const size_t full = derived.table().bytes();
  for (int i = 0; i < 19; ++i) {
    derived.Span("s", Named("lasting"));
    derived.Pass(20);
  }
  EXPECT_EQ(derived.owner().stats().series, 30'001u);  // 400 ticks have not passed since
  for (int i = 0; i < 60; ++i) {
    derived.Span("s", Named("lasting"));
    derived.Pass(20);
  }
  EXPECT_EQ(derived.owner().stats().series, 1u);
  EXPECT_EQ(derived.owner().stats().expired_series, 30'000u);
  EXPECT_LT(derived.table().bytes(), full / 10);
  EXPECT_LT(derived.owner().stats().bytes, 200'000u);
  derived.Span("s", Named("burst7"));
  const RecordingWriter page = derived.Page();
  const auto point = [&](const std::string& name) {
    return page.points.at("traces_spanmetrics_calls{service=s,span_kind=SPAN_KIND_SERVER,span_name=" + name +
                          ",status_code=STATUS_CODE_UNSET}");
  };
  EXPECT_EQ(point("lasting").value, 80);
  EXPECT_EQ(point("lasting").created_ns, 1'000'000'000'000u);
  EXPECT_EQ(point("burst7").value, 1);
  EXPECT_GT(point("burst7").created_ns, 1'000'000'000'000u + 79 * 1'000'000'000u);
}

// Scenario: a row ends while a Record still names it, and its number is given again.
// Guarantees: the old name is told apart from the new row.
TEST(ExpiryTest, OldNumbersDoNotNameNewRows) {
  Derived derived({}, {.expire_ticks = 40}, {.expire_ticks = 40});
  const SeriesTable::Id old = derived.Span("s", Named("old"));
  EXPECT_EQ(derived.table().dims(old).name, "old");
  derived.Pass(400);
  EXPECT_EQ(derived.table().dims(old).name, "");
  const SeriesTable::Id fresh = derived.Span("s", Named("fresh"));
  EXPECT_EQ(SeriesTable::RowOf(fresh), SeriesTable::RowOf(old));
  EXPECT_EQ(derived.table().dims(old).name, "");
  EXPECT_EQ(derived.table().dims(fresh).name, "fresh");
}

// Scenario: two tables count the same, with series that come, end and come again; one's owner keeps every
// delta for a while. Guarantees: rows and their numbers are the same at every moment, and so are the pages in
// the end: what the fold remembers does not depend on when somebody else finds time.
TEST(ExpiryTest, DoesNotDependOnTheOwner) {
  const DeriveOptions derive;
  test::SpanCounter counter;
  SeriesTable prompt({.expire_ticks = 240}, derive, 1), held({.expire_ticks = 240}, derive, 1);
  SeriesOwner prompt_owner({}, derive), held_owner({}, derive);
  std::vector<SeriesDeltaPtr> kept;
  std::mt19937 random(4);
  for (uint64_t tick = 20; tick <= 8000; tick += 20) {
    for (int i = 0; i < 5; ++i) {
      const SpanSpec spec = Named("op" + std::to_string((tick / 400 * 7 + random() % 9) % 23));
      EXPECT_EQ(counter.Count(prompt, "s", spec, kMs), counter.Count(held, "s", spec, kMs));
    }
    prompt.SetNow(tick);
    held.SetNow(tick);
    prompt_owner.Merge(prompt.TakeDelta(tick), 0);
    if (SeriesDeltaPtr delta = held.TakeDelta(tick)) kept.push_back(std::move(delta));
    if (random() % 6 == 0 || tick % 160 == 0) {
      for (SeriesDeltaPtr& delta : kept) held_owner.Merge(std::move(delta), 0);
      kept.clear();
    }
    EXPECT_EQ(prompt.series(), held.series());
    EXPECT_EQ(prompt.signatures(), held.signatures());
  }
  held_owner.Merge(held.TakeDelta(8020), 0);
  prompt_owner.Merge(prompt.TakeDelta(8020), 0);
  EXPECT_EQ(prompt_owner.stats().series, held_owner.stats().series);
  EXPECT_EQ(prompt_owner.stats().expired_series, held_owner.stats().expired_series);
  EXPECT_GT(prompt_owner.stats().expired_series, 50u);
  EXPECT_EQ(prompt_owner.Digest(), held_owner.Digest());
}

// Scenario: state written by one owner, restored into another that has counted already; then damaged, and
// foreign, state. Guarantees: counts add up exactly, weights and natives included; the earlier start time
// stays; restored series that nobody comes for end; what does not fit is refused whole.
TEST(RestoreTest, StateIsOneValue) {
  DeriveOptions derive;
  derive.histograms = DeriveOptions::Histograms::kBoth;
  derive.self_time = true;
  const auto fill = [](Derived& derived, uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 2000; ++i) {
      SpanSpec spec = Named("op" + std::to_string(random() % 9), static_cast<int>(random() % 6));
      if (random() % 3 == 0) spec.tracestate = "ot=th:8";
      const SeriesTable::Id id = derived.Span("s" + std::to_string(random() % 3), spec, random() >> 30);
      if (random() % 2 == 0) derived.table().CountSelf(id, random() >> 30);
    }
    derived.Pass(20);
  };
  Derived first(derive, {.expire_ticks = 400}, {.expire_ticks = 400}),
      second(derive, {.expire_ticks = 400}, {.expire_ticks = 400});
  first.owner().Anchor(0, 5'000'000'000);
  second.owner().Anchor(0, 9'000'000'000);
  fill(first, 1);
  fill(second, 2);
  Derived third(derive);
  fill(third, 1);
  fill(third, 2);

  const std::string state = first.owner().Serialize();
  ASSERT_TRUE(second.owner().Restore(state, 20).ok());
  EXPECT_EQ(second.owner().Digest(), third.owner().Digest());
  for (const auto& [key, point] : second.Page().points) EXPECT_EQ(point.created_ns, 5'000'000'000u) << key;

  Derived idle(derive, {.expire_ticks = 400}, {.expire_ticks = 400});
  ASSERT_TRUE(idle.owner().Restore(state, 0).ok());
  EXPECT_EQ(idle.owner().Digest(), first.owner().Digest());
  idle.Pass(380);
  EXPECT_GT(idle.owner().stats().series, 0u);
  idle.Pass(400);
  EXPECT_EQ(idle.owner().stats().series, 0u);

  std::string damaged = state;
  damaged[damaged.size() / 2] ^= 1;
  EXPECT_FALSE(idle.owner().Restore(damaged, 0).ok());
  EXPECT_FALSE(idle.owner().Restore("", 0).ok());
  Derived other;  // classic only
  EXPECT_FALSE(other.owner().Restore(state, 0).ok());
  EXPECT_EQ(other.owner().stats().series, 0u);
}

// Scenario: series of several services and a dimension that runs away.
// Guarantees: the worst service and the worst label come first.
TEST(CardinalityTest, TheWorstAreShown) {
  DeriveOptions derive;
  derive.dimensions = {{.key = "user"}};
  Derived derived(derive);
  for (int i = 0; i < 50; ++i) {
    SpanSpec spec = Named("op");
    spec.attributes = {{"user", std::to_string(i)}};
    derived.Span("noisy", spec);
  }
  derived.Span("quiet", Named("op"));
  derived.Page();
  const SeriesOwner::Cardinality cardinality = derived.owner().WhoMakesSeries(1);
  ASSERT_EQ(cardinality.services.size(), 1u);
  EXPECT_EQ(cardinality.services[0].name, "noisy");
  EXPECT_EQ(cardinality.services[0].count, 50u);
  ASSERT_EQ(cardinality.labels.size(), 1u);
  EXPECT_EQ(cardinality.labels[0].name, "user");
  EXPECT_EQ(cardinality.labels[0].count, 50u);
}

}  // namespace
}  // namespace braid::correlate
