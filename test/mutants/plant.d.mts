import type { Edit, Mutant } from "./catalogue.mjs";

export type Sources = Map<string, string>;
interface Placed {
  readonly folder: string;
  readonly remove: () => void;
}

export const SIMULATED_ROOMS: readonly string[];
export function readSources(rooms?: readonly string[]): Sources;
export function applyEdit(source: string, edit: Edit): string;
export function mutate(sources: Sources, mutant: Mutant): Sources;
export function isWithin(mutant: Mutant, rooms: readonly string[]): boolean;
export function digestOf(sources: Sources): string;
export function build(sources: Sources): Placed;
export function buildTested(sources: Sources): Placed;
