import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';

/** Of a package among the project's dependencies, whatever it exports. */
export const versionOf = (name: string): string =>
  (JSON.parse(readFileSync(findPackageJSON(name, import.meta.url)!, 'utf8')) as { version: string }).version;
