import type { EtcdClient, Message } from "../../support/etcd_client.ts";
import type {
  Compare,
  KeyOp,
  KeyVersion,
  OpResult,
  Outcome,
  Refusal,
  Request,
  Response,
  TxnRequest,
} from "../history/operation.ts";
import type { Recorder } from "./recorder.ts";

/** Codes that say nothing about whether the call was done: cancelled, unknown, deadline, internal, unavailable. */
const NO_ANSWER = new Set([1, 2, 4, 13, 14]);

/** Refused or not, the server that sent it had lost its role. */
const NO_LEADER = /not leader/;

const REFUSALS: readonly (readonly [RegExp, Refusal])[] = [
  [/required revision has been compacted/, "compacted"],
  [/required revision is a future revision/, "future revision"],
  [/requested lease not found/, "lease not found"],
  [/lease already exists/, "lease exists"],
  [/database space exceeded/, "no space"],
  [/corrupt cluster/, "corrupt"],
  // Users or roles changed while it waited; etcd's clients ask again.
  [/revision of auth store is old/, "auth changed"],
];

const TARGETS = {
  version: ["VERSION", "version"],
  create: ["CREATE", "create_revision"],
  mod: ["MOD", "mod_revision"],
  value: ["VALUE", "value"],
  lease: ["LEASE", "lease"],
} as const;

const RELATIONS = {
  "=": "EQUAL",
  "!=": "NOT_EQUAL",
  "<": "LESS",
  ">": "GREATER",
} as const;

/** A client whose calls are written down. */
export class RecordingClient {
  /** Refusals that nothing in the workload asks for. */
  readonly surprises: string[] = [];

  constructor(
    readonly id: number,
    readonly etcd: EtcdClient,
    readonly recorder: Recorder,
  ) {}

  call(request: Request): Promise<Outcome> {
    return this.recorder.record(this.id, request, async () => {
      try {
        return { kind: "ok", response: await this.#send(request) };
      } catch (error) {
        return this.#outcomeOf(error);
      }
    });
  }

  #outcomeOf(error: unknown): Outcome {
    if (error instanceof LeaseGone) {
      return { kind: "failed", refusal: "lease not found" };
    }
    const { code, details } = error as { code?: number; details?: string };
    if (code === undefined) throw error;
    if (NO_ANSWER.has(code) || NO_LEADER.test(details ?? "")) {
      return { kind: "unknown" };
    }
    const known = REFUSALS.find(([text]) => text.test(details ?? ""));
    if (known === undefined) this.surprises.push(`${code} ${details}`);
    return { kind: "failed", refusal: known?.[1] ?? "other" };
  }

  async #send(request: Request): Promise<Response> {
    const { lease, kv } = this.etcd;
    switch (request.kind) {
      case "txn":
        return await this.#txn(request);
      case "grant": {
        const { header } = await lease.call("LeaseGrant", {
          ID: request.lease,
          TTL: request.ttlSeconds,
        });
        return responseOf(header);
      }
      case "renew":
        return responseOf((await this.#renew(request.lease)).header);
      case "revoke": {
        const { header } = await lease.call("LeaseRevoke", {
          ID: request.lease,
        });
        return responseOf(header);
      }
      case "compact": {
        const { header } = await kv.call("Compact", {
          revision: request.revision,
        });
        return responseOf(header);
      }
    }
  }

  async #txn(request: TxnRequest): Promise<Response> {
    const [op, ...others] = request.success;
    const isSingle = request.compares.length === 0 && others.length === 0;
    if (isSingle && op !== undefined) {
      const answer = await this.#single(op, request.isSerializable ?? false);
      return responseOf(answer.header, [resultOf(op, answer)]);
    }
    const answer = await this.etcd.txn({
      compare: request.compares.map(compareMessage),
      success: request.success.map(opMessage),
      failure: request.failure.map(opMessage),
    });
    const ops = answer.succeeded ? request.success : request.failure;
    const results = ops.map((op, i) => {
      const { response_put, response_delete_range, response_range } =
        answer.responses[i];
      return resultOf(
        op,
        response_put ?? response_delete_range ?? response_range,
      );
    });
    return {
      ...responseOf(answer.header, results),
      succeeded: answer.succeeded,
    };
  }

  #single(op: KeyOp, isSerializable: boolean): Promise<Message> {
    const { kv } = this.etcd;
    switch (op.kind) {
      case "put":
        return kv.call("Put", putMessage(op));
      case "delete":
        return kv.call("DeleteRange", keysMessage(op));
      case "range":
        return kv.call("Range", {
          ...keysMessage(op),
          revision: op.revision ?? 0,
          serializable: isSerializable,
        });
    }
  }

  /** One renewal on a stream of its own. */
  #renew(id: string): Promise<Message> {
    const stream = this.etcd.lease.stream("LeaseKeepAlive");
    return new Promise<Message>((resolve, reject) => {
      stream.on("data", (answer: Message) => {
        if (Number(answer.TTL) > 0) resolve(answer);
        else reject(new LeaseGone());
        stream.end();
      });
      stream.on("error", reject);
      stream.write({ ID: id });
    });
  }
}

/** A keepalive's way to say "not found": a TTL of 0. */
class LeaseGone extends Error {}

function responseOf(
  header: Message,
  results: readonly OpResult[] = [],
): Response {
  return { revision: Number(header.revision), succeeded: true, results };
}

function resultOf(op: KeyOp, answer: Message): OpResult {
  switch (op.kind) {
    case "put":
      return { kind: "put" };
    case "delete":
      return { kind: "delete", deleted: Number(answer.deleted) };
    case "range":
      return { kind: "range", kvs: answer.kvs.map(versionOf) };
  }
}

/** A `mvccpb.KeyValue` as histories have it. */
export function versionOf(kv: Message): KeyVersion {
  return {
    key: kv.key.toString(),
    value: kv.value.toString(),
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
    version: Number(kv.version),
    lease: kv.lease,
  };
}

function compareMessage({ key, target, relation, operand }: Compare): Message {
  const [name, field] = TARGETS[target];
  return {
    key: Buffer.from(key),
    target: name,
    result: RELATIONS[relation],
    [field]: target === "value" ? Buffer.from(`${operand}`) : operand,
  };
}

function opMessage(op: KeyOp): Message {
  switch (op.kind) {
    case "put":
      return { request_put: putMessage(op) };
    case "delete":
      return { request_delete_range: keysMessage(op) };
    case "range":
      return {
        request_range: { ...keysMessage(op), revision: op.revision ?? 0 },
      };
  }
}

function putMessage(op: KeyOp & { kind: "put" }): Message {
  return {
    key: Buffer.from(op.key),
    value: Buffer.from(op.value),
    lease: op.lease ?? "0",
  };
}

function keysMessage(
  { key, end = "" }: { key: string; end?: string },
): Message {
  return { key: Buffer.from(key), range_end: Buffer.from(end) };
}
