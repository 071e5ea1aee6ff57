import nx from '@nx/eslint-plugin';
import { importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

/** Dependencies point one way: apps -> libs; a core knows the kernel, the contracts and other pure parts; nothing imports an app. */
const boundaries = [
  { sourceTag: 'type:kernel', onlyDependOnLibsWithTags: ['type:kernel'] },
  { sourceTag: 'type:contracts', onlyDependOnLibsWithTags: ['type:kernel', 'type:contracts'] },
  { sourceTag: 'type:core', onlyDependOnLibsWithTags: ['type:kernel', 'type:contracts', 'type:core'] },
  { sourceTag: 'type:lib', onlyDependOnLibsWithTags: ['type:kernel', 'type:contracts', 'type:lib'] },
  { sourceTag: 'type:testing', onlyDependOnLibsWithTags: ['type:kernel', 'type:contracts', 'type:lib', 'type:core'] },
  { sourceTag: 'type:app', onlyDependOnLibsWithTags: ['type:kernel', 'type:contracts', 'type:lib', 'type:core'] },
];

/** A core has no I/O, clock, randomness, framework or database: these come in with the command. */
const pure = {
  patterns: [
    {
      group: ['node:*', 'fs', 'path', 'crypto', 'os', 'child_process', 'net', 'http'],
      message: 'A core does no I/O: clock, ids and randomness come in with the command.',
    },
    { group: ['@nestjs/*', 'typeorm', 'pg', 'kafkajs', 'pino'], message: 'A core knows no framework, database or broker.' },
  ],
};

// The harness in testing drives the workflow core, and the core's own tests run through the harness: a circle of tests, not of code.
const tests = ['**/*.test.ts', '**/*.contract.ts', '**/test/**/*.ts'];

/**
 * A function is read at once: the length of a screen, and few ways through it. A switch counts as one: it is a table, and where a case of
 * it is missing, the compiler says so. What has to be longer says why where it stands: `// eslint-disable-next-line … -- reason`.
 */
const limits = {
  complexity: ['error', { max: 12, variant: 'modified' }],
  'max-depth': ['error', 3],
  'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
};
/** The body of a `describe` is a list of tests, and a world of a test what they share: neither is read at once, so neither has a length. */
const limitsOfTests = { complexity: ['error', 20], 'max-depth': ['error', 4] };

const config = tseslint.config(
  { ignores: ['**/node_modules', '**/dist', '.nx', '.cache', '.chrysalis', '**/*.js', 'tools/lint/breaches', 'tools/kinds/note'] },
  { files: ['**/*.ts'], extends: [tseslint.configs.recommended], plugins: { '@nx': nx, 'import-x': importX } },
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      'max-params': ['error', 5],
    },
  },
  { files: ['**/*.ts'], ignores: tests, rules: limits },
  { files: tests, rules: limitsOfTests },
  {
    // Files that import each other can't be read one after the other. Between projects Nx's boundaries see to it.
    files: ['**/*.ts'],
    settings: { 'import-x/extensions': ['.ts'], 'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] } },
    rules: { 'import-x/no-cycle': ['error', { ignoreExternal: true }] },
  },
  {
    files: ['apps/**/*.ts', 'libs/**/*.ts'],
    ignores: tests,
    rules: {
      '@nx/enforce-module-boundaries': [
        'error',
        {
          enforceBuildableLibDependency: false,
          allow: [],
          depConstraints: boundaries,
          checkDynamicDependenciesExceptions: ['.*'],
          ignoredCircularDependencies: [['@chrysalis/testing', '@chrysalis/workflow-core']],
        },
      ],
    },
  },
  {
    files: ['libs/*/core/src/**/*.ts', 'libs/placement/src/**/*.ts', 'libs/kernel/src/**/*.ts'],
    ignores: tests,
    rules: { 'no-restricted-imports': ['error', pure] },
  },
  {
    // An app is used by what its package exports, or started as a process.
    files: ['tools/**/*.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: [{ group: ['**/apps/**'], message: 'import what the app’s package exports' }] }],
    },
  },
);

/** What is generated is judged by what makes it. It is not ignored, as a lint of files by name warns of those that are. */
const generated = {
  files: ['**/*.gen.ts'],
  linterOptions: { reportUnusedDisableDirectives: 'off' },
  rules: Object.fromEntries(config.flatMap(({ rules = {} }) => Object.keys(rules).map((rule) => [rule, 'off']))),
};
export default [...config, generated];
