#include "gateway/rules/promql.h"

#include <gtest/gtest.h>

namespace braid::gateway::rules {
namespace {

// Scenario: names with everything that PromQL, regular expressions or YAML give a meaning.
// Guarantees: each stands for itself; what cannot be seen is escaped byte by byte.
TEST(PromqlTest, QuotesWhatUsersWrite) {
  EXPECT_EQ(QuotePromql("GET /"), R"("GET /")");
  EXPECT_EQ(QuotePromql(R"(a"b\c)"), R"("a\"b\\c")");
  EXPECT_EQ(QuotePromql("a\nb\x7f"), R"("a\x0ab\x7f")");
  EXPECT_EQ(QuotePromql("Stra\xc3\x9f\x65"), "\"Stra\xc3\x9f\x65\"");
  EXPECT_EQ(QuotePromql("a\xc2\x85\xe2\x80\xa8\xef\xbb\xbf"), R"("a\xc2\x85\xe2\x80\xa8\xef\xbb\xbf")");
}

// Scenario: one value, and several.
// Guarantees: one is matched exactly; several by a pattern that matches nothing but them.
TEST(PromqlTest, MatchesExactly) {
  EXPECT_EQ(Matcher("span_name", {"GET /a.b"}), R"(span_name="GET /a.b")");
  EXPECT_EQ(Matcher("span_name", {"GET /{id}", R"(a\b"c)", "x.y|z"}),
            R"(span_name=~"GET /\\{id\\}|a\\\\b\"c|x\\.y\\|z")");
}

// Scenario: texts with braces, which alerts expand as templates.
// Guarantees: the template has the text as it was.
TEST(PromqlTest, KeepsBracesInTemplates) {
  EXPECT_EQ(EscapeTemplate("GET /{id}"), "GET /{id}");
  EXPECT_EQ(EscapeTemplate("{{ x }}"), R"({{"{{"}} x }})");
  EXPECT_EQ(EscapeTemplate("{{{"), R"({{"{{"}}{)");
  EXPECT_EQ(EscapeTemplate("{{{{"), R"({{"{{"}}{{"{{"}})");
}

// Scenario: budgets of objectives.
// Guarantees: decimal digits, exactly, without trailing zeros.
TEST(PromqlTest, WritesDecimalsExactly) {
  EXPECT_EQ(Decimal(100'000, 8), "0.001");
  EXPECT_EQ(Decimal(1, 8), "0.00000001");
  EXPECT_EQ(Decimal(99'990'000, 6), "99.99");
  EXPECT_EQ(Decimal(50'000'000, 6), "50");
  EXPECT_EQ(Decimal(144, 1), "14.4");
  EXPECT_EQ(Decimal(60, 1), "6");
  EXPECT_EQ(Decimal(512, 3), "0.512");
  EXPECT_EQ(Decimal(0, 3), "0");
}

}  // namespace
}  // namespace braid::gateway::rules
