/**
 * The work of an asked branch as a payload: the UTF-8 JSON text of a list of statements, for example
 * `[{"sql":"update account set n = n - $1 where id = $2 and n >= $1","params":[5,7],"rows":1}]`.
 *
 * Decides: that no statement ends the transaction it runs in.
 */
import { decodeStatements, encodeStatements, type DecodedStatements, type SqlStatement } from "../sql-statements.js";

export type { SqlStatement } from "../sql-statements.js";

/** Encodes statements as the payload of a branch. Throws RangeError that names the statement and the field when one is malformed. */
export function postgresPayload(statements: readonly SqlStatement[]): Uint8Array {
  return encodeStatements(statements, statementProblem);
}

/** Reads a payload. A malformed one gives the problem in words, for the detail of a vote of no. */
export function decodePostgresPayload(payload: Uint8Array): DecodedStatements {
  return decodeStatements(payload, statementProblem);
}

function statementProblem({ sql }: SqlStatement): string | undefined {
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
