import type { EtcdClient } from "../../support/etcd_client.ts";

/** Enough for the server to give up on its database, or to find it again. */
const PATIENCE_MS = 20_000;

export function put(client: EtcdClient, key: string) {
  const request = { key: Buffer.from(key), value: Buffer.from("1") };
  const deadline = Date.now() + PATIENCE_MS;
  return client.kv.call("Put", request, { deadline });
}

/** As a client does: again after each failure that may pass. */
export async function putUntilDone(
  client: EtcdClient,
  key: string,
): Promise<number> {
  const giveUpAt = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return Number((await put(client, key)).header.revision);
    } catch (error) {
      if (Date.now() > giveUpAt) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
