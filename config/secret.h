#pragma once

#include <ostream>
#include <string>
#include <utility>

namespace braid::config {

// A password, token or header value. Whatever prints it prints ***; only Reveal() gives the text, so that
// every use can be found by name.
class Secret {
 public:
  static constexpr const char* kMask = "***";

  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}

  bool empty() const { return text_.empty(); }

  // For the wire only: never for a log, a message or a page.
  const std::string& Reveal() const { return text_; }

  friend bool operator==(const Secret&, const Secret&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Secret& secret) {
    return out << (secret.empty() ? "" : kMask);
  }

 private:
  std::string text_;
};

}  // namespace braid::config
