import { assert } from "../../base/assert.ts";
import { descriptorBytes, FILE_DESCRIPTORS } from "../../pb/descriptors.ts";
import { Reader } from "../../pb/wire.ts";

/** A message type, as far as JSON needs to know it. */
export interface MessageType {
  /** `etcdserverpb.RangeRequest`. */
  readonly name: string;
  readonly byNumber: ReadonlyMap<number, Field>;
  /** By the name in the .proto file, and by the one in camel case. */
  readonly byName: ReadonlyMap<string, Field>;
}

export interface Field {
  /** As in the .proto file. */
  readonly name: string;
  /** In camel case; errors use it. */
  readonly jsonName: string;
  readonly number: number;
  readonly kind: FieldKind;
  /** The wire type of one value. */
  readonly wireType: number;
  readonly isRepeated: boolean;
  /** The full name of the oneof that it belongs to. */
  readonly oneof: string | undefined;
  /** Of a field of kind `message`. */
  readonly message: MessageType | undefined;
  /** Of a field of kind `enum`. */
  readonly enum: EnumType | undefined;
}

export interface EnumType {
  readonly names: ReadonlyMap<number, string>;
  readonly numbers: ReadonlyMap<string, number>;
}

/** `FieldDescriptorProto.Type` of protobuf's descriptor.proto; only what proto/ uses. */
const KINDS = {
  3: "int64",
  4: "uint64",
  5: "int32",
  8: "bool",
  9: "string",
  11: "message",
  12: "bytes",
  13: "uint32",
  14: "enum",
} as const;

export type FieldKind = typeof KINDS[keyof typeof KINDS];

export const VARINT = 0;
export const DELIMITED = 2;
const LABEL_REPEATED = 3;

/**
 * All message types of proto/, by full name, out of the descriptors that reflection serves: 2 ms, once. Map fields
 * are not told from other messages; no message of the gateway has one.
 */
export function readMessageTypes(): ReadonlyMap<string, MessageType> {
  const types = new TypeTable();
  for (const file of FILE_DESCRIPTORS) types.addFile(descriptorBytes(file));
  return types.messages;
}

/** A field of a message whose types are not resolved yet: they may come in a later file. */
type MutableField = {
  -readonly [K in keyof Field]: Field[K];
};

interface MutableMessage extends MessageType {
  readonly byNumber: Map<number, Field>;
  readonly byName: Map<string, Field>;
}

/** Reads `google.protobuf.FileDescriptorProto`; the numbers in the comments are those of descriptor.proto. */
class TypeTable {
  readonly messages = new Map<string, MutableMessage>();
  readonly #enums = new Map<string, EnumType>();

  addFile(bytes: Uint8Array): void {
    let scope = "";
    const pending: [MutableField, string][] = [];
    each(bytes, (number, reader) => {
      if (number === 2) scope = reader.string(); // package
      else if (number === 4) this.#addMessage(reader.bytes(), scope, pending);
      else if (number === 5) this.#addEnum(reader.bytes(), scope);
      else return false;
      return true;
    });
    // The files that this one imports are in front of it.
    for (const [field, typeName] of pending) {
      if (field.kind === "enum") field.enum = this.#enums.get(typeName);
      else field.message = this.messages.get(typeName);
      assert(
        field.enum !== undefined || field.message !== undefined,
        "a field's type is declared",
      );
    }
  }

  #addMessage(
    bytes: Uint8Array,
    scope: string,
    pending: [MutableField, string][],
  ): void {
    let name = "";
    const fields: Uint8Array[] = [];
    const nested: Uint8Array[] = [];
    const enums: Uint8Array[] = [];
    const oneofs: string[] = [];
    each(bytes, (number, reader) => {
      if (number === 1) name = `${scope}.${reader.string()}`;
      else if (number === 2) fields.push(reader.bytes());
      else if (number === 3) nested.push(reader.bytes()); // nested_type
      else if (number === 4) enums.push(reader.bytes()); // enum_type
      else if (number === 8) oneofs.push(firstString(reader.bytes()));
      else return false;
      return true;
    });
    const message: MutableMessage = {
      name,
      byNumber: new Map(),
      byName: new Map(),
    };
    this.messages.set(name, message);
    for (const field of nested) this.#addMessage(field, name, pending);
    for (const found of enums) this.#addEnum(found, name);
    for (const descriptor of fields) {
      const { field, typeName, oneof } = readField(descriptor);
      if (oneof >= 0) field.oneof = `${name}.${oneofs[oneof]}`;
      if (typeName !== "") pending.push([field, typeName]);
      message.byNumber.set(field.number, field);
      message.byName.set(field.name, field);
      message.byName.set(field.jsonName, field);
    }
  }

  #addEnum(bytes: Uint8Array, scope: string): void {
    let name = "";
    const names = new Map<number, string>();
    const numbers = new Map<string, number>();
    each(bytes, (number, reader) => {
      if (number === 1) {
        name = `${scope}.${reader.string()}`;
      } else if (number === 2) {
        const value = readEnumValue(reader.bytes());
        names.set(value.number, value.name);
        numbers.set(value.name, value.number);
      } else return false;
      return true;
    });
    this.#enums.set(name, { names, numbers });
  }
}

function readField(
  bytes: Uint8Array,
): { field: MutableField; typeName: string; oneof: number } {
  const field: MutableField = {
    name: "",
    jsonName: "",
    number: 0,
    kind: "message",
    wireType: DELIMITED,
    isRepeated: false,
    oneof: undefined,
    message: undefined,
    enum: undefined,
  };
  let typeName = "";
  let oneof = -1;
  each(bytes, (number, reader) => {
    if (number === 1) field.name = reader.string();
    else if (number === 3) field.number = reader.int32();
    else if (number === 4) field.isRepeated = reader.int32() === LABEL_REPEATED;
    else if (number === 5) field.kind = kindOf(reader.int32());
    else if (number === 6) typeName = reader.string().slice(1); // type_name, behind a dot
    else if (number === 9) oneof = reader.int32(); // oneof_index
    else if (number === 10) field.jsonName = reader.string(); // json_name
    else return false;
    return true;
  });
  field.wireType = isDelimited(field.kind) ? DELIMITED : VARINT;
  return { field, typeName, oneof };
}

function kindOf(type: number): FieldKind {
  const kind = (KINDS as Readonly<Record<number, FieldKind>>)[type];
  assert(kind !== undefined, "a field has one of the types that proto/ uses");
  return kind;
}

function isDelimited(kind: FieldKind): boolean {
  return kind === "string" || kind === "bytes" || kind === "message";
}

function readEnumValue(bytes: Uint8Array): { name: string; number: number } {
  let name = "";
  let value = 0;
  each(bytes, (number, reader) => {
    if (number === 1) name = reader.string();
    else if (number === 2) value = reader.int32();
    else return false;
    return true;
  });
  return { name, number: value };
}

/** A descriptor's name. */
function firstString(bytes: Uint8Array): string {
  let text = "";
  each(bytes, (number, reader) => {
    if (number !== 1) return false;
    text = reader.string();
    return true;
  });
  return text;
}

/** Calls `read` for each field of a message; false: it has not read the value. */
function each(
  bytes: Uint8Array,
  read: (number: number, reader: Reader) => boolean,
): void {
  const reader = new Reader(bytes, 0, bytes.length);
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (!read(tag >>> 3, reader)) reader.skip(tag);
  }
}
