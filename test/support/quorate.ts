/**
 * The built command, run as a user runs it.
 */
import { spawn } from "node:child_process";
import { PROGRAM } from "../../src/cli/index.js";

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `quorate <args>`; QUORATE_* of the test's own environment are not passed on. */
export function quorate(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...plainEnvironment(), ...env },
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** The same with `-o json`: parsed, or an error that shows what the command said. */
export async function quorateJson(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const { code, stdout, stderr } = await quorate([...args, "-o", "json"], env);
  if (code !== 0) throw new Error(`quorate ${args.join(" ")} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as unknown;
}

export function plainEnvironment(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("QUORATE_")));
}
