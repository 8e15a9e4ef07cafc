// What metrics there are, from src/catalogue.json: name, type, labels and, of labels from closed sets, values. An
// integration test compares the file with what a running gateway shows.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { DialectName } from "../src/dialect.js";
import { ROOT } from "../src/generate.js";

export interface Metric {
  type: "counter" | "gauge" | "histogram";
  /** Values, or null where anything may stand. */
  labels: Record<string, string[] | null>;
}

type Part = Record<string, Metric>;

/** Put there by whoever scrapes. */
const TARGET = { job: null, instance: null };

export class Catalogue {
  private readonly metrics: Map<string, Metric>;

  constructor(dialect: DialectName, parts?: Record<string, Part>) {
    const all = parts ?? (JSON.parse(readFileSync(join(ROOT, "src", "catalogue.json"), "utf8")) as Record<string, Part>);
    this.metrics = new Map(["self", dialect, "rules"].flatMap((part) => Object.entries(all[part] ?? {})));
  }

  /** The metric that a sample's name belongs to, `_bucket` and the like included, with the sample's labels and whether it only grows. */
  find(sample: string): (Metric & { grows: boolean }) | undefined {
    const exact = this.metrics.get(sample);
    if (exact) return { ...exact, labels: { ...TARGET, ...exact.labels }, grows: exact.type === "counter" };
    const base = /^(.*)_(bucket|sum|count)$/.exec(sample);
    const histogram = base && this.metrics.get(base[1]!);
    if (!histogram || histogram.type !== "histogram") return undefined;
    const le = base[2] === "bucket" ? { le: null } : {};
    return { ...histogram, labels: { ...TARGET, ...histogram.labels, ...le }, grows: true };
  }
}
