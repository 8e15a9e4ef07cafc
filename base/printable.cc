#include "base/printable.h"

namespace braid {

std::string Printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : '\0');
    const auto third = static_cast<unsigned char>(i + 2 < text.size() ? text[i + 2] : '\0');
    if (byte < 0x20 || byte == 0x7f) {
      out += ' ';
    } else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080 to U+009F
      out += ' ';
      ++i;
    } else if (byte == 0xe2 &&
               ((next == 0x80 && ((third >= 0xaa && third <= 0xae) || third == 0x8e || third == 0x8f)) ||
                (next == 0x81 && third >= 0xa6 && third <= 0xa9))) {
      out += ' ';  // U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace braid
