import type { Edit, Mutant } from "./catalogue.mjs";

export type Sources = Map<string, string>;
export function readSources(rooms?: readonly string[]): Sources;
export function applyEdit(source: string, edit: Edit): string;
export function mutate(sources: Sources, mutant: Mutant): Sources;
export function build(sources: Sources): { readonly folder: string; readonly remove: () => void };
