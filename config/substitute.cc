#include "config/substitute.h"

#include <re2/re2.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace braid::config {
namespace {

// The content of a file, for a value. Returns what is wrong, or nothing.
std::string ReadValue(const std::filesystem::path& path, std::string* value) {
  // A directory opens but cannot be read, and a pipe would wait for ever.
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (error) return error.message();
  if (!std::filesystem::is_regular_file(status)) return "not a regular file";
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::generic_category().message(errno);

  value->resize(kMaxSubstitutedFile + 1);
  in.read(value->data(), static_cast<std::streamsize>(value->size()));
  value->resize(static_cast<size_t>(in.gcount()));
  if (in.bad()) return "cannot be read";
  if (value->size() > kMaxSubstitutedFile) {
    return "larger than " + std::to_string(kMaxSubstitutedFile >> 10) + " KiB";
  }
  if (value->ends_with('\n')) value->pop_back();
  if (value->ends_with('\r')) value->pop_back();
  return {};
}

}  // namespace

Environment ProcessEnvironment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

Substituted Substitute(std::string_view text, const Environment& environment, const std::string& directory) {
  static const RE2 kName("[A-Za-z_][A-Za-z0-9_]*");
  static const RE2 kText("(?s).*");  // matches UTF-8 only

  Substituted out;
  const auto fail = [&](std::string error) {
    out.error = std::move(error);
    return out;
  };

  size_t pos = 0;
  while (pos < text.size()) {
    const size_t dollar = std::min(text.find('$', pos), text.size());
    out.text += text.substr(pos, dollar - pos);
    pos = dollar;
    if (pos == text.size()) break;
    const char next = pos + 1 < text.size() ? text[pos + 1] : '\0';
    if (next != '{') {
      out.text += '$';
      pos += next == '$' ? 2 : 1;
      continue;
    }

    const size_t close = text.find('}', pos);
    if (close == std::string_view::npos) return fail("'${' without '}'; write $$ for a dollar");
    const std::string what(text.substr(pos + 2, close - pos - 2));
    pos = close + 1;
    out.changed = true;
    if (what.find("${") != std::string::npos) return fail("substitutions do not nest");

    std::string value;
    if (what.starts_with("env:")) {
      const size_t separator = what.find(":-");
      const std::string name = what.substr(4, separator == std::string::npos ? separator : separator - 4);
      if (!RE2::FullMatch(name, kName)) {
        return fail("'" + name + "' is not the name of an environment variable");
      }
      std::optional<std::string> found = environment(name);
      if (separator != std::string::npos && (!found || found->empty())) found = what.substr(separator + 2);
      if (!found) {
        return fail("environment variable " + name + " is not set; ${env:" + name +
                    ":-default} gives a default");
      }
      value = *std::move(found);
    } else if (what.starts_with("file:")) {
      const std::filesystem::path path = std::filesystem::path(directory) / what.substr(5);
      const std::string error = what.size() == 5 ? "no path given" : ReadValue(path, &value);
      if (!error.empty()) return fail("${" + what + "}: " + error);
    } else {
      return fail(
          "unknown substitution; there are ${env:NAME}, ${env:NAME:-default} and ${file:path}, and $$ "
          "for a dollar");
    }
    if (!RE2::FullMatch(value, kText) || value.find('\0') != std::string::npos) {
      return fail("${" + what.substr(0, what.find(":-")) + "} is not UTF-8 text");
    }
    out.text += value;
  }
  return out;
}

}  // namespace braid::config
