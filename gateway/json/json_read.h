#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <optional>
#include <string_view>

#include "base/status.h"

// Reading JSON that somebody else wrote. What is absent, or of another kind than expected, reads as empty;
// nothing here throws. Views and references live as long as the value they were taken from.
namespace braid::gateway {

// kInvalidArgument: it is not JSON, or nested deeper than 256 (attributes may be nested).
Result<boost::json::value> ParseJson(std::string_view body);

std::string_view JsonText(const boost::json::object& object, std::string_view key);
const boost::json::array& JsonList(const boost::json::object& object, std::string_view key);
const boost::json::object& JsonMap(const boost::json::object& object, std::string_view key);

// A number, or a text that is one as a whole, as Prometheus writes its samples. Nothing for anything else.
std::optional<double> JsonNumber(const boost::json::value& value);
std::optional<double> JsonNumber(const boost::json::object& object, std::string_view key);

// A text, or nothing in it.
std::string_view JsonText(const boost::json::value& value);

// The object that `value` is, or an empty one.
const boost::json::object& JsonMap(const boost::json::value& value);
const boost::json::object& JsonMap(const boost::json::object&) = delete;  // would be of a copy

}  // namespace braid::gateway
