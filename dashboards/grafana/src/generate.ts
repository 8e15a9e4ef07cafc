// Writes the dashboards and data sources of both dialects, and the tables of docs/dashboards.md: npm run generate.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { generateAll, made } from "./all.js";
import { dialects } from "./dialect.js";
import { PAGE, withTables } from "./page.js";

/** dashboards/grafana; this file runs from out/src. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = generateAll();
  for (const folder of new Set([...files.keys()].map((path) => dirname(path)))) {
    const to = join(ROOT, folder);
    mkdirSync(to, { recursive: true });
    for (const old of readdirSync(to)) if (old.endsWith(".json")) rmSync(join(to, old));
  }
  for (const [path, text] of files) writeFileSync(join(ROOT, path), text);
  const page = join(ROOT, PAGE);
  writeFileSync(page, withTables(readFileSync(page, "utf8"), made(dialects[0]!)));
  console.log(`${files.size} files and the page's tables written`);
}
