/**
 * How a worker for `dir` is started: it may read and write there and do nothing else at all.
 * Needs Deno's `worker-options` feature, which `deno.json` switches on.
 */
export function workerOptions(dir: string) {
  return {
    type: "module" as const,
    name: "stele-sqlite",
    deno: {
      permissions: {
        read: [dir],
        write: [dir],
        net: false,
        env: false,
        run: false,
        ffi: false,
        sys: false,
        import: false,
      },
    },
  };
}
