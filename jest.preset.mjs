// One preset for every project: native ESM, TypeScript through SWC with the same options as at run time.
import { readFileSync } from 'node:fs';

const { $schema, ...swc } = JSON.parse(readFileSync(new URL('./.swcrc.json', import.meta.url), 'utf8'));

/** `npm run soak`: the same fleet killed again and again, stories that a faster test tells a part of. Beside `npm test`, in minutes of its own. */
const soak = process.env.CHRYSALIS_SOAK === 'on';

export default {
  testEnvironment: 'node',
  testMatch: [soak ? '<rootDir>/**/*.soak.test.ts' : '<rootDir>/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/core/', ...(soak ? [] : ['[.]soak[.]test[.]ts$'])],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [new URL('./node_modules/@swc/jest/index.js', import.meta.url).pathname, { ...swc, swcrc: false, configFile: false }],
  },
};
