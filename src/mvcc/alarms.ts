import type { StateTable } from "../backend/state_change.ts";
import { StateKind } from "../backend/state_change.ts";
import type { WriteTx } from "./write_batch.ts";

/** etcd's alarm types. */
export const AlarmType = { None: 0, NoSpace: 1, Corrupt: 2 } as const;

/** One of the numbers in `AlarmType`. */
export type AlarmType = typeof AlarmType[keyof typeof AlarmType];

/** Who raised an alarm: what the quota raised clears itself, what a client activated stays. */
export const AlarmOrigin = { Client: 0, Quota: 1 } as const;

/** One of the numbers in `AlarmOrigin`. */
export type AlarmOrigin = typeof AlarmOrigin[keyof typeof AlarmOrigin];

export interface Alarm {
  readonly memberId: bigint;
  readonly type: number;
  readonly origin: number;
}

/**
 * The alarms that are set, a function of the log: state key = member id (8 bytes, big-endian) and the
 * type's byte, value = the origin's byte.
 */
export class Alarms implements StateTable {
  readonly #byKey = new Map<string, Alarm>();

  apply(key: Uint8Array, value: Uint8Array | undefined): void {
    const memberId = new DataView(key.buffer, key.byteOffset, key.byteLength)
      .getBigUint64(0);
    const type = key[8]!;
    const name = `${memberId}/${type}`;
    if (value === undefined) this.#byKey.delete(name);
    else {this.#byKey.set(name, {
        memberId,
        type,
        origin: value[0] ?? AlarmOrigin.Client,
      });}
  }

  /** All alarms of a type, or all of them for `None`. */
  list(type: number = AlarmType.None): Alarm[] {
    return [...this.#byKey.values()].filter((a) =>
      type === AlarmType.None || a.type === type
    );
  }

  has(type: AlarmType): boolean {
    for (const alarm of this.#byKey.values()) {
      if (alarm.type === type) return true;
    }
    return false;
  }

  /** Sets an alarm; a client's takes the place of the quota's, never the other way round. */
  activate(tx: WriteTx, alarm: Alarm): void {
    const known = this.#byKey.get(`${alarm.memberId}/${alarm.type}`);
    if (known !== undefined && known.origin <= alarm.origin) return;
    tx.putState(StateKind.Alarm, stateKey(alarm), Uint8Array.of(alarm.origin));
  }

  /** Clears an alarm; false if it is not set. */
  deactivate(tx: WriteTx, alarm: Pick<Alarm, "memberId" | "type">): boolean {
    if (!this.#byKey.has(`${alarm.memberId}/${alarm.type}`)) return false;
    tx.putState(StateKind.Alarm, stateKey(alarm), undefined);
    return true;
  }
}

function stateKey(alarm: Pick<Alarm, "memberId" | "type">): Uint8Array {
  const key = new Uint8Array(9);
  new DataView(key.buffer).setBigUint64(0, alarm.memberId);
  key[8] = alarm.type;
  return key;
}
