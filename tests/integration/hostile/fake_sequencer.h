#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "ingest/journal/sequencer.h"

namespace braid::hostile {

// A sequencer that accepts everything, or refuses everything, here or on another thread.
class FakeSequencer : public ingest::Sequencer {
 public:
  ~FakeSequencer() override { Join(); }
  void Submit(ingest::Submission submission, std::function<void(Status)> done) override {
    items += submission.items;
    for (const uint64_t n : submission.rejected) rejected += n;
    tenant = submission.batch->tenant;
    Status status = refuse ? Unavailable("the core is behind") : Status();
    if (!elsewhere) return done(std::move(status));
    threads.emplace_back([done = std::move(done), status] { done(status); });
  }
  Status Screen(Signal) override { return {}; }
  void CountUndecodable(Signal) override { ++undecodable; }
  void Refuse(const char*) override {}
  void Tick(uint64_t) override {}
  void Pressure(int) override {}
  void Drain() override {}
  std::array<IngressEntry, kSignals> Account() const override { return {}; }
  std::string_view mode() const override { return "fake"; }
  void Join() {
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  std::atomic<bool> refuse{false};
  std::atomic<bool> elsewhere{false};
  std::atomic<uint64_t> items{0};
  std::atomic<uint64_t> rejected{0};
  std::atomic<uint64_t> undecodable{0};
  std::atomic<uint32_t> tenant{0};
  std::vector<std::thread> threads;
};

}  // namespace braid::hostile
