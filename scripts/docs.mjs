/**
 * Writes the generated documents from the built code: `npm run docs`. Tests fail when they are not current.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const { configDocument } = await import("../dist/src/config/index.js");
const { errorsDocument } = await import("../dist/src/cli/index.js");

writeFileSync(at("docs/config.md"), configDocument());
writeFileSync(at("docs/errors.md"), errorsDocument());
