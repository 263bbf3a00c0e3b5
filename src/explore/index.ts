/**
 * The explorer: exhaustive search of small worlds over the real pure rooms. docs/testing.md says what it covers and what it does not.
 */
export { Automaton } from "./automaton.js";
export type { Step, Subject } from "./automaton.js";
export { CommitWorld } from "./commit-world.js";
export type { CommitBounds } from "./commit-world.js";
export { heapText, looseText } from "./heap.js";
export { ZabWorld } from "./zab-world.js";
export type { ZabBounds } from "./zab-world.js";
export { Rows } from "./rows.js";
export { search, Violation } from "./search.js";
export type { Move, Row, SearchOptions, SearchResult, World } from "./search.js";
export { EXPLORATIONS } from "./worlds.js";
export type { Exploration } from "./worlds.js";
