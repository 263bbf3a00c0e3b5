/**
 * The work of an asked SQL branch, whatever the database: a list of statements, and its form as a payload, UTF-8 JSON.
 *
 * Decides: which lists are well formed. What a database does not want in a statement, its adapter says.
 */
import { messageOf } from "../base/index.js";

export interface SqlStatement {
  /** One statement, with the database's own marks for the parameters: $1, $2 ... in PostgreSQL, ? in MariaDB and MySQL. */
  readonly sql: string;
  readonly params?: readonly unknown[];
  /** Rows it must affect or return; the vote is no otherwise. Without it any number will do, also none. */
  readonly rows?: number;
}

export const STATEMENTS_MAX = 256;

export type DecodedStatements = { readonly statements: readonly SqlStatement[] } | { readonly problem: string };
/** What an adapter has against a statement, in words. */
export type StatementCheck = (statement: SqlStatement) => string | undefined;

/** Throws RangeError that names the statement and the field when one is malformed. */
export function encodeStatements(statements: readonly SqlStatement[], check: StatementCheck): Uint8Array {
  const problem = listProblem(statements, check);
  if (problem !== undefined) throw new RangeError(problem);
  return Buffer.from(JSON.stringify(statements), "utf8");
}

export function decodeStatements(payload: Uint8Array, check: StatementCheck): DecodedStatements {
  if (payload.length === 0)
    return { problem: "the branch has no payload: it was neither prepared here by a client nor does it bring statements to run" };
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch (error) {
    return { problem: `the payload is not UTF-8 JSON: ${messageOf(error)}` };
  }
  const problem = listProblem(parsed, check);
  return problem === undefined ? { statements: parsed as SqlStatement[] } : { problem };
}

function listProblem(list: unknown, check: StatementCheck): string | undefined {
  if (!Array.isArray(list)) return "the payload must be a JSON array of statements";
  if (list.length === 0) return "the list of statements is empty";
  if (list.length > STATEMENTS_MAX) return `the list has ${list.length} statements; the limit is ${STATEMENTS_MAX}`;
  for (let i = 0; i < list.length; i++) {
    const problem = statementProblem(list[i]) ?? check(list[i] as SqlStatement);
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
  return undefined;
}
