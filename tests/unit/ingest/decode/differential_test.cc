#include "tests/support/otlp/differential.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "base/ids.h"
#include "tests/support/otlp/samples.h"

namespace braid::test {
namespace {

std::string ToText(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<uint8_t>(c) >> 4];
    text += kDigits[c & 15];
  }
  return text;
}

class DifferentialTest : public testing::TestWithParam<Signal> {
 protected:
  Differential differential_;
};

INSTANTIATE_TEST_SUITE_P(Signals, DifferentialTest,
                         testing::Values(Signal::kTraces, Signal::kLogs, Signal::kMetrics),
                         [](const auto& test) { return std::string(SignalName(test.param)); });

// Scenario: requests as a client makes them, with every field of the schema.
// Guarantees: each item, note, resource and scope carries exactly what generated protobuf reads from the
// bytes.
TEST_P(DifferentialTest, ValidRequests) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 3'000; ++i) {
    const std::string request = RandomRequest(GetParam(), random);
    ASSERT_EQ(differential_.Check(GetParam(), request), "") << "request " << i << ": " << ToText(request);
  }
}

// Scenario: the same requests with bytes flipped, cut, moved, padded and inserted.
// Guarantees: the decoder accepts, rejects and reads as generated protobuf does, but for the differences
// listed in differential.h; whatever it lets through, protobuf takes; each refusal says where.
TEST_P(DifferentialTest, DamagedRequests) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 34'000; ++i) {
    std::string request = RandomRequest(GetParam(), random);
    Mutate(&request, random);
    ASSERT_EQ(differential_.Check(GetParam(), request), "") << "request " << i << ": " << ToText(request);
  }
}

}  // namespace
}  // namespace braid::test
