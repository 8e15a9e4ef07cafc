#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace braid::config {

// Looks an environment variable up; nothing if it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// The process's own.
Environment ProcessEnvironment();

// Largest file that ${file:...} takes.
constexpr size_t kMaxSubstitutedFile = 64 << 10;

struct Substituted {
  std::string text;
  bool changed = false;  // whether a ${...} was replaced (not: $$)
  std::string error;     // what is wrong; then `text` means nothing
};

// Replaces in one scalar
//   ${env:NAME}            the variable; an error if it is not set
//   ${env:NAME:-default}   the default if it is not set or empty
//   ${file:path}           the file's content without its last line break; relative to `directory`
//   $$                     a dollar
// Any other dollar stays as it is, but ${ with anything else is an error. What was put in is not looked
// at again.
Substituted Substitute(std::string_view text, const Environment& environment, const std::string& directory);

}  // namespace braid::config
