import { SqliteBackend } from "../../src/backend/driver/sqlite/sqlite_backend.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { testBackend } from "./backend_contract.ts";

testBackend("SqliteBackend", () => {
  const dir = Deno.makeTempDirSync({ prefix: "stele-contract-" });
  const make = () => new SqliteBackend({ dir }, new FakeClock());
  return {
    create: make,
    reopen: make,
    cleanUp: () => Deno.removeSync(dir, { recursive: true }),
  };
});
