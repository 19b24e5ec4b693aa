import assert from "node:assert/strict";
import {
  type MessageType,
  readMessageTypes,
} from "../../../../src/http/gateway/message_type.ts";
import { GATEWAY_PATHS } from "../../../../src/http/gateway/paths.ts";
import { fullName, messageTypes, oracleRoot } from "../../pb/oracle.ts";

const TYPES = readMessageTypes();
const ROOT = oracleRoot();

Deno.test("readMessageTypes() finds every message and field of proto/", () => {
  for (const type of messageTypes(ROOT)) {
    const found: MessageType | undefined = TYPES.get(fullName(type));
    assert.ok(found, fullName(type));
    assert.equal(found.name, fullName(type));
    for (const field of type.fieldsArray) {
      const read = found.byNumber.get(field.id);
      const where: string = `${found.name}.${field.name}`;
      assert.equal(read?.name, field.name, where);
      if (field.map) continue;
      assert.equal(read.isRepeated, field.repeated, where);
      assert.equal(read.oneof !== undefined, field.partOf !== null, where);
      const { resolvedType } = field;
      if (resolvedType === null) assert.equal(read.kind, field.type, where);
      else if ("values" in resolvedType) {
        assert.deepEqual(
          Object.fromEntries(read.enum!.numbers),
          resolvedType.values,
          where,
        );
      } else assert.equal(read.message?.name, fullName(resolvedType), where);
    }
  }
});

Deno.test("readMessageTypes() knows fields by both names", () => {
  const { byName } = TYPES.get("etcdserverpb.RangeRequest")!;
  assert.equal(byName.get("range_end"), byName.get("rangeEnd"));
  assert.equal(byName.get("rangeEnd")?.number, 2);
  assert.equal(TYPES.get("etcdserverpb.Member")!.byName.get("ID")?.number, 1);
});

Deno.test("GATEWAY_PATHS has a path for every method of etcd but RangeStream", () => {
  const called = new Set(GATEWAY_PATHS.values());
  const services = [
    ...["KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth"].map((s) =>
      `etcdserverpb.${s}`
    ),
    "v3lockpb.Lock",
    "v3electionpb.Election",
  ];
  const methods = services.flatMap((name) =>
    ROOT.lookupService(name).methodsArray.map((m) => `/${name}/${m.name}`)
  );
  assert.deepEqual(
    methods.filter((method) => !called.has(method)),
    ["/etcdserverpb.KV/RangeStream"],
  );
  for (const method of called) assert.ok(methods.includes(method), method);
  assert.equal(GATEWAY_PATHS.size, methods.length - 1 + 3);
});
