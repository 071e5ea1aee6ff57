#!/usr/bin/env node
import { CommanderError } from 'commander';
import { exitCodeOf, explain } from './exit.ts';
import { interrupted } from './interrupt.ts';
import { buildProgram } from './program.ts';

process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1)); // `| head` has seen enough
process.on('SIGINT', interrupted);

try {
  await buildProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode; // commander has said it, on stderr
  } else {
    process.stderr.write(`${explain(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}
// Connections are kept alive for the next request; there is none.
process.stdout.write('', () => process.exit());
