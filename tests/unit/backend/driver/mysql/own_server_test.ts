import assert from "node:assert/strict";
import type { Backend } from "../../../../../src/backend/backend.ts";
import { openBackend } from "../../../../../src/backend/open.ts";
import { batchOf, makeBatch, rowsOf } from "../../../../support/batches.ts";
import { Authority } from "../../../../support/certificates.ts";
import { FakeClock } from "../../../../support/fake_clock.ts";
import { Mariadbd, MARIADBD_OBSTACLE } from "../../../../support/mariadbd.ts";

if (MARIADBD_OBSTACLE !== undefined) {
  console.warn(
    `tests on a MariaDB of their own are skipped: ${MARIADBD_OBSTACLE}`,
  );
}

Deno.test({
  name: "MySQL: a server of our own",
  ignore: MARIADBD_OBSTACLE !== undefined,
  fn: async (t) => {
    const dir = await Deno.makeTempDir({ prefix: "stele-mysql-tls-" });
    try {
      const files = await writeCertificates(dir);
      await using server = await Mariadbd.start({
        tls: {
          authority: files("ca.pem"),
          certificate: files("server.pem"),
          key: files("server-key.pem"),
        },
      });
      await t.step("a server that crashes loses no batch", () => crash(server));
      await t.step(
        "a server that is read-only is not written to",
        () => readOnly(server),
      );
      await t.step(
        "a row that no packet holds is refused, clearly",
        () => smallPackets(server),
      );
      await t.step("what can lose writes is warned of", () => warns(server));
      await t.step(
        "TLS: names, addresses, authorities, client certificates",
        () => tls(server, files),
      );
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});

async function crash(server: Mariadbd): Promise<void> {
  await withBackend(`${server.url}/crash`, async (backend) => {
    await backend.open();
    let seq = 0;
    const append = async () => {
      seq++;
      const batch = makeBatch(seq, seq);
      assert.equal(await backend.append(batch), "committed");
    };
    for (let i = 0; i < 20; i++) await append();
    const away = server.kill();
    const waiting = append().then(() => true, () => false);
    await away;
    await server.up();
    // It was tried again for as long as that took, or the server was away for too long.
    if (!await waiting) seq--;
    await reached(backend);
    const { seq: head } = await backend.head();
    assert.ok(head === seq || head === seq + 1, `${head} ${seq}`);
    seq = head;
    await append();
    const revs = rowsOf(await backend.eventsAfter(0, 1e9)).map(({ rev }) =>
      rev
    );
    assert.deepEqual(revs, Array.from({ length: seq }, (_, i) => i + 2));
  });
}

async function readOnly(server: Mariadbd): Promise<void> {
  await withBackend(`${server.url}/readonly`, async (backend) => {
    await backend.open();
    await backend.append(makeBatch(1, 1));
    await server.run("SET GLOBAL read_only = 1");
    const appending = backend.append(makeBatch(2, 2));
    await withBackend(`${server.url}/readonly`, async (late) => {
      await assert.rejects(late.open(), {
        name: "BackendError",
        message:
          "Cannot open the database: the database is read-only, perhaps a replica",
        cure: "Point --endpoint at the primary.",
      });
    });
    assert.equal((await backend.head()).seq, 1);
    await takesWriter(server);
    await server.run("SET GLOBAL read_only = 0");
    assert.equal(await appending, "committed");
  });
}

/** Of two hosts the one that is not read-only is used, in whichever order. */
async function takesWriter(server: Mariadbd): Promise<void> {
  await using writer = await Mariadbd.start();
  const hosts = [server, writer].map(({ port }) => `127.0.0.1:${port}`);
  for (const both of [hosts, hosts.toReversed()]) {
    const url = `mysql://root@${both.join()}/two`;
    await withBackend(url, async (backend) => {
      const { seq, revision } = await backend.open();
      const outcome = await backend.append(makeBatch(seq + 1, revision));
      assert.equal(outcome, "committed");
    });
  }
  await withBackend(`${writer.url}/two`, async (backend) => {
    assert.equal((await backend.open()).seq, 2);
  });
}

async function smallPackets(server: Mariadbd): Promise<void> {
  await server.run("SET GLOBAL max_allowed_packet = 4194304");
  try {
    await withBackend(`${server.url}/packets`, async (backend) => {
      await backend.open();
      const put = (valueBytes: number) => {
        const value = new Uint8Array(valueBytes).fill(0x27);
        const key = Uint8Array.of(1);
        const columns = { value, createRev: 2, version: 1, lease: 0n };
        return batchOf({ seq: 1, afterRev: 1 }, [
          { rev: 2, sub: 0, key, put: columns },
        ]);
      };
      await assert.rejects(backend.append(put(2_097_100)), {
        message: /takes \d+ bytes as SQL, .* max_allowed_packet is 4194304/,
      });
      assert.equal(await backend.append(put(2_096_000)), "committed");
      const many = makeBatch(2, 2, { rows: 20, valueBytes: 1_000_000 });
      assert.equal(await backend.append(many), "committed");
      assert.equal(rowsOf(await backend.eventsAfter(2, 1e9)).length, 20);
    });
    await server.run("SET GLOBAL max_allowed_packet = 1048576");
    await withBackend(`${server.url}/packets`, async (backend) => {
      await assert.rejects(backend.open(), { cure: /67108864/ });
    });
  } finally {
    await server.run("SET GLOBAL max_allowed_packet = 16777216");
  }
}

async function warns(server: Mariadbd): Promise<void> {
  await server.run("SET GLOBAL innodb_flush_log_at_trx_commit = 2");
  const warned: unknown[] = [];
  const log = { warn: (_: string, fields: unknown) => warned.push(fields) };
  await withBackend(`${server.url}/warns`, (backend) => backend.open(), log);
  await server.run("SET GLOBAL innodb_flush_log_at_trx_commit = 1");
  assert.deepEqual(warned, [{ innodb_flush_log_at_trx_commit: "2" }]);
}

/** The server's certificate names its address and no host. */
async function tls(
  server: Mariadbd,
  file: (name: string) => string,
): Promise<void> {
  await server.run(
    `CREATE USER tls@'%' IDENTIFIED BY 'pä:ss' REQUIRE SSL; GRANT ALL ON *.* TO tls@'%';
CREATE USER x509@'%' REQUIRE X509; GRANT ALL ON *.* TO x509@'%'`,
  );
  const ca = `sslrootcert=${file("ca.pem")}`;
  const other = `sslrootcert=${file("other.pem")}`;
  const client = `sslcert=${file("client.pem")}&sslkey=${
    file("client-key.pem")
  }`;
  const user = "tls:p%C3%A4%3Ass";
  const cases: [user: string, host: string, options: string, opens: boolean][] =
    [
      [user, "127.0.0.1", "sslmode=disable", false],
      [user, "127.0.0.1", "sslmode=require", true],
      ["tls:wrong", "127.0.0.1", "sslmode=require", false],
      [user, "127.0.0.1", ca, true],
      [user, "localhost", ca, false],
      [user, "localhost", `sslmode=verify-ca&${ca}`, true],
      [user, "127.0.0.1", other, false],
      [user, "localhost", `sslmode=verify-ca&${other}`, false],
      ["x509", "127.0.0.1", ca, false],
      ["x509", "127.0.0.1", `${ca}&${client}`, true],
    ];
  for (const [who, host, options, opens] of cases) {
    const url = `mysql://${who}@${host}:${server.port}/tls?${options}`;
    await withBackend(url, async (backend) => {
      const opened = await backend.open().then(() => true, () => false);
      assert.equal(opened, opens, `${who} ${host} ${options}`);
    });
  }
}

async function writeCertificates(
  dir: string,
): Promise<(name: string) => string> {
  const authority = Authority.create("authority");
  const server = authority.issue("server", { hosts: ["127.0.0.1"] });
  const client = authority.issue("client");
  const files = {
    "ca.pem": authority.cert,
    "other.pem": Authority.create("another").cert,
    "server.pem": server.cert,
    "server-key.pem": server.key,
    "client.pem": client.cert,
    "client-key.pem": client.key,
  };
  const path = (name: string) => `${dir}/${name}`;
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(path(name), text);
  }
  return path;
}

/** After a server was away, a call may be refused before the next one gets through. */
async function reached(backend: Backend): Promise<void> {
  for (;;) {
    try {
      await backend.head();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function withBackend(
  url: string,
  use: (backend: Backend) => Promise<unknown>,
  log?: { warn(message: string, fields: Record<string, unknown>): void },
): Promise<void> {
  const options = { clock: new FakeClock() };
  const backend = openBackend(url, log ? { ...options, log } : options);
  try {
    await use(backend);
  } finally {
    await backend.close();
  }
}
