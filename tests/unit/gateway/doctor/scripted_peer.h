#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gateway/doctor/peer.h"
#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

// A server made of answers: the longest key that the path begins with decides; nothing is there below others
// (404). `gone` answers nothing at all. What was asked is kept.
class Script {
 public:
  void Answers(const std::string& path, const std::string& body, int status = 200) {
    answers_[path] = {status, body};
  }
  void Forget(const std::string& path) { answers_.erase(path); }
  std::vector<std::string> Paths() const {
    std::vector<std::string> paths;
    for (const auto& [path, answer] : answers_) paths.push_back(path);
    return paths;
  }

  bool gone = false;
  std::vector<Ask> asked;

  Peer Make(const std::string& url = "http://peer.test:80") {
    return Peer(url, [this](const Ask& ask) -> Result<Answer> {
      asked.push_back(ask);
      if (gone) return Unavailable("connect peer.test:80: Connection refused");
      const std::pair<int, std::string>* best = nullptr;
      size_t length = 0;
      for (const auto& [path, answer] : answers_) {
        if (!ask.path.starts_with(path) || path.size() < length) continue;
        best = &answer;
        length = path.size();
      }
      Answer answer;
      answer.status = best == nullptr ? 404 : best->first;
      answer.body = best == nullptr ? "not here" : best->second;
      answer.truncated = answer.body.size() > ask.max_bytes;
      if (answer.truncated) answer.body.resize(ask.max_bytes);
      return answer;
    });
  }

 private:
  std::map<std::string, std::pair<int, std::string>> answers_;
};

// The one check with this ID; one with verdict kSkipped and an odd message if there is none or several.
inline Check Only(const Report& report, const std::string& id) {
  Check found{
      .id = id, .target = {}, .verdict = Verdict::kSkipped, .message = "(no such check)", .advice = {}};
  int times = 0;
  for (const Check& check : report.checks()) {
    if (check.id == id && ++times == 1) found = check;
  }
  if (times > 1) found.message = "(several of it)";
  return found;
}

// Answers that are no answer, for every path.
inline const std::vector<std::pair<int, std::string>>& WrongAnswers() {
  static const auto* const kWrong = new std::vector<std::pair<int, std::string>>{
      {200, ""},
      {200, "<html><body>Sign in</body></html>"},
      {200, "{"},
      {200, "null"},
      {200, "7"},
      {200, "[]"},
      {200, "{}"},
      {200, "[[[[{\"status\":\"success\"}]]]]"},
      {200, R"({"status":"success"})"},
      {200, R"({"status":"success","data":null})"},
      {200, R"({"status":"success","data":[1,{},[],"x",null]})"},
      {200, R"({"status":"success","data":{"resultType":"vector","result":{"a":1}}})"},
      {200,
       R"({"status":"success","data":{"resultType":"vector","result":[1,[],{"metric":7,"value":[1]},{"value":[{},{}]}]}})"},
      {200,
       R"({"status":"success","data":{"resultType":"streams","result":[{"stream":[],"values":[[],[1],["a",{}],7]}]}})"},
      {200,
       R"({"status":"success","data":{"activeTargets":[{"labels":[],"scrapeUrl":7,"health":{}}],"groups":[{"rules":[1,{"query":7}]}]}})"},
      {200, R"({"trace":7,"batches":{},"data":[{"spans":7}]})"},
      {200,
       R"({"account":{"ingress":[],"sinks":{"a":7,"b":{"traces":[]}}},"lanes":[1,{"sink":{}}],"store":7})"},
      {200, std::string(100'000, '[')},
      {200, "\xff\xfe\x00\x01"},
      {204, ""},
      {301, ""},
      {302, "<a href=\"/login\">"},
      {400, "bad"},
      {401, "no org id"},
      {403, ""},
      {404, "404 page not found"},
      {429, "slow down"},
      {500, "\x1b[31mpanic"},
      {502, "Bad Gateway"},
  };
  return *kWrong;
}

}  // namespace braid::gateway::doctor
