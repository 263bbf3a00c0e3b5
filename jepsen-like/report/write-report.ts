/**
 * Turns a run's folder into its report: reads verdict.json and history.jsonl, writes report.html beside them.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readHistory } from "../analysis/read-history.js";
import type { RunReport } from "../run.js";
import { reportPage } from "./html.js";

/** Returns the file written. Throws RangeError when the folder holds no run, or one that cannot be read. */
export function writeReport(dir: string): string {
  const verdict = readText(join(dir, "verdict.json"));
  const history = readHistory(readText(join(dir, "history.jsonl")));
  let report: RunReport;
  try {
    report = JSON.parse(verdict) as RunReport;
  } catch (error) {
    throw new RangeError(`${join(dir, "verdict.json")} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!Array.isArray(report.invariants) || !Array.isArray(report.times))
    throw new RangeError(`${join(dir, "verdict.json")} is not the verdict of a run`);
  const file = join(dir, "report.html");
  writeFileSync(file, reportPage(report, history));
  return file;
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new RangeError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
