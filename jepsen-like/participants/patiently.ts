import { isQuorateError } from "../../src/base/index.js";

const RETRY_MS = 200;

/** Until it succeeds: nodes and databases are down on purpose. Rejects with what cannot be mended by waiting. */
export async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isQuorateError(error) || error.code === "QUORATE_DATA_FOLDER" || error.code === "QUORATE_CONFIG") throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
