/**
 * A TCP proxy in front of a database that cuts a connection at PREPARE TRANSACTION, or another statement: before the server sees it,
 * after it but before the answer, or before it while the message itself still gets through later.
 */
import { createServer, connect, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

export type Cut = "before" | "after" | "delivered-late";

export class CuttingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: { readonly host: string; readonly port: number };
  readonly #needle: string;
  /** How the next message with that statement is cut; undefined: not at all. */
  cut: Cut | undefined;
  /** Lets a message that was held back for "delivered-late" go to the server. */
  deliver: () => void = () => undefined;

  private constructor(target: { readonly host: string; readonly port: number }, needle: string) {
    this.#target = target;
    this.#needle = needle;
    this.#server = createServer((client) => this.#serve(client));
  }

  static async start(target: { readonly host: string; readonly port: number }, needle = "prepare transaction"): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target, needle);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket): void {
    const server = connect(this.#target.port, this.#target.host);
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
    }
    let silent = false;
    let detached = false;
    server.on("data", (chunk) => {
      // The server has answered: the statement is done, and the client will not learn it.
      if (silent) client.destroy();
      else if (!detached) client.write(chunk);
    });
    client.on("data", (chunk) => {
      const { cut } = this;
      if (cut === undefined || !chunk.toString("latin1").includes(this.#needle)) return void server.write(chunk);
      this.cut = undefined;
      switch (cut) {
        case "before":
          server.destroy();
          client.destroy();
          return;
        case "after":
          silent = true;
          server.write(chunk);
          return;
        case "delivered-late":
          detached = true;
          this.deliver = () => void server.write(chunk);
          client.destroy();
      }
    });
    server.on("close", () => client.destroy());
    client.on("close", () => {
      if (!detached) server.destroy();
    });
  }
}
