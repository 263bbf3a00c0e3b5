/**
 * The work of an asked branch as a payload: the UTF-8 JSON text of a list of statements, for example
 * `[{"sql":"update account set n = n - ? where id = ? and n >= ?","params":[5,7,5],"rows":1}]`.
 *
 * Parameters are texts, numbers, booleans and null: they go to the server beside the statement and never become text of it.
 */
import { decodeStatements, encodeStatements, type DecodedStatements, type SqlStatement } from "../sql-statements.js";
import { shapeOf } from "./sql-text.js";

/** Encodes statements as the payload of a branch. Throws RangeError that names the statement and the field when one is malformed. */
export function mysqlPayload(statements: readonly SqlStatement[]): Uint8Array {
  return encodeStatements(statements, statementProblem);
}

/** Reads a payload. A malformed one gives the problem in words, for the detail of a vote of no. */
export function decodeMysqlPayload(payload: Uint8Array): DecodedStatements {
  return decodeStatements(payload, statementProblem);
}

function statementProblem({ sql, params = [] }: SqlStatement): string | undefined {
  const { control } = shapeOf(sql);
  if (control !== undefined) return `${control} is not allowed: the branch's transaction is begun and ended for it`;
  const odd = params.findIndex((value) => value !== null && !["string", "number", "boolean"].includes(typeof value));
  return odd < 0 ? undefined : `"params"[${odd}] must be a text, a number, true, false or null`;
}
