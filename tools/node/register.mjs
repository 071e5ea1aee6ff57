// Lets Node load the TypeScript of this repository: `node --import ./tools/node/register.mjs file.ts`.
// Node strips types by itself but does not know decorators, which Nest needs; SWC does, at about 1 ms a file. What it made is kept in
// .cache/modules, one entry a file, until its source changes, and V8's bytecode beside it: a service loads in two thirds of the CPU time.
import { createHash, randomUUID } from 'node:crypto';
import { createRequire, enableCompileCache, registerHooks } from 'node:module';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cache = path.join(root, '.cache/modules');
const require = createRequire(import.meta.url);
const options = JSON.parse(readFileSync(path.join(root, '.swcrc.json'), 'utf8'));
delete options.$schema;
const made = JSON.stringify({ options, swc: require('@swc/core/package.json').version });

enableCompileCache(path.join(cache, 'bytecode'));

/** SWC itself takes a tenth of a second to load: only where something is new. */
const transform = (filename, source) =>
  require('@swc/core').transformSync(source, { ...options, filename, swcrc: false, configFile: false }).code;

const hash = (...texts) => createHash('sha256').update(texts.join('\0')).digest('hex');
const read = (file) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
};

/** Written beside and renamed: whoever reads it finds all of it or nothing. A cache that can't be written is done without. */
const keep = (file, code) => {
  try {
    const draft = `${file}.${randomUUID()}`;
    writeFileSync(draft, code);
    renameSync(draft, file);
  } catch {
    // read-only, or full
  }
};
try {
  mkdirSync(cache, { recursive: true });
} catch {
  // as above
}

registerHooks({
  load(url, context, nextLoad) {
    if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context);
    const filename = fileURLToPath(url);
    const source = readFileSync(filename, 'utf8');
    const file = path.join(cache, `${hash(filename)}.js`);
    const seal = `\n// of ${hash(made, source)}\n`;
    const kept = read(file);
    const code = kept?.endsWith(seal) ? kept : transform(filename, source) + seal;
    if (code !== kept) keep(file, code);
    return { format: 'module', source: code, shortCircuit: true };
  },
});
