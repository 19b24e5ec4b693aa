/** A set of .proto files as the generator sees it. Names are as written; `fullName` has the package in front. */
export interface ProtoFile {
  /** Below `proto/`, which is also how other files import it. */
  readonly path: string;
  readonly package: string;
  readonly imports: readonly string[];
  readonly doc: readonly string[];
  readonly messages: readonly Message[];
  readonly enums: readonly Enum[];
  readonly services: readonly Service[];
}

export interface Message {
  readonly name: string;
  readonly fullName: string;
  readonly doc: readonly string[];
  readonly fields: readonly Field[];
  readonly oneofs: readonly string[];
  readonly messages: readonly Message[];
  readonly enums: readonly Enum[];
  /** The pair of a `map` field, which the parser declares as protoc does. */
  readonly isMapEntry: boolean;
}

export interface Field {
  readonly name: string;
  readonly number: number;
  readonly repeated: boolean;
  /** A scalar's keyword or, as written, the name of a message or enum. */
  readonly type: string;
  /** The oneof that it belongs to. */
  readonly oneof: string | undefined;
  readonly doc: readonly string[];
}

export interface Enum {
  readonly name: string;
  readonly fullName: string;
  readonly doc: readonly string[];
  readonly values: readonly EnumValue[];
}

export interface EnumValue {
  readonly name: string;
  readonly number: number;
  readonly doc: readonly string[];
}

export interface Service {
  readonly name: string;
  readonly doc: readonly string[];
  readonly methods: readonly Method[];
}

export interface Method {
  readonly name: string;
  readonly doc: readonly string[];
  readonly input: string;
  readonly output: string;
  readonly clientStreaming: boolean;
  readonly serverStreaming: boolean;
}

export const SCALARS = [
  "bytes",
  "string",
  "bool",
  "int32",
  "uint32",
  "int64",
  "uint64",
] as const;
export type Scalar = typeof SCALARS[number];

/** What a field's type name stands for. */
export type FieldType =
  | { readonly kind: "scalar"; readonly scalar: Scalar }
  | {
    readonly kind: "message";
    readonly message: Message;
    readonly file: ProtoFile;
  }
  | { readonly kind: "enum"; readonly enum: Enum; readonly file: ProtoFile };

/** Finds what names mean, by protobuf's rules: innermost scope first. */
export class Symbols {
  readonly #messages = new Map<string, { message: Message; file: ProtoFile }>();
  readonly #enums = new Map<string, { enum: Enum; file: ProtoFile }>();

  constructor(files: readonly ProtoFile[]) {
    for (const file of files) {
      for (const found of file.enums) {
        this.#enums.set(found.fullName, { enum: found, file });
      }
      for (const message of allMessages(file)) {
        this.#messages.set(message.fullName, { message, file });
        for (const found of message.enums) {
          this.#enums.set(found.fullName, { enum: found, file });
        }
      }
    }
  }

  /** `scope` is the full name of the message, or the package, in which `type` is written. */
  resolve(type: string, scope: string): FieldType {
    const scalar = SCALARS.find((name) => name === type);
    if (scalar !== undefined) return { kind: "scalar", scalar };
    for (
      let outer = scope;;
      outer = outer.slice(0, Math.max(0, outer.lastIndexOf(".")))
    ) {
      const name = outer === "" ? type : `${outer}.${type}`;
      const message = this.#messages.get(name);
      if (message !== undefined) return { kind: "message", ...message };
      const found = this.#enums.get(name);
      if (found !== undefined) return { kind: "enum", ...found };
      if (outer === "") {
        throw new Error(`Cannot resolve "${type}" in "${scope}": no such type`);
      }
    }
  }
}

/** All messages of a file, nested ones behind the one that they are in. */
export function allMessages(file: ProtoFile): Message[] {
  const flatten = (
    message: Message,
  ): Message[] => [message, ...message.messages.flatMap(flatten)];
  return file.messages.flatMap(flatten);
}
