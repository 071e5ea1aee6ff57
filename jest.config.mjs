// The whole repository in one Jest: `npm test` runs it once, so that its count is the one closing line.
import { globSync } from 'node:fs';

// What a service answers is checked by what its routes declare; workers and the processes they start inherit it.
process.env.CHRYSALIS_CHECK_ANSWERS ??= 'on';

export default {
  globalSetup: '<rootDir>/tools/test/leash.mjs',
  testSequencer: '<rootDir>/tools/test/longest-first.ts',
  // Global in Jest: a project's own is not heard. Far above what anything takes, as machines are busy: it is for what hangs.
  testTimeout: 240_000,
  projects: ['apps/*', 'libs/*', 'libs/*/core', 'tools', 'infra']
    .flatMap((p) => globSync(`${p}/jest.config.mjs`, { cwd: import.meta.dirname }))
    .map((f) => `<rootDir>/${f}`),
};
