#include "gateway/logging/logging.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <utility>

namespace braid::gateway {
namespace {

// The length of the UTF-8 character at the start of `text`, or 0 if there is none (RFC 3629, table 3-7 of
// Unicode).
size_t CharacterLength(std::string_view text) {
  const auto byte = [&](size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto follows = [&](size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first < 0xc2 || !follows(1)) return 0;
  if (first < 0xe0) return 2;
  if (!follows(2)) return 0;
  if (first < 0xf0) {
    const bool overlong = first == 0xe0 && second < 0xa0;
    const bool surrogate = first == 0xed && second >= 0xa0;
    return overlong || surrogate ? 0 : 3;
  }
  const bool range = (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90) || first > 0xf4;
  return range || !follows(3) ? 0 : 4;
}

// The message, escaped: inside quotes as a JSON string, otherwise only what could forge a line or drive the
// terminal.
class EscapedMessage : public spdlog::custom_flag_formatter {
 public:
  explicit EscapedMessage(bool json) : json_(json) {}

  void format(const spdlog::details::log_msg& message, const tm&, spdlog::memory_buf_t& out) override {
    const std::string_view text(message.payload.data(), message.payload.size());
    const std::string escaped = json_ ? EscapeJson(text) : Printable(text);
    out.append(escaped.data(), escaped.data() + escaped.size());
  }

  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<EscapedMessage>(json_);
  }

 private:
  static std::string Printable(std::string_view text) {
    std::string out;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= 0x20 && byte != 0x7f) {
        out += c;
      } else {
        constexpr std::string_view kHex = "0123456789abcdef";
        out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]};
      }
    }
    return out;
  }

  const bool json_;
};

spdlog::level::level_enum LevelOf(config::Log::Level level) {
  switch (level) {
    case config::Log::Level::kDebug: return spdlog::level::debug;
    case config::Log::Level::kInfo: return spdlog::level::info;
    case config::Log::Level::kWarn: return spdlog::level::warn;
    case config::Log::Level::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::sink_ptr MakeSink(bool json) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool color = !json && isatty(STDERR_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
  if (color) return std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  return std::make_shared<spdlog::sinks::stderr_sink_mt>();
}

}  // namespace

void SetUpLogging(const config::Log& options) {
  const bool json = options.format == config::Log::Format::kJson;
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<EscapedMessage>('*', json);
  formatter->set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","thread":%t,"message":"%*"})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %^%-7l%$ %*");

  auto logger = std::make_shared<spdlog::logger>("braid", MakeSink(json));
  logger->set_formatter(std::move(formatter));
  logger->set_level(LevelOf(options.level));
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

RateLimit::Passed RateLimit::Pass(Clock::time_point now) {
  Passed pass;
  const Clock::rep time = now.time_since_epoch().count();
  Clock::rep next = next_.load(std::memory_order_relaxed);
  // Of several threads that find it due, the one that moves it on passes.
  if (time >= next && next_.compare_exchange_strong(next, time + interval_, std::memory_order_relaxed)) {
    pass.passed_ = true;
    pass.suppressed_ = suppressed_.exchange(0, std::memory_order_relaxed);
  } else {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
  }
  return pass;
}

std::string RateLimit::Passed::Suffix() const {
  if (suppressed_ == 0) return {};
  return " (" + std::to_string(suppressed_) + " more like this were not logged)";
}

std::string EscapeJson(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    const auto byte = static_cast<unsigned char>(text.front());
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else if (length > 1) {
      out += text.substr(0, length);
    } else if (byte == '"' || byte == '\\') {
      out += {'\\', text.front()};
    } else if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 0xf]};
    } else {
      out += text.front();
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace braid::gateway
