export interface Written {
  readonly revision: number;
  readonly succeeded: boolean;
}
export interface Status {
  readonly member: string;
  readonly leader: string;
  readonly version: string;
  readonly raftIndex: number;
  readonly appliedIndex: number;
}
export function putRequest(key: string, value: Uint8Array): Buffer;
export function createRequest(key: string, value: Uint8Array): Buffer;
export function readWritten(buffer: Buffer, at: number, end: number): Written;
export function readStatus(buffer: Buffer): Status;
