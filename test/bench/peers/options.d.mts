export class BadOption extends Error {}
export interface Options {
  readonly help: boolean;
  readonly only: readonly string[];
  readonly ops: readonly string[];
  readonly outstanding: readonly number[];
  readonly seconds: number;
  readonly runs: number;
  readonly retries: number;
  readonly drivers: number;
  readonly failover: boolean;
  readonly kills: number;
  readonly restart: number;
  readonly json: string | undefined;
}
export function readOptions(argv: readonly string[]): Options;
