#pragma once

#include <string_view>

namespace braid::gateway::rules {

// An SLO file (dialect tempo) that is wrong, and everything that must be said about it.
struct Broken {
  std::string_view name;
  std::string_view text;
  std::string_view errors;  // one a line, as Diagnostic::ToString() has them
};

// clang-format off
inline constexpr Broken kBroken[] = {
    {"Empty",
     "",
     "f:1:1: expected a map with 'slos:' at the top\n"},
    {"AListAtTheTop",
     "- name: a\n",
     "f:1:1: expected a map with 'slos:' at the top\n"},
    {"NoObjectives",
     "slos: []\n",
     "f:1:7: slos: expected at least 1 entry, got none\n"},
    {"NothingUnderTheKey",
     "slos:\n",
     "f:1:1: slos: expected at least 1 entry, got none\n"},
    {"UnknownKeyAtTheTop",
     "slo:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:1:1: missing key 'slos'\n"
     "f:1:1: slo: unknown key; did you mean 'slos'?\n"},
    {"BrokenYaml",
     "slos: [\n",
     "f:2:1: not YAML: end of sequence flow not found\n"},
    {"DuplicateKey",
     "slos:\n"
     "- name: a\n"
     "  name: b\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:3:3: duplicate key 'name'; the first is in line 2\n"},
    {"ATextInsteadOfAList",
     "slos: a\n",
     "f:1:7: slos: expected a list, got 'a'\n"},
    {"ATextInsteadOfAnObjective",
     "slos: [a]\n",
     "f:1:8: slos[0]: expected a map with 'indicator', got 'a'\n"},
    {"UnknownKey",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "  services: s\n",
     "f:6:3: slos[0].services: unknown key; did you mean 'service'?\n"},
    {"MissingName",
     "slos:\n"
     "- service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:2:3: slos[0]: missing key 'name', such as checkout-availability\n"},
    {"MissingService",
     "slos:\n"
     "- name: a\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:2:3: slos[0]: missing key 'service', such as checkout\n"},
    {"MissingObjective",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  indicator: availability\n",
     "f:2:3: slos[0]: missing key 'objective', such as 99.9\n"},
    {"MissingIndicator",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n",
     "f:2:3: slos[0]: missing key 'indicator', one of availability, latency\n"},
    {"MisspeltIndicator",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: latncy\n",
     "f:5:14: slos[0].indicator: expected one of availability, latency, got 'latncy'; did you mean 'latency'?\n"},
    {"MissingThreshold",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: latency\n",
     "f:2:3: slos[0]: missing key 'threshold', such as 512ms\n"},
    {"ThresholdOfAvailability",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "  threshold: 512ms\n",
     "f:6:3: slos[0].threshold: key of latency, not of availability\n"},
    {"BadName",
     "slos:\n"
     "- name: \"check out\"\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:2:9: slos[0].name: expected a name of letters, digits, '.', '_' and '-', at most 100, that begins and ends with a letter or digit, got 'check out'\n"},
    {"NameThatEndsWithADot",
     "slos:\n"
     "- name: a.\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:2:9: slos[0].name: expected a name of letters, digits, '.', '_' and '-', at most 100, that begins and ends with a letter or digit, got 'a.'\n"},
    {"NameThatIsANumber",
     "slos:\n"
     "- name: 1\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:2:9: slos[0].name: expected a name of letters, digits, '.', '_' and '-', at most 100, that begins and ends with a letter or digit, got the number 1: put it in quotes\n"},
    {"NameThatIsTooLong",
     "slos:\n"
     "- name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:2:9: slos[0].name: expected a name of letters, digits, '.', '_' and '-', at most 100, that begins and ends with a letter or digit, got 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'\n"},
    {"NameThatIsThereTwice",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:6:9: slos[1].name: 'a' is there twice; the first is in line 2\n"},
    {"EmptyService",
     "slos:\n"
     "- name: a\n"
     "  service: \"\"\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:3:12: slos[0].service: expected the name of a service, or a list of them, got an empty one\n"},
    {"ServiceThatIsABoolean",
     "slos:\n"
     "- name: a\n"
     "  service: true\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:3:12: slos[0].service: expected the name of a service, or a list of them, got true: put it in quotes\n"},
    {"ServiceThatIsAMap",
     "slos:\n"
     "- name: a\n"
     "  service: {a: b}\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:3:12: slos[0].service: expected the name of a service, or a list of them, got a map\n"},
    {"NoServiceInTheList",
     "slos:\n"
     "- name: a\n"
     "  service: []\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:3:12: slos[0].service: expected at least 1 entry, got none\n"},
    {"ServiceThatIsThereTwice",
     "slos:\n"
     "- name: a\n"
     "  service: [s, t, s]\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:3:19: slos[0].service[2]: 's' is there twice\n"},
    {"ObjectiveOfAHundred",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 100\n"
     "  indicator: availability\n",
     "f:4:14: slos[0].objective: expected a percentage above 0 and below 100, such as 99.9, got the number 100\n"},
    {"ObjectiveOfZero",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 0\n"
     "  indicator: availability\n",
     "f:4:14: slos[0].objective: expected a percentage above 0 and below 100, such as 99.9, got the number 0\n"},
    {"ObjectiveAsAText",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: '99'\n"
     "  indicator: availability\n",
     "f:4:14: slos[0].objective: expected a percentage above 0 and below 100, such as 99.9, got '99'\n"},
    {"ObjectiveWithAPercentSign",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99.9%\n"
     "  indicator: availability\n",
     "f:4:14: slos[0].objective: expected a percentage above 0 and below 100, such as 99.9, got '99.9%'\n"},
    {"ObjectiveTooFine",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99.9999999\n"
     "  indicator: availability\n",
     "f:4:14: slos[0].objective: expected at most six decimals and no exponent, got 99.9999999\n"},
    {"ObjectiveWithAnExponent",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 9.99e1\n"
     "  indicator: availability\n",
     "f:4:14: slos[0].objective: expected at most six decimals and no exponent, got 9.99e1\n"},
    {"UnknownKind",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "  kind: [server, clint]\n",
     "f:6:18: slos[0].kind[1]: expected one of server, consumer, client, producer, internal, got 'clint'; did you mean 'client'?\n"},
    {"KindThatIsThereTwice",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "  kind: [server, server]\n",
     "f:6:18: slos[0].kind[1]: 'server' is there twice\n"},
    {"ThresholdBetweenTwoBuckets",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: latency\n"
     "  threshold: 500ms\n",
     "f:6:14: slos[0].threshold: expected a bound of the latency buckets of dialect tempo, got '500ms'; nearest: 256ms and 512ms\n"},
    {"ThresholdBelowAllBuckets",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: latency\n"
     "  threshold: 1ms\n",
     "f:6:14: slos[0].threshold: expected a bound of the latency buckets of dialect tempo, got '1ms'; nearest: 2ms\n"},
    {"ThresholdAboveAllBuckets",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: latency\n"
     "  threshold: 1m\n",
     "f:6:14: slos[0].threshold: expected a bound of the latency buckets of dialect tempo, got '1m'; nearest: 16384ms\n"},
    {"ThresholdWithoutUnit",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: latency\n"
     "  threshold: 512\n",
     "f:6:14: slos[0].threshold: expected a duration such as 512ms, got the number 512\n"},
    {"ThresholdInAForeignUnit",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: latency\n"
     "  threshold: 0.5s\n",
     "f:6:14: slos[0].threshold: expected a duration such as 512ms, got '0.5s'\n"},
    {"LabelThatTheRulesSet",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "  labels: {team: a, slo: b, __x: c}\n",
     "f:6:21: slos[0].labels.slo: expected another name: the rules set this label themselves\n"
     "f:6:29: slos[0].labels.__x: expected another name: the rules set this label themselves\n"},
    {"LabelWithABadName",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "  labels: {a.b: c}\n",
     "f:6:12: slos[0].labels.a.b: expected a label's name of letters, digits and '_' that does not begin with a digit, got 'a.b'\n"},
    {"LabelThatIsANumber",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "  labels: {tier: 1}\n",
     "f:6:18: slos[0].labels.tier: expected a text, got the number 1: put it in quotes\n"},
    {"UnknownAnnotation",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "  annotations: {runbok: x}\n",
     "f:6:17: slos[0].annotations.runbok: unknown key; did you mean 'runbook'?\n"},
    {"AmbiguousText",
     "slos:\n"
     "- name: a\n"
     "  service: no\n"
     "  objective: 99\n"
     "  indicator: availability\n",
     "f:3:12: slos[0].service: expected the name of a service, or a list of them, got 'no': YAML readers differ on what that is: put it in quotes if it is a text\n"},
    {"SeveralAtOnce",
     "slos:\n"
     "- name: a\n"
     "  service: s\n"
     "  objective: 200\n"
     "  indicator: availability\n"
     "- nam: b\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "- name: c\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: latency\n"
     "  threshold: 3ms\n"
     "- name: c\n"
     "  service: s\n"
     "  objective: 99\n"
     "  indicator: availability\n"
     "  labels: {service: x}\n",
     "f:4:14: slos[0].objective: expected a percentage above 0 and below 100, such as 99.9, got the number 200\n"
     "f:6:3: slos[1]: missing key 'name', such as checkout-availability\n"
     "f:6:3: slos[1].nam: unknown key; did you mean 'name'?\n"
     "f:14:14: slos[2].threshold: expected a bound of the latency buckets of dialect tempo, got '3ms'; nearest: 2ms and 4ms\n"
     "f:15:9: slos[3].name: 'c' is there twice; the first is in line 10\n"
     "f:19:12: slos[3].labels.service: expected another name: the rules set this label themselves\n"},
};
// clang-format on

}  // namespace braid::gateway::rules
