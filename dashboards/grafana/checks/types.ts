// Whether Grafana's own types, in @grafana/schema, have room for every dashboard: the JSON is written as a literal into a
// TypeScript file and compiled. A panel's options are opaque to the dashboard's type, so they are held against the type of
// their panel as well.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "../src/generate.js";
import { type Dashboard, type Finding, panelsOf, place } from "./model.js";

const COMPOSABLE = "@grafana/schema/dist/esm/raw/composable";

/** Panel types, the module with their types, and whether that has types for a field's own configuration. */
const PANELS: Record<string, [module: string, hasFieldConfig: boolean]> = {
  timeseries: ["timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen", true],
  table: ["table/panelcfg/x/TablePanelCfg_types.gen", true],
  stat: ["stat/panelcfg/x/StatPanelCfg_types.gen", false],
  heatmap: ["heatmap/panelcfg/x/HeatmapPanelCfg_types.gen", true],
  logs: ["logs/panelcfg/x/LogsPanelCfg_types.gen", false],
  nodeGraph: ["nodegraph/panelcfg/x/NodeGraphPanelCfg_types.gen", false],
};

// JSON has strings where the types have string enums.
const HEAD = `import type { Dashboard } from "@grafana/schema";
type Plain<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
`;

/** Path under dashboards/grafana to dashboard. `name` tells runs at the same time apart. */
export function types(files: Map<string, Dashboard>, name = "types"): Finding[] {
  const folder = join(ROOT, "out", name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const found: Finding[] = [];
  const written = new Map<string, string[]>();
  for (const [path, dashboard] of files) {
    const file = `${path.replace(/\W/g, "_")}.ts`;
    const { text, places } = source(dashboard, found);
    writeFileSync(join(folder, file), text);
    written.set(file, places);
  }
  const config = {
    extends: join(ROOT, "tsconfig.json"),
    compilerOptions: { noEmit: true, rootDir: ROOT, exactOptionalPropertyTypes: false, noUnusedLocals: false },
    include: ["*.ts"],
    exclude: [],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  try {
    execFileSync(join(ROOT, "node_modules", ".bin", "tsc"), ["-p", folder, "--pretty", "false"], { encoding: "utf8" });
  } catch (error) {
    const output = String((error as { stdout?: string }).stdout ?? error);
    for (const line of output.split("\n")) {
      if (line.trim() === "" || line.startsWith(" ")) continue;
      const match = /([\w.]+\.ts)\((\d+),\d+\): error TS\d+: (.*)/.exec(line);
      const where = match && written.get(match[1]!)?.[Number(match[2]) - 1];
      found.push({ rule: "types", where: where ?? "types", message: (match?.[3] ?? line).slice(0, 300) });
    }
  }
  return found;
}

/** A literal a line, and for each line what it is of. */
function source(dashboard: Dashboard, found: Finding[]): { text: string; places: string[] } {
  const lines: string[] = [];
  const places: string[] = HEAD.split("\n").slice(0, -1).map(() => place(dashboard));
  const add = (line: string, where: string) => {
    lines.push(line);
    places.push(where);
  };
  add(`export const dashboard: Plain<Dashboard> = ${JSON.stringify(dashboard)};`, place(dashboard));
  panelsOf(dashboard).forEach((panel, index) => {
    if (panel.type === "row") return;
    const where = place(dashboard, panel);
    const known = PANELS[panel.type];
    if (!known) {
      found.push({ rule: "types", where, message: `there are no types for panels of type ${panel.type}` });
      return;
    }
    const [module, hasFieldConfig] = known;
    const type = (name: string) => `Plain<import("${COMPOSABLE}/${module}").${name}>`;
    add(`export const options${index}: ${type("Options")} = ${JSON.stringify(panel.options ?? {})};`, where);
    const custom = panel.fieldConfig?.defaults?.custom;
    if (hasFieldConfig && custom) add(`export const custom${index}: ${type("FieldConfig")} = ${JSON.stringify(custom)};`, where);
  });
  return { text: HEAD + lines.join("\n") + "\n", places };
}
