#include "gateway/replay/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace braid::gateway {
namespace {

constexpr std::string_view kMagic = "BRDOTLP1";
constexpr size_t kHeader = 20;

// Whether all `size` bytes at `offset` could be read.
bool ReadAt(int descriptor, uint64_t offset, char* out, size_t size) {
  while (size > 0) {
    const ssize_t n = pread(descriptor, out, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    out += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

Result<RecordFile> RecordFile::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return NotFound(path + ": " + std::strerror(errno));
  RecordFile file(path, descriptor);
  Status status = file.Index();
  if (!status.ok()) return status;
  return file;
}

RecordFile::RecordFile(RecordFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      entries_(std::move(other.entries_)) {}

RecordFile::~RecordFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Status RecordFile::Bad(const RecordEntry& entry, std::string_view what) const {
  std::string message = path_;
  message += ": record " + std::to_string(entry.number) + " at byte " + std::to_string(entry.offset) + ": ";
  message += what;
  return InvalidArgument(std::move(message));
}

Status RecordFile::Index() {
  struct stat info = {};
  if (fstat(descriptor_, &info) != 0 || !S_ISREG(info.st_mode))
    return InvalidArgument(path_ + ": not a regular file");
  const auto size = static_cast<uint64_t>(info.st_size);
  char magic[kMagic.size()];
  if (!ReadAt(descriptor_, 0, magic, sizeof magic) || std::string_view(magic, sizeof magic) != kMagic) {
    return InvalidArgument(path_ +
                           ": not a file of recorded OTLP requests (it does not begin with BRDOTLP1)");
  }
  uint64_t position = kMagic.size();
  while (position < size) {
    RecordEntry entry;
    entry.number = static_cast<uint32_t>(entries_.size()) + 1;
    entry.offset = position;
    const uint64_t left = size - position;
    if (left < kHeader) return Bad(entry, "the file ends within its header");
    char header[kHeader];
    if (!ReadAt(descriptor_, position, header, sizeof header)) return Bad(entry, "cannot be read");
    std::memcpy(&entry.length, header, 4);
    std::memcpy(&entry.event_ns, header + 12, 8);
    const auto signal = static_cast<uint8_t>(header[4]);
    if (signal >= kSignals) {
      return Bad(entry, "signal " + std::to_string(signal) + " is none of 0 (traces), 1 (logs), 2 (metrics)");
    }
    entry.signal = static_cast<Signal>(signal);
    for (int i = 5; i < 12; ++i) {
      if (header[i] != 0) return Bad(entry, "the seven bytes after the signal are not zero");
    }
    const std::string length = "length " + std::to_string(entry.length);
    if (entry.length > left - kHeader) return Bad(entry, length + " runs past the end");
    if (entry.length > kMaxRequest) {
      return Bad(entry, length + " is more than a request may have (" + std::to_string(kMaxRequest) + ")");
    }
    entries_.push_back(entry);
    position += kHeader + entry.length;
  }
  return {};
}

Result<std::string> RecordFile::Read(const RecordEntry& entry) const {
  std::string payload(entry.length, '\0');
  if (!ReadAt(descriptor_, entry.offset + kHeader, payload.data(), payload.size())) {
    return Bad(entry, "cannot be read any more");
  }
  return payload;
}

}  // namespace braid::gateway
