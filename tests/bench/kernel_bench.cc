// Decode, recognise duplicates, join, count RED: the product against the least code that does the same work,
// and against generated protobuf that only parses.
//
//   kernel_bench [rounds] [requests]
//
// Every round runs every case over the whole corpus, one after the other, and a case is judged by its median
// over the rounds: other work on the machine comes in spells. Trace IDs are fresh in every round. Times are
// of this thread. The ratios are the result; the absolute times depend on the machine and its neighbours.

#include <google/protobuf/arena.h>
#include <otlp.pb.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "tests/bench/corpus.h"
#include "tests/bench/product_kernel.h"
#include "tests/bench/reference_kernel.h"

namespace braid::bench {
namespace {

constexpr size_t kWindow = size_t{1} << 20;
constexpr size_t kArena = 4u << 20;

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "kernel_bench: %s\n", what);
  std::exit(1);
}

struct Case {
  std::string name;
  std::function<double()> run;  // seconds per item
  std::vector<double> seconds = {};

  double Median() {
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }
};

// The requests of a round, in order.
struct Round {
  std::vector<std::pair<Signal, const std::string*>> requests;
  uint64_t items = 0;
};

class Bench {
 public:
  explicit Bench(uint32_t requests) {
    CorpusSpec spec;
    spec.batches = requests;
    corpora_ = MakeCorpora(spec);
    for (size_t i = 0; i < requests; ++i) {
      CorpusBatch& spans = corpora_.traces.batches[i];
      CorpusBatch& logs = corpora_.logs.batches[i];
      spans_.requests.emplace_back(Signal::kTraces, &spans.payload);
      // Now logs before their spans, now after them.
      mixed_.requests.emplace_back(i % 2 == 0 ? Signal::kTraces : Signal::kLogs,
                                   i % 2 == 0 ? &spans.payload : &logs.payload);
      mixed_.requests.emplace_back(i % 2 == 0 ? Signal::kLogs : Signal::kTraces,
                                   i % 2 == 0 ? &logs.payload : &spans.payload);
      spans_.items += spans.items;
      mixed_.items += spans.items + logs.items;
    }
  }

  int Run(int rounds) {
    ReferenceKernel reference_spans(kWindow);
    ReferenceKernel reference_mixed(kWindow);
    // What the reference does not do, the product does not here: derive_bench has the rest.
    auto derive = std::make_shared<correlate::DeriveOptions>();
    derive->graph.enabled = false;
    derive->self_time = false;
    ProductKernel product_spans({.window = kWindow, .derive = derive});
    ProductKernel product_mixed({.window = kWindow, .derive = derive});
    ProductKernel product_whole({.window = kWindow, .derive = derive});
    std::vector<char> block(kArena);

    std::vector<Case> cases;
    cases.push_back({"spans: reference kernel", [&] { return Reference(reference_spans, spans_); }});
    cases.push_back(
        {"spans: product, decode and fold", [&] { return Product(product_spans, spans_, false); }});
    cases.push_back(
        {"spans: product, with verdict and encoding", [&] { return Product(product_whole, spans_, true); }});
    cases.push_back({"spans: protobuf, reused arena, parsing alone", [&] { return Protobuf(block); }});
    cases.push_back({"spans and logs: reference kernel", [&] { return Reference(reference_mixed, mixed_); }});
    cases.push_back(
        {"spans and logs: product, decode and fold", [&] { return Product(product_mixed, mixed_, false); }});

    // The first rounds fill the windows.
    const int warm = static_cast<int>(kWindow / spans_.items) + 2;
    for (int round = 0; round < warm + rounds; ++round) {
      for (CorpusBatch& batch : corpora_.traces.batches) batch.Salt(static_cast<uint64_t>(round) + 1, 0);
      for (CorpusBatch& batch : corpora_.logs.batches) batch.Salt(static_cast<uint64_t>(round) + 1, 0);
      for (size_t i = 0; i < cases.size(); ++i) {
        Case& one = cases[(i + static_cast<size_t>(round)) % cases.size()];
        const double seconds = one.run();
        if (round >= warm) one.seconds.push_back(seconds);
      }
    }
    Check(reference_spans, product_spans.stats());
    Check(reference_mixed, product_mixed.stats());

    const CorpusStats& stats = corpora_.traces.stats;
    std::printf(
        "%zu requests of %.0f spans, %.0f bytes and %.1f attributes a span, %llu series; window of %zu "
        "records; "
        "median of %d rounds\n",
        corpora_.traces.batches.size(),
        static_cast<double>(stats.items) / static_cast<double>(corpora_.traces.batches.size()),
        static_cast<double>(stats.bytes) / static_cast<double>(stats.items),
        static_cast<double>(stats.attributes) / static_cast<double>(stats.items),
        static_cast<unsigned long long>(stats.series), kWindow, rounds);
    for (Case& one : cases) {
      const double median = one.Median();
      std::printf("%-46s %8.1f ns an item  %6.2f M/s  [%.1f - %.1f]\n", one.name.c_str(), median * 1e9,
                  1e-6 / median, one.seconds.front() * 1e9, one.seconds.back() * 1e9);
    }
    std::printf("of the reference kernel's rate: spans %.2f, spans and logs %.2f (target 0.70)\n",
                cases[0].Median() / cases[1].Median(), cases[4].Median() / cases[5].Median());
    std::printf("protobuf's parsing alone takes: %.1f x decode and fold, %.1f x all of it (target 5)\n",
                cases[3].Median() / cases[1].Median(), cases[3].Median() / cases[2].Median());
    return 0;
  }

 private:
  static double Reference(ReferenceKernel& kernel, const Round& round) {
    const double begin = CpuSeconds();
    for (const auto& [signal, bytes] : round.requests) {
      if (!kernel.Take(signal, *bytes)) Die("the reference kernel refuses a request");
    }
    return (CpuSeconds() - begin) / static_cast<double>(round.items);
  }

  // Bodies are put into slabs beforehand: receiving is no part of this. Time passes outside of the
  // measurement unless `whole`.
  double Product(ProductKernel& kernel, const Round& round, bool whole) {
    bodies_.clear();
    for (const auto& [signal, bytes] : round.requests) bodies_.push_back(kernel.Receive(*bytes));
    const double begin = CpuSeconds();
    for (size_t i = 0; i < bodies_.size(); ++i) {
      if (kernel.Take(round.requests[i].first, std::move(bodies_[i])) < 0)
        Die("the product refuses a request");
      if (whole && i % 100 == 99) kernel.Tick(1);
    }
    const double seconds = (CpuSeconds() - begin) / static_cast<double>(round.items);
    if (!whole) kernel.Tick(40);
    return seconds;
  }

  double Protobuf(std::vector<char>& block) {
    const double begin = CpuSeconds();
    for (const auto& [signal, bytes] : spans_.requests) {
      google::protobuf::ArenaOptions options;
      options.initial_block = block.data();
      options.initial_block_size = block.size();
      google::protobuf::Arena arena(options);
      auto* request = google::protobuf::Arena::CreateMessage<oracle::ExportTraceServiceRequest>(&arena);
      if (!request->ParseFromString(*bytes)) Die("protobuf refuses a request");
    }
    return (CpuSeconds() - begin) / static_cast<double>(spans_.items);
  }

  // Both sides must have done the same work.
  static void Check(const ReferenceKernel& reference, const correlate::ShardStats& product) {
    const uint64_t joined = product.logs_joined_at_once + product.logs_joined_waiting;
    std::printf(
        "checked: %llu spans (reference %llu), %llu duplicates (%llu), %llu logs (%llu), %llu joined "
        "(%llu)\n",
        static_cast<unsigned long long>(product.spans), static_cast<unsigned long long>(reference.spans()),
        static_cast<unsigned long long>(product.duplicate_spans),
        static_cast<unsigned long long>(reference.duplicates()),
        static_cast<unsigned long long>(product.logs), static_cast<unsigned long long>(reference.logs()),
        static_cast<unsigned long long>(joined), static_cast<unsigned long long>(reference.joined()));
    if (product.spans != reference.spans() || product.duplicate_spans != 0 || joined != reference.joined()) {
      Die("the product and the reference kernel did different work");
    }
  }

  Corpora corpora_;
  Round spans_;
  Round mixed_;
  std::vector<Slab> bodies_;
};

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 11;
  const int requests = argc > 2 ? std::atoi(argv[2]) : 400;
  if (rounds <= 0 || requests <= 0) Die("usage: kernel_bench [rounds] [requests]");
  return Bench(static_cast<uint32_t>(requests)).Run(rounds);
}

}  // namespace
}  // namespace braid::bench

int main(int argc, char** argv) { return braid::bench::Main(argc, argv); }
