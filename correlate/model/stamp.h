#pragma once

#include <array>
#include <string_view>

// The attribute keys that Braid appends. They are never written over a key the sender used.
namespace braid::stamp {

// On logs: what their span and trace knew.
constexpr std::string_view kState = "correlation.state";    // span | trace | orphan
constexpr std::string_view kReason = "correlation.reason";  // where no span was joined: see UnjoinedReason
constexpr std::string_view kSpanService = "span.service";
constexpr std::string_view kSpanName = "span.name";
constexpr std::string_view kSpanKind = "span.kind";  // internal | server | client | producer | consumer
constexpr std::string_view kSpanDurationMs = "span.duration_ms";  // double
constexpr std::string_view kSpanStatus = "span.status";           // unset | ok | error
constexpr std::string_view kRootName = "trace.root.name";
constexpr std::string_view kRootService = "trace.root.service";
constexpr std::string_view kTraceError = "trace.error";  // bool: an ERROR span or log was seen in the trace

// On spans: what their logs knew. Counts are ints and absent where 0.
constexpr std::string_view kLogsError = "log.count.error";  // ERROR and FATAL
constexpr std::string_view kLogsWarn = "log.count.warn";
constexpr std::string_view kLogsInfo = "log.count.info";
constexpr std::string_view kLogsDebug = "log.count.debug";   // DEBUG and TRACE
constexpr std::string_view kFirstError = "log.first_error";  // <= 256 bytes

inline constexpr std::array kLogKeys = {kState,       kReason,         kSpanService, kSpanName,
                                        kSpanKind,    kSpanDurationMs, kSpanStatus,  kRootName,
                                        kRootService, kTraceError};
inline constexpr std::array kSpanKeys = {kLogsError, kLogsWarn, kLogsInfo, kLogsDebug, kFirstError};

constexpr size_t kMaxMessage = 256;

}  // namespace braid::stamp
