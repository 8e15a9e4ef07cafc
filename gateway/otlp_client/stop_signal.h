#pragma once

#include <atomic>

namespace braid::gateway {

// While it lives, the first SIGINT or SIGTERM sets requested(), the second one urgent(); the process goes on.
// Afterwards the former handlers are back.
//
// Thread rule: one at a time in the process; the flags may be read anywhere.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  static const std::atomic<bool>& requested();
  static const std::atomic<bool>& urgent();
};

}  // namespace braid::gateway
