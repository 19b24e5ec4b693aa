import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { put } from "../load/etcd_calls.ts";
import type { GrpcConnection } from "../load/grpc_connection.ts";
import { LoadServer } from "../load/load_server.ts";
import { percentile, Probe } from "../load/probe.ts";

/** What an attack may do to the server, on a machine that has other things to do as well. */
export interface Bounds {
  /** Memory on top of what the server had before. */
  readonly maxGrowthMib?: number;
  /**
   * CPU time of the server until a well-behaved client's puts and gets are answered during the attack: what others
   * use of the machine does not count.
   */
  readonly maxP99CpuMs?: number;
}

/** Garbage that is not collected yet, and code that was compiled meanwhile. */
const DEFAULT_GROWTH_MIB = 64;
/** A put alone takes a millisecond; /proc counts in tens of them, and all threads. */
const DEFAULT_P99_CPU_MS = 500;
/** A call that takes longer waits for something that does not happen, however busy the machine is. */
const STUCK_MS = 20_000;
/** An attack that is over sooner is repeated, so that there is something to measure. */
const LEAST_MS = 300;
/** So many puts and gets warm the server up. */
const WARM_UP_CALLS = 3_000;

/** A server in a process of its own that is attacked while a well-behaved client uses it. Linux only. */
export class Victim implements AsyncDisposable {
  private constructor(readonly server: LoadServer, readonly dataDir: string) {}

  static async start(flags: readonly string[] = []): Promise<Victim> {
    const dataDir = await Deno.makeTempDir({ prefix: "stele-hostile-" });
    const server = await LoadServer.start(dataDir, flags);
    const victim = new Victim(server, dataDir);
    const connection = await server.connect();
    await warmUp(connection);
    connection.close();
    return victim;
  }

  get port(): number {
    return this.server.port;
  }

  /** Attacks, and checks that the server stayed within the bounds and answered the client all the time. */
  async endure(
    what: string,
    attack: () => Promise<void>,
    {
      maxGrowthMib = DEFAULT_GROWTH_MIB,
      maxP99CpuMs = DEFAULT_P99_CPU_MS,
    }: Bounds = {},
  ): Promise<void> {
    const probe = await Probe.start(this.port, this.server.process.pid);
    const beforeMib = this.server.residentMib;
    this.server.takePeakMib();
    let report;
    try {
      const began = performance.now();
      do await attack(); while (performance.now() - began < LEAST_MS);
    } finally {
      report = await probe.stop();
    }
    const growthMib = this.server.takePeakMib() - beforeMib;
    const { latencies, serverCpuMs, failures } = report;
    const all = [...latencies.put, ...latencies.get];
    const p99Ms = percentile(all, 0.99);
    const p99CpuMs = percentile(serverCpuMs, 0.99);
    console.log(
      `${what}: +${growthMib.toFixed(0)} MiB, p99 ${p99Ms.toFixed(0)} ms, ` +
        `of the server's CPU time ${p99CpuMs.toFixed(0)} ms`,
    );
    assert.deepEqual(failures, [], `${what}: other clients' calls failed`);
    assert.ok(latencies.put.length > 0, `${what}: too short to be measured`);
    assert.ok(
      growthMib < maxGrowthMib,
      `${what}: memory grew by ${growthMib.toFixed(0)} MiB`,
    );
    assert.ok(
      p99CpuMs < maxP99CpuMs,
      `${what}: p99 is ${p99CpuMs.toFixed(0)} ms of the server's CPU time`,
    );
    const worstMs = percentile(all, 1);
    assert.ok(worstMs < STUCK_MS, `${what}: a call took ${worstMs} ms`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    await Deno.remove(this.dataDir, { recursive: true });
  }
}

async function warmUp(connection: GrpcConnection): Promise<void> {
  const key = utf8("/warm-up");
  for (let done = 0; done < WARM_UP_CALLS; done += 100) {
    await Promise.all(
      Array.from({ length: 100 }, () => put(connection, key, key)),
    );
  }
}
