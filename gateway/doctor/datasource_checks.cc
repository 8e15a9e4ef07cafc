#include "gateway/doctor/datasource_checks.h"

#include <algorithm>

#include "gateway/doctor/peer.h"

namespace braid::gateway::doctor {
namespace {

constexpr std::string_view kNames[] = {
    "parse",         "api_version",   "unique",           "references",  "escaping",  "exemplar_destination",
    "derived_field", "trace_to_logs", "trace_to_metrics", "service_map", "streaming", "url"};

// Braid's neighbours may stream searches; what speaks Tempo's API without gRPC cannot.
void CheckStreaming(DataSources& sources) {
  for (const DataSource& source : sources.all()) {
    const config::Node* streaming = Member(source.json, "streamingEnabled");
    if (source.type != "tempo" || !MemberTrue(streaming, "search")) continue;
    sources.Warn("streaming", Member(streaming, "search")->at,
                 "searches stream over gRPC, which the data source's health check then asks for too",
                 "Switch it off unless this is a Tempo whose HTTP address speaks gRPC as well:\n"
                 "    jsonData:\n      streamingEnabled: {search: false}");
  }
}

// An address that was probed should be one that Grafana asks.
void CheckUrls(DataSources& sources, const Surroundings& around) {
  const struct {
    const char* type;
    const char* flag;
    const std::string& url;
  } kinds[] = {{"prometheus", "--prometheus", around.prometheus},
               {"loki", "--loki", around.loki},
               {"tempo", "--tempo", around.tempo_url},
               {"jaeger", "--jaeger", around.jaeger}};
  for (const auto& kind : kinds) {
    if (kind.url.empty()) continue;
    const DataSource* first = nullptr;
    bool same = false;
    for (const DataSource& source : sources.all()) {
      if (source.type != kind.type) continue;
      if (first == nullptr) first = &source;
      // One with a variable in it may be any.
      same =
          same || source.url.find('$') != std::string::npos || Authority(source.url) == Authority(kind.url);
    }
    if (first == nullptr || same) continue;
    const config::Node* url = Member(first->node, "url");
    sources.Warn("url", url != nullptr ? url->at : first->node->at,
                 "Grafana asks '" + first->url + "', and " + kind.flag + " names " + kind.url,
                 std::string("Fine if both are the same ") + kind.type +
                     ", seen from a container and from here. Else:\n    url: " + kind.url);
  }
}

}  // namespace

void CheckDataSourceTexts(const std::vector<SourceText>& texts, const Surroundings& around, Reporter& to) {
  DataSources sources(texts, to);
  CheckReferences(sources);
  CheckEscaping(sources);
  CheckExemplarDestinations(sources);
  CheckDerivedFields(sources);
  CheckTraceToLogs(sources);
  CheckTraceToMetrics(sources, around);
  CheckServiceMap(sources, around);
  CheckStreaming(sources);
  CheckUrls(sources, around);

  const auto count = [&](const auto& is) {
    return std::count_if(sources.all().begin(), sources.all().end(), is);
  };
  const auto traces = count([](const DataSource& one) { return one.IsTraces(); });
  const auto of = [&](std::string_view type) {
    return count([&](const DataSource& one) { return one.type == type; });
  };
  // What nothing was found wrong with is fine, if there is something of the kind.
  const auto fine = [&](std::string_view name, bool there, const std::string& message,
                        const std::string& none) {
    if (to.Has(name)) return;
    if (there) {
      to.Ok(name, message);
    } else {
      to.Skip(name, none);
    }
  };
  const bool any = !sources.all().empty();
  const std::string nothing = "no data source could be read";
  const auto counted = [](size_t n, const std::string& what) {
    return std::to_string(n) + ' ' + what + (n == 1 ? "" : "s");
  };
  fine("parse", !texts.empty(),
       counted(sources.all().size(), "data source") + " in " + counted(texts.size(), "file"), nothing);
  fine("api_version", any, "1", nothing);
  fine("unique", any, "names and uids occur once", nothing);
  fine("references", any, "every uid referred to is one of them", nothing);
  fine("escaping", any, "Grafana's own variables are written with $$", nothing);
  fine("exemplar_destination", of("prometheus") > 0 && traces > 0, "exemplars lead to traces by trace_id",
       "no Prometheus and trace sources together");
  fine("derived_field", of("loki") > 0 && traces > 0, "logs lead to traces by trace_id",
       "no Loki and trace sources together");
  fine("trace_to_logs", of("loki") > 0 && traces > 0, "spans lead to their logs",
       "no Loki and trace sources together");
  fine("trace_to_metrics", of("prometheus") > 0 && traces > 0, "spans lead to metrics that Braid has",
       "no Prometheus and trace sources together");
  fine("service_map", of("prometheus") > 0 && of("tempo") > 0, "the service map asks Prometheus",
       "no Prometheus and Tempo sources together");
  fine("streaming", of("tempo") > 0, "searches do not stream", "no Tempo source");
  const bool given = !around.prometheus.empty() || !around.loki.empty() || !around.tempo_url.empty() ||
                     !around.jaeger.empty();
  fine("url", any && given, "addresses are those that were given here",
       "no address was given to compare with");
}

void CheckDataSources(const std::vector<std::string>& paths, const Surroundings& around, Report* report) {
  std::string target;
  for (const std::string& path : paths) target += (target.empty() ? "" : ", ") + path;
  Reporter to(report, "datasources", target);
  CheckDataSourceTexts(ReadSourceTexts(paths, to), around, to);
}

void SkipDataSources(Report* report) {
  Reporter(report, "datasources", "")
      .SkipRest(kNames, "not looked at: --datasources FILE_OR_DIR includes Grafana's data source files");
}

}  // namespace braid::gateway::doctor
