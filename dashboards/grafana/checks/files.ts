// The committed files, and whether they are what the sources make.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { generateAll } from "../src/all.js";
import { dialects } from "../src/dialect.js";
import { ROOT } from "../src/generate.js";
import { sourcesPath } from "../src/provisioning.js";
import type { Dashboard, Finding } from "./model.js";

/** Path under `root` to text. */
export function committed(root = ROOT): Map<string, string> {
  const files = new Map<string, string>();
  for (const dialect of dialects) {
    const { name } = dialect;
    const sources = sourcesPath(dialect);
    if (existsSync(join(root, sources))) files.set(sources, readFileSync(join(root, sources), "utf8"));
    const folder = join(root, name);
    for (const file of existsSync(folder) ? readdirSync(folder).sort() : []) {
      if (file.endsWith(".json")) files.set(`${name}/${file}`, readFileSync(join(folder, file), "utf8"));
    }
  }
  return files;
}

/** The dashboards among them. */
export function parsed(files: Map<string, string>): Map<string, Dashboard> {
  const dashboards = [...files].filter(([path]) => path.endsWith(".json"));
  return new Map(dashboards.map(([path, text]) => [path, JSON.parse(text) as Dashboard]));
}

export function regenerated(there: Map<string, string>, made = generateAll()): Finding[] {
  const found: Finding[] = [];
  for (const path of new Set([...there.keys(), ...made.keys()])) {
    const say = (message: string) => found.push({ rule: "generated", where: path, message });
    if (!made.has(path)) say("nothing makes this file any more: npm run generate");
    else if (!there.has(path)) say("is missing: npm run generate");
    else if (there.get(path) !== made.get(path)) say("is not what the sources make: npm run generate, and commit");
  }
  return found;
}
