import { databaseName } from "../../support/database_server.ts";
import { POSTGRES_SERVER } from "../../support/postgres.ts";
import type { NodeDatabase } from "./replica_node.ts";

/** A database on PostgreSQL that several nodes share; dropped in the end. */
export class SharedDatabase implements NodeDatabase, AsyncDisposable {
  readonly name = databaseName();
  readonly #url = new URL(POSTGRES_SERVER.url);

  get address(): string {
    return `${this.#url.hostname}:${this.#url.port || 5432}`;
  }

  endpointAt(address: string): string {
    const { username, password } = this.#url;
    const user = password === "" ? username : `${username}:${password}`;
    return `postgres://${user}@${address}/${this.name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await POSTGRES_SERVER.drop(this.name);
  }
}
