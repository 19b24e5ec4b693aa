// deno-lint-ignore no-import-prefix -- a package is pinned where it is used, and used nowhere else
import { parse } from "npm:yaml@2.9.1";

/**
 * What a document in YAML says, with bigints for integers. Throws the parser's errors.
 *
 * A module of its own, to be loaded when there is a document: of a CommonJS package that is loaded by `import()`
 * itself, a bundle has no names.
 */
export function parseYaml(text: string): unknown {
  return parse(text, { intAsBigInt: true });
}
