import {
  decodePutRequest,
  decodeTxnRequest,
  encodePutRequest,
  encodeResponseHeader,
  encodeTxnRequest,
  newCompare,
  newPutRequest,
  newRangeRequest,
  newRangeResponse,
  newRequestOp,
  newResponseHeader,
  newTxnRequest,
  sizeRangeResponse,
  writeRangeResponse,
} from "../../src/pb/etcdserverpb.ts";
import {
  sizeEvent,
  sizeKeyValueRecord,
  writeEvent,
  writeKeyValueRecord,
} from "../../src/pb/key_value.ts";

/**
 * Nanoseconds per message of the codecs on the hot path:
 *
 *   deno run -A tests/bench/pb_bench.ts
 */
const ROUNDS = 7;
const MIN_ROUND_MS = 60;

/** The best round's time per call: on a noisy machine the least disturbed one. */
function measure(name: string, run: () => number): void {
  let calls = 1000;
  let best = Infinity;
  let sink = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    for (let i = 0; i < calls; i++) sink += run();
    const ms = performance.now() - start;
    if (ms < MIN_ROUND_MS) {
      calls = Math.ceil(calls * Math.max(2, (MIN_ROUND_MS * 1.5) / ms));
      round--;
      continue;
    }
    best = Math.min(best, ms * 1e6 / calls);
  }
  console.log(
    `${name.padEnd(52)} ${best.toFixed(0).padStart(6)} ns  (${sink % 10})`,
  );
}

const key = new TextEncoder().encode(
  "/registry/pods/default/nginx-7c5ddbdf54-x2vqk",
);
const value = new Uint8Array(512).fill(0x61);
const lease = 0x326963a4b9f2d81cn;
const out = new Uint8Array(4096);

function record(lease: bigint): Uint8Array {
  const bytes = new Uint8Array(
    sizeKeyValueRecord(key, 1_200_345, 1_200_777, 3, value, lease),
  );
  writeKeyValueRecord(bytes, 0, key, 1_200_345, 1_200_777, 3, value, lease);
  return bytes;
}

const header = encodeResponseHeader(newResponseHeader({
  clusterId: 0xcdf818194e3a8c32n,
  memberId: 0x8e9e05c52164694dn,
  revision: 1_200_999,
  raftTerm: 7,
}));
const kvs = [record(0n)];
const withHeader = newRangeResponse({ header, kvs, count: 1 });
const bare = newRangeResponse({ kvs, count: 1 });
measure(
  "RangeResponse 512 B, size + write",
  () => writeRangeResponse(withHeader, out, sizeRangeResponse(withHeader) & 1),
);
measure(
  "RangeResponse 512 B without header, size + write",
  () => writeRangeResponse(bare, out, sizeRangeResponse(bare) & 1),
);
measure("RangeResponse 512 B, new + size + write", () => {
  const m = newRangeResponse({ header, kvs, count: 1 });
  return writeRangeResponse(m, out, sizeRangeResponse(m) & 1);
});

const put = encodePutRequest(newPutRequest({ key, value }));
const putWithLease = encodePutRequest(newPutRequest({ key, value, lease }));
measure("PutRequest 512 B, decode", () => decodePutRequest(put).value.length);
measure(
  "PutRequest 512 B with lease, decode",
  () => decodePutRequest(putWithLease).value.length,
);

// What kube-apiserver sends to create an object: if the key is not there, put it, else read it.
const create = encodeTxnRequest(newTxnRequest({
  compare: [newCompare({ target: 2, key, modRevision: 0 })],
  success: [newRequestOp({ requestPut: newPutRequest({ key, value }) })],
  failure: [newRequestOp({ requestRange: newRangeRequest({ key }) })],
}));
measure(
  "TxnRequest (Kubernetes create), decode",
  () => decodeTxnRequest(create).compare.length,
);

measure("KeyValue record 512 B, size + write", () => {
  const size = sizeKeyValueRecord(key, 1_200_345, 1_200_777, 3, value, 0n);
  return writeKeyValueRecord(
    out,
    size & 1,
    key,
    1_200_345,
    1_200_777,
    3,
    value,
    0n,
  );
});
measure("KeyValue record 512 B with lease, size + write", () => {
  const size = sizeKeyValueRecord(key, 1_200_345, 1_200_777, 3, value, lease);
  return writeKeyValueRecord(
    out,
    size & 1,
    key,
    1_200_345,
    1_200_777,
    3,
    value,
    lease,
  );
});
const kv = kvs[0]!;
measure(
  "Event around a record, size + write",
  () =>
    writeEvent(out, sizeEvent(kv, false, undefined) & 1, kv, false, undefined),
);
