/**
 * The SQLite worker on a disk that fails as `faults.json` in its directory says; see `FaultFile`. A file, because the
 * worker handles no messages but those of its protocol, and may look nowhere else.
 */
import { serveDatabase } from "../../src/backend/driver/sqlite/serve_database.ts";
import { FaultFile } from "./fault_file.ts";
import { FaultyDisk } from "./faulty_disk.ts";

let faults: FaultFile | undefined;
const disk = new FaultyDisk(() => faults?.read() ?? []);

serveDatabase((path) => {
  faults = new FaultFile(path.slice(0, path.lastIndexOf("/")));
  return disk.open(path);
});
