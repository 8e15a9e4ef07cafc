#include "ingest/http/message.h"

#include <algorithm>

namespace braid::ingest {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = Lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Calls fn(name, value), both as sent, until it returns false.
template <typename Fn>
void ForEachParameter(std::string_view query, Fn fn) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    if (!fn(pair.substr(0, equals), value)) return;
  }
}

}  // namespace

void Headers::Add(std::string_view name, std::string_view value) {
  entries_.push_back({static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(name.size()),
                      static_cast<uint32_t>(value.size())});
  for (const char c : name) text_.push_back(Lower(c));
  text_.append(value);
}

std::pair<std::string_view, std::string_view> Headers::at(size_t index) const {
  const Entry& entry = entries_[index];
  const std::string_view text(text_);
  return {text.substr(entry.begin, entry.name_size),
          text.substr(entry.begin + entry.name_size, entry.value_size)};
}

std::string_view Headers::Get(std::string_view name) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name_size != name.size()) continue;
    const auto [key, value] = at(i);
    if (key == name) return value;
  }
  return {};
}

std::string_view Request::path() const { return std::string_view(target).substr(0, target.find('?')); }

std::string_view Request::query() const {
  const size_t mark = target.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
}

std::optional<std::string> Request::QueryParameter(std::string_view name) const {
  std::optional<std::string> found;
  ForEachParameter(query(), [&](std::string_view key, std::string_view value) {
    const std::optional<std::string> decoded = PercentDecode(key, true);
    if (!decoded || *decoded != name) return true;
    found = PercentDecode(value, true);
    return false;
  });
  return found;
}

std::vector<std::pair<std::string, std::string>> Request::QueryParameters() const {
  std::vector<std::pair<std::string, std::string>> all;
  ForEachParameter(query(), [&](std::string_view key, std::string_view value) {
    std::optional<std::string> name = PercentDecode(key, true);
    std::optional<std::string> content = PercentDecode(value, true);
    if (name && content) all.emplace_back(std::move(*name), std::move(*content));
    return true;
  });
  return all;
}

std::string Request::content_type() const {
  std::string_view type = headers.Get("content-type");
  type = type.substr(0, type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  std::string lower(type);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return lower;
}

ReplyFormat Request::reply_format() const {
  if (grpc) return ReplyFormat::kGrpc;
  const std::string type = content_type();
  if (type == "application/json") return ReplyFormat::kJson;
  if (type == "application/x-protobuf" || type == "application/protobuf") return ReplyFormat::kProtobuf;
  return ReplyFormat::kText;
}

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    } else {
      out.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

}  // namespace braid::ingest
