#pragma once

#include <string_view>

namespace braid {

// A file of the source tree that is part of the binary, word for word. Made by braid_embed() (tools/cmake),
// which defines a function that returns all files of one list, in order of their paths. Lives as long as the
// process.
struct EmbeddedFile {
  std::string_view path;  // relative to the ROOT of the list, with slashes
  std::string_view content;
};

}  // namespace braid
