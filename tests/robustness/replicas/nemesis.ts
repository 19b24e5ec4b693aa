import type { Random } from "../../support/random.ts";
import type { ReplicaNode } from "./replica_node.ts";

/** What is done to a node. */
const FAULTS = [
  "kill",
  "pause",
  "cut from database",
  "cut from peers",
] as const;
export type Fault = (typeof FAULTS)[number];

const MIN_FAULT_MS = 1000;
const MAX_FAULT_MS = 5000;
/** Between two faults. */
const MAX_REST_MS = 1200;

/**
 * Does harm to one node after the other, and makes it good again: kills (the node is started again), pauses, cuts of
 * its connections to the database or from the other nodes. Every second time it is the sequencer that suffers.
 */
export class Nemesis {
  /** How often each fault was made; `+` marks those of the sequencer. */
  readonly counts = new Map<string, number>();
  readonly #abort = new AbortController();

  constructor(
    readonly nodes: readonly ReplicaNode[],
    readonly random: Random,
    /** Of a fault; default 5 s. */
    readonly maxFaultMs = MAX_FAULT_MS,
  ) {}

  /** Goes on until `stop`; everything is good again when it resolves. */
  async run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      await this.#rest(this.random.int(MAX_REST_MS));
      if (this.#abort.signal.aborted) return;
      const fault = this.random.pick(FAULTS);
      const node = await this.#victim();
      const isSequencer = await node.isSequencer();
      const name = isSequencer ? `${fault}+` : fault;
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
      await this.#harm(node, fault);
    }
  }

  stop(): void {
    this.#abort.abort();
  }

  async #victim(): Promise<ReplicaNode> {
    const any = this.random.pick(this.nodes);
    if (!this.random.oneIn(2)) return any;
    for (const node of this.nodes) if (await node.isSequencer()) return node;
    return any;
  }

  async #harm(node: ReplicaNode, fault: Fault): Promise<void> {
    const spread = this.maxFaultMs - MIN_FAULT_MS;
    const faultMs = MIN_FAULT_MS + this.random.int(Math.max(1, spread));
    switch (fault) {
      case "kill":
        await node.kill();
        await this.#rest(this.random.int(MAX_REST_MS));
        await node.start();
        return;
      case "pause":
        node.pause();
        await this.#rest(faultMs);
        node.resume();
        return;
      case "cut from database":
        node.toDatabase.cut();
        await this.#rest(faultMs);
        node.toDatabase.mend();
        return;
      case "cut from peers":
        node.fromPeers.cut();
        await this.#rest(faultMs);
        node.fromPeers.mend();
        return;
    }
  }

  /** Shorter if it is to stop. */
  #rest(ms: number): Promise<void> {
    const { signal } = this.#abort;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
    });
  }
}
