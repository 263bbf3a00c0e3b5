/**
 * The work of an asked SQL branch: a list of statements, and its form as a payload.
 *
 * A payload is the UTF-8 JSON text of the list, for example
 * `[{"sql":"update account set n = n - $1 where id = $2 and n >= $1","params":[5,7],"rows":1}]`.
 * Decides: which lists are well formed, and that no statement ends the transaction it runs in.
 */
import { messageOf } from "../../base/index.js";

export interface SqlStatement {
  /** One statement, with $1, $2 ... for the parameters. */
  readonly sql: string;
  readonly params?: readonly unknown[];
  /** Rows it must affect or return; the vote is no otherwise. Without it any number will do, also none. */
  readonly rows?: number;
}

export const STATEMENTS_MAX = 256;

/** Encodes statements as the payload of a branch. Throws RangeError that names the statement and the field when one is malformed. */
export function postgresPayload(statements: readonly SqlStatement[]): Uint8Array {
  const problem = listProblem(statements);
  if (problem !== undefined) throw new RangeError(problem);
  return Buffer.from(JSON.stringify(statements), "utf8");
}

/** Reads a payload. A malformed one gives the problem in words, for the detail of a vote of no. */
export function decodePostgresPayload(
  payload: Uint8Array,
): { readonly statements: readonly SqlStatement[] } | { readonly problem: string } {
  if (payload.length === 0)
    return { problem: "the branch has no payload: it was neither prepared here by a client nor does it bring statements to run" };
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch (error) {
    return { problem: `the payload is not UTF-8 JSON: ${messageOf(error)}` };
  }
  const problem = listProblem(parsed);
  return problem === undefined ? { statements: parsed as SqlStatement[] } : { problem };
}

function listProblem(list: unknown): string | undefined {
  if (!Array.isArray(list)) return "the payload must be a JSON array of statements";
  if (list.length === 0) return "the list of statements is empty";
  if (list.length > STATEMENTS_MAX) return `the list has ${list.length} statements; the limit is ${STATEMENTS_MAX}`;
  for (let i = 0; i < list.length; i++) {
    const problem = statementProblem(list[i]);
    if (problem !== undefined) return `statement ${i}: ${problem}`;
  }
  return undefined;
}

function statementProblem(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return 'must be an object with "sql"';
  const { sql, params, rows, ...more } = value as { readonly [field: string]: unknown };
  const [unknownField] = Object.keys(more);
  if (unknownField !== undefined) return `there is no field "${unknownField}"`;
  if (typeof sql !== "string" || sql.trim() === "") return '"sql" must be a text that is not empty';
  if (params !== undefined && !Array.isArray(params)) return '"params" must be an array';
  if (rows !== undefined && !(Number.isSafeInteger(rows) && (rows as number) >= 0)) return '"rows" must be a count';
  const control = transactionControl(sql);
  return control === undefined ? undefined : `${control} is not allowed: the branch's transaction is begun and ended for it`;
}

const CONTROL = ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"];

/** The command that would begin or end a transaction, if the statement is one. Statements run one by one, so the first word decides. */
export function transactionControl(sql: string): string | undefined {
  let text = sql;
  for (let before = ""; before !== text;) {
    before = text;
    text = withoutBlockComment(text.trimStart().replace(/^(?:;|--[^\n]*(?:\n|$))+/, ""));
  }
  const word = /^[a-z]+/i.exec(text)?.[0].toUpperCase();
  return word !== undefined && CONTROL.includes(word) ? word : undefined;
}

/** Without a leading block comment. PostgreSQL nests them. */
function withoutBlockComment(text: string): string {
  if (!text.startsWith("/*")) return text;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if (text.startsWith("/*", i)) {
      depth++;
      i++;
    } else if (text.startsWith("*/", i)) {
      depth--;
      i++;
      if (depth === 0) return text.slice(i + 1);
    }
  }
  return "";
}
