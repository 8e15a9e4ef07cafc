// docs/dashboards.md: its tables are those of the dashboards, and its pictures show all of their panels.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { made } from "../src/all.js";
import { dialects } from "../src/dialect.js";
import { ROOT } from "../src/generate.js";
import { marked, PAGE, PICTURES, withTables } from "../src/page.js";
import type { Finding } from "./model.js";

const LARGEST = 60_000;

/** The committed page and pictures, by the name of their dashboard. */
export function committedPage(root = ROOT): { text: string; pictures: Map<string, string> } {
  const pictures = new Map<string, string>();
  for (const { uid } of made(dialects[0]!)) {
    const path = join(root, PICTURES, `${uid}.svg`);
    if (existsSync(path)) pictures.set(uid!, readFileSync(path, "utf8"));
  }
  return { text: readFileSync(join(root, PAGE), "utf8"), pictures };
}

export function page({ text, pictures } = committedPage(), dashboards = made(dialects[0]!)): Finding[] {
  const found: Finding[] = [];
  const say = (where: string, message: string) => found.push({ rule: "page", where, message });
  if (withTables(text, dashboards) !== text) say("docs/dashboards.md", "its tables are not what the sources make: npm run generate, and commit");
  const uids = dashboards.map(({ uid }) => uid!);
  for (const uid of marked(text)) if (!uids.includes(uid)) say("docs/dashboards.md", `has a table of ${uid}, which there is not`);
  for (const dashboard of dashboards) {
    const uid = dashboard.uid!;
    if (!marked(text).includes(uid)) say("docs/dashboards.md", `has no place for the table of ${uid}: <!-- panels of ${uid} --> and <!-- end -->`);
    if (!text.includes(`](dashboards/${uid}.svg)`)) say("docs/dashboards.md", `does not show dashboards/${uid}.svg`);
    const where = `docs/dashboards/${uid}.svg`;
    const picture = pictures.get(uid);
    if (picture === undefined) {
      say(where, "is missing: tests/support/draw_dashboards.py");
      continue;
    }
    if (Buffer.byteLength(picture) > LARGEST) say(where, `has ${Buffer.byteLength(picture)} bytes, more than ${LARGEST}`);
    const elsewhere = /(?:href|src)\s*=|url\(|@import|<(?:image|script|foreignObject)\b/.exec(picture);
    if (elsewhere) say(where, `refers to something outside of it: ${elsewhere[0]}`);
    for (const { title } of dashboard.panels ?? []) {
      if (!picture.includes(`>${escaped(title ?? "")}</text>`)) say(where, `does not show ${title}: tests/support/draw_dashboards.py`);
    }
  }
  return found;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
