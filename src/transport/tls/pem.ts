import { Buffer } from "node:buffer";

const BLOCK =
  /-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+\/=\s]*)-----END \1-----/g;

/** The blocks of a PEM file (RFC 7468) that have this label, decoded, in their order. */
export function readPem(text: string, label: string): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  for (const [, found, body] of text.matchAll(BLOCK)) {
    if (found === label) {
      blocks.push(Uint8Array.from(Buffer.from(body!, "base64")));
    }
  }
  return blocks;
}

/** One block. */
export function writePem(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes).toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${
    lines.join("\n")
  }\n-----END ${label}-----\n`;
}
