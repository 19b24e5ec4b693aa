import type { Config } from "./config.ts";
import { parseUrl } from "./urls.ts";

/** All addresses to listen at. */
export function listenUrls(config: Config): string[] {
  return [
    ...config.listenClientUrls,
    ...config.listenClientHttpUrls,
    ...config.listenMetricsUrls,
  ];
}

/** Whether any address is to speak TLS. */
export function usesTls(config: Config): boolean {
  return listenUrls(config).some((url) => parseUrl(url).isSecure);
}
