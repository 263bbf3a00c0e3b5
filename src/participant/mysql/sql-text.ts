/**
 * What the first word of a statement says about it.
 *
 * The server itself refuses, inside a branch, whatever would end the branch's transaction (1399); this is for a clear word beforehand, and
 * for knowing when nothing has to be asked. It never has to be complete.
 */

const CONTROL = new Set(["BEGIN", "START", "COMMIT", "ROLLBACK", "XA", "LOCK", "UNLOCK"]);
/** Leave the branch's transaction and the connection as they are. */
const HARMLESS = new Set([
  ...["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "DO"],
  ...["SAVEPOINT", "RELEASE", "ROLLBACK"],
]);
/** Have written when they affected rows. */
const WRITING = new Set(["INSERT", "UPDATE", "DELETE", "REPLACE"]);

export interface SqlShape {
  /** The command that would begin or end a transaction or lock tables, if the statement is one. */
  readonly control: string | undefined;
  /** It is one statement that changes neither the transaction nor the connection, whatever happens. */
  readonly harmless: boolean;
  /** Rows it affects are rows it wrote. */
  readonly writing: boolean;
}

export function shapeOf(sql: string): SqlShape {
  const text = withoutLeadingComments(sql);
  const word = /^[a-z]+/i.exec(text)?.[0].toUpperCase() ?? "";
  const toSavepoint = word === "ROLLBACK" && /^rollback\s+(?:work\s+)?to\b/i.test(text);
  return {
    control: CONTROL.has(word) && !toSavepoint ? word : undefined,
    // A second statement may follow a semicolon, and an executable comment may hold anything.
    harmless: HARMLESS.has(word) && !/;\s*\S/.test(text) && !/\/\*M?!/.test(text),
    writing: WRITING.has(word),
  };
}

/** What the server would read first. `/*!` and `/*M!` are no comments to it. */
function withoutLeadingComments(sql: string): string {
  let text = sql;
  for (let before = ""; before !== text;) {
    before = text;
    text = text
      .trimStart()
      .replace(/^;+/, "")
      .replace(/^(?:--(?=\s|$)|#)[^\n]*(?:\n|$)/, "")
      .replace(/^\/\*(?!M?!)[^]*?\*\//, "")
      .replace(/^\/\*M?!\d*/, "");
  }
  return text;
}
