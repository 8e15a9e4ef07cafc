// Any bytes: the reader of remote write and generated protobuf agree, and what it is translated into is taken
// whole. What may differ is listed in tests/support/remote_write/differential.h. The first byte chooses the
// version.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>

#include "tests/support/otlp/samples.h"
#include "tests/support/remote_write/differential.h"
#include "tests/support/remote_write/samples.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

braid::ingest::RemoteWriteVersion VersionOf(uint8_t byte) {
  return static_cast<braid::ingest::RemoteWriteVersion>(byte % braid::ingest::kRemoteWriteVersions);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static braid::test::WriteDifferential differential;
  if (size == 0) return 0;
  const std::string_view request(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string difference = differential.Check(VersionOf(data[0]), request);
  if (!difference.empty()) {
    std::fprintf(stderr, "difference: %s\n", difference.c_str());
    std::abort();
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::mt19937_64 random(seed);
  if (seed % 2 == 0 && size != 0) return LLVMFuzzerMutate(data, size, max_size);
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size < 2 || seed % 16 == 1) {
    bytes = static_cast<char>(random() % 2);
    bytes += braid::test::RandomWriteRequest(VersionOf(static_cast<uint8_t>(bytes[0])), random);
  }
  std::string request = bytes.substr(1);
  if (seed % 32 != 1) braid::test::Mutate(&request, random);
  bytes.resize(1);
  bytes += request;
  if (bytes.size() > max_size) bytes.resize(max_size);
  bytes.copy(reinterpret_cast<char*>(data), bytes.size());
  return bytes.size();
}
