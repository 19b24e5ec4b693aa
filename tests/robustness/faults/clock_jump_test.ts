import assert from "node:assert/strict";
import { defaultConfig, startServer } from "../../../mod.ts";
import { EtcdClient } from "../../support/etcd_client.ts";
import { eventually } from "../../support/failure.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const DAY_MS = 86_400_000;
const TTL_SECONDS = 600;
/** What a lease has left at least after a start, see `Lessor`. */
const GRACE_SECONDS = 15;

/** A server on a clock that the test owns. */
async function serve(dataDir: string, clock: FakeClock) {
  const server = await startServer(
    defaultConfig({
      listenClientUrls: ["http://127.0.0.1:0"],
      advertiseClientUrls: ["http://127.0.0.1:0"],
      dataDir,
    }),
    { clock },
  );
  const client = new EtcdClient(new URL(server.clientUrls[0]!).host);
  return {
    client,
    ttl: async () =>
      Number((await client.lease.call("LeaseTimeToLive", { ID: 7 })).TTL),
    async [Symbol.asyncDispose]() {
      client.close();
      await server.stop();
    },
  };
}

async function withDir(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "stele-clock-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

for (const [name, jumpMs] of [["on", DAY_MS], ["back", -DAY_MS]] as const) {
  Deno.test(`a wall clock that jumps ${name} by a day leaves leases and history alone`, async () => {
    await withDir(async (dir) => {
      const clock = new FakeClock();
      await using running = await serve(dir, clock);
      const { client, ttl } = running;
      await client.lease.call("LeaseGrant", { ID: 7, TTL: TTL_SECONDS });
      await client.put("leased", "", { lease: 7 });
      clock.advance(10_000);
      clock.jumpWall(jumpMs);
      clock.advance(1000);
      assert.equal(await ttl(), TTL_SECONDS - 11);
      const renewal = client.lease.stream("LeaseKeepAlive");
      renewal.write({ ID: 7 });
      await new Promise((resolve) => renewal.once("data", resolve));
      renewal.end();
      assert.equal(await ttl(), TTL_SECONDS);
      const past = await client.range("leased", "", { revision: 2 });
      assert.equal(past.kvs.length, 1);
      // By the clock that does not jump, it ends when it should.
      clock.advance(TTL_SECONDS * 1000 - 1000);
      assert.equal((await client.range("leased")).kvs.length, 1);
      clock.advance(2000);
      await eventually(
        "the lease ran out",
        async () => (await client.range("leased")).kvs.length === 0,
      );
    });
  });
}

const RESTARTS: readonly {
  readonly name: string;
  readonly jumpMs: number;
  /** What an unrenewed lease of 600 s has left, 100 s after its grant. */
  readonly ttl: number;
}[] = [
  { name: "stood still", jumpMs: 0, ttl: TTL_SECONDS - 100 },
  { name: "jumped on by a day", jumpMs: DAY_MS, ttl: GRACE_SECONDS },
  { name: "jumped back by a day", jumpMs: -DAY_MS, ttl: TTL_SECONDS },
];

for (const { name, jumpMs, ttl: expected } of RESTARTS) {
  Deno.test(`over a restart in which the wall clock ${name}, a lease keeps at least the grace and at most its TTL`, async () => {
    await withDir(async (dir) => {
      const clock = new FakeClock();
      {
        await using first = await serve(dir, clock);
        await first.client.lease.call("LeaseGrant", {
          ID: 7,
          TTL: TTL_SECONDS,
        });
        clock.advance(100_000);
      }
      clock.jumpWall(jumpMs);
      await using second = await serve(dir, clock);
      assert.equal(await second.ttl(), expected);
      const { header } = await second.client.put("k");
      assert.equal(header.revision, "2");
    });
  });
}
