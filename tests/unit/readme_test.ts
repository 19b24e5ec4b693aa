import assert from "node:assert/strict";
import { FLAG_GROUPS, type FlagGroup } from "../../src/config/flags.ts";
import * as etcdserverpb from "../../src/pb/etcdserverpb.ts";
import { ElectionService } from "../../src/pb/v3electionpb.ts";
import { LockService } from "../../src/pb/v3lockpb.ts";

const README = await Deno.readTextFile(
  new URL("../../README.md", import.meta.url),
);

Deno.test("README.md has every flag", () => {
  const groups: readonly FlagGroup[] = FLAG_GROUPS;
  const families = README.matchAll(/`--([a-z-]+)…`/g);
  const prefixes = [...families].map(([, prefix]) => prefix!);
  const missing = groups.flatMap(({ flags }) => flags)
    .map(({ name }) => name)
    .filter((name) =>
      !README.includes(`--${name}\``) &&
      !prefixes.some((prefix) => name.startsWith(prefix))
    );
  assert.deepEqual(missing, []);
});

Deno.test("README.md has every method", () => {
  const { KVService, WatchService, LeaseService, AuthService } = etcdserverpb;
  const { ClusterService, MaintenanceService } = etcdserverpb;
  const services = [
    KVService,
    WatchService,
    LeaseService,
    AuthService,
    ClusterService,
    MaintenanceService,
    LockService,
    ElectionService,
  ];
  const missing = services
    .flatMap(({ methods }) => Object.values(methods))
    .map(({ name }) => name)
    .filter((name) => !new RegExp(`\\b${name}\\b`).test(README));
  assert.deepEqual(missing, []);
});
