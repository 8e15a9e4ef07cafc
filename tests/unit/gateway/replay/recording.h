#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "base/wire.h"
#include "correlate/model/signal.h"

namespace braid::testing {

// A record file under construction, in a file that goes away with it.
class Recording {
 public:
  Recording()
      : path_(::testing::TempDir() + "recording-" + std::to_string(getpid()) + "-" + std::to_string(next_++) +
              ".otlp") {
    Write();
  }
  ~Recording() { std::remove(path_.c_str()); }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  Recording& Add(Signal signal, uint64_t event_ns, const std::string& payload) {
    const auto length = static_cast<uint32_t>(payload.size());
    bytes_.append(reinterpret_cast<const char*>(&length), 4);
    bytes_ += static_cast<char>(signal);
    bytes_.append(7, '\0');
    bytes_.append(reinterpret_cast<const char*>(&event_ns), 8);
    bytes_ += payload;
    Write();
    return *this;
  }

  std::string& bytes() { return bytes_; }
  void Write() const { std::ofstream(path_, std::ios::binary) << bytes_; }
  const std::string& path() const { return path_; }

 private:
  static inline int next_ = 0;
  std::string path_;
  std::string bytes_ = "BRDOTLP1";
};

// A request with one item, recognisable by its text.
inline std::string OneItem(const std::string& text) {
  std::string out;
  wire::Writer w(&out);
  const size_t resource = w.Begin(1);
  const size_t scope = w.Begin(2);
  const size_t item = w.Begin(2);
  w.Bytes(3, text);  // trace_state, severity_text or unit
  w.End(item);
  w.End(scope);
  w.End(resource);
  return out;
}

}  // namespace braid::testing
