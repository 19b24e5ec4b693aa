import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import { encodeJson } from "../../src/http/gateway/json_encoder.ts";
import { renderJson } from "../../src/http/gateway/json_renderer.ts";
import { JsonError } from "../../src/http/gateway/json_syntax.ts";
import { readMessageTypes } from "../../src/http/gateway/message_type.ts";
import type { Codec } from "../../src/pb/wire.ts";
import type { Random } from "../support/random.ts";
import { CODECS, decode, encode, randomMessage } from "./protobuf.ts";
import { type FuzzTarget, mutate } from "./target.ts";

const CASES = 40;
const MAX_DEPTH = 4;
const TYPES = readMessageTypes();
/** What clients of the gateway send. */
const REQUESTS: readonly Codec<unknown>[] = CODECS.filter(({ name }) =>
  /^(etcdserverpb|v3lockpb|v3electionpb)\..*Request$/.test(name)
);
/** What may stand where something else should. */
const TOKENS = [
  ...["null", "true", "{}", "[]", "[[", "{", "}", "]", ",", ":", '"', "\\"],
  ...["-1", "1e400", "1e-5", "0x1", "9".repeat(30), '"\\ud800"', '"\\u0000"'],
  ...['"__proto__":', '"key":', '"unknown":', " \t\r\n", "\u{feff}", "\ud800"],
];

/**
 * The gateway's JSON: a request that is rendered and encoded again is the same request, and of any text the encoder
 * makes a message or a `JsonError`.
 */
export const JSON_TARGET: FuzzTarget = {
  name: "json",
  run(random) {
    for (let i = 0; i < CASES; i++) check(random.pick(REQUESTS), random);
  },
};

function check(codec: Codec<unknown>, random: Random): void {
  const type = TYPES.get(codec.name)!;
  const message = decode(codec, randomMessage(random, MAX_DEPTH));
  if (message === undefined) return;
  const json = renderJson(type, encode(codec, message));
  JSON.parse(json);
  assert.deepEqual(
    decode(codec, encodeJson(type, json)),
    message,
    `${codec.name}: ${json}`,
  );
  const text = damaged(random, json);
  try {
    decode(codec, encodeJson(type, text));
  } catch (error) {
    assert.ok(error instanceof JsonError, `${codec.name}: ${text}: ${error}`);
  }
}

/** The text with tokens put in, or with bytes changed. */
function damaged(random: Random, json: string): string {
  if (random.oneIn(3)) {
    return new TextDecoder().decode(mutate(random, utf8(json)));
  }
  let text = json;
  for (let i = random.int(4); i >= 0; i--) {
    const at = random.int(text.length + 1);
    const cut = random.oneIn(2) ? random.int(6) : 0;
    text = text.slice(0, at) + random.pick(TOKENS) + text.slice(at + cut);
  }
  return text;
}
