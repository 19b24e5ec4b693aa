import assert from "node:assert/strict";
import { text } from "../../../../src/base/bytes.ts";
import {
  descriptorBytes,
  FILE_DESCRIPTORS,
} from "../../../../src/pb/descriptors.ts";
import {
  newExtensionRequest,
  newServerReflectionRequest,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "../../../../src/pb/grpc_reflection_v1.ts";
import { reflectionMethods } from "../../../../src/transport/grpc/reflection.ts";
import type { MessageReceiver } from "../../../../src/transport/grpc/service.ts";
import { FakeCall, FakeWriter } from "./call_doubles.ts";

const SERVED = ["a.Service", "b.Service"];

class Reflection {
  readonly out = new FakeWriter<ServerReflectionResponse>();
  readonly receiver: MessageReceiver<ServerReflectionRequest>;

  constructor(version = 0) {
    const method = reflectionMethods(SERVED)[version]!;
    assert(method.kind === "duplex");
    this.receiver = method.open(new FakeCall(), this.out);
  }

  ask(request: Partial<ServerReflectionRequest>): ServerReflectionResponse {
    this.receiver.onMessage(newServerReflectionRequest(request));
    return this.out.sent.at(-1)!;
  }

  /** `code`, or the sizes of the files that came. */
  files(request: Partial<ServerReflectionRequest>): number | Uint8Array[] {
    const { errorResponse, fileDescriptorResponse } = this.ask(request);
    return errorResponse?.errorCode ??
      fileDescriptorResponse!.fileDescriptorProto;
  }
}

/** The names of the files, which a FileDescriptorProto begins with. */
function names(files: number | Uint8Array[]): string[] {
  assert(typeof files !== "number", `error ${files}`);
  return files.map((bytes) => text(bytes.subarray(2, 2 + bytes[1]!)));
}

Deno.test("reflectionMethods() serves both versions", () => {
  assert.deepEqual(reflectionMethods([]).map(({ path }) => path), [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
  ]);
  for (const version of [0, 1]) {
    const { listServicesResponse } = new Reflection(version).ask({
      listServices: "",
    });
    assert.deepEqual(
      listServicesResponse!.service.map(({ name }) => name),
      SERVED,
    );
  }
});

Deno.test("reflection gives a file with all that it imports, itself first and each once", () => {
  const reflection = new Reflection();
  for (const file of FILE_DESCRIPTORS) {
    const files = reflection.files({ fileByFilename: file.name });
    const found = names(files);
    assert.equal(found[0], file.name);
    assert.equal(new Set(found).size, found.length);
    assert.deepEqual((files as Uint8Array[])[0], descriptorBytes(file));
    const known = FILE_DESCRIPTORS.filter(({ name }) => found.includes(name));
    const needed = known.flatMap(({ dependencies }) => dependencies)
      .filter((name) => FILE_DESCRIPTORS.some((f) => f.name === name));
    for (const name of needed) assert(found.includes(name), name);
  }
});

for (
  const symbol of [
    "etcdserverpb.KV",
    "etcdserverpb.KV.Put",
    "etcdserverpb.PutRequest",
    "etcdserverpb.RangeRequest.SortOrder",
  ]
) {
  Deno.test(`reflection finds the file of ${symbol}`, () => {
    const files = new Reflection().files({ fileContainingSymbol: symbol });
    assert.equal(names(files)[0], "etcdserverpb/rpc.proto");
  });
}

Deno.test("reflection answers with an error what is not there, and goes on", () => {
  const reflection = new Reflection();
  assert.equal(reflection.files({ fileByFilename: "no.proto" }), 5);
  assert.equal(reflection.files({ fileContainingSymbol: "no.Such" }), 5);
  const fileContainingExtension = newExtensionRequest({
    containingType: "etcdserverpb.PutRequest",
    extensionNumber: 1000,
  });
  assert.equal(reflection.files({ fileContainingExtension }), 5);
  assert.equal(reflection.files({ allExtensionNumbersOfType: "no.Such" }), 5);
  assert.equal(reflection.files({}), 3);
  const type = "etcdserverpb.PutRequest";
  const { allExtensionNumbersResponse } = reflection.ask({
    allExtensionNumbersOfType: type,
  });
  assert.equal(allExtensionNumbersResponse!.baseTypeName, type);
  assert.deepEqual([...allExtensionNumbersResponse!.extensionNumber], []);
  assert.equal(reflection.out.isEnded, false);
});

Deno.test("reflection repeats the question", () => {
  const question = { host: "h", fileContainingSymbol: "no.Such" };
  const { validHost, originalRequest } = new Reflection().ask(question);
  assert.equal(validHost, "h");
  assert.equal(originalRequest!.fileContainingSymbol, "no.Such");
});

Deno.test("reflection ends with its client, and before it queues too much", () => {
  const polite = new Reflection();
  polite.receiver.onHalfClose();
  assert.equal(polite.out.endedWith, "ok");
  const deaf = new Reflection();
  deaf.out.bufferedBytes = 1 << 20;
  deaf.ask({ listServices: "" });
  assert.equal(deaf.out.isEnded, false);
  deaf.out.bufferedBytes++;
  deaf.ask({ listServices: "" });
  assert.deepEqual(deaf.out.endedWith, {
    code: 8,
    message: "answers are not read",
  });
  assert.equal(deaf.out.sent.length, 1);
});
