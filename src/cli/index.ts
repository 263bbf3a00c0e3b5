export { errorsDocument, EXIT, EXIT_MEANINGS, exitCodeOf } from "./exit-codes.js";
export type { ExitCode } from "./exit-codes.js";
export { main } from "./main.js";
