import assert from "node:assert/strict";
import net, { type AddressInfo } from "node:net";
import { openHttp1Handover } from "../../../src/transport/http1_handover.ts";

/** What a client reads that asks to upgrade to `protocol` and is taken over; the server accepts `echo` only. */
async function ask(protocol: string, isDrained: boolean): Promise<string> {
  const handover = await openHttp1Handover(
    (_request, response) => response.end("as ever"),
    {},
    {
      upgrades: {
        accepts: (request) => request.headers.upgrade === "echo",
        upgrade(_request, socket, head) {
          if (isDrained) handover.drain(socket);
          socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\n");
          socket.end(`upgraded with ${head.length}`);
        },
      },
    },
  );
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (head: Uint8Array) => handover.take(socket, head));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const client = await Deno.connect({ port, hostname: "127.0.0.1" });
  try {
    await client.write(new TextEncoder().encode(
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\nhead`,
    ));
    let text = "";
    const buffer = new Uint8Array(1024);
    while (!/as ever|with \d/.test(text)) {
      const read = await client.read(buffer);
      if (read === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, read));
    }
    return text;
  } finally {
    client.close();
    await handover.close();
    await new Promise<void>((done) => server.close(() => done()));
  }
}

Deno.test("Http1Handover gives up a connection to an upgrade that is accepted", async () => {
  assert.match(await ask("echo", false), / 101 [^]*upgraded with 4$/);
});

Deno.test("Http1Handover answers a request whose upgrade is not accepted as any other", async () => {
  assert.match(await ask("h2c", false), / 200 OK\r\n[^]*as ever/);
});

Deno.test("Http1Handover.drain() leaves an upgraded connection to the one that has it", async () => {
  assert.match(await ask("echo", true), /upgraded with 4$/);
});
