#include "correlate/derive/name_templates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

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

// Of letters only, so that it is not recognised as an ID.
std::string Word(int n) {
  std::string word = "w";
  for (int left = n; left != 0; left /= 26) word += static_cast<char>('a' + left % 26);
  return word;
}

// How many names `count` users of a service end up with.
size_t Users(NameTemplates& templates, const std::string& service, int count, int from = 0) {
  std::set<std::string> names;
  for (int i = from; i < from + count; ++i)
    names.insert(std::string(templates.Apply(service, "GET /user/" + Word(i), "")));
  return names.size();
}

// Scenario: beginnings without end, each with as many values as there may be, of one service and of many.
// Guarantees: nodes and memory are bounded, and what found no room is counted; names beyond it stay as they
// are.
TEST(NameTemplateNodesTest, AreBounded) {
  for (const int services : {1, 1000}) {
    NameTemplates templates({.max_children = 20, .max_nodes = 1000}, 1);
    for (int i = 0; i < 5000; ++i) {
      const std::string service = "s" + std::to_string(i % services);
      for (int n = 0; n < 20; ++n) {
        const std::string name = Word(i) + " " + Word(n) + " y";
        EXPECT_EQ(templates.Apply(service, name, ""), name);
      }
    }
    EXPECT_LE(templates.nodes(), 1000u);
    EXPECT_GT(templates.nodes(), 500u);
    EXPECT_LT(templates.bytes(), 1000u * 300);
    EXPECT_GT(templates.TakeRefused() + templates.TakeReplaced(), 4000u);
    EXPECT_EQ(templates.TakeRefused() + templates.TakeReplaced(), 0u);
  }
}

// Scenario: 9,000 names of one service begin with a word of their own; users of other services, and of the
// same, come after them or among them.
// Guarantees: in each service a user's place is given up after max_children of them, as if it were alone.
TEST(NameTemplateNodesTest, AreSharedFairly) {
  NameTemplates templates({}, 1);
  const auto flood = [&](int from, int to) {
    for (int i = from; i < to; ++i) templates.Apply("noisy", Word(i) + " x", "");
  };
  flood(0, 9000);
  EXPECT_LE(templates.nodes(), 4096u + 64);
  EXPECT_GT(templates.TakeReplaced(), 4000u);
  for (int i = 0; i < 60; ++i) EXPECT_EQ(Users(templates, "calm" + std::to_string(i), 1000), 101u) << i;

  std::set<std::string> names;
  for (int i = 0; i < 1000; ++i) {
    flood(9000 + i * 30, 9030 + i * 30);
    names.insert(std::string(templates.Apply("noisy", "GET /user/" + Word(i), "")));
  }
  EXPECT_EQ(names.size(), 101u);
  EXPECT_EQ(templates.TakeRefused(), 0u);
}

// Scenario: a flood whose beginnings come twice, so that each looks worth learning; then time passes, with
// and without it.
// Guarantees: what has been learned stays while names come for it, the rest goes within an eighth more than
// idle_ticks, and its room and its memory can be had again; a forgotten place is learned anew.
TEST(NameTemplateNodesTest, IdleOnesAreForgotten) {
  NameTemplates templates({.max_nodes = 1280, .idle_ticks = 800}, 1);  // fair: 10
  const auto flood = [&] {
    for (int i = 0; i < 2000; ++i) {
      for (const char* word : {" x", " y"}) templates.Apply("noisy", Word(i) + word, "");
    }
  };
  EXPECT_EQ(Users(templates, "calm", 200), 101u);
  flood();
  EXPECT_EQ(templates.nodes(), 640u + 10 + 2);  // "GET /" and "GET /user/"
  EXPECT_GT(templates.TakeRefused(), 1000u);
  EXPECT_EQ(Users(templates, "noisy", 200), 200u);  // its own doing
  uint64_t tick = 0;
  for (; tick < 900; tick += 20) {
    templates.Advance(tick);
    EXPECT_EQ(templates.nodes(), tick <= 800 ? 652u : templates.nodes()) << tick;
    EXPECT_EQ(Users(templates, "calm", 1, 300 + static_cast<int>(tick)), 1u);
    EXPECT_EQ(templates.Apply("calm", "GET /user/" + Word(900), ""), "GET /user/<_>");
  }
  templates.Advance(tick);
  EXPECT_EQ(templates.nodes(), 2u);
  EXPECT_EQ(Users(templates, "noisy", 200), 101u);
  flood();
  EXPECT_EQ(templates.nodes(), 640u + 10 + 2);
  for (const uint64_t end = tick + 4000; tick < end; tick += 20) templates.Advance(tick);
  EXPECT_EQ(templates.nodes(), 0u);
  EXPECT_EQ(templates.Apply("calm", "GET /user/ann", ""), "GET /user/ann");
}

// Scenario: random names of random services at random ticks, twice over; and once with another seed, in
// another order of the same.
// Guarantees: the same names and ticks give the same names, nodes and counts. (Another order may not, so this
// test can fail.)
TEST(NameTemplateNodesTest, AreAFunctionOfNamesAndTicks) {
  const auto run = [](unsigned seed) {
    std::minstd_rand random(seed);
    NameTemplates templates({.max_children = 4, .max_nodes = 256, .idle_ticks = 300}, 7);
    std::vector<std::string> log;
    uint64_t tick = 0;
    for (int i = 0; i < 20'000; ++i) {
      if (random() % 10 == 0) templates.Advance(tick += random() % 10);
      const std::string service = "s" + std::to_string(random() % (1 + random() % 30));
      const std::string name =
          Word(static_cast<int>(random() % 10)) + "/" + Word(static_cast<int>(random() % 20)) + "/a";
      log.emplace_back(templates.Apply(service, name, ""));
      log.push_back(std::to_string(templates.nodes()));
      EXPECT_LE(templates.nodes(), 256u);
    }
    log.push_back(std::to_string(templates.TakeRefused()) + " " + std::to_string(templates.TakeReplaced()));
    return log;
  };
  const auto first = run(3);
  EXPECT_EQ(first, run(3));
  EXPECT_NE(first, run(4));
  EXPECT_TRUE(std::any_of(first.begin(), first.end(),
                          [](const std::string& name) { return name.find("<_>") != std::string::npos; }));
}

}  // namespace
}  // namespace braid::correlate
