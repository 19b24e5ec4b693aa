import { serveDatabase } from "./serve_database.ts";

/** The worker's entry: it has the permissions for its directory and nothing else. */
serveDatabase();
