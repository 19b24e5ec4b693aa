import assert from "node:assert/strict";
import { BackendError } from "../../../../../src/backend/backend.ts";
import {
  ConnectionLost,
  faultOf,
  numberOf,
  ReadOnlyServer,
} from "../../../../../src/backend/driver/mysql/mysql_error.ts";

const server = (errno: number, message = "") =>
  Object.assign(new Error(message), { errno });
const local = (code: string) =>
  Object.assign(new Error(code), { code, errno: -104 });

Deno.test("faultOf(): what another attempt may cure is transient", () => {
  const numbers = [1205, 1213, 1040, 1290, 1836, 1053, 1927, 2013, 1047, 1317];
  for (const number of numbers) {
    assert.equal(faultOf(server(number)), "transient", String(number));
  }
  for (const code of ["PROTOCOL_CONNECTION_LOST", "ECONNRESET", "EPIPE"]) {
    assert.equal(faultOf(local(code)), "transient", code);
  }
  assert.equal(faultOf(new ConnectionLost("lost")), "transient");
  assert.equal(faultOf(new ReadOnlyServer()), "transient");
});

Deno.test("faultOf(): a primary key that is taken is a duplicate", () => {
  assert.equal(faultOf(server(1062)), "duplicate");
});

Deno.test("faultOf(): a full disk is no space, another fault of a file is not", () => {
  const full = [
    server(1021),
    server(1114),
    server(1030, "Got error 28 from storage engine"),
    server(
      1030,
      'Got error 28 "No space left on device" from storage engine InnoDB',
    ),
    server(3, "Error writing file '/tmp/x' (Errcode: 28)"),
    server(1026, "Error writing file (OS errno 28 - No space left on device)"),
  ];
  for (const error of full) {
    assert.equal(faultOf(error), "noSpace", error.message);
  }
  assert.equal(
    faultOf(server(1030, "Got error 168 from storage engine")),
    "fatal",
  );
  assert.equal(
    faultOf(server(1180, "Got error 1 during COMMIT")),
    "transient",
  );
});

Deno.test("faultOf(): the rest is fatal", () => {
  const rest = [
    server(1064),
    server(1146),
    server(1153),
    new BackendError("Cannot read"),
    new TypeError("x"),
    undefined,
    "text",
  ];
  for (const error of rest) assert.equal(faultOf(error), "fatal");
});

Deno.test("numberOf() leaves Node's numbers out", () => {
  assert.equal(numberOf(server(1049)), 1049);
  assert.equal(numberOf(local("ECONNRESET")), 0);
  assert.equal(numberOf(null), 0);
});
