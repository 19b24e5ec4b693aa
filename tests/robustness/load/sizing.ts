import {
  encodeWatchRequest,
  newWatchCreateRequest,
  newWatchRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { Random } from "../../support/random.ts";
import { currentRevision, putAll } from "./etcd_calls.ts";
import {
  etcdPath,
  type GrpcConnection,
  numberedKey,
} from "./grpc_connection.ts";
import { LeaseFleet } from "./lease_fleet.ts";
import { LoadServer } from "./load_server.ts";

/** What one more of something costs. */
export interface SizingRow {
  readonly what: string;
  readonly count: number;
  readonly bytesEach: number;
  /** Bytes of the database for each; undefined: it has nothing to do with it. */
  readonly databaseBytesEach?: number;
  /** Start with so many of them, milliseconds; undefined: not measured. */
  readonly restartMs?: number;
}

const KEYS_PER_TXN = 100;
const TXNS_AT_ONCE = 8;
/** How long the server is left alone before its memory is read. */
const SETTLE_MS = 3000;

/** Memory per key, version, watcher, lease and connection: what grows when there are many more of one thing. */
export async function* measureSizes(seed: number): AsyncGenerator<SizingRow> {
  for (const valueBytes of [64, 512, 4096]) {
    const count = valueBytes > 1000 ? 50_000 : 200_000;
    yield await keys(seed, { count, valueBytes, versions: 1 });
  }
  yield await keys(seed, { count: 40_000, valueBytes: 512, versions: 5 });
  yield await watchers({ count: 20_000, isShared: false });
  yield await watchers({ count: 20_000, isShared: true });
  yield await leases(100_000);
  yield await connections(2000, false);
  yield await connections(2000, true);
  yield await streams(5000);
}

/** Keys in random order, as clients write them; after a restart, so that no garbage is counted. */
function keys(
  seed: number,
  of: { count: number; valueBytes: number; versions: number },
): Promise<SizingRow> {
  return withDirectory(async (dir) => {
    const empty = await LoadServer.start(dir, FLAGS);
    await settle();
    const before = empty.residentMib;
    const connection = await empty.connect();
    await fill(connection, seed, of);
    connection.close();
    await empty.stop();
    const databaseBytes = await directoryBytes(dir);
    const full = await LoadServer.start(dir, FLAGS);
    await settle();
    const mib = full.residentMib - before;
    await full.stop();
    const changes = of.count * of.versions;
    return {
      what: of.versions === 1
        ? `key with ${of.valueBytes} B of value`
        : `change of ${of.valueBytes} B, ${of.versions} of each key, not compacted`,
      count: changes,
      bytesEach: mib * 2 ** 20 / changes,
      databaseBytesEach: databaseBytes / changes,
      restartMs: full.readyMs,
    };
  });
}

function watchers(
  { count, isShared }: { count: number; isShared: boolean },
): Promise<SizingRow> {
  const what = isShared
    ? "watcher, all of one range"
    : "watcher, each of a range of its own";
  return growth(what, count, async (server) => {
    const connection = await server.connect();
    const STREAMS = 10;
    for (let n = 0; n < STREAMS; n++) {
      await openWatchers(connection, count / STREAMS, (at) => {
        const first = isShared ? 0 : n * count + 2 * at;
        return [numberedKey("/w/", first), numberedKey("/w/", first + 1)];
      });
    }
  });
}

function streams(count: number): Promise<SizingRow> {
  return growth("watch stream with one watcher", count, async (server) => {
    const connection = await server.connect();
    for (let n = 0; n < count; n++) {
      const key = numberedKey("/w/", n);
      await openWatchers(connection, 1, () => [key, new Uint8Array(0)]);
    }
  });
}

function leases(count: number): Promise<SizingRow> {
  return growth("lease", count, async (server) => {
    const TTL_SECONDS = 3600;
    const connection = await server.connect();
    await new LeaseFleet(TTL_SECONDS).grant([connection], count);
  });
}

function connections(count: number, isActive: boolean): Promise<SizingRow> {
  const what = isActive
    ? "connection that makes calls"
    : "connection that is idle";
  const ROUNDS = 50;
  return growth(what, count, async (server) => {
    for (let n = 0; n < count; n++) {
      const connection = await server.connect();
      for (let i = 0; i < (isActive ? ROUNDS : 1); i++) {
        await currentRevision(connection);
      }
    }
  });
}

/** What a server that has done nothing else grows by. Its memory never shrinks, so each thing has a server of its own. */
function growth(
  what: string,
  count: number,
  grow: (server: LoadServer) => Promise<void>,
): Promise<SizingRow> {
  return withDirectory(async (dir) => {
    const server = await LoadServer.start(dir, FLAGS);
    await settle();
    const before = server.residentMib;
    await grow(server);
    await settle();
    const bytes = (server.residentMib - before) * 2 ** 20;
    await server.stop();
    return { what, count, bytesEach: bytes / count };
  });
}

/** Compactions and syncs are not what is measured. */
const FLAGS = ["--unsafe-no-fsync"];

async function fill(
  connection: GrpcConnection,
  seed: number,
  of: { count: number; valueBytes: number; versions: number },
): Promise<void> {
  const random = new Random(seed);
  const value = new Uint8Array(of.valueBytes).fill(0x76);
  for (let version = 0; version < of.versions; version++) {
    const order = Array.from({ length: of.count }, (_, n) => n);
    for (let at = order.length - 1; at > 0; at--) {
      const other = random.int(at + 1);
      [order[at], order[other]] = [order[other]!, order[at]!];
    }
    let next = 0;
    const run = async () => {
      while (next < of.count) {
        const slice = order.slice(next, next += KEYS_PER_TXN);
        await putAll(
          connection,
          slice.map((n) => ({ key: numberedKey("/registry/pods/", n), value })),
        );
      }
    };
    await Promise.all(Array.from({ length: TXNS_AT_ONCE }, run));
  }
}

/** Resolves once all are there. */
async function openWatchers(
  connection: GrpcConnection,
  count: number,
  rangeOf: (at: number) => [key: Uint8Array, rangeEnd: Uint8Array],
): Promise<void> {
  const created = Promise.withResolvers<void>();
  let left = count;
  const stream = connection.duplex(
    etcdPath("Watch/Watch"),
    () => --left === 0 && created.resolve(),
    (failure) => created.reject(failure),
  );
  for (let at = 0; at < count; at++) {
    const [key, rangeEnd] = rangeOf(at);
    stream.send(encodeWatchRequest(newWatchRequest({
      createRequest: newWatchCreateRequest({ key, rangeEnd }),
    })));
  }
  await created.promise;
}

async function withDirectory<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await Deno.makeTempDir({ prefix: "stele-sizing-" });
  try {
    return await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function directoryBytes(dir: string): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    const path = `${dir}/${name}`;
    bytes += isDirectory
      ? await directoryBytes(path)
      : (await Deno.stat(path)).size;
  }
  return bytes;
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}
