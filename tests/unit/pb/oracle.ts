// The specifiers are here and not in deno.json because nothing but these tests may use the package.
// deno-lint-ignore no-import-prefix
import protobuf from "npm:protobufjs@7.6.6";
// deno-lint-ignore no-import-prefix
import "npm:protobufjs@7.6.6/ext/descriptor/index.js";
import {
  ID_FIELDS,
  RAW_FIELDS,
  RAW_TYPES,
} from "../../../scripts/pb/choices.ts";
import { moduleName } from "../../../scripts/pb/typescript.ts";
import type { Codec } from "../../../src/pb/wire.ts";

export { protobuf };

/** The same .proto files, read and encoded by somebody else's code. */
export const FILES = [
  "authpb/auth.proto",
  "etcdserverpb/rpc.proto",
  "grpc/health/v1/health.proto",
  "grpc/reflection/v1/reflection.proto",
  "grpc/reflection/v1alpha/reflection.proto",
  "mvccpb/kv.proto",
  "stelepb/forward.proto",
  "v3electionpb/v3election.proto",
  "v3lockpb/v3lock.proto",
];

export function oracleRoot(): protobuf.Root {
  const root = new protobuf.Root();
  for (const file of FILES) {
    const source = Deno.readTextFileSync(
      new URL(`../../../proto/${file}`, import.meta.url),
    );
    protobuf.parse(source, root, { keepCase: true });
  }
  root.resolveAll();
  return root;
}

/** Every message type of the root. */
export function messageTypes(root: protobuf.Root): protobuf.Type[] {
  const found: protobuf.Type[] = [];
  const visit = (namespace: protobuf.NamespaceBase) => {
    for (const nested of namespace.nestedArray) {
      if (nested instanceof protobuf.Type) found.push(nested);
      if (nested instanceof protobuf.Namespace) visit(nested);
    }
  };
  visit(root);
  return found;
}

/** `.package.Outer.Inner` without the leading dot. */
export function fullName(object: protobuf.ReflectionObject): string {
  return object.fullName.slice(1);
}

const PACKAGES = [
  "authpb",
  "etcdserverpb",
  "grpc.health.v1",
  "grpc.reflection.v1",
  "grpc.reflection.v1alpha",
  "mvccpb",
  "stelepb",
  "v3electionpb",
  "v3lockpb",
];

/** All generated codecs, by full message name. */
export async function allCodecs(): Promise<
  Map<string, Codec<Record<string, unknown>>>
> {
  const codecs = new Map<string, Codec<Record<string, unknown>>>();
  for (const name of PACKAGES) {
    const module = await import(`../../../src/pb/${moduleName(name)}`);
    for (
      const [key, codec] of Object.entries<Codec<Record<string, unknown>>>(
        module,
      )
    ) {
      if (key.endsWith("Codec")) codecs.set(codec.name, codec);
    }
  }
  return codecs;
}

export function isId(field: protobuf.Field): boolean {
  return ID_FIELDS.includes(fullName(field));
}

export function isRaw(field: protobuf.Field): boolean {
  const type = field.resolvedType;
  return RAW_FIELDS.includes(fullName(field)) ||
    (type instanceof protobuf.Type && RAW_TYPES.includes(fullName(type)));
}

/** What our decoder should make of an object that the oracle encoded. */
export function expected(
  type: protobuf.Type,
  object: Record<string, unknown>,
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const value = object[field.name];
    const name = field.name.replace(
      /_([A-Za-z])/g,
      (_, letter: string) => letter.toUpperCase(),
    );
    if (field instanceof protobuf.MapField) {
      result[name] = Object.entries((value ?? {}) as Record<string, unknown>)
        .map(([key, one]) => ({
          key,
          value: expectedOne(field, one),
        }));
    } else if (field.repeated) {
      result[name] = ((value ?? []) as unknown[]).map((one) =>
        expectedOne(field, one)
      );
    } else {
      result[name] = value === undefined
        ? initial(field)
        : expectedOne(field, value);
    }
  }
  return result;
}

function expectedOne(field: protobuf.Field, value: unknown): unknown {
  const type = field.resolvedType;
  if (type instanceof protobuf.Type) {
    return isRaw(field)
      ? encode(type, value as object)
      : expected(type, value as Record<string, unknown>);
  }
  if (field.type === "int64" || field.type === "uint64") {
    const big = BigInt(String(value));
    return isId(field) ? big : Number(big);
  }
  return value;
}

function initial(field: protobuf.Field): unknown {
  if (field.partOf !== null || field.resolvedType instanceof protobuf.Type) {
    return undefined;
  }
  if (field.type === "bytes") return new Uint8Array(0);
  if (field.type === "string") return "";
  if (field.type === "bool") return false;
  return isId(field) ? 0n : 0;
}

/** A plain Uint8Array, since the oracle may answer a node Buffer. */
export function encode(type: protobuf.Type, object: object): Uint8Array {
  return Uint8Array.from(type.encode(object).finish());
}

/** Random contents: any field may be missing, none is zero unless a oneof makes zero visible. */
export class RandomMessages {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed;
  }

  message(type: protobuf.Type, depth = 0): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (const oneof of type.oneofsArray) {
      if (this.below(5) === 0) continue;
      const field = oneof.fieldsArray[this.below(oneof.fieldsArray.length)]!;
      if (this.#fits(field, depth)) {
        object[field.name] = this.#value(field, depth, true);
      }
    }
    for (const field of type.fieldsArray) {
      if (
        field.partOf !== null || this.below(4) === 0 ||
        !this.#fits(field, depth)
      ) continue;
      if (field instanceof protobuf.MapField) {
        const keys = Array.from(
          { length: this.below(4) },
          (_, i) => `${i}${this.#string()}`,
        );
        object[field.name] = Object.fromEntries(
          keys.map((key) => [key, this.#value(field, depth, false)]),
        );
      } else if (field.repeated) {
        const length = this.below(5);
        if (length > 0) {
          object[field.name] = Array.from(
            { length },
            () => this.#value(field, depth, true),
          );
        }
      } else {
        const value = this.#value(field, depth, false);
        if (!isZero(value)) object[field.name] = value;
      }
    }
    return object;
  }

  /** An integer from 0 to below `n`. */
  below(n: number): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 4294967296 * n);
  }

  bytes(): Uint8Array {
    const lengths = [0, 1, 15, 16, 17, 127, 128, 300];
    return Uint8Array.from(
      { length: lengths[this.below(lengths.length)]! },
      () => this.below(256),
    );
  }

  #fits(field: protobuf.Field, depth: number): boolean {
    return depth < 6 || !(field.resolvedType instanceof protobuf.Type);
  }

  #value(field: protobuf.Field, depth: number, mayBeZero: boolean): unknown {
    const type = field.resolvedType;
    if (type instanceof protobuf.Type) return this.message(type, depth + 1);
    if (type instanceof protobuf.Enum) return this.below(6);
    switch (field.type) {
      case "bytes":
        return this.bytes();
      case "string":
        return this.#string();
      case "bool":
        return mayBeZero ? this.below(2) === 1 : true;
      case "int32":
        return this.#bits(32) | 0;
      case "uint32":
        return this.#bits(32);
      case "int64":
      case "uint64":
        return this.#long(field);
    }
    throw new Error(`no values for ${field.type}`);
  }

  #long(field: protobuf.Field): protobuf.Long {
    const isUnsigned = field.type === "uint64";
    if (isId(field)) {
      const bits = (BigInt(this.#bits(32)) << 32n) | BigInt(this.#bits(32));
      const small = bits >> BigInt(this.below(64));
      return long(
        isUnsigned ? small : BigInt.asIntN(64, this.below(2) ? small : ~small),
        isUnsigned,
      );
    }
    const n = Math.floor(this.#bits(32) * 2097152 / 2 ** this.below(54));
    return long(BigInt(isUnsigned || this.below(2) ? n : -n), isUnsigned);
  }

  #bits(count: number): number {
    return this.below(2 ** count);
  }

  #string(): string {
    const alphabet = ["a", "Z", "/", "\u0000", "é", "ß", "中", "😀", "\ufeff"];
    return Array.from(
      { length: this.below(12) },
      () => alphabet[this.below(alphabet.length)]!,
    ).join("");
  }
}

export function long(value: bigint, unsigned: boolean): protobuf.Long {
  const halves = new BigUint64Array([BigInt.asUintN(64, value)]).buffer;
  const [low, high] = new Int32Array(halves);
  return new protobuf.util.Long(low!, high!, unsigned);
}

function isZero(value: unknown): boolean {
  if (value instanceof Uint8Array || typeof value === "string") {
    return value.length === 0;
  }
  if (value instanceof protobuf.util.Long) {
    return value.low === 0 && value.high === 0;
  }
  return value === 0 || value === false;
}
