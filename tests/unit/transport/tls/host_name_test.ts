import assert from "node:assert/strict";
import {
  certificateAddress,
  isForHost,
} from "../../../../src/transport/tls/host_name.ts";

/** Names and addresses of a certificate, the host, whether it is for it; as Go's `VerifyHostname` has it. */
const CASES: readonly (readonly [readonly string[], string, boolean])[] = [
  [["a.example"], "a.example", true],
  [["a.example"], "A.Example", true],
  [["A.Example"], "a.example", true],
  [["a.example"], "a.example.", true],
  [["a.example"], "b.example", false],
  [["a.example"], "example", false],
  [["a.example"], "x.a.example", false],
  [["*.example"], "a.example", true],
  [["*.example"], "example", false],
  [["*.example"], "b.a.example", false],
  [["*.example"], ".example", false],
  [["a*.example"], "ab.example", false],
  [["a.*.example"], "a.b.example", false],
  [["*"], "example", false],
  [["b.example", "a.example"], "a.example", true],
  [[], "a.example", false],
  [["a_b.example"], "a_b.example", true],
  [["a.example"], "", false],
  [["10.0.0.1"], "10.0.0.1", true],
  [["10.0.0.1"], "[10.0.0.1]", true],
  [["10.0.0.1"], "10.0.0.2", false],
  [["::1"], "::1", true],
  [["::1"], "[0:0:0:0:0:0:0:1]", true],
  [["2001:db8::5"], "2001:db8:0::5", true],
  [["2001:db8::5"], "2001:db8::6", false],
  [["10.0.0.1"], "::ffff:10.0.0.1", true],
  [["*.0.0.1"], "10.0.0.1", false],
];

for (const [names, host, expected] of CASES) {
  Deno.test(`isForHost() says ${expected} to "${host}" of [${names}]`, () => {
    const fields = {
      dnsNames: names.filter((name) => certificateAddress(name) === undefined),
      ipAddresses: names.flatMap((name) => certificateAddress(name) ?? []),
    };
    assert.equal(isForHost(fields, host), expected);
  });
}
