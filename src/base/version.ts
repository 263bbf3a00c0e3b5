/** The version of this software, as in package.json, which a test enforces. */
export const PRODUCT_VERSION = "0.1.0";
