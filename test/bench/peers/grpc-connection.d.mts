export interface Handlers {
  onUp(): void;
  onDown(reason: string): void;
}
export type Answered = (error: string | undefined, buffer: Buffer, at: number, end: number) => void;
export class GrpcConnection {
  constructor(endpoint: { readonly host: string; readonly port: number }, path: string, handlers: Handlers);
  readonly outstanding: number;
  call(message: Buffer, done: Answered): void;
  close(): void;
  destroy(): void;
}
