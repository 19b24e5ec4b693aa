import assert from "node:assert/strict";
import { otherReplicaId, replicaId } from "../../../src/replica/replica_id.ts";

const WHO = { clusterId: 5n, name: "a", clientUrls: ["http://a:1", "b"] };

Deno.test("replicaId() stays the same, fits a signed number, and is not 0", () => {
  assert.equal(replicaId(WHO), replicaId({ ...WHO }));
  assert.ok(replicaId(WHO) > 0n && replicaId(WHO) < 1n << 63n);
});

Deno.test("replicaId() differs with each part, and with where one part ends", () => {
  const ids = new Set([
    replicaId(WHO),
    replicaId({ ...WHO, clusterId: 6n }),
    replicaId({ ...WHO, name: "b" }),
    replicaId({ ...WHO, clientUrls: ["http://a:1"] }),
    replicaId({ ...WHO, name: "a,http://a:1", clientUrls: ["b"] }),
    otherReplicaId(replicaId(WHO), 1n),
    otherReplicaId(replicaId(WHO), 2n),
  ]);
  assert.equal(ids.size, 7);
});
