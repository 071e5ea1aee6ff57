import { ApiError, type Problem } from '@chrysalis/api-client';
import { nextOf } from '@chrysalis/contracts/codes';
import type { Command } from 'commander';
import { SeveralNamedError, UsageError } from './errors.ts';

/** Members of bodies whose option is called otherwise. */
const flags: Readonly<Record<string, string>> = {
  sizeMiB: 'size',
  ratioPerMille: 'ratio',
  reservedMiB: 'reserve',
  output: 'result',
  labels: 'label',
};

/** A refusal in terms of what was typed: what a request had is an option here, and what to send again a command. */
export const asTyped = (command: Command, error: unknown): unknown => {
  if (error instanceof SeveralNamedError) return new UsageError(`${error.message}\nnext: chrysalis ${byId(command, error.named)}`);
  if (!(error instanceof ApiError)) return error;
  const { errors, ...problem } = error.problem;
  const faults = Array.isArray(errors) ? (errors as Fault[]).map((f) => ({ ...f, path: flagOf(command, f.path) })) : undefined;
  return new ApiError({ ...problem, ...(faults ? { errors: faults } : {}), ...nextOfTyped(command, problem) });
};

const nextOfTyped = (command: Command, { code, next = nextOf(code, {}) }: Pick<Problem, 'code' | 'next'>): { next?: string } => {
  if (code === 'request.invalid') return { next: `mend that; chrysalis ${wordsOf(command)} --help shows what it takes` };
  return next === undefined ? {} : { next: next.replaceAll(/\b[a-z]+(?:MiB|PerMille)\b/g, (member) => flagOf(command, member)) };
};

type Fault = { readonly path: string; readonly message: string };

const flagOf = (command: Command, path: string): string => {
  const [, member = path] = /^change\.(\w+)$/.exec(path) ?? [];
  const name = flags[member] ?? member;
  return command.options.find((o) => o.attributeName() === name || o.long === `--${name}`)?.long ?? path;
};

const wordsOf = (command: Command): string => (command.parent?.parent ? `${wordsOf(command.parent)} ${command.name()}` : command.name());

/** The command again, with `ID` for the name that several have. What else it was given is left out: the shell took the quotes. */
const byId = (command: Command, named: string): string => {
  const operands = command.args.map((word) => (word === named ? 'ID' : word));
  const options = command.options
    .filter((o) => [command.getOptionValue(o.attributeName())].flat().includes(named))
    .map((o) => `${o.long} ID`);
  return [wordsOf(command), ...operands, ...(operands.includes('ID') ? [] : options)].join(' ');
};
