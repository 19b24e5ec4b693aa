import assert from "node:assert/strict";
import { tlsObstacle } from "../../../../src/transport/tls/runtime.ts";

for (const version of ["2.9.0", "2.9.6", "2.10.0", "3.0.0"]) {
  Deno.test(`tlsObstacle() sees none on Deno ${version}`, () => {
    assert.equal(tlsObstacle(version), undefined);
  });
}

for (const version of ["1.46.3", "2.7.11", "2.8.9"]) {
  Deno.test(`tlsObstacle() names Deno ${version}`, () => {
    assert.match(tlsObstacle(version) ?? "", /^Deno \d.* is needed$/);
  });
}
