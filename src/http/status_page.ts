import { type Route, send } from "./router.ts";
import type { ServerState, ServerSummary } from "./server_state.ts";

/** Seconds after which a browser asks again. */
const REFRESH_SECONDS = 5;

/** Only what is in the page itself may be shown, and nothing may be run. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/** `/`: the server at a glance, one HTML page that needs nothing else. */
export function statusPageRoute(state: ServerState, version: string): Route {
  return {
    path: "/",
    methods: ["GET", "HEAD"],
    handle(_request, response) {
      response.setHeader("Content-Security-Policy", CONTENT_SECURITY_POLICY);
      response.setHeader("X-Content-Type-Options", "nosniff");
      response.setHeader("Cache-Control", "no-store");
      const page = statusPage(state, version);
      send(response, 200, "text/html; charset=utf-8", page);
    },
  };
}

/** The page's text. */
export function statusPage(state: ServerState, version: string): string {
  const summary = state.summary();
  const alarms = state.alarms();
  const rows = summaryRows(summary)
    .map(([name, value]) =>
      `<tr><th scope="row">${escape(name)}</th><td>${escape(value)}</td></tr>`
    )
    .join("\n");
  const isWell = alarms.length === 0 && state.hasLeader;
  const verdict = alarms.length > 0
    ? `Alarm: ${alarms.join(", ")}`
    : state.hasLeader
    ? "Serving"
    : "No leader";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${REFRESH_SECONDS}">
<title>${escape(summary.name)} – Stele</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Stele <small>${escape(version)}</small></h1>
<p class="verdict ${isWell ? "well" : "ill"}">${escape(verdict)}</p>
<table>
${rows}
</table>
<nav>${LINKS}</nav>
</main>
</body>
</html>
`;
}

const LINKS = [
  "/metrics",
  "/health",
  "/readyz?verbose",
  "/version",
  "/debug/vars",
]
  .map((path) => `<a href="${path}">${path}</a>`)
  .join(" ");

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
small { font-weight: normal; opacity: .6; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid #8884; }
th { font-weight: normal; opacity: .7; width: 40%; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.verdict { padding: .4rem .8rem; border-left: .4rem solid; }
.well { border-color: #2a7; }
.ill { border-color: #c33; }
nav { margin-top: 1rem; }
`;

function summaryRows(s: ServerSummary): (readonly [string, string])[] {
  const quota = Number.isFinite(s.quotaBytes) ? bytes(s.quotaBytes) : "none";
  return [
    ["Name", s.name],
    ["Member", s.memberId],
    ["Cluster", s.clusterId],
    ["Database", s.engine],
    ["Clients connect to", s.clientUrls.join(", ")],
    ["Revision", count(s.revision)],
    ["Compacted up to", s.compactRevision < 0 ? "–" : count(s.compactRevision)],
    ["Keys", count(s.keys)],
    ["Database size", bytes(s.dbSizeBytes)],
    ["Of that in use", bytes(s.dbSizeInUseBytes)],
    ["Quota", quota],
    ["Leases", count(s.leases)],
    ["Watchers", `${count(s.watchers)} on ${count(s.watchStreams)} streams`],
    ["Connections", count(s.connections)],
    ["Up for", uptime(s.uptimeMs)],
  ];
}

function count(n: number): string {
  return n.toLocaleString("en-US");
}

function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  let value = n;
  for (; value >= 1024 && i < units.length - 1; i++) value /= 1024;
  return `${i === 0 ? value : value.toFixed(1)} ${units[i]}`;
}

function uptime(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ] as const;
  const first = parts.findIndex(([n]) => n > 0);
  return parts.slice(first < 0 ? -1 : first, first < 0 ? undefined : first + 2)
    .map(([n, unit]) => `${n}${unit}`).join(" ");
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("'", "&#39;");
}
