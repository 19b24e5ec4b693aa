import assert from "node:assert/strict";
import { parseError } from "../../../../../../src/backend/driver/postgres/wire/postgres_error.ts";
import { utf8 } from "../../../../../../src/base/bytes.ts";

function parse(code: string, message: string) {
  return parseError(
    utf8(`SFATAL\0C${code}\0M${message}\0DKey (secret)=(x)\0\0`),
  );
}

Deno.test("parseError() takes code and message, and leaves what may hold data", () => {
  const error = parse("23505", "duplicate key");
  assert.equal(error.code, "23505");
  assert.equal(error.message, "duplicate key");
  assert.doesNotMatch(JSON.stringify(error), /secret/);
});

Deno.test("parseError() knows a database that does not exist from a pooler too", () => {
  assert.equal(parse("08P01", 'database "a" does not exist').code, "3D000");
  assert.equal(parse("08P01", "no such database: a").code, "3D000");
  assert.equal(parse("08P01", "server login has been failing").code, "08P01");
});

Deno.test("parseError() of what is cut off is what is there", () => {
  const error = parseError(utf8("SERROR\0C40001\0Mcould not"));
  assert.equal(error.code, "40001");
  assert.equal(error.message, "");
});
