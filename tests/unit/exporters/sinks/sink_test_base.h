#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "exporters/sinks/sink_factory.h"
#include "tests/unit/exporters/chunk_builder.h"

namespace braid::test {

// A sink made by the factory, driven by the test's own loop.
class SinkTestBase : public testing::Test {
 protected:
  SinkTestBase() {
    std::string pattern = testing::TempDir() + "braid_sink_XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~SinkTestBase() override {
    sink_.reset();
    shared_.reset();
    std::filesystem::remove_all(directory_);
  }

  Status Make(const exporters::SinkConfig& config) {
    sink_.reset();
    auto made = exporters::MakeSink(config, slabs_);
    if (!made.ok()) return made.status();
    shared_ = std::move(*made);
    sink_ = shared_->NewSink(io_);
    return {};
  }

  // Sends and runs the loop until the answer is there; fails after 20 s.
  exporters::SendResult Send(exporters::Piece piece) {
    std::optional<exporters::SendResult> result;
    sink_->Send(std::move(piece), [&](exporters::SendResult r) { result = std::move(r); });
    EXPECT_FALSE(result.has_value()) << "done was called from within Send()";
    RunUntil([&] { return result.has_value(); });
    return result.value_or(exporters::SendResult{});
  }
  exporters::SendResult Send(const ChunkPtr& chunk) {
    return Send({chunk, 0, static_cast<uint32_t>(chunk->items.size())});
  }

  template <typename Condition>
  void RunUntil(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(10));
    }
  }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path) << content;
    return path;
  }

  std::string directory_;
  SlabPool slabs_{SlabPool::Options{}};
  boost::asio::io_context io_;
  std::unique_ptr<exporters::SinkShared> shared_;
  std::unique_ptr<exporters::Sink> sink_;
};

}  // namespace braid::test
