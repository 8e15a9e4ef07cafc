// What deriving metrics costs a span, by what is derived: decode and fold with RED only, then with one thing
// more each, and with everything; and the same with verdict, self time and encoding.
//
//   derive_bench [rounds] [requests] [only...]   cases whose name contains one of these
//
// Every round runs every case over the whole corpus, one after the other; medians over the rounds. Trace IDs
// are fresh in every round. Times are of this thread. Compare lines of one run with each other, not with
// other runs.

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/corpus.h"
#include "tests/bench/product_kernel.h"

namespace braid::bench {
namespace {

using correlate::DeriveOptions;

constexpr size_t kWindow = size_t{1} << 19;

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Case {
  std::string name;
  bool whole;  // with verdict and encoding
  std::unique_ptr<ProductKernel> kernel;
  std::vector<double> seconds = {};

  double Median() {
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }
};

DeriveOptions RedOnly() {
  DeriveOptions derive;
  derive.graph.enabled = false;
  derive.self_time = false;
  return derive;
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
  const int requests = argc > 2 ? std::atoi(argv[2]) : 400;
  if (rounds <= 0 || requests <= 0) {
    std::fprintf(stderr, "usage: derive_bench [rounds] [requests] [only...]\n");
    return 64;
  }
  CorpusSpec spec;
  spec.batches = static_cast<uint32_t>(requests);
  Corpora corpora = MakeCorpora(spec);
  uint64_t items = 0;
  for (const CorpusBatch& batch : corpora.traces.batches) items += batch.items;

  std::vector<Case> cases;
  const auto add = [&](const char* name, bool whole, const std::function<void(DeriveOptions&)>& change) {
    const auto named = [name](const char* part) {
      return std::string_view(name).find(part) != std::string::npos;
    };
    if (argc > 3 && std::none_of(argv + 3, argv + argc, named)) return;
    auto derive = std::make_shared<DeriveOptions>(RedOnly());
    change(*derive);
    cases.push_back({name, whole,
                     std::make_unique<ProductKernel>(ProductKernel::Options{
                         .window = kWindow, .memory = size_t{1} << 30, .derive = derive})});
  };
  const auto both = [](DeriveOptions& d) { d.dialect = DeriveOptions::Dialect::kBoth; };
  const auto native = [](DeriveOptions& d) { d.histograms = DeriveOptions::Histograms::kBoth; };
  const auto graph = [](DeriveOptions& d) { d.graph.enabled = true; };
  const auto dimension = [](DeriveOptions& d) { d.dimensions = {{.key = "http.request.method"}}; };
  const auto lend = [](DeriveOptions& d) { d.lend.enabled = true; };
  const auto self = [](DeriveOptions& d) { d.self_time = true; };
  add("RED only", false, [](DeriveOptions&) {});
  add("+ a dimension", false, dimension);
  add("+ lent exemplars", false, lend);
  add("+ native histograms", false, native);
  add("+ both dialects", false, both);
  add("+ both dialects, native histograms", false, [&](DeriveOptions& d) { both(d), native(d); });
  add("+ service graph", false, graph);
  add("everything", false, [&](DeriveOptions& d) { both(d), native(d), graph(d), dimension(d); });
  add("RED only, verdict and encoding", true, [](DeriveOptions&) {});
  add("+ lent exemplars, verdict and encoding", true, lend);
  add("+ self time, verdict and encoding", true, self);
  add("+ service graph, verdict and encoding", true, graph);
  add("everything, verdict and encoding", true,
      [&](DeriveOptions& d) { both(d), native(d), graph(d), dimension(d), self(d); });

  std::vector<Slab> bodies;
  const int warm = static_cast<int>(kWindow / items) + 2;
  for (int round = 0; round < warm + rounds; ++round) {
    for (CorpusBatch& batch : corpora.traces.batches) batch.Salt(static_cast<uint64_t>(round) + 1, 0);
    for (size_t i = 0; i < cases.size(); ++i) {
      Case& one = cases[(i + static_cast<size_t>(round)) % cases.size()];
      bodies.clear();
      for (const CorpusBatch& batch : corpora.traces.batches)
        bodies.push_back(one.kernel->Receive(batch.payload));
      const double begin = CpuSeconds();
      for (size_t b = 0; b < bodies.size(); ++b) {
        if (one.kernel->Take(Signal::kTraces, std::move(bodies[b])) < 0) {
          std::fprintf(stderr, "derive_bench: a request was refused\n");
          return 1;
        }
        if (one.whole && b % 20 == 19) one.kernel->Tick(1);
      }
      const double seconds = (CpuSeconds() - begin) / static_cast<double>(items);
      if (!one.whole) one.kernel->Tick(40);
      if (round >= warm) one.seconds.push_back(seconds);
    }
  }
  std::printf("%d requests of %.0f spans; median of %d rounds\n", requests,
              static_cast<double>(items) / requests, rounds);
  double base = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    Case& one = cases[i];
    const double median = one.Median();
    if (i == 0 || (one.whole && !cases[i - 1].whole)) base = median;
    std::printf("%-40s %7.1f ns a span  %+7.1f  [%.1f - %.1f]\n", one.name.c_str(), median * 1e9,
                (median - base) * 1e9, one.seconds.front() * 1e9, one.seconds.back() * 1e9);
  }
  return 0;
}

}  // namespace
}  // namespace braid::bench

int main(int argc, char** argv) { return braid::bench::Main(argc, argv); }
