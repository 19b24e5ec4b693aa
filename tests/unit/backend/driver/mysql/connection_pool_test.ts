import assert from "node:assert/strict";
import {
  ConnectionPool,
  type PooledConnection,
} from "../../../../../src/backend/driver/mysql/connection_pool.ts";

class FakeConnection implements PooledConnection {
  isUsable = true;
  hasEnded = false;
  readonly destroyed = Promise.withResolvers<void>();

  constructor(readonly number: number) {}

  destroy(): void {
    this.isUsable = false;
    this.destroyed.resolve();
  }

  end(): Promise<void> {
    this.hasEnded = true;
    return Promise.resolve();
  }
}

function makePool(max: number) {
  const made: FakeConnection[] = [];
  const pool = new ConnectionPool(() => {
    const connection = new FakeConnection(made.length);
    made.push(connection);
    return Promise.resolve(connection);
  }, max);
  return { pool, made };
}

const numberOf = (connection: FakeConnection) =>
  Promise.resolve(connection.number);

Deno.test("ConnectionPool.use() keeps a connection for the next", async () => {
  const { pool, made } = makePool(2);
  assert.equal(await pool.use(numberOf), 0);
  assert.equal(await pool.use(numberOf), 0);
  assert.equal(made.length, 1);
});

Deno.test("ConnectionPool.use() lends no more than its number, in order", async () => {
  const { pool, made } = makePool(2);
  const gates = [1, 2, 3, 4].map(() => Promise.withResolvers<void>());
  const order: number[] = [];
  const uses = gates.map((gate, i) =>
    pool.use(async () => {
      order.push(i);
      await gate.promise;
    })
  );
  gates[1]!.resolve();
  await uses[1];
  gates[0]!.resolve();
  await uses[0];
  gates[3]!.resolve();
  gates[2]!.resolve();
  await Promise.all(uses);
  assert.deepEqual(order, [0, 1, 2, 3]);
  assert.equal(made.length, 2);
});

Deno.test("ConnectionPool.use() gives a place to who waits before who comes", async () => {
  const { pool } = makePool(1);
  const order: string[] = [];
  const use = (name: string) =>
    pool.use(() => Promise.resolve(void order.push(name)));
  const first = use("first");
  const waiting = use("waiting");
  await first;
  await Promise.all([use("late"), waiting]);
  assert.deepEqual(order, ["first", "waiting", "late"]);
});

Deno.test("ConnectionPool.use() replaces what was lost", async () => {
  const { pool } = makePool(1);
  await pool.use((connection) => {
    connection.destroy();
    return Promise.resolve();
  });
  assert.equal(await pool.use(numberOf), 1);
});

Deno.test("ConnectionPool.use() passes on what fails, and goes on", async () => {
  let fails = true;
  const pool = new ConnectionPool(() => {
    if (fails) return Promise.reject(new RangeError("refused"));
    return Promise.resolve(new FakeConnection(7));
  }, 1);
  await assert.rejects(pool.use(numberOf), RangeError);
  fails = false;
  await assert.rejects(pool.use(() => Promise.reject(new TypeError("x"))));
  assert.equal(await pool.use(numberOf), 7);
});

Deno.test("ConnectionPool.reset() destroys what is idle and what is in use", async () => {
  const { pool, made } = makePool(2);
  const using = pool.use((connection) => connection.destroyed.promise);
  await pool.use(numberOf);
  pool.reset();
  await using;
  assert.deepEqual(made.map(({ isUsable }) => isUsable), [false, false]);
  assert.equal(await pool.use(numberOf), 2);
});

Deno.test("ConnectionPool.close() says good-bye to the idle and rejects who waits", async () => {
  const { pool, made } = makePool(1);
  await pool.use(numberOf);
  await pool.close();
  assert.ok(made[0]!.hasEnded);
  await assert.rejects(pool.use(numberOf), { kind: "closed" });

  const busy = makePool(1);
  const lent = Promise.withResolvers<void>();
  const using = busy.pool.use((connection) => {
    lent.resolve();
    return connection.destroyed.promise;
  });
  await lent.promise;
  const waiting = assert.rejects(busy.pool.use(numberOf), { kind: "closed" });
  await busy.pool.close();
  await using;
  await waiting;
});
