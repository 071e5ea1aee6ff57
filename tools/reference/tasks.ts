import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { allTasks, taskGroups, type TaskContract, type TaskGroup } from '@chrysalis/contracts';
import { format, resolveConfig } from 'prettier';
import { z } from 'zod';

// Writes docs/reference/tasks.md from the contracts: `node tools/reference/tasks.ts`. A test compares the two.

const root = path.resolve(import.meta.dirname, '../..');
const file = path.join(root, 'docs/reference/tasks.md');

const head = `# Tasks

What a step of a [workflow](workflow.md) can be beside what the engine does itself (\`workflow.…\`). Each runs at least once, and is idempotent by workflow, task, action and attempt, and by the state that it leads to. This page is made from the contracts in \`libs/contracts/src\` by \`node tools/reference/tasks.ts\`.

- **Route**: those of \`agent-gateway\` go to a host, \`host:ID\`; the others to a service, by its group.
- **?** behind a name: it may be left out. What it may be in full is in the JSON Schema of the OpenAPI and AsyncAPI documents.
`;

const of: Readonly<Record<TaskGroup, string>> = {
  provisioning: 'VMs, volumes, networks and addresses as they are recorded',
  'resource-allocation': 'holds in the ledger',
  'migration-templates': 'options and migrations of sets',
  'agent-gateway': 'what hosts do, and the agents in their guests',
  workflow: 'the engine’s own',
};

export const reference = async (): Promise<string> => {
  const all = Object.values(allTasks) as TaskContract[];
  const groups = taskGroups.flatMap((group) => {
    const tasks = all.filter((t) => t.group === group).sort((a, b) => (a.kind < b.kind ? -1 : 1));
    return tasks.length === 0 ? [] : [`## ${group}: ${of[group]}`, ...tasks.map(entry)];
  });
  return format([head, ...groups].join('\n\n'), { ...(await resolveConfig(file)), parser: 'markdown' });
};

const entry = ({ kind, summary, input, output }: TaskContract): string =>
  [`### \`${kind}\``, '', `${plain(summary)}.`, '', `- takes ${members(input)}`, `- answers ${members(output)}`].join('\n');

type Schema = {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
};

const members = (schema: z.ZodType): string => {
  const { properties = {}, required = [], anyOf, oneOf } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema;
  if (anyOf ?? oneOf) return 'one of several shapes';
  const all = Object.entries(properties).map(([name, s]) => `\`${name}\`${required.includes(name) ? '' : '?'} ${said(s)}`);
  return all.length === 0 ? 'nothing' : all.join(', ');
};

const said = (s: Schema): string => {
  if (s.enum) return s.enum.map(String).join(' | ');
  if (s.type === 'array') return `list of ${said(s.items ?? {})}`;
  if (s.anyOf ?? s.oneOf) return 'one of several';
  return { string: 'text', integer: 'number', number: 'number', boolean: 'yes or no', object: 'object' }[s.type ?? ''] ?? 'anything';
};

/** What Markdown would read is escaped; a summary ends here. */
const plain = (text: string): string => text.replace(/\.$/, '').replaceAll(/[<>]/g, (c) => (c === '<' ? '&lt;' : '&gt;'));

if (import.meta.main) await writeFile(file, await reference());
export const written = (): Promise<string> => readFile(file, 'utf8');
