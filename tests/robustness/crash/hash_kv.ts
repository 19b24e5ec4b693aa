import { utf8 } from "../../../src/base/bytes.ts";
import { Crc32c } from "../../../src/mvcc/hash.ts";
import { encodeKeyValue, newKeyValue } from "../../../src/pb/mvccpb.ts";
import { KeyHistory, type Version } from "../history/key_history.ts";
import type { LoggedRevision } from "../history/operation.ts";

/** HashKV of the whole log as a server must answer it that has compacted to `compactRevision`; see `hashKv`. */
export function hashOfLog(
  log: readonly LoggedRevision[],
  compactRevision: number,
): number {
  const keys = new KeyHistory(log);
  const crc = new Crc32c();
  const id = new Uint8Array(16);
  const view = new DataView(id.buffer);
  for (const key of keys.keys()) {
    for (const version of readable(keys.versions(key), compactRevision)) {
      view.setFloat64(0, version.revision);
      view.setFloat64(8, version.sub);
      crc.update(id);
      crc.update(recordOf(key, version));
    }
  }
  return crc.value;
}

/** The versions that somebody can still read. */
export function readable(
  versions: readonly Version[],
  compactRevision: number,
): Version[] {
  return versions.filter(({ revision, kv }, i) => {
    const next = versions[i + 1]?.revision ?? Infinity;
    if (next <= compactRevision) return false;
    return revision > compactRevision || kv !== undefined;
  });
}

function recordOf(key: string, { revision, kv }: Version): Uint8Array {
  if (kv === undefined) {
    return encodeKeyValue(
      newKeyValue({ key: utf8(key), modRevision: revision }),
    );
  }
  return encodeKeyValue({
    key: utf8(key),
    value: utf8(kv.value),
    createRevision: kv.createRevision,
    modRevision: kv.modRevision,
    version: kv.version,
    lease: BigInt(kv.lease),
  });
}
