import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { prepareGraph } from './graph.ts';
import { Linter, root } from './lint.ts';

describe('the lint catches a breach of the boundaries', () => {
  let linter: Linter;
  beforeAll(async () => {
    await prepareGraph(root);
    linter = new Linter();
  });
  afterAll(() => linter?.close());

  test.each([
    [
      'a core that imports a library with I/O',
      'libs/workflow/core/src/breach.ts',
      `import { EventStore } from '@chrysalis/event-store';\nexport const x = EventStore;\n`,
      '@nx/enforce-module-boundaries',
    ],
    [
      'a library that imports an app',
      'libs/messaging/src/breach.ts',
      `import * as app from '@chrysalis/workflow-app';\nexport const x = app;\n`,
      '@nx/enforce-module-boundaries',
    ],
    [
      'an app that imports another app',
      'apps/provisioning/src/breach.ts',
      `import * as app from '@chrysalis/workflow-app';\nexport const x = app;\n`,
      '@nx/enforce-module-boundaries',
    ],
    [
      'a tool that reaches into an app',
      'tools/bench/breach.ts',
      `import { Engine } from '../../apps/workflow/src/engine.ts';\nexport const x = Engine;\n`,
      'no-restricted-imports',
    ],
    [
      'a core that reads a file',
      'libs/provisioning/core/src/breach.ts',
      `import { readFileSync } from 'node:fs';\nexport const x = readFileSync;\n`,
      'no-restricted-imports',
    ],
    [
      'a core that knows the database',
      'libs/provisioning/core/src/breach.ts',
      `import pg from 'pg';\nexport const x = pg;\n`,
      'no-restricted-imports',
    ],
    [
      'a file that imports one which imports it',
      'libs/kernel/src/fold.ts',
      `import { accept } from './index.ts';\nexport const fold = accept;\n`,
      'import-x/no-cycle',
    ],
  ])('%s', async (_name, file, text, rule) => {
    expect(await linter.rulesBroken(file, text)).toContain(rule);
  });

  test('and lets a tool use what an app exports', async () => {
    const text = `import { Engine } from '@chrysalis/workflow-app/engine';\nexport const x = Engine;\n`;
    expect(await linter.rulesBroken('tools/bench/innocent.ts', text)).toEqual([]);
  });

  test('and lets a core use the kernel and the contracts', async () => {
    const text = `import { accept } from '@chrysalis/kernel';\nimport { topologyHash } from '@chrysalis/contracts';\nexport const x = [accept, topologyHash];\n`;
    expect(await linter.rulesBroken('libs/provisioning/core/src/innocent.ts', text)).toEqual([]);
  });
});
