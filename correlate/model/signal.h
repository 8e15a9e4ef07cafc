#pragma once

#include <cstdint>
#include <string_view>

namespace braid {

enum class Signal : uint8_t { kTraces, kLogs, kMetrics };
inline constexpr int kSignals = 3;

// "traces", "logs", "metrics": the label value and configuration word.
constexpr std::string_view SignalName(Signal signal) {
  switch (signal) {
    case Signal::kTraces: return "traces";
    case Signal::kLogs: return "logs";
    case Signal::kMetrics: return "metrics";
  }
  return "";
}

}  // namespace braid
