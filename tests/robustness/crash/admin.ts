import type { EtcdClient } from "../../support/etcd_client.ts";
import type { Random } from "../../support/random.ts";
import { Facts } from "./facts.ts";

/** Codes that say nothing about whether a call was done. */
const NO_ANSWER = new Set([1, 2, 4, 13, 14]);
const UNIMPLEMENTED = 12;

const USERS = ["u0", "u1", "u2"];
const ROLES = ["r0", "r1"];

export const ROOT_PASSWORD = "secret";

/** Users, roles, permissions, alarms: what does not show in the log, changed and looked at again after each start. */
export class Admin {
  readonly facts = new Facts();
  /** Whether every call needs a token. */
  isAuthEnabled = false;
  #hasAuth = true;

  /** What a server remembers, compared with what was done. */
  async look(etcd: EtcdClient): Promise<void> {
    const so = (await etcd.maintenance.call("Alarm")).alarms
      .map((a: { alarm: string }) => `alarm ${a.alarm}`);
    if (await this.#supportsAuth(etcd)) {
      const { users } = await etcd.auth.call("UserList");
      const { roles } = await etcd.auth.call("RoleList");
      for (const user of users) {
        if (user === "root") continue;
        so.push(`user ${user}`);
        const { roles } = await etcd.auth.call("UserGet", { name: user });
        for (const role of roles) so.push(`user ${user} has ${role}`);
      }
      for (const role of roles) {
        if (role === "root") continue;
        so.push(`role ${role}`);
        const { perm } = await etcd.auth.call("RoleGet", { role });
        for (const { key } of perm) so.push(`role ${role} may use ${key}`);
      }
    }
    this.facts.look(so);
    // An alarm that a kill left behind would refuse the workload's writes.
    for (const alarm of so.filter((fact: string) => fact.startsWith("alarm"))) {
      await this.#setAlarm(etcd, alarm.slice(6), false);
    }
  }

  /** Sets up `root` and asks for tokens from now on. */
  async enableAuth(etcd: EtcdClient): Promise<void> {
    if (!await this.#supportsAuth(etcd)) return;
    const { auth } = etcd;
    const root = { name: "root", password: ROOT_PASSWORD };
    await auth.call("UserAdd", root);
    await auth.call("RoleAdd", { name: "root" });
    await auth.call("UserGrantRole", { user: "root", role: "root" });
    await auth.call("AuthEnable");
    this.isAuthEnabled = true;
  }

  /** One change, one turn of an alarm, or a piece of maintenance. */
  async step(etcd: EtcdClient, random: Random): Promise<void> {
    if (random.oneIn(8)) {
      if (random.oneIn(2)) await isDone(etcd.maintenance.call("Defragment"));
      else await readSnapshot(etcd);
      return;
    }
    if (!this.#hasAuth || random.oneIn(4)) {
      const alarm = random.oneIn(2) ? "NOSPACE" : "CORRUPT";
      await this.#setAlarm(etcd, alarm, true);
      await this.#setAlarm(etcd, alarm, false);
      return;
    }
    const user = random.pick(USERS);
    const role = random.pick(ROLES);
    if (random.oneIn(2)) await this.#toggleUser(etcd, user);
    else await this.#addRole(etcd, role);
    if (!this.facts.isSo(`role ${role}`)) return;
    if (random.oneIn(2)) await this.#togglePermission(etcd, role);
    else if (this.facts.isSo(`user ${user}`)) {
      await this.#toggleMembership(etcd, user, role);
    }
  }

  async #setAlarm(etcd: EtcdClient, alarm: string, isSo: boolean) {
    const action = isSo ? "ACTIVATE" : "DEACTIVATE";
    await this.facts.set(
      `alarm ${alarm}`,
      isSo,
      () => isDone(etcd.maintenance.call("Alarm", { action, alarm })),
    );
  }

  async #toggleUser({ auth }: EtcdClient, user: string): Promise<void> {
    const isSo = !this.facts.isSo(`user ${user}`);
    // Its roles would go with it; one call, one fact.
    if (!isSo && this.facts.isAny(`user ${user} has`)) return;
    await this.facts.set(
      `user ${user}`,
      isSo,
      () =>
        isDone(
          isSo
            ? auth.call("UserAdd", {
              name: user,
              options: { no_password: true },
            })
            : auth.call("UserDelete", { name: user }),
        ),
    );
  }

  async #addRole({ auth }: EtcdClient, role: string): Promise<void> {
    if (this.facts.isSo(`role ${role}`)) return;
    await this.facts.set(
      `role ${role}`,
      true,
      () => isDone(auth.call("RoleAdd", { name: role })),
    );
  }

  async #togglePermission({ auth }: EtcdClient, role: string): Promise<void> {
    const fact = `role ${role} may use k`;
    const isSo = !this.facts.isSo(fact);
    const key = Buffer.from("k");
    await this.facts.set(
      fact,
      isSo,
      () =>
        isDone(
          isSo
            ? auth.call("RoleGrantPermission", {
              name: role,
              perm: { permType: "READ", key },
            })
            : auth.call("RoleRevokePermission", { role, key }),
        ),
    );
  }

  async #toggleMembership(
    { auth }: EtcdClient,
    user: string,
    role: string,
  ): Promise<void> {
    const fact = `user ${user} has ${role}`;
    const isSo = !this.facts.isSo(fact);
    await this.facts.set(
      fact,
      isSo,
      () =>
        isDone(
          isSo
            ? auth.call("UserGrantRole", { user, role })
            : auth.call("UserRevokeRole", { name: user, role }),
        ),
    );
  }

  async #supportsAuth(etcd: EtcdClient): Promise<boolean> {
    if (!this.#hasAuth) return false;
    try {
      await etcd.auth.call("AuthStatus");
    } catch (error) {
      if ((error as { code?: number }).code !== UNIMPLEMENTED) throw error;
      this.#hasAuth = false;
    }
    return this.#hasAuth;
  }
}

/** Reads a snapshot to its end, or to that of its server. */
function readSnapshot(etcd: EtcdClient): Promise<void> {
  const stream = etcd.maintenance.stream("Snapshot", {});
  stream.resume();
  return new Promise((resolve) => {
    stream.on("end", resolve);
    stream.on("error", () => resolve());
  });
}

/** Whether a call was done; undefined if no answer came. */
async function isDone(call: Promise<unknown>): Promise<boolean | undefined> {
  try {
    await call;
    return true;
  } catch (error) {
    const { code } = error as { code?: number };
    if (code === undefined) throw error;
    return NO_ANSWER.has(code) ? undefined : false;
  }
}
