#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "correlate/model/signal.h"

namespace braid::gateway {

// Where a record lies in its file.
struct RecordEntry {
  uint64_t event_ns = 0;
  uint64_t offset = 0;  // of its header
  uint32_t length = 0;  // of its payload
  uint32_t number = 0;  // from 1
  Signal signal = Signal::kTraces;
};

// A file of recorded OTLP requests, little-endian throughout:
//
//   8 bytes  "BRDOTLP1"
//   then records, each:
//     u32  payload length
//     u8   signal: 0 traces, 1 logs, 2 metrics
//     7 zero bytes
//     u64  event time, ns since 1970: what order and pace go by
//     payload: a serialised Export{Trace,Logs,Metrics}ServiceRequest
//
// Open() walks all headers, so a damaged file is known before anything of it is sent. Every error says where:
// "a.otlp: record 12 at byte 3456: ...".
//
// Thread rule: one thread.
// Bound: 32 bytes for each record; payloads are read one at a time, at most kMaxRequest bytes.
class RecordFile {
 public:
  static constexpr uint32_t kMaxRequest = 64u << 20;

  // kNotFound if it cannot be opened, kInvalidArgument if it is no (whole) record file.
  static Result<RecordFile> Open(const std::string& path);

  RecordFile(RecordFile&& other) noexcept;
  RecordFile& operator=(RecordFile&&) = delete;
  ~RecordFile();

  const std::vector<RecordEntry>& entries() const { return entries_; }

  // The payload of one of entries().
  Result<std::string> Read(const RecordEntry& entry) const;

  // The error, located at the record.
  Status Bad(const RecordEntry& entry, std::string_view what) const;

 private:
  RecordFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  Status Index();

  std::string path_;
  int descriptor_;
  std::vector<RecordEntry> entries_;
};

}  // namespace braid::gateway
