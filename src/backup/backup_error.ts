/** What is wrong with a snapshot or a directory, said once, for whoever gave the command. */
export class BackupError extends Error {
  override name = "BackupError";
}
