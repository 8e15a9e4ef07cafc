#include "correlate/derive/name_templates.h"

#include <gtest/gtest.h>

#include <string>

namespace braid::correlate {
namespace {

class NameTemplatesTest : public testing::Test {
 protected:
  std::string Apply(std::string_view name, std::string_view route = "", std::string_view service = "shop") {
    return std::string(templates_.Apply(service, name, route));
  }
  NameTemplates templates_{{.max_children = 5, .max_nodes = 100}, 1};
};

// Guarantees: numbers, UUIDs, hashes and long random words are recognised; ordinary words with digits stay.
TEST_F(NameTemplatesTest, RecognisesIds) {
  EXPECT_EQ(Apply("GET /cart/8731"), "GET /cart/{id}");
  EXPECT_EQ(Apply("GET /o/3f2504e0-4f89-11d3-9a0c-0305e82c3301/x"), "GET /o/{uuid}/x");
  EXPECT_EQ(Apply("object 9f86d081884c7d65"), "object {hash}");
  EXPECT_EQ(Apply("job-20260114-retry"), "job-{id}-retry");
  EXPECT_EQ(Apply("token a1b2c3d4e5f6g7h8i9"), "token {hash}");
  for (const char* same : {"GET /cart", "utf8 decode", "http2 frame", "HGETALL cart", "", "a", "deadbeef"})
    EXPECT_EQ(Apply(same), same);
}

// Guarantees: a route takes the place of a name with IDs in it, and of no other.
TEST_F(NameTemplatesTest, TheRouteIsBetterThanAGuess) {
  EXPECT_EQ(Apply("GET /cart/8731", "GET /cart/:id"), "GET /cart/:id");
  EXPECT_EQ(Apply("checkout", "POST /orders"), "checkout");
}

// Scenario: one place of a name takes more values than max_children, another does not; then a name seen
// before. Guarantees: only the first is given up, from then on; other services have learned nothing.
TEST_F(NameTemplatesTest, LearnsWhatVaries) {
  for (const char* user : {"ann", "bob", "cyd", "dan", "eve"})
    EXPECT_EQ(Apply(std::string("load ") + user + " cart"), std::string("load ") + user + " cart");
  EXPECT_EQ(Apply("load fay cart"), "load <_> cart");
  EXPECT_EQ(Apply("load ann cart"), "load <_> cart");
  EXPECT_EQ(Apply("load ann wishlist"), "load <_> wishlist");
  EXPECT_EQ(Apply("load ann cart", "", "other"), "load ann cart");
}

// Scenario: names of one part only, many of them.
// Guarantees: unlike operations are never put together by their first part.
TEST_F(NameTemplatesTest, FirstPartsStay) {
  for (char c = 'a'; c <= 'z'; ++c) EXPECT_EQ(Apply(std::string("op") + c), std::string("op") + c);
}

// Scenario: beginnings without end.
// Guarantees: memory is bounded; names beyond it stay as they are.
TEST_F(NameTemplatesTest, LearningIsBounded) {
  for (int i = 0; i < 1000; ++i) {
    std::string word = "w";
    for (int n = i; n != 0; n /= 26) word += static_cast<char>('a' + n % 26);
    Apply(word + " x y");
  }
  EXPECT_LE(templates_.nodes(), 100u);
}

}  // namespace
}  // namespace braid::correlate
