#include "gateway/cli/write_file.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace braid::gateway::cli {

Status WriteFile(const std::string& file, std::string_view text) {
  std::error_code unknown;
  const bool special =
      std::filesystem::exists(file, unknown) && !std::filesystem::is_regular_file(file, unknown);
  const std::string part = special ? file : file + ".part";
  {
    std::ofstream stream(part, std::ios::binary | std::ios::trunc);
    stream << text;
    stream.close();
    if (stream && (special || std::rename(part.c_str(), file.c_str()) == 0)) return {};
  }
  const int error = errno;
  if (!special) std::remove(part.c_str());
  return Unavailable(file + ": cannot be written: " + std::generic_category().message(error));
}

}  // namespace braid::gateway::cli
