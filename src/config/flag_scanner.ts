import { ConfigError } from "./config_error.ts";
import { FLAGS } from "./flags.ts";
import { nearest } from "./nearest.ts";

/**
 * Reads a command line as Go's `flag` package does, for command lines written for etcd must mean the same:
 * one dash or two, `--name=value` or `--name value` (a value may start with a dash: `--quota-backend-bytes
 * -1`), a bool without a value is true and never takes the next word, the last of several wins. That is why
 * `node:util`'s parseArgs is not used: its strict mode takes neither `-name`, nor `--bool=false`, nor `-1`.
 */
export function scanFlags(argv: readonly string[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    const match = /^--?([^-=][^=]*)(?:=([^]*))?$/.exec(word);
    if (match === null) {
      if (word === "--" && i === argv.length - 1) break;
      throw new ConfigError(`Cannot use "${word}": it is not a flag`);
    }
    const name = match[1] === "h" ? "help" : match[1]!;
    const flag = FLAGS.get(name);
    if (flag === undefined) throw new ConfigError(unknownFlag(name));
    let value = match[2];
    if (value === undefined && flag.type === "bool") value = "true";
    if (value === undefined) {
      i++;
      value = argv[i];
    }
    if (value === undefined) {
      throw new ConfigError(`Cannot use --${name}: it needs a value`);
    }
    texts.set(name, value);
  }
  return texts;
}

/** Says what to write instead of a flag, variable or key that is not known. */
export function unknownFlag(name: string): string {
  const plain = name.replace(/^experimental-/, "");
  if (plain !== name) {
    const now = REPLACED_EXPERIMENTAL.get(plain) ??
      (FLAGS.has(plain) ? `--${plain}` : undefined);
    return `Cannot use --${name}: etcd 3.7 removed the experimental flags` +
      (now === undefined ? "" : `; use ${now}`);
  }
  if (REMOVED.has(name)) {
    return `Cannot use --${name}: it went away with etcd's v2 API`;
  }
  const hint = nearest(name, FLAGS.keys());
  return `Cannot use --${name}: there is no such flag` +
    (hint === undefined ? "" : `; did you mean --${hint}?`);
}

/** What took the place of experimental flags that did not just lose their prefix. */
const REPLACED_EXPERIMENTAL: ReadonlyMap<string, string> = new Map([
  ["initial-corrupt-check", "--feature-gates=InitialCorruptCheck=true"],
  ["compact-hash-check-enabled", "--feature-gates=CompactHashCheck=true"],
  [
    "txn-mode-write-with-shared-buffer",
    "--feature-gates=TxnModeWriteWithSharedBuffer=true",
  ],
  [
    "stop-grpc-service-on-defrag",
    "--feature-gates=StopGRPCServiceOnDefrag=true",
  ],
  ["enable-lease-checkpoint", "--feature-gates=LeaseCheckpoint=true"],
  [
    "enable-lease-checkpoint-persist",
    "--feature-gates=LeaseCheckpointPersist=true",
  ],
  ["set-member-localaddr", "--feature-gates=SetMemberLocalAddr=true"],
  ["bootstrap-defrag-threshold-megabytes", "no flag: nothing is defragmented"],
]);

const REMOVED: ReadonlySet<string> = new Set([
  "enable-v2",
  "enable-v2v3",
  "discovery",
  "discovery-proxy",
  "proxy",
  "proxy-failure-wait",
  "proxy-refresh-interval",
  "proxy-dial-timeout",
  "proxy-write-timeout",
  "proxy-read-timeout",
]);
