/**
 * The text form of a directed scenario: commands, and below them everything that happened.
 *
 *     # why this scenario exists
 *     start 1 2 3
 *     settle
 *     ----
 *     n1 starts
 *       ...
 *
 * A block is comments, then commands, then `----`, then the trace up to the next empty line. Commands of one block run together.
 * This file splits and joins; it knows nothing of what a command means.
 */

export interface Block {
  /** Comment lines, each with its `#`. */
  readonly comments: readonly string[];
  readonly commands: readonly string[];
  readonly trace: readonly string[];
}

const RULE = "----";

/** Throws Error, naming the line, for text of another form. */
export function parseScript(text: string): readonly Block[] {
  const blocks: Block[] = [];
  let comments: string[] = [];
  let commands: string[] = [];
  let trace: string[] | undefined;
  const end = (at: number): void => {
    if (trace !== undefined) blocks.push({ comments, commands, trace });
    else if (commands.length > 0) throw new Error(`line ${at}: commands without a ${RULE} below them`);
    else if (comments.length > 0) blocks.push({ comments, commands: [], trace: [] });
    [comments, commands, trace] = [[], [], undefined];
  };
  const lines = text.split("\n");
  lines.forEach((line, index) => {
    if (line.trim() === "") end(index + 1);
    else if (trace !== undefined) trace.push(line);
    else if (line.startsWith("#")) comments.push(line);
    else if (line === RULE) {
      if (commands.length === 0) throw new Error(`line ${index + 1}: ${RULE} without a command above it`);
      trace = [];
    } else commands.push(line);
  });
  end(lines.length);
  return blocks;
}

export function formatScript(blocks: readonly Block[]): string {
  return blocks
    .map(({ comments, commands, trace }) =>
      [...comments, ...commands, ...(commands.length > 0 ? [RULE] : []), ...trace].map((line) => `${line}\n`).join(""),
    )
    .join("\n");
}

/** A command's words: plain ones in order, and those of the form `name=value`. */
export interface Words {
  readonly verb: string;
  readonly plain: readonly string[];
  readonly named: ReadonlyMap<string, string>;
}

export function wordsOf(command: string): Words {
  const [verb = "", ...rest] = command.trim().split(/\s+/);
  const named = new Map<string, string>();
  const plain: string[] = [];
  for (const word of rest) {
    const at = word.indexOf("=");
    if (at > 0) named.set(word.slice(0, at), word.slice(at + 1));
    else plain.push(word);
  }
  return { verb, plain, named };
}

/** A world that a script drives. */
export interface Interpreter {
  /** Carries out one command; throws when it is unknown or an expectation does not hold. */
  run(words: Words): void;
  /** What happened since the last call. */
  takeTrace(): string[];
}

/** Runs a script on a world and gives it back with the trace of this run. */
export function play(blocks: readonly Block[], world: Interpreter): readonly Block[] {
  return blocks.map(({ comments, commands }) => {
    for (const command of commands) {
      try {
        world.run(wordsOf(command));
      } catch (error) {
        throw new Error(
          `\`${command}\`: ${error instanceof Error ? error.message : String(error)}\n${world.takeTrace().slice(-30).join("\n")}`,
          {
            cause: error,
          },
        );
      }
    }
    return { comments, commands, trace: commands.length === 0 ? [] : world.takeTrace() };
  });
}
