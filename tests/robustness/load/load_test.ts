import assert from "node:assert/strict";
import { runLoad, SHORT_LOAD } from "./load_run.ts";

/** What the server may have in RAM with the keys, watchers and leases of `SHORT_LOAD`; measured: 350 to 410 MiB. */
const MAX_MIB = 700;

Deno.test({
  name:
    "a server under everything at once loses nothing, stays within memory, refuses early and recovers",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const report = await runLoad(SHORT_LOAD);
    assert.deepEqual(report.violations, []);
    assert(
      report.peakMib < MAX_MIB,
      `${Math.round(report.peakMib)} MiB of memory`,
    );
    const { put, get } = report.probe.latencies;
    assert(put.length > 0 && get.length > 0, "the probe was served");
    // Of 15,000 puts at once, the server lets 5,000 wait: the first ones are done, and what is too much is refused.
    const { accepted, refused } = report.burst;
    assert.equal(accepted + refused, SHORT_LOAD.burst);
    assert(accepted >= 5000, `${accepted} accepted`);
    assert(refused > 0, "none was refused");
  },
});
