#include "config/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <stdexcept>
#include <valijson/adapters/boost_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "config/load.h"
#include "tests/unit/config/broken.h"

namespace braid::config {
namespace {

namespace json = boost::json;

json::value Parse(std::string_view text) { return json::parse({text.data(), text.size()}); }

// What an independent implementation of draft-07 says.
class Oracle {
 public:
  explicit Oracle(std::string_view text) : root_(Parse(text)) {
    // valijson 1.0 refuses every name where propertyNames stands in a schema that a $ref leads to.
    root_.at("definitions").at("headers").as_object().erase("propertyNames");
    valijson::SchemaParser parser;
    parser.populateSchema(valijson::adapters::BoostJsonAdapter(root_), schema_);
  }
  bool Accepts(const json::value& value) {
    valijson::Validator validator;
    return validator.validate(schema_, valijson::adapters::BoostJsonAdapter(value), nullptr);
  }

 private:
  json::value root_;
  valijson::Schema schema_;
};

json::value ToJson(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull: return nullptr;
    case Node::Kind::kBool: return node.text == "true";
    case Node::Kind::kInt:
    case Node::Kind::kFloat: return Parse(node.text);
    case Node::Kind::kString: return json::string(node.text);
    case Node::Kind::kList: {
      json::array out;
      for (const Node& item : node.items) out.push_back(ToJson(item));
      return out;
    }
    case Node::Kind::kMap: {
      json::object out;
      for (const Node::Member& member : node.members) out[member.key] = ToJson(member.value);
      return out;
    }
  }
  return nullptr;
}

void CheckDocumented(const Schema& schema, const std::string& path) {
  EXPECT_FALSE(schema.description.empty()) << path;
  for (const auto& [key, property] : schema.properties) {
    const std::string below = path + '.' + key;
    const bool required =
        std::find(schema.required.begin(), schema.required.end(), key) != schema.required.end();
    EXPECT_NE(property.default_value.has_value(), required) << below << ": has a default, or is required";
    CheckDocumented(property, below);
  }
  if (schema.additional) CheckDocumented(*schema.additional, path + ".*");
  if (schema.items) CheckDocumented(*schema.items, path + "[]");
  for (const Schema& one : schema.one_of) CheckDocumented(one, path + "<" + one.title + ">");
}

// Scenario: the whole schema is walked.
// Guarantees: every key is described, and has a default unless it must be given.
TEST(SchemaTest, EveryKeyIsDocumented) { CheckDocumented(RootSchema(), ""); }

// Scenario: keywords that our walk does not know, or broken references.
// Guarantees: they are refused when the schema is compiled, not ignored.
TEST(SchemaTest, RefusesWhatItWouldIgnore) {
  for (const char* text :
       {R"({"type":"object","minProperties":1})", R"({"type":"text"})", R"({"$ref":"#/definitions/none"})",
        R"({"type":"object","additionalProperties":true})",
        R"({"oneOf":[{"type":"object"},{"type":"object"}]})", R"({"type":"string","pattern":"("})",
        R"({"type":"string","x-kind":"colour"})"}) {
    EXPECT_THROW(CompileSchema(text), std::runtime_error) << text;
  }
}

// Scenario: the broken configurations, and ours with all defaults filled in, go through valijson too.
// Guarantees: what valijson refuses by the same schema we refuse, and what Load() leaves behind valijson
// accepts.
TEST(SchemaTest, AgreesWithAnIndependentValidator) {
  Oracle oracle(SchemaText());
  EXPECT_TRUE(oracle.Accepts(ToJson(Load({}).effective)));
  for (const Broken& broken : kBroken) {
    EXPECT_TRUE(oracle.Accepts(ToJson(LoadBroken(broken).effective))) << broken.name;
  }
}

// Scenario: single mistakes that a JSON Schema can see.
// Guarantees: both we and valijson refuse each.
TEST(SchemaTest, BothRefuseTheSame) {
  Oracle oracle(SchemaText());
  for (const char* text : {R"({"log":{"level":"loud"}})", R"({"nothing":1})", R"({"threads":{"cores":-1}})",
                           R"({"threads":{"cores":"3"}})", R"({"web":{"listen":"here"}})",
                           R"({"web":{"tls":{"cert_file":"a"}}})", R"({"memory":{"budget":"512mb"}})",
                           R"({"sinks":{"A":{"type":"stdout"}}})", R"({"sinks":{"a":{"type":"otlp_http"}}})",
                           R"({"sinks":{"a":{"type":"stdout","endpoint":"http://h"}}})",
                           R"({"sinks":{"a":{"type":"stdout","signals":[]}}})",
                           R"({"sinks":{"a":{"type":"stdout","signals":["logs","logs"]}}})",
                           R"({"filters":[{"name":"a","action":"drop"}]})", R"({"filters":{}})",
                           R"({"sinks":{"a":{"type":"loki","endpoint":"http://h","labels":{"a.b":"c"}}}})"}) {
    EXPECT_FALSE(oracle.Accepts(Parse(text))) << text;
    LoadOptions options;
    options.text = text;  // JSON is YAML
    options.check_files = false;
    EXPECT_FALSE(Load(options).ok()) << text;
  }
}

// Scenario: what an editor sees: substitutions not yet made, maps with all keys commented out.
// Guarantees: the editor's schema accepts them, and still refuses what is wrong.
TEST(SchemaTest, EditorSchemaAllowsSubstitutions) {
  Oracle oracle(EditorSchema());
  for (const char* text :
       {R"({"log":{"level":"${env:L:-info}"},"threads":{"cores":"${env:C}"}})", R"({"sinks":null})",
        R"({"web":{"insecure":"${env:I}","listen":"127.0.0.1:${env:P}"}})", R"({"log":{"level":"warn"}})"}) {
    EXPECT_TRUE(oracle.Accepts(Parse(text))) << text;
  }
  for (const char* text :
       {R"({"log":{"level":"loud"}})", R"({"threads":{"cores":"many"}})", R"({"lgo":{}})"}) {
    EXPECT_FALSE(oracle.Accepts(Parse(text))) << text;
  }
}

// Scenario: misspelt words.
// Guarantees: the nearest word is offered, and none where nothing is near.
TEST(NearestTest, OffersTheLikelyWord) {
  const std::vector<std::string> words = {"listen", "log_hold", "tls", "warn", "endpoint"};
  EXPECT_EQ(Nearest("listn", words), "listen");
  EXPECT_EQ(Nearest("lsiten", words), "listen");
  EXPECT_EQ(Nearest("Log-Hold", words), "log_hold");
  EXPECT_EQ(Nearest("warning", words), "warn");
  EXPECT_EQ(Nearest("endpiont", words), "endpoint");
  EXPECT_EQ(Nearest("kafka", words), "");
  EXPECT_EQ(Nearest("", words), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'l'), words), "");
}

// Scenario: every broken configuration.
// Guarantees: all its errors, each with exact line, column, path and message, and nothing else.
TEST(BrokenTest, IsReportedExactly) {
  EXPECT_GE(std::size(kBroken), 40u);
  for (const Broken& broken : kBroken) {
    std::string errors;
    for (const Diagnostic& error : LoadBroken(broken).errors) errors += error.ToString() + '\n';
    EXPECT_EQ(errors, broken.errors) << broken.name;
  }
}

}  // namespace
}  // namespace braid::config
