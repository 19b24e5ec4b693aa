import type { RosterEntry } from "../backend/replica_table.ts";
import type {
  AppendedBatch,
  ForwardAnswers,
  ForwardRequests,
} from "../pb/stelepb.ts";

/** Opens streams to other replicas. */
export interface PeerTransport {
  /** Never throws: what goes wrong is told to the listener, later. */
  connect(peer: RosterEntry, listener: PeerListener): PeerStream;
  close(): void;
}

/** One stream to another replica; it is open when its first message has come. */
export interface PeerStream {
  send(message: ForwardRequests): void;
  /** Cancels the stream; the listener hears nothing more. */
  close(): void;
}

export interface PeerListener {
  onAnswers(answers: ForwardAnswers): void;
  /**
   * The stream is over. Called at most once. Without an error, because the other side has ended it in good order: calls
   * that are not answered were not made.
   */
  onClose(error: Error | undefined): void;
}

/** The method that replicas call on each other; not a part of etcd's API. */
export const FORWARD_PATH = "/stele.Replication/Forward";
/** Metadata of its calls: the secret that replicas of one database know, in hexadecimal digits. */
export const SECRET_FIELD = "stele-replica-secret";
/** The id of the replica that is meant, in hexadecimal digits: an address may lead to another one. */
export const TARGET_FIELD = "stele-replica-target";

/** What replicas need of the log. */
export interface ReplicatedLog {
  /** The last batch that is applied here. */
  readonly seq: number;
  /** Resolves when the batch at `seq` is applied here; rejects if that takes too long. */
  reached(seq: number): Promise<void>;
  /** A batch that the sequencer has made durable: spares a look into the database when it is the next one. */
  offer(batch: AppendedBatch): void;
}
