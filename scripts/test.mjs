/**
 * `npm test`: builds, runs every test, and ends with one plain line: `N passed, N failed[, N skipped]`.
 *
 * Fails when a test fails, when a test file could not be run, and when nothing ran at all. Arguments are passed on to vitest.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => join(root, "node_modules", ".bin", name);
const run = (command, args) => spawnSync(command, args, { cwd: root, stdio: "inherit" });

function end(passed, failed, skipped, ok) {
  console.log(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`);
  process.exit(ok && failed === 0 && passed > 0 ? 0 : 1);
}

const build = run(bin("tsc"), ["-p", "tsconfig.build.json"]);
if (build.status !== 0) {
  console.error("The build failed.");
  end(0, 1, 0, false);
}

// Root on Debian gets what some faults need; anybody else's tests of those say SKIP and why. In CI a missing tool is a failure.
if (process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
  const tools = run("sh", [join(root, "scripts", "fault-tools.sh")]);
  if (tools.status !== 0) {
    console.error("The packages for the fault tests could not be installed.");
    if (process.env.CI === "true") end(0, 1, 0, false);
  }
}

const folder = mkdtempSync(join(tmpdir(), "quorate-test-"));
const report = join(folder, "report.json");
const tests = run(bin("vitest"), ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...process.argv.slice(2)]);

let result;
try {
  result = JSON.parse(readFileSync(report, "utf8"));
} catch {
  result = undefined;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (result === undefined) {
  console.error("The tests wrote no report.");
  end(0, 1, 0, false);
}
// A file that cannot be loaded has no tests that could fail: it is one failure itself.
const broken = result.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
for (const file of broken) console.error(`${file.name}: ${file.message}`);
end(
  result.numPassedTests,
  result.numFailedTests + broken.length,
  result.numPendingTests + result.numTodoTests,
  result.success === true && tests.status === 0,
);
