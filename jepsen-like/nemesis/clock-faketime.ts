/**
 * Wall clocks of single processes that can be moved while they run, by Debian's libfaketime; the machine's own clock is never touched.
 *
 * The library, preloaded, reads an offset from a file each time it is asked for the wall clock. The monotonic clock stays true: that is
 * what the product promises to run on.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const LIBRARY = "libfaketimeMT.so.1";
const FOLDERS = ["/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime"];
const TRIAL_OFFSET_S = 7200;
const TRIAL_TIMEOUT_MS = 10_000;

/** Debian keeps it below the architecture's folder. Undefined: not installed. */
export function faketimeLibrary(): string | undefined {
  const byArchitecture = existsSync("/usr/lib") ? readdirSync("/usr/lib").map((name) => join("/usr/lib", name, "faketime")) : [];
  return [...byArchitecture, ...FOLDERS].map((folder) => join(folder, LIBRARY)).find((path) => existsSync(path));
}

/** Why wall clocks cannot be moved here; undefined: one of a trial process was, and its monotonic clock was not. */
export async function whyNoClocks(): Promise<string | undefined> {
  const library = faketimeLibrary();
  if (library === undefined) return `${LIBRARY} is not installed (Debian's package faketime; \`sh scripts/fault-tools.sh\` as root)`;
  const dir = mkdtempSync(join(tmpdir(), "quorate-clock-"));
  try {
    const clock = new NodeClock(join(dir, "clock"), library);
    clock.set(TRIAL_OFFSET_S * 1000);
    const before = Date.now();
    const script = "const a = performance.now(); setTimeout(() => console.log(Date.now(), performance.now() - a), 50)";
    const said = await new Promise<string>((resolve, reject) =>
      execFile(process.execPath, ["-e", script], { env: { ...process.env, ...clock.env }, timeout: TRIAL_TIMEOUT_MS }, (error, stdout) =>
        error === null ? resolve(stdout) : reject(error),
      ),
    );
    const [wallMs = 0, elapsedMs = 0] = said.trim().split(" ").map(Number);
    if (Math.abs(wallMs - before - TRIAL_OFFSET_S * 1000) > TRIAL_TIMEOUT_MS)
      return `${library} did not move the wall clock of a trial process`;
    if (elapsedMs < 45 || elapsedMs > TRIAL_TIMEOUT_MS) return `${library} moved the monotonic clock of a trial process too`;
    return undefined;
  } catch (error) {
    return `${library} cannot be preloaded: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The wall clock of one process. */
export class NodeClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  constructor(file: string, library: string) {
    this.#file = file;
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
    this.set(0);
  }

  /** From now on its wall clock is so far from the machine's. Whole seconds are what the library reads without doubt. */
  set(offsetMs: number): void {
    const seconds = Math.round(offsetMs / 1000);
    // By a rename: the process must never read half an offset.
    writeFileSync(`${this.#file}.new`, `${seconds < 0 ? "-" : "+"}${Math.abs(seconds)}\n`);
    renameSync(`${this.#file}.new`, this.#file);
  }
}
