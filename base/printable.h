#pragma once

#include <string>
#include <string_view>

namespace braid {

// Text that somebody else wrote, as it may be shown on a terminal: control characters, also C1 ones, and
// marks that turn the direction of writing become blanks. Nothing else changes; what is not UTF-8 stays as it
// is.
std::string Printable(std::string_view text);

}  // namespace braid
