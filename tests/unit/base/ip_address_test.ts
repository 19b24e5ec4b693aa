import assert from "node:assert/strict";
import { isIP } from "node:net";
import { isIpAddress } from "../../../src/base/ip_address.ts";

const TEXTS = [
  ...["127.0.0.1", "0.0.0.0", "255.255.255.255", "1.2.3", "1.2.3.4.5"],
  ...["256.0.0.1", "01.2.3.4", "1.2.3.04", "1.2.3.4 ", " 1.2.3.4", "1..2.3"],
  ...["::1", "::", "1::", "fe80::1", "fe80::1%eth0", "fe80::1%", "1:2:3"],
  ...["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "1::2::3", ":::", "12345::"],
  ...["::ffff:1.2.3.4", "::ffff:1.2.3.256", "::1.2.3", "2001:DB8::A", "g::1"],
  ...["[::1]", "::1]", "::1/64", "::1@a", "a]:1", "1.2.3.4%eth0", "%eth0"],
  ...["", "localhost", "example.com", "1", "0x7f.1", ".", ":"],
];

for (const text of TEXTS) {
  Deno.test(`isIpAddress() thinks of "${text}" as node:net does`, () => {
    assert.equal(isIpAddress(text), isIP(text) !== 0);
  });
}
