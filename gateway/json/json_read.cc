#include "gateway/json/json_read.h"

#include <boost/json/parse.hpp>
#include <charconv>

namespace braid::gateway {

namespace json = boost::json;

Result<json::value> ParseJson(std::string_view body) {
  json::parse_options parse;
  parse.max_depth = 256;
  boost::system::error_code error;
  json::value value = json::parse({body.data(), body.size()}, error, {}, parse);
  if (error) return InvalidArgument("the answer is not JSON: " + error.message());
  return value;
}

std::string_view JsonText(const json::value& value) {
  if (!value.is_string()) return {};
  return {value.as_string().data(), value.as_string().size()};
}

std::string_view JsonText(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? std::string_view() : JsonText(*value);
}

const json::array& JsonList(const json::object& object, std::string_view key) {
  static const json::array kNone;
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_array() ? value->as_array() : kNone;
}

const json::object& JsonMap(const json::value& value) {
  static const json::object kNone;
  return value.is_object() ? value.as_object() : kNone;
}

const json::object& JsonMap(const json::object& object, std::string_view key) {
  static const json::object kNone;
  const json::value* value = object.if_contains(key);
  return value != nullptr ? JsonMap(*value) : kNone;
}

std::optional<double> JsonNumber(const json::value& value) {
  if (value.is_double()) return value.as_double();
  if (value.is_int64()) return static_cast<double>(value.as_int64());
  if (value.is_uint64()) return static_cast<double>(value.as_uint64());
  const std::string_view text = JsonText(value);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> JsonNumber(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? std::nullopt : JsonNumber(*value);
}

}  // namespace braid::gateway
