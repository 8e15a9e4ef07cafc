// Scenario: the queries behind the link from a trace to its service's metrics, with the matchers that Grafana puts in.
// Guarantees: they parse, and ask for metrics and labels of their dialect.

import assert from "node:assert/strict";
import { test } from "node:test";

import { out } from "./sample.mjs";

const { metricsOfTrace, sources, sourcesPath } = await out("src/provisioning.js");
const { dialects } = await out("src/dialect.js");
const { PromQL, syntaxError } = await out("checks/grammar.js");
const { Catalogue } = await out("checks/catalogue.js");

for (const dialect of dialects) {
  test(`trace to metrics: ${dialect.name}`, () => {
    const catalogue = new Catalogue(dialect.name);
    for (const { query } of metricsOfTrace(dialect)) {
      const filled = query.replaceAll("$__tags", `${dialect.service}="cart"`).replaceAll("$__rate_interval", "1m");
      assert.equal(syntaxError("promql", filled), undefined, filled);
      for (const selector of new PromQL(filled).selectors()) {
        const metric = catalogue.find(selector.metric);
        for (const { label } of selector.matchers) assert.ok(label in metric.labels, label);
      }
    }
  });
}

test("the two files are in two places, and say what they are for", () => {
  assert.equal(new Set(dialects.map(sourcesPath)).size, 2);
  for (const dialect of dialects) assert.match(sources(dialect), new RegExp(`metrics.dialect: ${dialect.name}`));
});
