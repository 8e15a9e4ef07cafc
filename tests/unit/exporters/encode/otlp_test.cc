#include "exporters/encode/otlp.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "exporters/encode/encoding_cache.h"
#include "exporters/encode/json.h"
#include "otlp.pb.h"
#include "tests/unit/exporters/chunk_builder.h"

namespace braid::exporters {
namespace {

using testing::ElementsAre;

// Scenario: every sub-range of a chunk with two services, one of them in two scopes.
// Guarantees: what is rebuilt parses to the same resources and scopes with exactly the range's items, and a
// whole range equals the chunk's own content.
TEST(EncodeOtlpTest, RebuildsAnyRange) {
  SlabPool slabs{SlabPool::Options{}};
  std::string two_scopes;
  {
    wire::Writer w(&two_scopes);
    const size_t rs = w.Begin(1);
    const size_t r = w.Begin(1);
    test::WriteAttributes(w, 1, {{"service.name", "b"}});
    w.End(r);
    uint64_t span = 10;
    for (const char* scope_name : {"s1", "s2"}) {
      const size_t ss = w.Begin(2);
      const size_t s = w.Begin(1);
      w.Bytes(1, scope_name);
      w.End(s);
      for (int i = 0; i < 2; ++i) {
        ++span;
        w.Bytes(2, test::Span({.trace = {1, span}, .span = span, .name = "b" + std::to_string(span)}));
      }
      w.End(ss);
    }
    w.End(rs);
  }
  const auto chunk = test::MakeChunk(Signal::kTraces,
                                     test::Traces("a", {{.trace = {1, 1}, .span = 1, .name = "a1"},
                                                        {.trace = {1, 2}, .span = 2, .name = "a2"}}) +
                                         two_scopes,
                                     slabs);
  const uint32_t n = static_cast<uint32_t>(chunk->items.size());
  ASSERT_EQ(n, 6u);
  const auto all = test::ItemNames(*chunk, 0, n);
  for (uint32_t first = 0; first < n; ++first) {
    for (uint32_t count = 1; first + count <= n; ++count) {
      const Slab bytes = EncodeOtlp(*chunk, first, count, slabs);
      oracle::ExportTraceServiceRequest request;
      ASSERT_TRUE(request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
      std::vector<std::string> names;
      for (const auto& rs : request.resource_spans()) {
        const std::string service = rs.resource().attributes(0).value().string_value();
        for (const auto& ss : rs.scope_spans()) {
          EXPECT_GT(ss.spans_size(), 0);
          EXPECT_EQ(ss.scope().name(), service == "a" ? "test" : ss.spans(0).name() < "b13" ? "s1" : "s2");
          for (const auto& span : ss.spans()) {
            names.push_back(span.name());
            EXPECT_EQ(span.name().substr(0, 1), service);
          }
        }
      }
      EXPECT_EQ(names, std::vector<std::string>(all.begin() + first, all.begin() + first + count));
    }
  }
}

// Scenario: two sinks share a compressed encoding; a third party wants one that nobody expects.
// Guarantees: it is made once, gone when the last user forgets it, and not kept where nobody expects it.
TEST(EncodingCacheTest, LivesAsLongAsItsUsers) {
  SlabPool slabs{SlabPool::Options{}};
  const auto chunk = test::SpanChunk(3, slabs);
  int made = 0;
  const auto make = [&] {
    ++made;
    return slabs.Take(100);
  };
  ExpectEncoding(*chunk, "x");
  ExpectEncoding(*chunk, "x");
  const auto first = Encoded(*chunk, "x", make);
  EXPECT_EQ(Encoded(*chunk, "x", make), first);
  EXPECT_EQ(made, 1);
  ForgetEncoding(*chunk, "x");
  EXPECT_EQ(chunk->encodings.size(), 1u);
  ForgetEncoding(*chunk, "x");
  EXPECT_TRUE(chunk->encodings.empty());
  Encoded(*chunk, "x", make);
  EXPECT_EQ(made, 2);
  EXPECT_TRUE(chunk->encodings.empty());
}

// Scenario: numbers, strings and bytes as JSON.
// Guarantees: escaped, shortest, padded.
TEST(JsonTest, Scalars) {
  const auto string = [](std::string_view text) {
    std::string out;
    AppendJsonString(text, &out);
    return out;
  };
  EXPECT_EQ(string(std::string("a\"\\\n\x01\x1f\xc3\xa4", 8)), "\"a\\\"\\\\\\n\\u0001\\u001f\xc3\xa4\"");
  const auto base64 = [](std::string_view bytes) {
    std::string out;
    AppendBase64(bytes, &out);
    return out;
  };
  EXPECT_THAT((std::vector{base64(""), base64("f"), base64("fo"), base64("foo"), base64("\xff\xfe")}),
              ElementsAre("", "Zg==", "Zm8=", "Zm9v", "//4="));
  std::string doubles;
  for (const double value : {0.1, 1e300, -0.0}) {
    AppendJsonDouble(value, &doubles);
    doubles += ' ';
  }
  EXPECT_EQ(doubles, "0.1 1e+300 -0 ");
}

// Scenario: a metrics request with every kind of point, packed and unpacked numbers, written by generated
// protobuf. Guarantees: OTLP JSON that protobuf's own JSON parser reads back to the same message (IDs aside,
// which OTLP writes in hex).
TEST(JsonTest, OtlpJsonAgreesWithProtobuf) {
  oracle::ExportMetricsServiceRequest request;
  auto* scope = request.add_resource_metrics()->add_scope_metrics();
  scope->mutable_scope()->set_name("s");
  auto* sum = scope->add_metrics();
  sum->set_name("requests");
  sum->set_unit("1");
  sum->mutable_sum()->set_is_monotonic(true);
  auto* point = sum->mutable_sum()->add_data_points();
  point->set_as_int(-5);
  point->set_time_unix_nano(1'700'000'000'000'000'000);
  auto* attribute = point->add_attributes();
  attribute->set_key("k");
  attribute->mutable_value()->mutable_array_value()->add_values()->set_double_value(2.5);
  auto* histogram = scope->add_metrics()->mutable_histogram()->add_data_points();
  histogram->set_count(6);
  histogram->set_sum(1.25);
  histogram->add_explicit_bounds(0.5);
  histogram->add_bucket_counts(4);
  histogram->add_bucket_counts(2);
  auto* exponential = scope->add_metrics()->mutable_exponential_histogram()->add_data_points();
  exponential->set_scale(-3);
  exponential->mutable_positive()->set_offset(-2);
  exponential->mutable_positive()->add_bucket_counts(1'000'000);
  auto* summary = scope->add_metrics()->mutable_summary()->add_data_points();
  summary->set_count(3);
  summary->add_quantile_values()->set_quantile(0.5);

  std::string json;
  AppendOtlpJson(Signal::kMetrics, request.SerializeAsString(), &json);
  oracle::ExportMetricsServiceRequest parsed;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &parsed);
  ASSERT_TRUE(status.ok()) << status.ToString() << "\n" << json;
  EXPECT_EQ(parsed.SerializeAsString(), request.SerializeAsString()) << json;
}

// Scenario: spans in OTLP JSON.
// Guarantees: IDs in hex, times as strings, kinds as numbers.
TEST(JsonTest, OtlpJsonOfSpans) {
  std::string json;
  AppendOtlpJson(Signal::kTraces, test::Traces("a", {{.trace = {1, 2}, .span = 3, .name = "op"}}), &json);
  EXPECT_EQ(json,
            "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
            "\"stringValue\":\"a\"}}]},"
            "\"scopeSpans\":[{\"scope\":{\"name\":\"test\"},\"spans\":[{\"traceId\":"
            "\"00000000000000010000000000000002\","
            "\"spanId\":\"0000000000000003\",\"name\":\"op\",\"kind\":2,\"startTimeUnixNano\":\"1000000000\","
            "\"endTimeUnixNano\":\"1005000000\"}]}]}]}");
}

}  // namespace
}  // namespace braid::exporters
