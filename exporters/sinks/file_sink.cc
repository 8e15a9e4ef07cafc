#include "exporters/sinks/file_sink.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/mutex.h"
#include "exporters/encode/json.h"
#include "exporters/encode/otlp.h"
#include "exporters/encode/remote_write.h"

namespace braid::exporters {
namespace {

namespace asio = boost::asio;

// A file that is only appended to.
// Thread rule: any thread; one write at a time.
class AppendFile {
 public:
  // "-" is standard output.
  static Result<std::unique_ptr<AppendFile>> Open(const std::string& path) {
    if (path == "-")
      return std::unique_ptr<AppendFile>(new AppendFile(STDOUT_FILENO, "standard output", false));
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) return InvalidArgument("open " + path + ": " + std::strerror(errno));
    return std::unique_ptr<AppendFile>(new AppendFile(fd, path, true));
  }

  ~AppendFile() {
    if (owned_) ::close(fd_);
  }
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // All or nothing, where the file can be cut back.
  Status Append(std::string_view bytes) {
    MutexLock lock(mutex_);
    struct stat before = {};
    const bool regular = ::fstat(fd_, &before) == 0 && S_ISREG(before.st_mode);
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const ssize_t written = ::write(fd_, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        const int error = errno;
        std::string message = "write " + name_ + ": " + std::strerror(error);
        // A line cut short would spoil the next one.
        if (rest.size() < bytes.size() && (!regular || ::ftruncate(fd_, before.st_size) != 0)) {
          message += ", in the middle of a line";
        }
        return Unavailable(std::move(message));
      }
      rest.remove_prefix(static_cast<size_t>(written));
    }
    return {};
  }

 private:
  AppendFile(int fd, std::string name, bool owned) : fd_(fd), name_(std::move(name)), owned_(owned) {}

  const int fd_;
  const std::string name_;
  const bool owned_;
  Mutex mutex_;  // one request's lines stay together
};

class FileShared final : public SinkShared {
 public:
  FileShared(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter, std::unique_ptr<AppendFile> file)
      : SinkShared(std::move(config), std::move(dead_letter)), file_(std::move(file)) {}

  std::unique_ptr<Sink> NewSink(asio::io_context& io) override;
  AppendFile& file() const { return *file_; }

 private:
  const std::unique_ptr<AppendFile> file_;
};

// A piece's items as one OTLP JSON line.
void AppendOtlpJsonLine(const Piece& piece, SlabPool& slabs, std::string* out) {
  const Body body = OtlpBody(piece.chunk, piece.first, piece.count, net::Encoding::kIdentity, slabs);
  AppendOtlpJson(piece.chunk->signal, body.bytes, out);
  out->push_back('\n');
}

class FileSink final : public Sink {
 public:
  FileSink(const FileShared& shared, asio::io_context& io) : shared_(shared), io_(io) {}

  bool ordered() const override { return true; }

  void Send(Piece piece, Done done) override {
    text_.clear();
    switch (shared_.config().file_format) {
      case SinkConfig::FileFormat::kJsonLines:
        AppendJsonLines(*piece.chunk, piece.first, piece.count, &text_);
        break;
      case SinkConfig::FileFormat::kOtlpJson: AppendOtlpJsonLine(piece, slabs_, &text_); break;
    }
    SendResult result;
    if (const Status status = shared_.file().Append(text_); !status.ok()) {
      result.kind = SendResult::Kind::kRetry;
      result.message = "sink " + shared_.config().name + ": " + status.message();
    }
    asio::post(io_, [weak = std::weak_ptr<bool>(alive_), result = std::move(result), done = std::move(done)] {
      if (!weak.expired()) done(result);
    });
  }

  void CancelAll() override {}  // nothing outlasts Send() but its callback

 private:
  const FileShared& shared_;
  asio::io_context& io_;
  SlabPool slabs_{{.max_bytes = size_t{64} << 20, .max_idle_bytes = size_t{4} << 20}};
  std::string text_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::unique_ptr<Sink> FileShared::NewSink(asio::io_context& io) {
  return std::make_unique<FileSink>(*this, io);
}

class FileDeadLetter final : public DeadLetter {
 public:
  FileDeadLetter(std::string sink, std::unique_ptr<AppendFile> file, SlabPool& slabs)
      : sink_(std::move(sink)), file_(std::move(file)), slabs_(slabs) {}

  Status Write(const Piece& piece, std::string_view reason) override {
    std::string text = "{\"reason\":";
    AppendJsonString(reason, &text);
    text += ",\"signal\":";
    AppendJsonString(SignalName(piece.chunk->signal), &text);
    text += "}\n";
    switch (piece.chunk->content) {
      case Chunk::Content::kOtlp: AppendOtlpJsonLine(piece, slabs_, &text); break;
      case Chunk::Content::kSamples: AppendSampleJson(*piece.chunk, piece.first, piece.count, &text); break;
    }
    return file_->Append(text).Annotate("sink " + sink_ + ": dead letter");
  }

 private:
  const std::string sink_;
  const std::unique_ptr<AppendFile> file_;
  SlabPool& slabs_;
};

}  // namespace

Result<std::unique_ptr<SinkShared>> MakeFile(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter) {
  Result<std::unique_ptr<AppendFile>> file = AppendFile::Open(config.path);
  if (!file.ok()) return file.status().Annotate("path");
  return std::unique_ptr<SinkShared>(
      new FileShared(std::move(config), std::move(dead_letter), std::move(*file)));
}

Result<std::unique_ptr<DeadLetter>> OpenDeadLetter(const std::string& sink, const std::string& path,
                                                   SlabPool& slabs) {
  if (path == "-") return InvalidArgument("dead_letter_path: standard output is not for keeping");
  Result<std::unique_ptr<AppendFile>> file = AppendFile::Open(path);
  if (!file.ok()) return file.status().Annotate("dead_letter_path");
  return std::unique_ptr<DeadLetter>(new FileDeadLetter(sink, std::move(*file), slabs));
}

}  // namespace braid::exporters
