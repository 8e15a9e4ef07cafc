#include "gateway/otlp_client/stop_signal.h"

#include <csignal>

namespace braid::gateway {
namespace {

std::atomic<bool> g_requested{false};
std::atomic<bool> g_urgent{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set by a signal handler");

struct sigaction g_former_int;
struct sigaction g_former_term;

void OnSignal(int) {
  if (g_requested.exchange(true)) g_urgent.store(true);
}

}  // namespace

StopSignal::StopSignal() {
  g_requested.store(false);
  g_urgent.store(false);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigaction(SIGINT, &action, &g_former_int);
  sigaction(SIGTERM, &action, &g_former_term);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &g_former_int, nullptr);
  sigaction(SIGTERM, &g_former_term, nullptr);
}

const std::atomic<bool>& StopSignal::requested() { return g_requested; }
const std::atomic<bool>& StopSignal::urgent() { return g_urgent; }

}  // namespace braid::gateway
