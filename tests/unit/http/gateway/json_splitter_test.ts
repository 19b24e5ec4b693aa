import assert from "node:assert/strict";
import { JsonSplitter } from "../../../../src/http/gateway/json_splitter.ts";
import { ReceiveBudget } from "../../../../src/transport/grpc/receive_budget.ts";
import { Code, StatusError } from "../../../../src/transport/grpc/status.ts";
import { text, utf8 } from "../../../../src/base/bytes.ts";

function split(chunks: readonly string[], maxBytes = 1000): string[] {
  const splitter = new JsonSplitter(maxBytes, new ReceiveBudget(10_000));
  const found: string[] = [];
  for (const chunk of chunks) {
    splitter.push(utf8(chunk));
    for (let j = splitter.next(); j !== undefined; j = splitter.next()) {
      found.push(text(j));
    }
  }
  return found;
}

const STREAM = ' {"a":"}{\\"[","b":[{}]}\n{} \r\n[1]{"é":"\\\\"}';
const VALUES = ['{"a":"}{\\"[","b":[{}]}', "{}", "[1]", '{"é":"\\\\"}'];

Deno.test("JsonSplitter finds objects, wherever the stream is cut", () => {
  assert.deepEqual(split([STREAM]), VALUES);
  assert.deepEqual(split([...STREAM]), VALUES);
  for (let i = 0; i < STREAM.length; i++) {
    assert.deepEqual(split([STREAM.slice(0, i), STREAM.slice(i)]), VALUES);
  }
});

Deno.test("JsonSplitter refuses what is neither an object nor a list", () => {
  assert.throws(() => split(["{} x"]), {
    message: "invalid character 'x' looking for beginning of value",
  });
  assert.throws(() => split(["}"]), {
    message: "invalid character '}' looking for beginning of value",
  });
});

Deno.test("JsonSplitter bounds an object, in one chunk and in many", () => {
  const fits = `{"a":"${"x".repeat(12)}"}`;
  assert.equal(fits.length, 20);
  assert.deepEqual(split([fits], 20), [fits]);
  assert.deepEqual(split([...fits, ...fits], 20), [fits, fits]);
  for (const chunks of [[fits], [...fits]]) {
    assert.throws(() => split(chunks, 19), (error) => {
      assert.ok(error instanceof StatusError);
      assert.equal(error.code, Code.ResourceExhausted);
      return true;
    });
  }
});

Deno.test("JsonSplitter keeps what has begun in the budget, and gives it back", () => {
  const budget = new ReceiveBudget(10);
  const splitter = new JsonSplitter(1000, budget);
  const push = (chunk: string) => {
    splitter.push(utf8(chunk));
    return splitter.next();
  };
  assert.equal(splitter.isEmpty, true);
  push('{"a":');
  assert.equal(splitter.isEmpty, false);
  assert.equal(budget.usedBytes, 5);
  assert.equal(text(push("1}")!), '{"a":1}');
  assert.equal(splitter.isEmpty, true);
  assert.equal(budget.usedBytes, 0);
  push('{"abcdef');
  assert.throws(() => push("ghi"), StatusError);
  splitter.close();
  assert.equal(budget.usedBytes, 0);
});
