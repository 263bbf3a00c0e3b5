import type { Mutant } from "../test/mutants/catalogue.mjs";
import type { Sources } from "../test/mutants/plant.mjs";

export function readOpened(): Sources;
export function open(sources: Sources): Sources;
export function buildOpened(sources?: Sources): { readonly folder: string; readonly remove: () => void };
export function plant(sources: Sources, mutant: Mutant, mutate: (sources: Sources, mutant: Mutant) => Sources): Sources;
