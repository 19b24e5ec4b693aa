import { type Command, Option } from "commander";
import { parseDurationMs } from "../base/duration.ts";
import { parseBool } from "../config/numbers.ts";
import { type CommandContext, UsageError } from "./command_context.ts";
import { type ClientOptions, EtcdClient } from "./etcd_client.ts";
import { OUTPUT_FORMATS, type OutputFormat } from "./output.ts";
import type { Process } from "./process.ts";

/** What `addClientOptions` makes commander read. Nothing is filled in: etcdctl's variables come next. */
export interface ClientFlags {
  readonly endpoints?: string;
  readonly user?: string;
  readonly password?: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly commandTimeout?: string;
  readonly writeOut?: OutputFormat;
}

const GROUP = "Connection (as etcdctl, with its ETCDCTL_… variables):";
const DEFAULT_ENDPOINT = "http://127.0.0.1:2379";
const DEFAULT_TIMEOUT = "5s";

/** Adds etcdctl's options for reaching a cluster; returns the command. */
export function addClientOptions(command: Command): Command {
  const options = [
    ["--endpoints <urls>", `servers, divided by commas [${DEFAULT_ENDPOINT}]`],
    ["--user <name>", "log in; name:password, or the password is asked for"],
    ["--password <text>", "the user's password"],
    ["--cacert <file>", "who signs the servers' certificates (PEM)"],
    ["--cert <file>", "this client's certificate (PEM)"],
    ["--key <file>", "the key of this client's certificate (PEM)"],
    ["--insecure-skip-tls-verify", "take any certificate: only for tests"],
    [
      "--command-timeout <duration>",
      `longest wait for one answer, such as 500ms or 1m; 0 for ever [${DEFAULT_TIMEOUT}]`,
    ],
  ] as const;
  for (const [flags, help] of options) {
    command.addOption(new Option(flags, help).helpGroup(GROUP));
  }
  return command;
}

/** Adds `-w`, for the commands that print tables; returns the command. */
export function addOutputOption(command: Command): Command {
  const option = new Option(
    "-w, --write-out <format>",
    "how to write; default: simple",
  ).choices(OUTPUT_FORMATS);
  const check = option.parseArg!;
  // etcdctl takes -w=json, which is =json to commander.
  option.argParser((text, previous) => check(text.replace(/^=/, ""), previous));
  return command.addOption(option);
}

/** How to write: the flag, or etcdctl's variable where it names a format that there is here. */
export function outputFormat(
  flags: ClientFlags,
  { env }: Process,
): OutputFormat {
  const format = flags.writeOut ?? env.ETCDCTL_WRITE_OUT;
  return OUTPUT_FORMATS.find((each) => each === format) ?? "simple";
}

/** The endpoints that flags and environment name. Throws `UsageError` if there are none. */
function endpointsOf(flags: ClientFlags, { env }: Process): string[] {
  const text = flags.endpoints ?? env.ETCDCTL_ENDPOINTS ?? DEFAULT_ENDPOINT;
  const endpoints = text.split(",").map((each) => each.trim())
    .filter((each) => each !== "");
  if (endpoints.length > 0) return endpoints;
  throw new UsageError("Cannot connect: no endpoint is given");
}

/** Flags, then variables, then defaults; reads the files, and asks for a password. Throws `UsageError`. */
export async function clientOptions(
  flags: ClientFlags,
  { process }: CommandContext,
): Promise<ClientOptions> {
  const { env } = process;
  const read = (path: string | undefined) =>
    path === undefined || path === "" ? undefined : readPem(path, process);
  const timeout = flags.commandTimeout ?? env.ETCDCTL_COMMAND_TIMEOUT ??
    DEFAULT_TIMEOUT;
  const timeoutMs = parseDurationMs(timeout);
  if (timeoutMs === undefined || timeoutMs < 0) {
    throw new UsageError(
      `Cannot use --command-timeout "${timeout}": it must look like 500ms, 5s or 1m`,
    );
  }
  const cacert = await read(flags.cacert ?? env.ETCDCTL_CACERT);
  const cert = await read(flags.cert ?? env.ETCDCTL_CERT);
  const key = await read(flags.key ?? env.ETCDCTL_KEY);
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("Cannot use one of --cert and --key: both are needed");
  }
  return {
    endpoints: endpointsOf(flags, process),
    timeoutMs,
    insecureSkipTlsVerify: flags.insecureSkipTlsVerify ??
      parseBool(env.ETCDCTL_INSECURE_SKIP_TLS_VERIFY ?? "") ?? false,
    ...(cacert !== undefined && { cacert }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...await userOf(flags, process),
  };
}

/** Opens a client that is closed when `act` is done, or the user interrupts. */
export async function withClient<T>(
  flags: ClientFlags,
  context: CommandContext,
  act: (client: EtcdClient) => Promise<T>,
): Promise<T> {
  using client = openClient(await clientOptions(flags, context), context);
  return await act(client);
}

/** A client that an interrupt closes, too. Throws `UsageError` for an endpoint that is none. */
export function openClient(
  options: ClientOptions,
  { signal }: CommandContext,
): EtcdClient {
  let client: EtcdClient;
  try {
    client = new EtcdClient(options);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(error.message);
  }
  signal.addEventListener("abort", () => client.close(), { once: true });
  return client;
}

async function readPem(path: string, process: Process): Promise<string> {
  try {
    return await process.readFile(path);
  } catch (cause) {
    throw new Error(`Cannot read "${path}"`, { cause });
  }
}

/** `name`, `name:password`, or `name` and a password of its own, as etcdctl. */
async function userOf(
  flags: ClientFlags,
  process: Process,
): Promise<Pick<ClientOptions, "user" | "password">> {
  const { env } = process;
  const given = flags.user ?? env.ETCDCTL_USER ?? "";
  if (given === "") return {};
  const password = flags.password ?? env.ETCDCTL_PASSWORD;
  if (password !== undefined) return { user: given, password };
  const colon = given.indexOf(":");
  if (colon >= 0) {
    return { user: given.slice(0, colon), password: given.slice(colon + 1) };
  }
  try {
    return {
      user: given,
      password: await process.readSecret(`Password of ${given}: `),
    };
  } catch (cause) {
    throw new Error("Cannot ask for the password", { cause });
  }
}
