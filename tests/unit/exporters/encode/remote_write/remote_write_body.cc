// Prints the body of a remote write request: remote_write_body 1|2 TIME_MS STEP|end [native]
//
// One of everything that a producer can write (sample_families.h), at TIME_MS, or staleness markers for all
// of it. STEP makes counts grow.

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "exporters/encode/remote_write.h"
#include "exporters/encode/samples.h"
#include "tests/support/sample_families.h"

int main(int argc, char** argv) {
  using namespace braid;
  using namespace braid::exporters;
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s 1|2 TIME_MS STEP|end\n", argv[0]);
    return 64;
  }
  const auto version = std::string_view(argv[1]) == "1" ? RemoteWriteVersion::k1 : RemoteWriteVersion::k2;
  const int64_t time_ms = std::strtoll(argv[2], nullptr, 10);
  const bool end = std::string_view(argv[3]) == "end";
  const uint64_t step = end ? 0 : std::strtoull(argv[3], nullptr, 10);
  SlabPool slabs{SlabPool::Options{}};
  SampleRounds rounds({}, slabs);
  test::WriteFamilies(rounds.Begin(end ? time_ms - 1 : time_ms), step,
                      static_cast<uint64_t>(time_ms) * 1'000'000);
  std::vector<ChunkPtr> chunks = rounds.End();
  if (end) chunks = rounds.EndAll(time_ms);
  RemoteWriteEncoder encoder;
  const auto output =
      encoder.Encode(version, *chunks.at(0), 0, static_cast<uint32_t>(chunks[0]->items.size()), slabs);
  std::fwrite(output.body.data(), 1, output.body.size(), stdout);
  return 0;
}
