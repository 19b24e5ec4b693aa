/**
 * A database worker that tries what it must not do, and answers `open` with what was allowed: an error whose message
 * lists it.
 */
const scope = self as unknown as {
  onmessage: (event: MessageEvent<Record<string, unknown>>) => void;
  postMessage(message: unknown): void;
};

interface Probe {
  readonly name: string;
  readonly act: () => unknown;
}

scope.onmessage = async ({ data }) => {
  const { request, server } = data as {
    request: number;
    server: { hosts: { host: string; port: number }[] };
  };
  const probes: Probe[] = [
    ...server.hosts.map(({ host, port }) => ({
      name: `net ${host}:${port}`,
      act: () => connect(host, port),
    })),
    { name: "net other port", act: () => connect("127.0.0.1", 9) },
    { name: "net other host", act: () => connect("127.0.0.2", 9) },
    { name: "listen", act: () => Deno.listen({ port: 0 }).close() },
    { name: "read", act: () => Deno.readTextFileSync("/etc/hosts") },
    { name: "write", act: () => Deno.writeTextFileSync("/tmp/x", "") },
    { name: "run", act: () => new Deno.Command("true").outputSync() },
    { name: "env", act: () => Deno.env.get("PATH") },
    { name: "sys", act: () => Deno.hostname() },
    { name: "ffi", act: () => Deno.dlopen("libc.so.6", {}) },
  ];
  const allowed: string[] = [];
  for (const { name, act } of probes) {
    if (await isAllowed(act)) allowed.push(name);
  }
  const error = {
    kind: "failed",
    message: allowed.join(),
    cure: "",
    cause: undefined,
  };
  scope.postMessage({ request, error });
};

async function connect(hostname: string, port: number): Promise<void> {
  (await Deno.connect({ hostname, port })).close();
}

/** Also true for what is allowed and fails for another reason. */
async function isAllowed(act: () => unknown): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotCapable);
  }
}
