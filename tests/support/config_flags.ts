import type { Config } from "../../mod.ts";
import { FLAG_GROUPS, type FlagGroup } from "../../src/config/flags.ts";

const FLAGS = new Map(
  (FLAG_GROUPS as readonly FlagGroup[])
    .flatMap(({ flags }) => flags)
    .map((flag) => [flag.name, flag]),
);

/** Fields that are not called as their flag is. */
const NAMES: Readonly<Record<string, string>> = {
  authTokenTtlSeconds: "auth-token-ttl",
  "tls.clientCertAllowedHostnames": "client-cert-allowed-hostname",
  "tls.selfSignedCertValidityYears": "self-signed-cert-validity",
  "tls.minVersion": "tls-min-version",
  "tls.maxVersion": "tls-max-version",
};

/** The command line that sets these fields of a `Config`; throws for one that no flag sets. */
export function configFlags(overrides: Partial<Config>): string[] {
  const fields = Object.entries(overrides).flatMap(([field, value]) =>
    field === "tls"
      ? Object.entries(value as object).map(([f, v]) => [`tls.${f}`, v])
      : [[field, value]]
  );
  return fields.map(([field, value]) => flagOf(field as string, value));
}

function flagOf(field: string, value: unknown): string {
  const name = NAMES[field] ??
    field.replace(/^tls\./, "").replace(/Ms$/, "")
      .replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const flag = FLAGS.get(name);
  if (flag === undefined) throw new Error(`no flag sets ${field}`);
  if (Array.isArray(value)) return `--${name}=${value.join(",")}`;
  if (flag.type === "duration") return `--${name}=${value}ms`;
  return `--${name}=${value === Infinity ? -1 : value}`;
}
