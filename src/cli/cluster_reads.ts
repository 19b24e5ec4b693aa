import { utf8 } from "../base/bytes.ts";
import {
  decodeResponseHeader,
  KVService,
  newRangeRequest,
  type RangeRequest,
  type RangeResponse,
} from "../pb/etcdserverpb.ts";
import { decodeKeyValue, type KeyValue } from "../pb/mvccpb.ts";
import { CallError } from "./call_error.ts";
import type { EtcdClient } from "./etcd_client.ts";

/** The smallest key there is; as a range's end: no end. */
export const LOWEST_KEY: Uint8Array = new Uint8Array(1);

/** The revision in a response's header. */
export function headerRevision(
  { header }: { readonly header: Uint8Array | undefined },
): number {
  return header === undefined ? 0 : decodeResponseHeader(header).revision;
}

/** The store's current revision, by a read of one key that need not exist. */
export async function currentRevision(
  client: EtcdClient,
  key: Uint8Array = LOWEST_KEY,
): Promise<number> {
  return headerRevision(await range(client, { key, countOnly: true }));
}

/** One Range. */
export async function range(
  client: EtcdClient,
  request: Partial<RangeRequest>,
): Promise<RangeResponse> {
  return await client.unary(KVService.methods.range, newRangeRequest(request));
}

/** Keys of a range at one revision, in key order, a page at a time. */
export async function* pagesOf(
  client: EtcdClient,
  request: Partial<RangeRequest> & Pick<RangeRequest, "key" | "limit">,
): AsyncGenerator<KeyValue[], void, undefined> {
  let { key } = request;
  for (;;) {
    const { kvs, more } = await range(client, { ...request, key });
    const page = kvs.map((bytes) => decodeKeyValue(bytes));
    if (page.length > 0) yield page;
    if (!more || page.length === 0) return;
    key = keyAfter(page.at(-1)!.key);
  }
}

/** The smallest key that is larger. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const after = new Uint8Array(key.length + 1);
  after.set(key);
  return after;
}

/** A range's end for all keys that begin with `prefix`: the prefix with its last byte that can grow grown. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let at = prefix.length - 1; at >= 0; at--) {
    if (prefix[at] === 0xff) continue;
    const end = prefix.slice(0, at + 1);
    end[at]!++;
    return end;
  }
  return LOWEST_KEY;
}

/** A range of all keys that begin with the text; of all keys, if it is empty. */
export function prefixRange(
  text: string,
): Pick<RangeRequest, "key" | "rangeEnd"> {
  const prefix = utf8(text);
  return {
    key: prefix.length === 0 ? LOWEST_KEY : prefix,
    rangeEnd: prefixEnd(prefix),
  };
}

/** A lease's or a member's id as etcdctl shows it: the bits in hexadecimal. */
export function idText(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

/** Whether the server refused for a revision that it no longer has. */
export function isCompacted(error: unknown): boolean {
  return error instanceof CallError &&
    error.message === "etcdserver: mvcc: required revision has been compacted";
}
