/**
 * Settings in a YAML file, each with its line.
 *
 * A door of its own, loaded where there is a file: the YAML reader is an eighth of all modules that a node would read before it serves.
 */
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Node } from "yaml";
import type { ConfigFile, GivenInFile } from "./load.js";
import { unknown } from "./names.js";
import { isSettingKey, type SettingKey } from "./table.js";

/** Reads a YAML file's text. What is wrong with it is in the result. */
export function parseConfigFile(path: string, text: string): ConfigFile {
  const problems: string[] = [];
  const out = new Map<SettingKey, GivenInFile>();
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  for (const error of document.errors) problems.push(`${path}:${lines.linePos(error.pos[0]).line}: ${firstLine(error.message)}`);
  if (document.errors.length > 0 || document.contents === null) return { path, given: out, problems };
  if (!isMap(document.contents)) {
    problems.push(`${path}:1: the file must be a mapping of settings, for example "pingIntervalMs: 50"`);
    return { path, given: out, problems };
  }
  for (const pair of document.contents.items) {
    const keyNode = pair.key as Node;
    const name = isScalar(keyNode) ? String(keyNode.value) : String(keyNode);
    const line = lines.linePos(keyNode.range?.[0] ?? 0).line;
    if (!isSettingKey(name)) {
      problems.push(`${path}:${line}: ${unknown("setting", name, (key) => key)}`);
      continue;
    }
    const value = pair.value as Node | null;
    const raw = isSeq(value)
      ? value.items.map((item) => (isScalar(item) ? String(item.value) : String(item))).join(",")
      : isScalar(value)
        ? value.value
        : undefined;
    if (raw === undefined || raw === null) problems.push(`${path}:${line}: ${name} has no plain value`);
    else out.set(name, { raw, line });
  }
  return { path, given: out, problems };
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? text;
}
