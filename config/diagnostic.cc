#include "config/diagnostic.h"

#include <tuple>

namespace braid::config {

std::string Diagnostic::ToString() const {
  std::string out = source;
  if (at.line > 0) out += ':' + std::to_string(at.line) + ':' + std::to_string(at.column);
  if (!out.empty()) out += ": ";
  if (!path.empty()) out += path + ": ";
  return out + message;
}

bool operator<(const Diagnostic& a, const Diagnostic& b) {
  return std::tie(a.at.source, a.at.line, a.at.column, a.path) <
         std::tie(b.at.source, b.at.line, b.at.column, b.path);
}

}  // namespace braid::config
