// Every check of the committed dashboards: npm run check. Fails if anything is found.

import { dirname } from "node:path";

import type { DialectName } from "../src/dialect.js";
import { committed, parsed, regenerated } from "./files.js";
import { exclude, lint, loadExclusions, rules } from "./linter.js";
import { panelsOf } from "./model.js";
import { page } from "./page.js";
import { queries } from "./queries.js";
import { structure } from "./structure.js";
import { types } from "./types.js";

const texts = committed();
const files = parsed(texts);
const findings = [...regenerated(texts), ...structure(files), ...types(files), ...page()];
for (const dialect of ["tempo", "otel"] as DialectName[]) {
  const boards = [...files].filter(([path]) => dirname(path) === dialect).map(([, dashboard]) => dashboard);
  findings.push(...boards.flatMap((dashboard) => queries(dialect, dashboard)));
  findings.push(...exclude(boards.flatMap(lint), loadExclusions()));
}

for (const { rule, where, message } of findings) console.log(`${where}: ${message} [${rule}]`);
const panels = [...files.values()].flatMap(panelsOf);
const asked = panels.flatMap((panel) => panel.targets ?? []).length;
console.log(
  `${files.size} dashboards, ${panels.length} panels, ${asked} queries, ${Object.keys(rules).length} lint rules: ${findings.length} findings`,
);
process.exitCode = findings.length === 0 ? 0 : 1;
