import { EMPTY } from "../../../src/base/bytes.ts";
import { decodeKeyValue } from "../../../src/pb/mvccpb.ts";
import {
  decodePutResponse,
  decodeRangeResponse,
  decodeRangeStreamResponse,
  decodeResponseHeader,
  decodeTxnResponse,
  encodeCompactionRequest,
  encodePutRequest,
  encodeRangeRequest,
  encodeTxnRequest,
  newCompactionRequest,
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { etcdPath, type GrpcConnection } from "./grpc_connection.ts";

/** Every key there is, as `rangeEnd`. */
const TO_THE_END = Uint8Array.of(0);
const FROM_THE_START = Uint8Array.of(0);

/** Resolves with the revision of the put. */
export async function put(
  connection: GrpcConnection,
  key: Uint8Array,
  value: Uint8Array,
): Promise<number> {
  const answer = await connection.unary(
    etcdPath("KV/Put"),
    encodePutRequest(newPutRequest({ key, value })),
  );
  return revisionOf(decodePutResponse(answer).header);
}

/** Puts keys in one transaction; resolves with their revision. */
export async function putAll(
  connection: GrpcConnection,
  puts: readonly { key: Uint8Array; value: Uint8Array; lease?: bigint }[],
): Promise<number> {
  const success = puts.map((fields) =>
    newRequestOp({ requestPut: newPutRequest(fields) })
  );
  const answer = await connection.unary(
    etcdPath("KV/Txn"),
    encodeTxnRequest(newTxnRequest({ success })),
  );
  return revisionOf(decodeTxnResponse(answer).header);
}

/** Resolves with the number of keys that were found: 0 or 1. */
export async function get(
  connection: GrpcConnection,
  key: Uint8Array,
): Promise<number> {
  const request = encodeRangeRequest(newRangeRequest({ key }));
  const answer = await connection.unary(etcdPath("KV/Range"), request);
  return decodeRangeResponse(answer).count;
}

/** Of the store, now. */
export async function currentRevision(
  connection: GrpcConnection,
): Promise<number> {
  const request = encodeRangeRequest(newRangeRequest({ key: TO_THE_END }));
  const answer = await connection.unary(etcdPath("KV/Range"), request);
  return revisionOf(decodeRangeResponse(answer).header);
}

export async function compact(
  connection: GrpcConnection,
  revision: number,
): Promise<void> {
  await connection.unary(
    etcdPath("KV/Compact"),
    encodeCompactionRequest(newCompactionRequest({ revision })),
  );
}

/** All keys in one stream: `onKey` gets each with the revision of its last change. Resolves with the bytes received. */
export async function listStream(
  connection: GrpcConnection,
  onKey?: (key: Uint8Array, modRevision: number, value: Uint8Array) => void,
): Promise<number> {
  let bytes = 0;
  const request = encodeRangeRequest(
    newRangeRequest({ key: FROM_THE_START, rangeEnd: TO_THE_END }),
  );
  await connection.serverStream(
    etcdPath("KV/RangeStream"),
    request,
    (message) => {
      bytes += message.length;
      if (onKey === undefined) return;
      const part = decodeRangeStreamResponse(message).rangeResponse ?? EMPTY;
      for (const kv of decodeRangeResponse(part).kvs) {
        const { key, modRevision, value } = decodeKeyValue(kv);
        onKey(key, modRevision, value);
      }
    },
  );
  return bytes;
}

/** All keys in one answer; resolves with its bytes. */
export async function listAtOnce(connection: GrpcConnection): Promise<number> {
  const request = encodeRangeRequest(
    newRangeRequest({ key: FROM_THE_START, rangeEnd: TO_THE_END }),
  );
  return (await connection.unary(etcdPath("KV/Range"), request)).length;
}

function revisionOf(header: Uint8Array | undefined): number {
  return decodeResponseHeader(header ?? EMPTY).revision;
}
