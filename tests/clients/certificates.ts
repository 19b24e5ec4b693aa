import assert from "node:assert/strict";
import { join } from "node:path";
import { run } from "./tool.ts";

/** Files of a certificate authority and of what it has signed. */
export interface Certificates {
  readonly ca: string;
  readonly server: KeyPair;
  /** Its common name is `alice`. */
  readonly client: KeyPair;
  /** Signed by somebody else. */
  readonly stranger: KeyPair;
}

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** Makes certificates in `dir` that are good for a day, for the address 127.0.0.1. */
export async function makeCertificates(
  openssl: string,
  dir: string,
): Promise<Certificates> {
  const authority = await selfSigned(openssl, dir, "authority");
  const sign = async (name: string, extensions: string): Promise<KeyPair> => {
    const pair = {
      cert: join(dir, `${name}.crt`),
      key: join(dir, `${name}.key`),
    };
    const extensionFile = join(dir, `${name}.ext`);
    await Deno.writeTextFile(extensionFile, extensions);
    const request = join(dir, `${name}.csr`);
    await ask(openssl, [
      ..."req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(" "),
      "-subj",
      `/CN=${name}`,
      "-keyout",
      pair.key,
      "-out",
      request,
    ]);
    await ask(openssl, [
      ..."x509 -req -days 1 -CAcreateserial".split(" "),
      "-in",
      request,
      "-CA",
      authority.cert,
      "-CAkey",
      authority.key,
      "-extfile",
      extensionFile,
      "-out",
      pair.cert,
    ]);
    return pair;
  };
  return {
    ca: authority.cert,
    server: await sign(
      "server",
      "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n",
    ),
    client: await sign("alice", "extendedKeyUsage=clientAuth\n"),
    stranger: await selfSigned(openssl, dir, "stranger"),
  };
}

async function selfSigned(
  openssl: string,
  dir: string,
  name: string,
): Promise<KeyPair> {
  const pair = {
    cert: join(dir, `${name}.crt`),
    key: join(dir, `${name}.key`),
  };
  await ask(openssl, [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
      .split(" "),
    "-subj",
    `/CN=${name}`,
    "-keyout",
    pair.key,
    "-out",
    pair.cert,
  ]);
  return pair;
}

async function ask(openssl: string, args: string[]): Promise<void> {
  const { code, stderr } = await run(openssl, args);
  assert.equal(code, 0, stderr);
}
