import type { IncomingMessage } from "node:http";

/** What of a request's target matters here. */
export interface RequestTarget {
  /** Decoded. One that cannot be decoded is left as it came: nothing has such a path. */
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
}

/** Reads a target in origin form or in absolute form (RFC 9112, 3.2). */
export function readTarget(
  { url = "/" }: Pick<IncomingMessage, "url">,
): RequestTarget {
  const origin = url.startsWith("/")
    ? url
    : url.replace(/^https?:\/\/[^/?#]*/i, "");
  const at = origin.indexOf("?");
  const path = (at < 0 ? origin : origin.slice(0, at)) || "/";
  const query = at < 0 ? "" : origin.slice(at + 1);
  return { path: path.includes("%") ? decoded(path) : path, query };
}

/** Without empty segments, `.` and `..`; what Go's `ServeMux` sends a client to that asks for another form of it. */
export function cleanPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  const isDirectory = path.endsWith("/") && kept.length > 0;
  return `/${kept.join("/")}${isDirectory ? "/" : ""}`;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // not UTF-8, or not escaped as it should be
  }
}
