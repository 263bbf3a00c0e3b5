/**
 * The system's own tools, called without a shell.
 */
import { execFile } from "node:child_process";

const TIMEOUT_MS = 20_000;
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Resolves with what the program printed. Throws an Error that names the call and what it said when it fails or is missing. */
export function tool(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    // A plain user's PATH leaves out the folders of administration tools.
    const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:${PATH}`, LC_ALL: "C" };
    execFile(program, args, { timeout: TIMEOUT_MS, env }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const said = stderr.trim() === "" ? error.message : stderr.trim();
      reject(
        new Error(error.code === "ENOENT" ? `${program} is not installed` : `${program} ${args.join(" ")}: ${said}`, { cause: error }),
      );
    });
  });
}
