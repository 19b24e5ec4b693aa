import process from "node:process";
import type { Registry } from "../base/metrics.ts";

/** What `/proc` tells of this process. */
interface Proc {
  readonly openFds: number;
  readonly maxFds: number;
  readonly virtualBytes: number;
}

const PAGE_BYTES = 4096;

/**
 * The metrics that every Prometheus client library has of its process. What `/proc` does not tell, because
 * there is none or because the process may not read it, is left out; once permissions have been dropped, the
 * last known values stay.
 */
export function registerProcessMetrics(registry: Registry): void {
  registry.callback(
    "counter",
    "process_cpu_seconds_total",
    "Time spent on processors.",
    () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  );
  registry.callback(
    "gauge",
    "process_resident_memory_bytes",
    "Memory that is resident.",
    () => Deno.memoryUsage().rss,
  );
  const startSeconds = performance.timeOrigin / 1000;
  registry.callback(
    "gauge",
    "process_start_time_seconds",
    "When the process started, in Unix time.",
    () => startSeconds,
  );
  registerProc(registry);
}

function registerProc(registry: Registry): void {
  let proc = readProc();
  if (proc === undefined) return;
  registry.beforeRead(() => proc = readProc() ?? proc);
  const gauge = (name: string, help: string, read: (proc: Proc) => number) =>
    registry.callback("gauge", name, help, () => read(proc!));
  const used = "File descriptors in use.";
  const limit = "File descriptors that may be in use.";
  gauge("process_open_fds", used, (p) => p.openFds);
  gauge("os_fd_used", used, (p) => p.openFds);
  gauge("process_max_fds", limit, (p) => p.maxFds);
  gauge("os_fd_limit", limit, (p) => p.maxFds);
  gauge(
    "process_virtual_memory_bytes",
    "Memory that is mapped.",
    (p) => p.virtualBytes,
  );
}

function readProc(): Proc | undefined {
  try {
    let openFds = 0;
    for (const _ of Deno.readDirSync("/proc/self/fd")) openFds++;
    const limits = Deno.readTextFileSync("/proc/self/limits");
    const maxFds = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    const pages = Deno.readTextFileSync("/proc/self/statm").split(" ", 1)[0];
    return {
      openFds,
      maxFds: maxFds === undefined ? Infinity : Number(maxFds),
      virtualBytes: Number(pages) * PAGE_BYTES,
    };
  } catch {
    return undefined; // not Linux, or not allowed: the caller makes do without
  }
}
