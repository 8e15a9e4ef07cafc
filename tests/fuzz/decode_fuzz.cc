// Any bytes: the decoder and generated protobuf agree on what is acceptable and on every value read. What may
// differ is listed in tests/support/otlp/differential.h. The first byte chooses the signal.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>

#include "tests/support/otlp/differential.h"
#include "tests/support/otlp/samples.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static braid::test::Differential differential;
  if (size == 0) return 0;
  const auto signal = static_cast<braid::Signal>(data[0] % braid::kSignals);
  const std::string_view request(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string difference = differential.Check(signal, request);
  if (!difference.empty()) {
    std::fprintf(stderr, "difference: %s\n", difference.c_str());
    std::abort();
  }
  return 0;
}

// Half of the mutations begin with, or are, edits of plausible requests, which libFuzzer would take long to
// find by itself.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::mt19937_64 random(seed);
  if (seed % 2 == 0 && size != 0) return LLVMFuzzerMutate(data, size, max_size);
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size < 2 || seed % 64 == 1) {
    const auto signal = static_cast<braid::Signal>(random() % braid::kSignals);
    bytes = static_cast<char>(signal) + braid::test::RandomRequest(signal, random);
  }
  std::string request = bytes.substr(1);
  braid::test::Mutate(&request, random);
  bytes.resize(1);
  bytes += request;
  if (bytes.size() > max_size) bytes.resize(max_size);
  bytes.copy(reinterpret_cast<char*>(data), bytes.size());
  return bytes.size();
}
