// The whole repository in one Jest: `npm test` runs it once, so that its count is the one closing line.
import { globSync } from 'node:fs';

export default {
  projects: ['apps/*', 'libs/*', 'libs/*/core', 'tools', 'infra'].flatMap((p) => globSync(`${p}/jest.config.mjs`, { cwd: import.meta.dirname })).map((f) => `<rootDir>/${f}`),
};
