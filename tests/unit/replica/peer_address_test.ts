import assert from "node:assert/strict";
import { peerAddress } from "../../../src/replica/peer_address.ts";

for (
  const [url, expected] of [
    ["http://db.example:2379", "db.example:2379 db.example:2379"],
    ["http://db.example", "db.example db.example:80"],
    ["https://db.example", "secure db.example db.example:443"],
    ["https://[::1]:2379/", "secure [::1]:2379 ::1:2379"],
    ["unix:///run/stele.sock", "localhost /run/stele.sock"],
    ["unixs://run/stele.sock", "secure localhost run/stele.sock"],
  ] as const
) {
  Deno.test(`peerAddress() of ${url}`, () => {
    const { isSecure, authority, place } = peerAddress(url);
    const where = place.kind === "tcp"
      ? `${place.host}:${place.port}`
      : place.path;
    assert.equal(`${isSecure ? "secure " : ""}${authority} ${where}`, expected);
  });
}

for (
  const [url, message] of [
    [undefined, /no address/],
    ["", /what is no address/],
    ["localhost", /what is no address/],
    ["ftp://a", /another kind/],
  ] as const
) {
  Deno.test(`peerAddress() refuses ${JSON.stringify(url)}`, () => {
    assert.throws(() => peerAddress(url), message);
  });
}
