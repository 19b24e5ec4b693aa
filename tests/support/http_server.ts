import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  HTTP_SERVER_OPTIONS,
  httpHandler,
  type Route,
} from "../../src/http/router.ts";
import type {
  ServerState,
  ServerSummary,
} from "../../src/http/server_state.ts";
import { CapturingLogger } from "./log.ts";

/** An answer, read whole. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** A real HTTP server with the given routes, on a free port of this machine. */
export interface HttpTestServer extends AsyncDisposable {
  readonly log: CapturingLogger;
  readonly port: number;
  ask(path: string, init?: RequestInit): Promise<Answer>;
}

export async function serveRoutes(
  routes: readonly Route[],
): Promise<HttpTestServer> {
  const log = new CapturingLogger();
  const server = createServer(
    { ...HTTP_SERVER_OPTIONS },
    httpHandler(routes, { log }),
  );
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  return {
    log,
    port,
    async ask(path, init = {}) {
      const url = `http://127.0.0.1:${port}${path}`;
      const response = await fetch(url, { ...init, client });
      const { status, headers } = response;
      return { status, headers, body: await response.text() };
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      });
    },
  };
}

/** A server's state that tests set. */
export class FakeState implements ServerState {
  serializable: () => Promise<string | undefined> = () =>
    Promise.resolve(undefined);
  linearizable: () => Promise<string | undefined> = () =>
    Promise.resolve(undefined);
  alarmNames: string[] = [];
  hasLeader = true;
  summaryOverrides: Partial<ServerSummary> = {};

  serializableRead(): Promise<string | undefined> {
    return this.serializable();
  }

  linearizableRead(): Promise<string | undefined> {
    return this.linearizable();
  }

  alarms(): readonly string[] {
    return this.alarmNames;
  }

  summary(): ServerSummary {
    return {
      name: "default",
      memberId: "1e538232f1a33ff2",
      clusterId: "ec78bf5e7e1f3c00",
      engine: "sqlite",
      clientUrls: ["http://127.0.0.1:2379"],
      revision: 1234567,
      compactRevision: -1,
      keys: 12,
      leases: 3,
      watchers: 5,
      watchStreams: 2,
      connections: 4,
      dbSizeBytes: 1536,
      dbSizeInUseBytes: 512,
      quotaBytes: 2 ** 31,
      uptimeMs: 93_784_000,
      ...this.summaryOverrides,
    };
  }
}
