export class InBuffer {
  push(chunk: Buffer, take: (buffer: Buffer, at: number, end: number) => number): void;
}
