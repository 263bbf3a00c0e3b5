/**
 * Runs the small programs that make and break networks: ip, nft, ss.
 */
import { spawn } from "node:child_process";
import { QuorateError } from "../../src/base/index.js";

/** Resolves with what it printed. Throws QUORATE_INTERNAL with what it complained about when it failed. */
export function runCommand(command: readonly string[], input = ""): Promise<string> {
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    let out = "";
    let complaint = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
    const fail = (why: string): void => reject(new QuorateError("QUORATE_INTERNAL", `${command.join(" ")}: ${why}`));
    child.once("error", (error) => fail(error.message));
    child.once("close", (code, signal) => {
      if (code === 0) resolve(out);
      else fail(complaint.trim() === "" ? `ended with ${code ?? signal}` : complaint.trim());
    });
    // A program that ends without reading is judged by how it ends.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}
