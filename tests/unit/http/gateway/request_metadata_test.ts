import assert from "node:assert/strict";
import {
  readTimeoutMs,
  RequestMetadata,
} from "../../../../src/http/gateway/request_metadata.ts";

function metadata(...rawHeaders: string[]): RequestMetadata {
  return new RequestMetadata({ rawHeaders }, Infinity);
}

Deno.test("RequestMetadata forwards Authorization and Grpc-Metadata-*, and nothing else", () => {
  const found = metadata(
    ...["Authorization", "Bearer t", "Grpc-Metadata-HasLeader", "true"],
    ...["Cookie", "c", "Token", "x", "grpc-metadata-a-bin", "/+8="],
    ...["Grpc-Metadata-HasLeader", "second", "Grpc-Metadata-B", "\x01"],
  );
  assert.equal(found.get("authorization"), "Bearer t");
  assert.equal(found.get("hasleader"), "true");
  assert.equal(found.get("a-bin"), "\xff\xef");
  assert.equal(found.get("cookie"), undefined);
  assert.equal(found.get("token"), undefined);
  assert.equal(found.get("b"), undefined);
});

Deno.test("RequestMetadata refuses binary values that are not base64", () => {
  assert.throws(() => metadata("Grpc-Metadata-A-Bin", "!!!"), {
    message:
      "invalid binary header Grpc-Metadata-A-Bin: illegal base64 data at input byte 0",
  });
});

Deno.test("RequestMetadata prefers the authorization it is given", () => {
  const rawHeaders = ["Authorization", "a"];
  const found = new RequestMetadata({ rawHeaders }, Infinity, "Bearer b");
  assert.equal(found.get("authorization"), "Bearer b");
});

Deno.test("readTimeoutMs() reads grpc-timeout as grpc-gateway does", () => {
  for (
    const [text, ms] of [
      [undefined, Infinity],
      ["0S", Infinity],
      ["2H", 7_200_000],
      ["3M", 180_000],
      ["4S", 4000],
      ["5m", 5],
      ["-1S", -1000],
    ] as const
  ) assert.equal(readTimeoutMs(text), ms, String(text));
  for (const text of ["S", "5", "5x", "x5S", "1.5S", " 1S"]) {
    assert.throws(() => readTimeoutMs(text), {
      message: `invalid grpc-timeout: ${text}`,
    });
  }
});
