/** What is wrong with the configuration, in words for the one who wrote it; ends the process with status 2. */
export class ConfigError extends Error {
  override name = "ConfigError";
}
