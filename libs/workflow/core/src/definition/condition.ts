import { Environment, type ASTNode } from '@marcbachmann/cel-js';
import type { Report } from './faults.ts';

/** What a condition sees: `params` as given, and of each task it names `{ state: 'succeeded' | 'skipped', output: {…} | null }`. */
export type ConditionScope = {
  readonly params: Readonly<Record<string, unknown>>;
  readonly tasks: Readonly<Record<string, unknown>>;
  /** Of an item of a `forEach`. */
  readonly item?: unknown;
  readonly index?: number;
};
export type Verdict = { readonly ok: true; readonly value: boolean } | { readonly ok: false; readonly message: string };
export type Condition = {
  readonly source: string;
  readonly tasks: readonly string[];
  readonly params: readonly string[];
  /** It asks about `item` or `index`: each item has an answer of its own. */
  readonly perItem: boolean;
  readonly evaluate: (scope: ConditionScope) => Verdict;
};

export const MAX_LENGTH = 1024;
const macros = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);
/** Regular expressions of JavaScript can take for ever on a hostile string; CEL's own promise is that an expression cannot. */
const refusedFunctions = new Set(['matches']);

/** Every expression of users has these bounds. */
export const celOptions = {
  unlistedVariablesAreDyn: false,
  limits: { maxAstNodes: 512, maxDepth: 32, maxListElements: 128, maxMapEntries: 128, maxCallArguments: 16 },
};
const environment = new Environment(celOptions)
  .registerVariable('params', 'map')
  .registerVariable('tasks', 'map')
  .registerVariable('item', 'dyn')
  .registerVariable('index', 'int');

/** CEL, parsed and type-checked; `undefined` where a fault was reported. */
export const parseCondition = (source: string, place: string, report: Report): Condition | undefined => {
  if (source.length > MAX_LENGTH) {
    report('workflow.condition_malformed', place, `longer than ${MAX_LENGTH} characters`);
    return undefined;
  }
  try {
    const program = environment.parse(source);
    const checked = program.check();
    if (!checked.valid) throw checked.error ?? new Error('does not type-check');
    if (checked.type !== 'bool' && checked.type !== 'dyn') throw new Error(`gives ${checked.type}, not a bool`);
    const found: Found = { tasks: new Set(), params: new Set(), refusals: [], perItem: false };
    walk(program.ast, found, false);
    for (const refusal of found.refusals) report('workflow.condition_refused', place, refusal);
    const { perItem } = found;
    return { source, tasks: [...found.tasks], params: [...found.params], perItem, evaluate: (scope) => evaluate(program, scope) };
  } catch (error) {
    report('workflow.condition_malformed', place, firstLine(error));
    return undefined;
  }
};

export const evaluate = (program: (scope: Record<string, unknown>) => unknown, scope: Readonly<Record<string, unknown>>): Verdict => {
  try {
    const value = program(typeof scope['index'] === 'number' ? { ...scope, index: BigInt(scope['index']) } : scope);
    return typeof value === 'boolean' ? { ok: true, value } : { ok: false, message: `the condition gave ${typeof value}, not a bool` };
  } catch (error) {
    return { ok: false, message: firstLine(error) };
  }
};

export const firstLine = (error: unknown): string =>
  String((error as Error).message ?? error)
    .split('\n')[0]!
    .slice(0, 500);

/** What no condition may hold, wherever it stands: see `refusedFunctions`, and a macro within a macro, which multiplies. */
export const refusalsIn = (node: ASTNode): readonly string[] => {
  const found: Found = { tasks: new Set(), params: new Set(), refusals: [], perItem: false };
  walk(node, found, false);
  return found.refusals;
};

type Found = { readonly tasks: Set<string>; readonly params: Set<string>; readonly refusals: string[]; perItem: boolean };

/** Finds the tasks and params that are named. They must be named literally: order comes from it. */
const walk = (node: ASTNode, found: Found, inMacro: boolean): void => {
  const named = literalAccess(node);
  if (named) return void found[named.root].add(named.name);
  switch (node.op) {
    case 'id':
      if (node.args === 'item' || node.args === 'index') found.perItem = true;
      if (node.args === 'tasks' || node.args === 'params')
        found.refusals.push(`${node.args} must be followed by a name: ${node.args}.x or ${node.args}["x"]`);
      return;
    case 'call':
    case 'rcall': {
      const [name] = node.args;
      if (refusedFunctions.has(name)) found.refusals.push(`${name}() is not offered`);
      const isMacro = macros.has(name);
      if (isMacro && inMacro) found.refusals.push(`${name}() inside another macro is not offered`);
      return children(node.args).forEach((n) => walk(n, found, inMacro || isMacro));
    }
    default:
      children(node.args).forEach((n) => walk(n, found, inMacro));
  }
};

const literalAccess = (node: ASTNode): { root: 'tasks' | 'params'; name: string } | undefined => {
  if (node.op !== '.' && node.op !== '[]') return undefined;
  const [root, key] = node.args;
  if (root.op !== 'id' || (root.args !== 'tasks' && root.args !== 'params')) return undefined;
  const name = typeof key === 'string' ? key : key.op === 'value' ? key.args : undefined;
  return typeof name === 'string' ? { root: root.args, name } : undefined;
};

const isNode = (value: unknown): value is ASTNode => typeof value === 'object' && value !== null && 'op' in value && 'args' in value;
const children = (args: unknown): ASTNode[] => {
  if (isNode(args)) return [args];
  return Array.isArray(args) ? args.flatMap(children) : [];
};
