// What remote write costs: remote_write_bench [SERIES ...] (default 100000 1000000)
//
// Span metrics as the Series owner hands them over (a counter, a histogram of 14 bounds, a counter: 19 series
// for each label set), with an exemplar in one bucket. Prints CPU time per series and bytes of: taking a
// first round, taking a second one (which also compares with the first), encoding it in both versions, and
// the bytes in the queue and on the wire. A scrape page of the same families stands beside it.

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "exporters/encode/exposition.h"
#include "exporters/encode/otlp_metrics.h"
#include "exporters/encode/remote_write.h"
#include "exporters/encode/samples.h"

namespace {

using namespace braid;
using namespace braid::exporters;

constexpr uint64_t kNowNs = 1'700'000'000'000'000'000;

double CpuSeconds() {
  timespec at;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) / 1e9;
}

void Write(ExpositionWriter& writer, size_t sets, uint64_t round) {
  std::vector<double> bounds;
  for (int n = 0; n < 14; ++n) bounds.push_back(0.002 * (1 << n));
  std::vector<std::string> names;
  for (size_t i = 0; i < sets; ++i) names.push_back("GET /api/v1/resource/" + std::to_string(i));
  const auto labels = [&](size_t i) {
    static const std::array<std::string, 4> kServices = {"checkout", "frontend", "payment-service", "cart"};
    return std::array<Label, 4>{Label{"service", kServices[i % 4]}, Label{"span_name", names[i]},
                                Label{"span_kind", "SPAN_KIND_SERVER"},
                                Label{"status_code", "STATUS_CODE_UNSET"}};
  };
  writer.Family({"traces_spanmetrics_calls", "Spans.", "", MetricType::kCounter});
  for (size_t i = 0; i < sets; ++i) {
    writer.Counter(labels(i), static_cast<double>(i % 1000 + round), kNowNs - 1, nullptr);
  }
  writer.Family({"traces_spanmetrics_latency", "Durations of spans.", "", MetricType::kHistogram});
  for (size_t i = 0; i < sets; ++i) {
    std::array<double, 15> counts{};
    for (size_t b = 0; b < counts.size(); ++b) counts[b] = static_cast<double>((i * 7 + b * 13) % 50 + round);
    const ExemplarView exemplar{0.003, kNowNs + round * 1'000'000'000, {i + 1, 2}, i + 1, {}};
    std::array<const ExemplarView*, 15> exemplars{};
    exemplars[2] = &exemplar;
    writer.Histogram(labels(i), {bounds, counts, 1.25 * static_cast<double>(i), true, exemplars}, kNowNs - 1);
  }
  writer.Family({"traces_spanmetrics_size", "Bytes of spans.", "", MetricType::kCounter});
  for (size_t i = 0; i < sets; ++i) {
    writer.Counter(labels(i), static_cast<double>(i * 430), kNowNs - 1, nullptr);
  }
}

void Run(size_t series) {
  const size_t sets = series / 19;
  series = sets * 19;
  SlabPool slabs({.max_bytes = size_t{4} << 30, .max_idle_bytes = size_t{256} << 20});
  SampleRounds::Options options;
  options.max_bytes = size_t{4} << 30;
  SampleRounds rounds(options, slabs);
  const auto report = [&](const char* what, double seconds) {
    std::printf("  %-34s %8.1f ms  %6.0f ns a series\n", what, seconds * 1e3,
                seconds * 1e9 / static_cast<double>(series));
  };
  std::printf("%zu series of %zu label sets\n", series, sets);

  double begin = CpuSeconds();
  Write(rounds.Begin(1'700'000'000'000), sets, 0);
  std::vector<ChunkPtr> chunks = rounds.End();
  report("first round", CpuSeconds() - begin);
  begin = CpuSeconds();
  Write(rounds.Begin(1'700'000'015'000), sets, 1);
  chunks = rounds.End();
  report("further round", CpuSeconds() - begin);
  size_t queued = 0;
  for (const ChunkPtr& chunk : chunks) queued += chunk->view().size();

  RemoteWriteEncoder encoder;
  for (const RemoteWriteVersion version : {RemoteWriteVersion::k1, RemoteWriteVersion::k2}) {
    size_t raw = 0;
    size_t wire = 0;
    begin = CpuSeconds();
    for (const ChunkPtr& chunk : chunks) {
      const auto output =
          encoder.Encode(version, *chunk, 0, static_cast<uint32_t>(chunk->items.size()), slabs);
      raw += output.raw_bytes;
      wire += output.body.size();
    }
    report(version == RemoteWriteVersion::k1 ? "encode and compress 1.0" : "encode and compress 2.0",
           CpuSeconds() - begin);
    std::printf("  %-34s %8.1f MB of %.1f MB, in %zu requests; queued as %.1f MB\n", "",
                static_cast<double>(wire) / 1e6, static_cast<double>(raw) / 1e6, chunks.size(),
                static_cast<double>(queued) / 1e6);
  }
  begin = CpuSeconds();
  rounds.EndAll(1'700'000'030'000);
  report("markers for all", CpuSeconds() - begin);

  begin = CpuSeconds();
  OtlpRounds::Options otlp;
  otlp.max_bytes = size_t{4} << 30;
  OtlpRounds otlp_rounds(otlp, slabs);
  size_t bytes = 0;
  for (const char* what : {"as OTLP, first round", "as OTLP, further round"}) {
    bytes = 0;
    begin = CpuSeconds();
    Write(otlp_rounds.Begin(1'700'000'000'000), sets, 1);
    for (const ChunkPtr& chunk : otlp_rounds.End()) bytes += chunk->view().size();
    report(what, CpuSeconds() - begin);
  }
  std::printf("  %-34s %8.1f MB\n", "", static_cast<double>(bytes) / 1e6);

  begin = CpuSeconds();
  const auto page = PageWriter::New(ExpositionFormat::kOpenMetrics, {.max_bytes = size_t{4} << 30});
  Write(*page, sets, 1);
  page->Finish();
  report("as a page of OpenMetrics", CpuSeconds() - begin);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<size_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(std::strtoull(argv[i], nullptr, 10));
  if (sizes.empty()) sizes = {100'000, 1'000'000};
  for (const size_t series : sizes) Run(series);
  return 0;
}
