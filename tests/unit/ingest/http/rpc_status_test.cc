#include "ingest/http/rpc_status.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <set>

namespace braid::ingest {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Scenario: every code.
// Guarantees: what OTLP lets a sender retry maps to a retryable HTTP status, and nothing else does.
TEST(HttpStatusTest, RetryabilityAgrees) {
  const std::set<Code> retryable_grpc = {Code::kCancelled,  Code::kDeadlineExceeded, Code::kAborted,
                                         Code::kOutOfRange, Code::kUnavailable,      Code::kDataLoss};
  const std::set<int> retryable_http = {429, 502, 503, 504};
  for (int number = 1; number <= 16; ++number) {
    const Code code = static_cast<Code>(number);
    EXPECT_EQ(retryable_grpc.contains(code), retryable_http.contains(HttpStatusOf(code))) << CodeName(code);
    EXPECT_GE(HttpStatusOf(code), 400);
  }
  EXPECT_EQ(HttpStatusOf(Code::kOk), 200);
  EXPECT_EQ(HttpStatusOf(Code::kInvalidArgument), 400);
  EXPECT_EQ(HttpStatusOf(Code::kUnauthenticated), 401);
  EXPECT_EQ(HttpStatusOf(Code::kPermissionDenied), 403);
  EXPECT_EQ(HttpStatusOf(Code::kUnimplemented), 404);
  EXPECT_EQ(HttpStatusOf(Code::kResourceExhausted), 413);
  EXPECT_EQ(HttpStatusOf(Code::kUnavailable), 503);
}

// Scenario: a status with a delay, parsed back field by field with protobuf's own reader.
// Guarantees: google.rpc.Status with one RetryInfo whose delay is exact.
TEST(RpcStatusTest, ProtoCarriesRetryInfo) {
  google::protobuf::UnknownFieldSet fields;
  ASSERT_TRUE(fields.ParseFromString(RpcStatusProto(Unavailable("full"), milliseconds(1'250))));
  ASSERT_EQ(fields.field_count(), 3);
  EXPECT_EQ(fields.field(0).varint(), 14u);
  EXPECT_EQ(fields.field(1).length_delimited(), "full");
  google::protobuf::Any any;
  ASSERT_TRUE(any.ParseFromString(fields.field(2).length_delimited()));
  EXPECT_EQ(any.type_url(), "type.googleapis.com/google.rpc.RetryInfo");
  google::protobuf::UnknownFieldSet info;
  ASSERT_TRUE(info.ParseFromString(any.value()));
  google::protobuf::Duration delay;
  ASSERT_TRUE(delay.ParseFromString(info.field(0).length_delimited()));
  EXPECT_EQ(delay.seconds(), 1);
  EXPECT_EQ(delay.nanos(), 250'000'000);

  google::protobuf::UnknownFieldSet plain;
  ASSERT_TRUE(plain.ParseFromString(RpcStatusProto(InvalidArgument("bad"), std::nullopt)));
  EXPECT_EQ(plain.field_count(), 2);
}

// Scenario: one refusal in each form.
// Guarantees: the form's type and body; Retry-After rounded up; a gRPC refusal is a trailer.
TEST(ErrorResponseTest, EachForm) {
  const Status status = Unavailable("full");
  const Response proto = ErrorResponse(ReplyFormat::kProtobuf, status, milliseconds(1'001));
  EXPECT_EQ(proto.status, 503);
  EXPECT_EQ(proto.content_type, "application/x-protobuf");
  EXPECT_EQ(proto.body, RpcStatusProto(status, milliseconds(1'001)));
  EXPECT_THAT(proto.headers, testing::ElementsAre(testing::Pair("retry-after", "2")));

  const Response json = ErrorResponse(ReplyFormat::kJson, status, milliseconds(1'500));
  EXPECT_EQ(json.content_type, "application/json");
  EXPECT_EQ(json.body,
            R"({"code":14,"message":"full","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo",)"
            R"("retryDelay":"1.500s"}]})");

  const Response grpc = ErrorResponse(ReplyFormat::kGrpc, status, milliseconds(1'500));
  EXPECT_EQ(grpc.status, 200);
  ASSERT_TRUE(grpc.grpc.has_value());
  EXPECT_EQ(grpc.grpc->status.code(), Code::kUnavailable);
  EXPECT_FALSE(grpc.grpc->details.empty());
  EXPECT_TRUE(ErrorResponse(ReplyFormat::kGrpc, ResourceExhausted("big")).grpc->details.empty())
      << "RESOURCE_EXHAUSTED with RetryInfo would be retried";

  const Response text = ErrorResponse(ReplyFormat::kText, InvalidArgument("bad"), std::nullopt, 415);
  EXPECT_EQ(text.status, 415);
  EXPECT_EQ(text.body, "bad\n");
  EXPECT_TRUE(text.headers.empty());
}

// Scenario: messages that quote what a sender sent: control characters, quotes, broken UTF-8.
// Guarantees: valid JSON, valid proto3 strings, printable grpc-message.
TEST(RpcStatusTest, MessagesAreMadeSafe) {
  const std::string evil = "a\"\\\n\x01\xff\xc3\xa9%";
  EXPECT_EQ(JsonQuote(evil), "\"a\\\"\\\\\\u000a\\u0001\xef\xbf\xbd\xc3\xa9%\"");
  EXPECT_THAT(RpcStatusProto(InvalidArgument("\xc0\xaf"), std::nullopt),
              HasSubstr("\xef\xbf\xbd\xef\xbf\xbd"));
  EXPECT_THAT(RpcStatusProto(InvalidArgument("\xed\xa0\x80"), std::nullopt), HasSubstr("\xef\xbf\xbd"));
  EXPECT_EQ(GrpcPercentEncode("a%\n\xc3\xa9 b~"), "a%25%0A%C3%A9 b~");
}

// Scenario: RFC 4648's vectors.
// Guarantees: unpadded base64.
TEST(Base64Test, Vectors) {
  EXPECT_EQ(Base64Unpadded(""), "");
  EXPECT_EQ(Base64Unpadded("f"), "Zg");
  EXPECT_EQ(Base64Unpadded("fo"), "Zm8");
  EXPECT_EQ(Base64Unpadded("foo"), "Zm9v");
  EXPECT_EQ(Base64Unpadded("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64Unpadded(std::string("\xff\xff\xfe", 3)), "///+");
}

// Scenario: grpc-timeout values, legal and not.
// Guarantees: gRPC's grammar exactly; the longest does not overflow.
TEST(GrpcTimeoutTest, Grammar) {
  using namespace std::chrono;
  EXPECT_EQ(ParseGrpcTimeout("1S"), seconds(1));
  EXPECT_EQ(ParseGrpcTimeout("250m"), milliseconds(250));
  EXPECT_EQ(ParseGrpcTimeout("5u"), microseconds(5));
  EXPECT_EQ(ParseGrpcTimeout("7n"), nanoseconds(7));
  EXPECT_EQ(ParseGrpcTimeout("2M"), minutes(2));
  EXPECT_EQ(ParseGrpcTimeout("3H"), hours(3));
  EXPECT_EQ(ParseGrpcTimeout("0n"), nanoseconds(0));
  EXPECT_GT(ParseGrpcTimeout("99999999H")->count(), 0);
  EXPECT_GT(ParseGrpcTimeout("99999999M")->count(), 0);
  for (const char* bad : {"", "S", "1", "123456789S", "-1S", "1s", "1 S", "1.5S", "+1S"}) {
    EXPECT_EQ(ParseGrpcTimeout(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace braid::ingest
