// One preset for every project: native ESM, TypeScript through SWC with the same options as at run time.
import { readFileSync } from 'node:fs';

const { $schema, ...swc } = JSON.parse(readFileSync(new URL('./.swcrc.json', import.meta.url), 'utf8'));

export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/core/'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [new URL('./node_modules/@swc/jest/index.js', import.meta.url).pathname, { ...swc, swcrc: false, configFile: false }],
  },
};
