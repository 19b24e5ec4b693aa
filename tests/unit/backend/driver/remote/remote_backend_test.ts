import assert from "node:assert/strict";
import { parseDatabaseUrl } from "../../../../../src/backend/driver/remote/database_url.ts";
import { UrlCredentials } from "../../../../../src/backend/driver/remote/credential_source.ts";
import { RemoteBackend } from "../../../../../src/backend/driver/remote/remote_backend.ts";
import { POSTGRES_ENGINE } from "../../../../../src/backend/driver/postgres/postgres_engine.ts";
import { FakeClock } from "../../../../support/fake_clock.ts";

Deno.test("RemoteBackend's worker may reach the hosts of its URL and do nothing else", async () => {
  const url = parseDatabaseUrl("postgres://127.0.0.1:1,127.0.0.1:2/db");
  const backend = new RemoteBackend(
    {
      ...POSTGRES_ENGINE,
      workerUrl: new URL(
        "../../../../support/remote_probe_worker.ts",
        import.meta.url,
      ),
    },
    url.address,
    new UrlCredentials(url),
    new FakeClock(),
  );
  await assert.rejects(backend.open(), {
    message: "net 127.0.0.1:1,net 127.0.0.1:2",
  });
});
