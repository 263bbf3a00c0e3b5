#!/usr/bin/env node
import { existsSync } from "node:fs";

const built = new URL("../dist/src/cli/main.js", import.meta.url);
if (!existsSync(built)) {
  console.error('quorate: the program is not built; run "npm run build" in its folder first [QUORATE_CONFIG]');
  process.exit(2);
}
// The gRPC library prints to stderr on its own; what matters reaches the user as an error of ours.
process.env.GRPC_VERBOSITY ??= "NONE";
const { main } = await import(built.href);
const code = await main(process.argv.slice(2));
// What is still open belongs to nobody: the end of the command is the end of the process, once everything is printed.
process.stdout.write("", () => process.exit(code));
