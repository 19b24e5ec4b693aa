import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import assert from "node:assert/strict";
import { type Message, ServiceClient } from "../support/etcd_client.ts";
import { startTestServer } from "../support/server.ts";
import { skip } from "./tool.ts";

const PROTO_DIR = new URL("../../proto/", import.meta.url).pathname;
const OPTIONS: loader.Options = {
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
};

/** A client that knows nothing of a server but the reflection service. */
class ReflectionClient {
  readonly #client: ServiceClient;

  constructor(readonly address: string, version: string) {
    const definition = loader.loadSync(
      `grpc/reflection/${version}/reflection.proto`,
      { ...OPTIONS, includeDirs: [PROTO_DIR] },
    );
    // deno-lint-ignore no-explicit-any
    const packages = grpc.loadPackageDefinition(definition) as any;
    this.#client = new ServiceClient(
      packages.grpc.reflection[version].ServerReflection,
      address,
      {},
    );
  }

  /** One question on a stream of its own. */
  ask(question: Message): Promise<Message> {
    const stream = this.#client.stream("ServerReflectionInfo");
    return new Promise((resolve, reject) => {
      stream.on("data", resolve);
      stream.on("error", reject);
      stream.on("end", () => reject(new Error("no answer")));
      stream.write(question);
      stream.end();
    });
  }

  /** The package definition of a service, from its file and all that it imports. */
  async load(service: string): Promise<loader.PackageDefinition> {
    const files = new Map<string, Uint8Array>();
    const queue: Message[] = [{ file_containing_symbol: service }];
    for (let question = queue.pop(); question; question = queue.pop()) {
      const answer = await this.ask(question);
      assert.equal(answer.message_response, "file_descriptor_response");
      for (
        const file of answer.file_descriptor_response.file_descriptor_proto
      ) {
        const { name, imports } = namesIn(file);
        if (files.has(name)) continue;
        files.set(name, file);
        for (const other of imports) {
          if (!files.has(other)) queue.push({ file_by_filename: other });
        }
      }
    }
    const set = Buffer.concat(
      [...files.values()].map((file) => delimited(1, file)),
    );
    return loader.loadFileDescriptorSetFromBuffer(set, OPTIONS);
  }

  close(): void {
    this.#client.close();
  }
}

/** Fields 1 and 3 of a FileDescriptorProto. */
function namesIn(file: Uint8Array): { name: string; imports: string[] } {
  let name = "";
  const imports: string[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0;; shift += 7) {
      const byte = file[at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < file.length) {
    const tag = varint();
    if ((tag & 7) !== 2) {
      varint();
      continue;
    }
    const length = varint();
    const text = new TextDecoder().decode(file.subarray(at, at + length));
    at += length;
    if (tag >> 3 === 1) name = text;
    if (tag >> 3 === 3) imports.push(text);
  }
  return { name, imports };
}

function delimited(field: number, bytes: Uint8Array): Uint8Array {
  const head = [field << 3 | 2];
  let length = bytes.length;
  for (; length > 127; length >>>= 7) head.push(length & 127 | 128);
  return Buffer.concat([Uint8Array.from([...head, length]), bytes]);
}

for (const version of ["v1", "v1alpha"]) {
  Deno.test(`grpc-js: a client from reflection ${version}`, async () => {
    await using server = await startTestServer();
    const reflection = new ReflectionClient(server.address, version);
    try {
      const answer = await reflection.ask({ list_services: "" })
        .catch((error): Message => error);
      // No etcd before and including 3.7 has it.
      if (answer.code === grpc.status.UNIMPLEMENTED) {
        return skip("the server has no reflection");
      }
      const services = answer.list_services_response.service.map((
        s: { name: string },
      ) => s.name);
      for (const name of ["KV", "Watch", "Lease", "Maintenance", "Cluster"]) {
        assert(
          services.includes(`etcdserverpb.${name}`),
          `${name} in ${services}`,
        );
      }
      for (const service of services) {
        const definition = await reflection.load(service);
        assert(definition[service] !== undefined, service);
      }
      await useKv(server.address, await reflection.load("etcdserverpb.KV"));
      await useHealth(
        server.address,
        await reflection.load("grpc.health.v1.Health"),
      );
    } finally {
      reflection.close();
    }
  });
}

async function useKv(
  address: string,
  definition: loader.PackageDefinition,
): Promise<void> {
  // deno-lint-ignore no-explicit-any
  const packages = grpc.loadPackageDefinition(definition) as any;
  const kv = new ServiceClient(packages.etcdserverpb.KV, address, {});
  try {
    const key = Buffer.from(`/${crypto.randomUUID()}`);
    await kv.call("Put", { key, value: Buffer.from("v") });
    const found = await kv.call("Range", { key });
    assert.deepEqual(found.kvs.map((each: Message) => String(each.value)), [
      "v",
    ]);
  } finally {
    kv.close();
  }
}

async function useHealth(
  address: string,
  definition: loader.PackageDefinition,
): Promise<void> {
  // deno-lint-ignore no-explicit-any
  const packages = grpc.loadPackageDefinition(definition) as any;
  const health = new ServiceClient(packages.grpc.health.v1.Health, address, {});
  try {
    assert.equal(
      (await health.call("Check", { service: "" })).status,
      "SERVING",
    );
    await assert.rejects(health.call("Check", { service: "none" }), {
      code: grpc.status.NOT_FOUND,
    });
  } finally {
    health.close();
  }
}
