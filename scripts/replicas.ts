/**
 * Servers that share a database, and a port at which each connection is given to the next of them.
 *
 *   deno run -A scripts/replicas.ts --database=postgres://postgres@127.0.0.1:5432 --port=2379
 *
 * `--replicas` is how many there are, 3 by default; `--first-port=P` sets their own ports, P, P + 1, …; all else is
 * given on to each of them. They use a new database on that server, which is dropped in the end, at SIGTERM or SIGINT.
 * `STELE_BIN` names an executable to run instead of this tree.
 */
import { parseArgs } from "node:util";
import { ServerProcess } from "../tests/robustness/crash/server_process.ts";
import { freePort } from "../tests/support/cluster.ts";
import { dropDatabase } from "../tests/support/database_admin.ts";
import { databaseName } from "../tests/support/database_server.ts";
import { startRoundRobin } from "../tests/support/round_robin.ts";

const { values, positionals } = parseArgs({
  options: {
    database: { type: "string" },
    replicas: { type: "string", default: "3" },
    port: { type: "string", default: "2379" },
    "first-port": { type: "string" },
  },
  allowPositionals: true,
});

const stopped = Promise.withResolvers<void>();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.addSignalListener(signal, () => stopped.resolve());
}

const { database } = values;
if (database === undefined) {
  console.error(
    "Cannot start: --database names no server, as in postgres://postgres@127.0.0.1:5432",
  );
  Deno.exit(2);
}
Deno.exit(await run(database));

/** The exit status. */
async function run(database: string): Promise<number> {
  const name = databaseName();
  const dir = await Deno.makeTempDir({ prefix: "stele-replicas-" });
  const servers: ServerProcess[] = [];
  const addresses: string[] = [];
  let status = 0;
  try {
    for (let i = 0; i < Number(values.replicas); i++) {
      const address = `127.0.0.1:${await portOf(i)}`;
      const server = startReplica(i, address, `${database}/${name}`, dir);
      servers.push(server);
      if (await server.ready === undefined) throw new Error(server.log);
      addresses.push(address);
    }
    await using _forwarder = await startRoundRobin(
      () => addresses,
      Number(values.port),
    );
    console.log(
      `${addresses.join(", ")} (processes ${
        servers.map(({ pid }) => pid).join(",")
      }) behind 127.0.0.1:${values.port}`,
    );
    const ended = servers.map(async (server) => {
      const { code } = await server.ended;
      throw new Error(`a server ended with ${code}: ${server.log}`);
    });
    for (const end of ended) end.catch(() => {});
    await Promise.race([stopped.promise, ...ended]);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    status = 1;
  }
  await Promise.all(servers.map((server) => server.stop()));
  await dropDatabase(database, name);
  await Deno.remove(dir, { recursive: true });
  return status;
}

async function portOf(index: number): Promise<number> {
  const first = values["first-port"];
  return first === undefined ? await freePort() : Number(first) + index;
}

function startReplica(
  index: number,
  address: string,
  endpoint: string,
  dir: string,
): ServerProcess {
  const url = `http://${address}`;
  return ServerProcess.spawn(`${dir}/${index}`, [
    `--name=replica${index}`,
    `--endpoint=${endpoint}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    ...positionals,
  ]);
}
