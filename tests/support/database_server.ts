import type { Backend } from "../../src/backend/backend.ts";
import { openBackend } from "../../src/backend/open.ts";
import type { BackendFixture } from "../contract/backend_contract.ts";
import { FakeClock } from "./fake_clock.ts";

/** A server on which tests may create and drop databases. */
export interface DatabaseServer {
  /** `ENGINE://USER:PASSWORD@HOST:PORT`, without a database. */
  readonly url: string;
  drop(database: string): Promise<void>;
}

/** A database of its own for each test, made by the driver itself. */
export function databaseFixture(server: DatabaseServer): BackendFixture {
  const name = databaseName();
  const make = () => openDatabase(server, name);
  return { create: make, reopen: make, cleanUp: () => server.drop(name) };
}

/** The driver for a database, which its `open` creates. */
export function openDatabase(
  server: DatabaseServer,
  name: string,
  options = "",
): Backend {
  const clock = new FakeClock();
  return openBackend(`${server.url}/${name}${options}`, { clock });
}

/** A name that no other test run uses. */
export function databaseName(): string {
  return `stele_test_${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;
}

/** Whether something listens there. */
export async function isReachable(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  try {
    const connection = await Deno.connect({ hostname, port: Number(port) });
    connection.close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}
