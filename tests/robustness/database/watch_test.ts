import assert from "node:assert/strict";
import type { Backend } from "../../../src/backend/backend.ts";
import { DEFAULT_DATASTORE_SETTINGS } from "../../../src/backend/driver/remote/datastore_settings.ts";
import { openBackend } from "../../../src/backend/open.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { makeBatch } from "../../support/batches.ts";
import { databaseName } from "../../support/database_server.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import type { Fault } from "../../support/fault_proxy_connection.ts";
import { testOnEngines } from "./engines.ts";

/** What can become of the statement that asks for notifications. */
const LISTEN_FAULTS: Readonly<Record<string, Fault | undefined>> = {
  "there are notifications": undefined,
  "notifications are refused": {
    kind: "error",
    error: { code: "0A000", message: "LISTEN not supported yet" },
  },
  "the listening connection is lost": { kind: "cutAfter" },
  "the listening connection goes silent": { kind: "dropAnswer" },
};

/** Until a commit is heard of: polling takes a second at most, where it is slowest. */
const MAX_WAIT_MS = 15_000;

for (const [situation, fault] of Object.entries(LISTEN_FAULTS)) {
  testOnEngines(
    `commits of others are heard of when ${situation}`,
    async ({ name, server, makeWire }) => {
      // MySQL has no notifications that could fail.
      if (fault !== undefined && name === "MariaDB") return;
      const database = databaseName();
      await using proxy = new FaultProxy(server.url, makeWire);
      const watching = open(`${proxy.url}/${database}`);
      const writing = open(`${server.url}/${database}`);
      try {
        await watching.open();
        await writing.open();
        proxy.plan = ({ statement }) =>
          /^LISTEN/i.test(statement) ? fault : undefined;
        const heard = new Heard(watching);
        await appendAndHear(writing, heard, 1);
        proxy.cutAll();
        await appendAndHear(writing, heard, 2);
        if (fault === undefined) {
          proxy.silenceAll();
          await appendAndHear(writing, heard, 3);
        }
        heard.stop();
      } finally {
        await watching.close();
        await writing.close();
        await server.drop(database);
      }
    },
  );
}

async function appendAndHear(
  backend: Backend,
  heard: Heard,
  seq: number,
): Promise<void> {
  assert.equal(await backend.append(makeBatch(seq, seq)), "committed");
  await heard.through(seq);
}

/** The newest commit that a backend told of. */
class Heard {
  readonly stop: () => void;
  #seq = 0;
  #wake: () => void = () => {};

  constructor(backend: Backend) {
    this.stop = backend.watchCommits((seq) => {
      assert(seq > this.#seq, "a commit was told of twice");
      this.#seq = seq;
      this.#wake();
    });
  }

  async through(seq: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#wake = () => {
      if (this.#seq >= seq) resolve();
    };
    this.#wake();
    const tooLate = setTimeout(
      () => reject(new Error(`commit ${seq} was not heard of`)),
      MAX_WAIT_MS,
    );
    await promise;
    clearTimeout(tooLate);
  }
}

function open(url: string): Backend {
  return openBackend(url, {
    clock: new SystemClock(),
    datastore: { ...DEFAULT_DATASTORE_SETTINGS, statementTimeoutMs: 1000 },
  });
}
