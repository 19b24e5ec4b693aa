import assert from "node:assert/strict";
import { runTransaction } from "../../../../../src/backend/driver/mysql/transaction.ts";

/** Keeps what it is asked; fails at a query. */
function fakeConnection(failsAt?: string) {
  const asked: string[] = [];
  return {
    asked,
    isDestroyed: false,
    query(sql: string) {
      asked.push(sql);
      if (failsAt !== undefined && sql.includes(failsAt)) {
        return Promise.reject(new RangeError(failsAt));
      }
      return Promise.resolve([]);
    },
    destroy() {
      this.isDestroyed = true;
    },
  };
}

const TOGETHER = { queryBytes: 1000, isOneByOne: false };

Deno.test("runTransaction() is one query if it fits", async () => {
  const connection = fakeConnection();
  await runTransaction(connection, ["A", "B"], TOGETHER);
  assert.deepEqual(connection.asked, ["START TRANSACTION;\nA;\nB;\nCOMMIT"]);
});

Deno.test("runTransaction() sends up to the limit at once", async () => {
  const connection = fakeConnection();
  const long = "x".repeat(50);
  const options = { ...TOGETHER, queryBytes: "START TRANSACTION;\nA".length };
  await runTransaction(connection, ["A", long, "B"], options);
  assert.deepEqual(connection.asked, [
    "START TRANSACTION;\nA",
    long,
    "B;\nCOMMIT",
  ]);
});

Deno.test("runTransaction() sends one statement at a time where it must", async () => {
  const connection = fakeConnection();
  await runTransaction(connection, ["A"], { ...TOGETHER, isOneByOne: true });
  assert.deepEqual(connection.asked, ["START TRANSACTION", "A", "COMMIT"]);
});

Deno.test("runTransaction() rolls back what fails, or gives the connection up", async () => {
  const connection = fakeConnection("TWO");
  const options = { ...TOGETHER, isOneByOne: true };
  await assert.rejects(
    runTransaction(connection, ["ONE", "TWO", "THREE"], options),
    RangeError,
  );
  assert.deepEqual(connection.asked, [
    "START TRANSACTION",
    "ONE",
    "TWO",
    "ROLLBACK",
  ]);
  assert.ok(!connection.isDestroyed);

  const lost = fakeConnection("R");
  await assert.rejects(runTransaction(lost, ["A"], options), RangeError);
  assert.ok(lost.isDestroyed);
});
