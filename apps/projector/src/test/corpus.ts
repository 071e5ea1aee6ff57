import { readdirSync, readFileSync } from 'node:fs';
import type { Recorded } from '../recorded.ts';

const folder = new URL('../../../../libs/contracts/examples/', import.meta.url);

/** The frozen examples of every event version, by stream and version. */
export const corpus = (): Recorded[] =>
  readdirSync(folder)
    .map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')))
    .map(({ meta, ...e }) => ({ ...e, ...meta }) as Recorded)
    .sort((a, b) => a.stream.localeCompare(b.stream) || a.version - b.version);
