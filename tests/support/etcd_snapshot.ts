/**
 * What `etcdctl snapshot save` (3.7.1) made of an etcd 3.7.1 of one member:
 *
 *   revisions 2 to 61    puts of k0 to k9 in turn, v1 to v60
 *   62                   big, of 20,000 x
 *   63                   leased, on the one lease of 1000 s
 *   64                   k3 deleted
 *   65                   a txn: a and b put, k4 deleted
 *   66                   k3 put again, after a compaction at 40
 *   auth                 root (rootpw) with the role root, alice (pw) with r: a/… to read and write; enabled
 */
const FILE = new URL("./etcd_snapshot.db.gz", import.meta.url);

export async function readEtcdSnapshot(): Promise<Uint8Array<ArrayBuffer>> {
  using file = await Deno.open(FILE, { read: true });
  const unzipped = file.readable.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unzipped).arrayBuffer());
}
