import type { Config } from "../../mod.ts";

/** A free port that the server listens on and tells its clients, who may ask for the members and connect to them. */
export function advertisedPort(): Partial<Config> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
  listener.close();
  return { listenClientUrls: [url], advertiseClientUrls: [url] };
}
