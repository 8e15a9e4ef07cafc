#include "gateway/cli/options.h"

#include "base/net/http_client.h"
#include "config/units.h"

namespace braid::gateway::cli {
namespace {

// What is wrong with the URL; empty: nothing.
std::string DescribeBadUrl(const std::string& url) {
  if (url.empty()) return {};
  const Result<net::HttpUrl> parsed = net::ParseHttpUrl(url);
  if (!parsed.ok()) return parsed.status().message();
  return parsed->target.find('?') == std::string::npos ? "" : "the URL has a query (?)";
}

}  // namespace

CLI::Option* AddJson(CLI::App* command, bool* json) {
  return command
      ->add_option_function<std::string>(
          "-o,--output", [json](const std::string& format) { *json = format == "json"; }, "How to print.")
      ->check(CLI::IsMember({"text", "json"}))
      ->default_str("text");
}

CLI::Option* AddDuration(CLI::App* command, const std::string& name, std::chrono::milliseconds* value,
                         const std::string& help) {
  return command
      ->add_option_function<std::string>(
          name, [value](const std::string& text) { *value = *config::ParseDuration(text); }, help)
      ->check(CLI::Validator(
          [](std::string& text) {
            return config::ParseDuration(text) ? std::string() : "expected a duration such as 10s or 500ms";
          },
          ""))
      ->type_name("DURATION");
}

CLI::Option* AddUrl(CLI::App* command, const std::string& name, std::string* url, const std::string& help) {
  return command->add_option(name, *url, help)
      ->check(CLI::Validator([](std::string& text) { return DescribeBadUrl(text); }, ""))
      ->type_name("URL");
}

}  // namespace braid::gateway::cli
