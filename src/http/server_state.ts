/** What the HTTP handlers ask of the server. */
export interface ServerState {
  /** Reads from this replica's memory; resolves with what went wrong, or undefined. */
  serializableRead(): Promise<string | undefined>;
  /** Reads what is current in the whole cluster; resolves with what went wrong, or undefined. */
  linearizableRead(): Promise<string | undefined>;
  /** The alarms that are set, by etcd's names: `NOSPACE`, `CORRUPT`. */
  alarms(): readonly string[];
  readonly hasLeader: boolean;
  /** A look at the server for people. Cheap: whoever can reach the port can ask for it. */
  summary(): ServerSummary;
}

/** The state of a server, for the status page and `/debug/vars`. */
export interface ServerSummary {
  readonly name: string;
  /** In hexadecimal, as etcd shows it. */
  readonly memberId: string;
  readonly clusterId: string;
  /** The database, without a password. */
  readonly engine: string;
  readonly clientUrls: readonly string[];
  readonly revision: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  readonly keys: number;
  readonly leases: number;
  readonly watchers: number;
  readonly watchStreams: number;
  readonly connections: number;
  readonly dbSizeBytes: number;
  readonly dbSizeInUseBytes: number;
  /** Infinity: no quota. */
  readonly quotaBytes: number;
  readonly uptimeMs: number;
}
