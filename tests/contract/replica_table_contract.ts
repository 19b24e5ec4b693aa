import assert from "node:assert/strict";
import type { Backend } from "../../src/backend/backend.ts";
import type {
  ReplicaRow,
  ReplicaTable,
  Roster,
} from "../../src/backend/replica_table.ts";
import type { BackendFixture } from "./backend_contract.ts";

const TTL_MS = 30_000;
const CLAIM = { ttlMs: TTL_MS };

const A = row("a", { id: 1n, incarnation: 11n });
/** Ids use all 64 bits. */
const B = row("b", { id: 0xffff_ffff_ffff_fffen, incarnation: 1n << 63n });

/** The suite of `ReplicaTable`: two servers on the same tables. */
export function testReplicaTable(
  name: string,
  makeFixture: () => BackendFixture,
) {
  const test = (
    behaviour: string,
    run: (a: ReplicaTable, b: ReplicaTable) => Promise<void>,
  ) => {
    Deno.test(`${name}: ${behaviour}`, async () => {
      const fixture = makeFixture();
      const first = fixture.create();
      const second = fixture.reopen!(first);
      try {
        await first.open();
        await second.open();
        await run(tableOf(first), tableOf(second));
      } finally {
        await first.close();
        await second.close();
        await fixture.cleanUp();
      }
    });
  };

  test("announce() brings back every column of everybody", async (a, b) => {
    const odd = { ...A, name: "naïve 'name' ☃", clientUrls: [] };
    const alone = await a.announce(odd, undefined);
    assert.deepEqual(withoutTimes(alone), [odd]);
    assert.equal(alone.sequencer, undefined);
    const both = await b.announce(B, undefined);
    assert.deepEqual(withoutTimes(both), [odd, B]);
    const changed = { ...A, appliedSeq: 2 ** 52, isStarved: true };
    const again = await a.announce(changed, undefined);
    assert.deepEqual(withoutTimes(again), [changed, B]);
  });

  test(
    "announce() tells how long ago the others did, and oneself at once",
    async (a, b) => {
      await a.announce(A, undefined);
      await pause(60);
      const { replicas } = await b.announce(B, undefined);
      const ages = replicas.map(({ ageMs }) => ageMs);
      assert.ok(ages[0]! >= 50 && ages[0]! < TTL_MS, `age ${ages[0]}`);
      assert.equal(ages[1], 0);
    },
  );

  test(
    "a claim that holds is not taken over, and can be extended",
    async (a, b) => {
      assertHolds(await a.announce(A, CLAIM), A);
      const refused = await b.announce(B, CLAIM);
      assertHolds(refused, A);
      await pause(30);
      const extended = await a.announce(A, CLAIM);
      assertHolds(extended, A);
      assert.ok(extended.sequencer!.leftMs > refused.sequencer!.leftMs);
      assertHolds(await b.announce(B, undefined), A);
    },
  );

  test(
    "a claim that has run out is taken over, and its holder told",
    async (a, b) => {
      await a.announce(A, { ttlMs: 1 });
      await pause(20);
      const seen = await b.announce(B, undefined);
      assert.equal(seen.sequencer?.id, A.id);
      assert.ok(seen.sequencer.leftMs <= 0);
      assertHolds(await b.announce(B, CLAIM), B);
      assertHolds(await a.announce(A, CLAIM), B);
    },
  );

  test(
    "another incarnation does not have its predecessor's claim",
    async (a, b) => {
      await a.announce(A, CLAIM);
      const restarted = { ...A, incarnation: 12n };
      const { replicas, sequencer } = await b.announce(restarted, CLAIM);
      assert.equal(sequencer?.incarnation, A.incarnation);
      assert.equal(replicas.length, 2, "both are seen");
    },
  );

  test(
    "retire() forgets the server and gives up its claim, and no other",
    async (a, b) => {
      await a.announce(A, CLAIM);
      await b.announce(B, undefined);
      await b.retire(B.id, B.incarnation);
      const left = await a.announce(A, undefined);
      assertHolds(left, A);
      assert.deepEqual(withoutTimes(left), [A]);
      await a.retire(A.id, A.incarnation);
      const after = await b.announce(B, CLAIM);
      assertHolds(after, B);
      assert.deepEqual(withoutTimes(after), [B]);
      await b.retire(A.id, A.incarnation);
    },
  );

  test("of many claims at once one wins, and all agree", async (a, b) => {
    const servers = Array.from(
      { length: 8 },
      (_, i) => row(`s${i}`, { id: BigInt(i), incarnation: BigInt(100 + i) }),
    );
    const answers = await Promise.all(
      servers.map((self, i) => (i % 2 === 0 ? a : b).announce(self, CLAIM)),
    );
    const { sequencer } = await a.announce(A, undefined);
    const winners = answers.filter(({ sequencer: s }, i) =>
      s?.id === servers[i]!.id && s.leftMs > 0
    );
    assert.equal(winners.length, 1);
    assert.equal(winners[0]!.sequencer!.id, sequencer?.id);
  });
}

function tableOf(backend: Backend): ReplicaTable {
  assert.ok(backend.replicas !== undefined);
  return backend.replicas;
}

function row(
  name: string,
  ids: { id: bigint; incarnation: bigint },
): ReplicaRow {
  const clientUrls = [`http://${name}.example:2379`, "http://[::1]:2379"];
  return {
    ...ids,
    name,
    clientUrls,
    version: "0.1.0",
    appliedSeq: 7,
    isStarved: false,
  };
}

function withoutTimes({ replicas }: Roster): ReplicaRow[] {
  return replicas.map(({ ageMs: _, ...row }) => row);
}

function assertHolds({ sequencer }: Roster, holder: ReplicaRow): void {
  assert.equal(sequencer?.id, holder.id);
  assert.equal(sequencer.incarnation, holder.incarnation);
  const { leftMs } = sequencer;
  assert.ok(leftMs > 0 && leftMs <= TTL_MS, `${leftMs} ms left`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
