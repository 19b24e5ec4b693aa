import assert from "node:assert/strict";
import {
  JsonRenderer,
  renderJson,
} from "../../../../src/http/gateway/json_renderer.ts";
import { readMessageTypes } from "../../../../src/http/gateway/message_type.ts";
import { WireError } from "../../../../src/pb/wire.ts";
import { oracleRoot } from "../../pb/oracle.ts";

const TYPES = readMessageTypes();
const ROOT = oracleRoot();

/** Renders what somebody else's code has encoded. */
function render(type: string, message: Record<string, unknown>): string {
  const codec = ROOT.lookupType(type);
  return renderJson(
    TYPES.get(type)!,
    codec.encode(codec.fromObject(message)).finish(),
  );
}

Deno.test("renderJson() uses the .proto file's names, strings for 64 bits, base64 and enum names", () => {
  assert.equal(
    render("etcdserverpb.RangeResponse", {
      header: {
        cluster_id: "18446744073709551615",
        member_id: "9223372036854775808",
        revision: 3,
        raft_term: 2,
      },
      kvs: [
        { key: "Zm9v", create_revision: 2, mod_revision: 3, version: 2 },
        { key: "/+8=", value: "YQ==", lease: "-1" },
      ],
      more: true,
      count: 7,
    }),
    '{"header":{"cluster_id":"18446744073709551615","member_id":"9223372036854775808","revision":"3","raft_term":"2"},' +
      '"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"3","version":"2"},' +
      '{"key":"/+8=","value":"YQ==","lease":"-1"}],"more":true,"count":"7"}',
  );
  assert.equal(
    render("etcdserverpb.AlarmResponse", {
      alarms: [{ memberID: 1, alarm: "CORRUPT" }, { alarm: 77 }],
    }),
    '{"alarms":[{"memberID":"1","alarm":"CORRUPT"},{"alarm":77}]}',
  );
  assert.equal(
    render("etcdserverpb.HashResponse", { hash: 4294967295 }),
    '{"hash":4294967295}',
  );
});

Deno.test("renderJson() leaves zeros out, but not in a oneof and not in a list", () => {
  assert.equal(render("etcdserverpb.RangeResponse", {}), "{}");
  // An encoder that writes zeros: field 4, `count`.
  const count = new Uint8Array([0x20, 0]);
  assert.equal(
    renderJson(TYPES.get("etcdserverpb.RangeResponse")!, count),
    "{}",
  );
  assert.equal(
    render("etcdserverpb.Compare", { target: "VERSION", version: 0 }),
    '{"version":"0"}',
  );
  assert.equal(
    render("etcdserverpb.TxnResponse", {
      responses: [{ response_put: {} }, { response_range: { count: 1 } }],
    }),
    '{"responses":[{"response_put":{}},{"response_range":{"count":"1"}}]}',
  );
  assert.equal(
    render("etcdserverpb.AuthRoleListResponse", { roles: ["", "a"] }),
    '{"roles":["","a"]}',
  );
});

Deno.test("renderJson() reads lists of numbers packed and one by one", () => {
  const type = TYPES.get("etcdserverpb.WatchCreateRequest")!;
  const filters = '{"filters":["NODELETE","NOPUT","NODELETE"]}';
  assert.equal(
    renderJson(type, new Uint8Array([0x2a, 3, 1, 0, 1])),
    filters,
  );
  assert.equal(
    renderJson(type, new Uint8Array([0x28, 1, 0x28, 0, 0x28, 1])),
    filters,
  );
});

Deno.test("renderJson() escapes strings and passes over unknown fields", () => {
  const name = 'a"\\\n\u0001é😀';
  const json = render("etcdserverpb.AuthUserListResponse", { users: [name] });
  assert.deepEqual(JSON.parse(json), { users: [name] });
  const type = TYPES.get("etcdserverpb.HashResponse")!;
  const bytes = new Uint8Array([0x78, 1, 0x10, 9, 0xfa, 0x01, 2, 1, 1]);
  assert.equal(renderJson(type, bytes), '{"hash":9}');
});

Deno.test("renderJson() refuses bytes that are not the message", () => {
  const type = TYPES.get("etcdserverpb.RangeResponse")!;
  for (const bytes of [[0x0a, 5, 1], [0x0a], [0x22, 1, 1], [0x20]]) {
    assert.throws(() => renderJson(type, new Uint8Array(bytes)), WireError);
  }
});

Deno.test("JsonRenderer.next() hands a long message out in pieces that make up the whole", () => {
  const codec = ROOT.lookupType("etcdserverpb.RangeResponse");
  const kvs = Array.from({ length: 5000 }, (_, i) => ({
    key: btoa(`key-${i}`),
    version: i + 1,
  }));
  const bytes = codec.encode(codec.fromObject({ kvs, count: 5000 })).finish();
  const type = TYPES.get("etcdserverpb.RangeResponse")!;
  const renderer = new JsonRenderer(type, bytes);
  const pieces: string[] = [];
  for (let p = renderer.next(); p !== undefined; p = renderer.next()) {
    pieces.push(p);
  }
  assert.ok(pieces.length > 3, `${pieces.length} pieces`);
  for (const piece of pieces.slice(0, -1)) {
    assert.ok(piece.length >= 65_536 && piece.length < 66_000);
  }
  const whole = JSON.parse(pieces.join(""));
  assert.equal(whole.kvs.length, 5000);
  assert.deepEqual(whole.kvs[4999], { key: btoa("key-4999"), version: "5000" });
  assert.equal(whole.count, "5000");
});
