import type { FieldType, Scalar } from "./schema.ts";

/** How values of one kind are declared, read and written; `v` is the expression that holds the value. */
export interface Kind {
  readonly ts: string;
  readonly zero: string;
  readonly wireType: 0 | 2;
  readonly read: string;
  readonly isSet: (v: string) => string;
  readonly size: (v: string) => string;
  /** A statement. */
  readonly write: (v: string) => string;
}

const isNumberSet = (v: string) => `${v} !== 0`;
const isIdSet = (v: string) => `${v} !== 0n`;
const signed = {
  ts: "number",
  zero: "0",
  wireType: 0,
  isSet: isNumberSet,
  size: (v: string) => `sizeInt64(${v})`,
  write: (v: string) => `at = writeInt64(out, at, ${v});`,
} as const;
const unsigned = {
  ...signed,
  size: (v: string) => `sizeVarint(${v})`,
  write: (v: string) => `at = writeVarint(out, at, ${v});`,
} as const;
const id = {
  ts: "bigint",
  zero: "0n",
  wireType: 0,
  isSet: isIdSet,
  size: (v: string) => `sizeId(${v})`,
  write: (v: string) => `at = writeId(out, at, ${v});`,
} as const;

export const BYTES: Kind = {
  ts: "Uint8Array",
  zero: "EMPTY",
  wireType: 2,
  read: "r.bytes()",
  isSet: (v) => `${v}.length !== 0`,
  size: (v) => `sizeDelimited(${v}.length)`,
  write: (v) => `at = writeBytes(out, at, ${v});`,
};
const SCALAR_KINDS: Readonly<Record<Scalar, Kind>> = {
  bytes: BYTES,
  string: {
    ts: "string",
    zero: '""',
    wireType: 2,
    read: "r.string()",
    isSet: (v) => `${v} !== ""`,
    size: (v) => `sizeDelimited(utf8Length(${v}))`,
    write: (v) => `at = writeString(out, at, ${v});`,
  },
  bool: {
    ts: "boolean",
    zero: "false",
    wireType: 0,
    read: "r.bool()",
    isSet: (v) => v,
    size: () => "1",
    write: (v) => `out[at++] = ${v} ? 1 : 0;`,
  },
  int32: { ...signed, read: "r.int32()" },
  uint32: { ...unsigned, read: "r.uint32()" },
  int64: { ...signed, read: "r.int64()" },
  uint64: { ...unsigned, read: "r.uint64()" },
};
const ID_KINDS: Partial<Record<Scalar, Kind>> = {
  int64: { ...id, read: "r.int64Id()" },
  uint64: { ...id, read: "r.uint64Id()" },
};

/** Undefined for a message. */
export function kindOf(type: FieldType, isId: boolean): Kind | undefined {
  if (type.kind === "message") return undefined;
  if (type.kind === "enum") return SCALAR_KINDS.int32;
  return (isId ? ID_KINDS[type.scalar] : undefined) ??
    SCALAR_KINDS[type.scalar];
}
