import { ConfigError } from "./config_error.ts";
import { nearest } from "./nearest.ts";
import { parseBool } from "./numbers.ts";

/** The feature gates of etcd 3.7 and their defaults. */
export const FEATURE_GATES: Readonly<Record<string, boolean>> = {
  AllAlpha: false,
  AllBeta: false,
  CompactHashCheck: false,
  FastLeaseKeepAlive: true,
  InitialCorruptCheck: false,
  LeaseCheckpoint: false,
  LeaseCheckpointPersist: false,
  PriorityRequest: false,
  SetMemberLocalAddr: false,
  StopGRPCServiceOnDefrag: false,
  TxnModeWriteWithSharedBuffer: true,
};

/** Reads `name=true,name=false`; gates that are not named keep their defaults. */
export function parseFeatureGates(text: string): Record<string, boolean> {
  const gates = { ...FEATURE_GATES };
  for (const pair of text.split(",")) {
    if (pair.trim() === "") continue;
    const [name = "", value = ""] = pair.split("=", 2).map((s) => s.trim());
    if (!Object.hasOwn(gates, name)) {
      const hint = nearest(name, Object.keys(gates));
      throw new ConfigError(
        `Cannot use feature gate "${name}": etcd has none of that name` +
          (hint === undefined ? "" : `; did you mean ${hint}?`),
      );
    }
    const isOn = parseBool(value);
    if (isOn === undefined) {
      throw new ConfigError(
        `Cannot use feature gate "${pair.trim()}": its value must be true or false`,
      );
    }
    gates[name] = isOn;
  }
  if (gates.LeaseCheckpointPersist && !gates.LeaseCheckpoint) {
    throw new ConfigError(
      "Cannot use feature gate LeaseCheckpointPersist: it needs LeaseCheckpoint",
    );
  }
  return gates;
}
