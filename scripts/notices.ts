/**
 * The licences of the packages that are in an executable, as these ask for: each with its text, from where Deno keeps
 * packages.
 */

/** A package, as `deno info --json` knows it. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** Ids of others. */
  readonly dependencies: readonly string[];
  readonly registryUrl: string;
}

/** What `deno info --json MODULE` says of packages. */
export interface ModuleInfo {
  readonly modules: readonly { readonly npmPackage?: string }[];
  readonly npmPackages: Readonly<Record<string, NpmPackage>>;
}

/** The notices of everything that the modules `entries` below `root` use, as one text. */
export async function notices(
  root: string,
  entries: readonly string[],
): Promise<string> {
  const packages = new Map<string, NpmPackage>();
  for (const entry of entries) {
    const info = await denoInfo<ModuleInfo>(root, entry);
    for (const used of packagesOf(info)) {
      packages.set(`${used.name} ${used.version}`, used);
    }
  }
  const { npmCache } = await denoInfo<{ npmCache: string }>(root);
  const parts: string[] = [];
  for (const [title, { name, version, registryUrl }] of [...packages].sort()) {
    const dir = `${npmCache}/${new URL(registryUrl).host}/${name}/${version}`;
    parts.push(`${title}\n\n${(await licenceIn(dir)).trim()}\n`);
  }
  return parts.join(`\n${"-".repeat(80)}\n\n`);
}

/** The packages that a module's graph names, and those that these depend on; without types, of which nothing is left. */
export function packagesOf({ modules, npmPackages }: ModuleInfo): NpmPackage[] {
  const waiting = modules.flatMap(({ npmPackage }) => npmPackage ?? []);
  const seen = new Set(waiting);
  for (const id of waiting) {
    for (const dependency of npmPackages[id]?.dependencies ?? []) {
      if (seen.has(dependency)) continue;
      seen.add(dependency);
      waiting.push(dependency);
    }
  }
  return [...seen].flatMap((id) => npmPackages[id] ?? [])
    .filter(({ name }) => !name.startsWith("@types/"));
}

/** The text of a package's licence, or, where it has no such file, what it calls its licence. */
export async function licenceIn(dir: string): Promise<string> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(dir)) {
    if (/^(licen[cs]e|copying|notice)/i.test(name)) names.push(name);
  }
  if (names.length > 0) {
    const texts = names.sort().map((name) =>
      Deno.readTextFile(`${dir}/${name}`)
    );
    return (await Promise.all(texts)).join("\n\n");
  }
  const { license } = JSON.parse(
    await Deno.readTextFile(`${dir}/package.json`),
  );
  if (typeof license !== "string") {
    throw new Error(`Cannot tell the licence of the package in "${dir}"`);
  }
  return `Licence: ${license}`;
}

async function denoInfo<T>(cwd: string, module?: string): Promise<T> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", ...(module === undefined ? [] : [module])],
    cwd,
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
