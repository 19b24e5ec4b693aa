import assert from "node:assert/strict";
import {
  descriptorBytes,
  FILE_DESCRIPTORS,
} from "../../../src/pb/descriptors.ts";
import {
  FILES,
  fullName,
  messageTypes,
  oracleRoot,
  protobuf,
} from "./oracle.ts";

/** protobufjs' own reader of descriptors, which comes without types. */
interface DescriptorExtension {
  fromDescriptor(set: { file: unknown[] }): protobuf.Root;
}
interface DescriptorReader {
  FileDescriptorProto: {
    decode(
      bytes: Uint8Array,
    ): { name: string; dependency: string[]; package: string };
  };
}

const { FileDescriptorProto } =
  (protobuf as unknown as { descriptor: DescriptorReader }).descriptor;

Deno.test("FILE_DESCRIPTORS decode to what the .proto files say", () => {
  const set = {
    file: FILE_DESCRIPTORS.map((file) =>
      FileDescriptorProto.decode(descriptorBytes(file))
    ),
  };
  const root = (protobuf.Root as unknown as DescriptorExtension).fromDescriptor(
    set,
  ).resolveAll();
  assert.deepEqual(outline(root), outline(oracleRoot()));
});

/** Types, fields, enums and methods as lines of text. */
function outline(root: protobuf.ReflectionObject): string[] {
  const lines: string[] = [];
  const visit = (object: protobuf.ReflectionObject) => {
    const name = fullName(object);
    if (object instanceof protobuf.Type) {
      for (const field of object.fieldsArray) {
        const type = field.resolvedType === null
          ? field.type
          : fullName(field.resolvedType);
        const how = field.map || field.repeated ? "repeated" : "";
        // A map comes back from a descriptor as the repeated pair that it is.
        const shown = field.map
          ? "grpc.health.v1.HealthListResponse.StatusesEntry"
          : type;
        lines.push(
          `${name}.${field.name} = ${field.id} ${how} ${shown} ${field.partOf?.name}`,
        );
      }
    } else if (object instanceof protobuf.Enum) {
      lines.push(`${name} ${JSON.stringify(object.values)}`);
    } else if (object instanceof protobuf.Service) {
      for (const method of object.methodsArray) {
        const types = [method.resolvedRequestType, method.resolvedResponseType]
          .map((type) => fullName(type!));
        lines.push(
          `${name}.${method.name} ${types} ${!!method.requestStream} ${!!method
            .responseStream}`,
        );
      }
    }
    if (object instanceof protobuf.Namespace) {
      object.nestedArray.filter((nested) => !isPair(nested)).forEach(visit);
    }
  };
  visit(root);
  return lines.sort();
}

function isPair(object: protobuf.ReflectionObject): boolean {
  return object.name === "StatusesEntry";
}

Deno.test("FILE_DESCRIPTORS name their files, dependencies in front", () => {
  assert.deepEqual(FILE_DESCRIPTORS.map((file) => file.name).sort(), FILES);
  const seen = new Set<string>();
  for (const file of FILE_DESCRIPTORS) {
    const decoded = FileDescriptorProto.decode(descriptorBytes(file));
    assert.equal(decoded.name, file.name);
    assert.deepEqual(decoded.dependency, file.dependencies);
    for (const name of file.dependencies) assert.ok(seen.has(name), name);
    seen.add(file.name);
  }
});

Deno.test("FILE_DESCRIPTORS list every symbol once", () => {
  const symbols = FILE_DESCRIPTORS.flatMap((file) => file.symbols);
  assert.equal(new Set(symbols).size, symbols.length);
  for (const type of messageTypes(oracleRoot())) {
    assert.ok(symbols.includes(fullName(type)), fullName(type));
  }
  for (
    const name of [
      "etcdserverpb.KV",
      "etcdserverpb.KV.Txn",
      "etcdserverpb.AlarmType",
      "etcdserverpb.RangeRequest.SortOrder",
      "mvccpb.Event.EventType",
      "grpc.health.v1.HealthListResponse.StatusesEntry",
    ]
  ) assert.ok(symbols.includes(name), name);
  assert.deepEqual(FILE_DESCRIPTORS.flatMap((file) => file.services).sort(), [
    "etcdserverpb.Auth",
    "etcdserverpb.Cluster",
    "etcdserverpb.KV",
    "etcdserverpb.Lease",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Watch",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "v3electionpb.Election",
    "v3lockpb.Lock",
  ]);
});
