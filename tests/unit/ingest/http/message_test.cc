#include "ingest/http/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace braid::ingest {
namespace {

using testing::ElementsAre;
using testing::Pair;

// Scenario: header names in mixed case, twice, and empty values.
// Guarantees: lower-case look-up, the first value wins, nothing is confused with a longer name.
TEST(HeadersTest, LooksUpLowerCase) {
  Headers headers;
  headers.Add("Content-Type", "application/json");
  headers.Add("X-Empty", "");
  headers.Add("content-type", "text/plain");
  EXPECT_EQ(headers.Get("content-type"), "application/json");
  EXPECT_EQ(headers.Get("content-typ"), "");
  EXPECT_EQ(headers.Get("x-empty"), "");
  EXPECT_EQ(headers.count(), 3u);
  EXPECT_THAT(headers.at(0), Pair("content-type", "application/json"));
}

// Scenario: queries as browsers and scripts write them, malformed ones included.
// Guarantees: decoded values; a malformed pair costs only itself.
TEST(RequestTest, QueryParameters) {
  Request request;
  request.target = "/api/v1/traces?q=a%20b+c&empty=&flag&x%3d=1&bad=%zz&q=second";
  EXPECT_EQ(request.path(), "/api/v1/traces");
  EXPECT_EQ(request.QueryParameter("q"), "a b c");
  EXPECT_EQ(request.QueryParameter("empty"), "");
  EXPECT_EQ(request.QueryParameter("flag"), "");
  EXPECT_EQ(request.QueryParameter("x="), "1");
  EXPECT_EQ(request.QueryParameter("bad"), std::nullopt);
  EXPECT_EQ(request.QueryParameter("none"), std::nullopt);
  EXPECT_THAT(request.QueryParameters(), ElementsAre(Pair("q", "a b c"), Pair("empty", ""), Pair("flag", ""),
                                                     Pair("x=", "1"), Pair("q", "second")));
  request.target = "/plain";
  EXPECT_EQ(request.path(), "/plain");
  EXPECT_EQ(request.query(), "");
  EXPECT_TRUE(request.QueryParameters().empty());
}

// Scenario: escapes at the end of the text.
// Guarantees: never read beyond it.
TEST(PercentDecodeTest, Escapes) {
  EXPECT_EQ(PercentDecode("%41%7a", false), "Az");
  EXPECT_EQ(PercentDecode("a+b", false), "a+b");
  EXPECT_EQ(PercentDecode("%", false), std::nullopt);
  EXPECT_EQ(PercentDecode("%4", false), std::nullopt);
  EXPECT_EQ(PercentDecode("%4g", false), std::nullopt);
}

// Scenario: media types with parameters, case and blanks.
// Guarantees: the form of replies follows the request's type.
TEST(RequestTest, ReplyFormatFollowsContentType) {
  const auto format = [](std::string_view type) {
    Request request;
    request.headers.Add("content-type", type);
    return request.reply_format();
  };
  EXPECT_EQ(format("application/json"), ReplyFormat::kJson);
  EXPECT_EQ(format("Application/JSON ; charset=utf-8"), ReplyFormat::kJson);
  EXPECT_EQ(format("application/x-protobuf"), ReplyFormat::kProtobuf);
  EXPECT_EQ(format("text/plain"), ReplyFormat::kText);
  EXPECT_EQ(Request().reply_format(), ReplyFormat::kText);
  Request grpc;
  grpc.grpc = true;
  EXPECT_EQ(grpc.reply_format(), ReplyFormat::kGrpc);
}

}  // namespace
}  // namespace braid::ingest
