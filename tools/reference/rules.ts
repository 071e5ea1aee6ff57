import { globSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CODES, nextOf, TemplateOptions, type Code } from '@chrysalis/contracts';
import { policies } from '@chrysalis/placement';
import { format, resolveConfig } from 'prettier';
import ts from 'typescript';
import { z } from 'zod';

// Writes docs/reference/rules.md from the code that decides and the catalogue of codes: `node tools/reference/rules.ts`. A test compares.

const root = path.resolve(import.meta.dirname, '../..');
const file = path.join(root, 'docs/reference/rules.md');
const CORE = 'libs/migration-templates/core/src';

type Area = Readonly<{ title: string; about: string; severity: (code: Code) => string; files: readonly string[] }>;
const critical = (): string => 'critical';
const asked = (code: Code): string => ('status' in CODES[code] ? 'refused' : 'ends the set');

/** Which files decide what. One that says a code and stands in none of these is a fault of this list. */
export const areas: readonly Area[] = [
  {
    title: 'Does a VM fit a host',
    about: `One engine, for new VMs, options, plans, the start of a migration and the hold that a move takes ([ADR 43](../adr/0043-one-engine-says-what-fits.md)). In this order: ${policies.map((p) => p.name).join(', ')}; and of a move driver, method, local-disks.`,
    severity: critical,
    files: ['libs/placement/src/policies.ts', 'libs/placement/src/place.ts', `${CORE}/fit.ts`, `${CORE}/copied-disks.ts`],
  },
  {
    title: 'Can a VM go this way',
    about:
      'Of options and of plans: a reason against one VM. Where none is left an option is offered, and a plan is ready. A plan says all that stand against it at once.',
    severity: critical,
    files: ['option-verdict.ts', 'save-and-restore.ts', 'observed.ts', 'options.ts', 'plan.ts', 'choose-hosts.ts'].map(
      (f) => `${CORE}/${f}`,
    ),
  },
  {
    title: 'May the guest be asked',
    about:
      'By the agent in it, under a grant. Critical where a step needs it; else the move goes without, and the plan says what it does not compare.',
    severity: () => 'critical, or a warning where no step needs the guest',
    files: [`${CORE}/guest-access.ts`],
  },
  {
    title: 'Is a template one',
    about:
      'Each at its place in the spec (`hotPlug.0.vcpus`); `chrysalis template validate` tells all of them, and none is published with any.',
    severity: critical,
    files: ['template-faults.ts', 'judge-template.ts', 'template.ts'].map((f) => `${CORE}/${f}`),
  },
  {
    title: 'May a set begin, and go on',
    about: 'What is refused when it is asked for, and what ends a set before each of its VMs has gone.',
    severity: asked,
    files: ['migration.ts', 'approval.ts', 'sets/pace.ts', 'select.ts'].map((f) => `${CORE}/${f}`),
  },
  {
    title: 'What an agent found',
    about: 'Of queries and of characterisations.',
    severity: () => 'refused',
    files: ['options-query.ts', 'characterisation.ts', 'standing.ts'].map((f) => `${CORE}/${f}`),
  },
];

const head = `# Rules, options and findings

What decides whether a VM, a template or a set can go, each with its code. This page is made from the code that decides, and from the catalogue of [codes](codes.md), by \`node tools/reference/rules.ts\`.

- **Severity**: *critical* stands against it; *warning* is said, and stands against nothing; *refused* is an answer; *ends the set* is the cause that it ends with.
- **Evidence**: what comes with the code beside its words; \`subject\` is the VM, host, type or step that it is about.
- In \`{}\` stands what is filled in.
`;

type Finding = Readonly<{ code: Code; evidence: readonly string[]; remedy: string | undefined; file: string }>;

/** Every code that these folders say, and where. */
export const findings = (): readonly Finding[] =>
  globSync(['libs/placement/src/**/*.ts', `${CORE}/**/*.ts`], { cwd: root })
    .filter((f) => !/\.test\.ts$|\/test\/|\/compile\//.test(f))
    .sort()
    .flatMap(findingsIn);

const findingsIn = (name: string): Finding[] => {
  const found: Finding[] = [];
  const source = ts.createSourceFile(name, readFileSync(path.join(root, name), 'utf8'), ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    if ((ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) && Object.hasOwn(CODES, node.text) && isSaid(node))
      found.push({ code: node.text as Code, file: name, ...saidWith(node) });
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
};

/** Not a type, a comparison, or the name of a member. */
const isSaid = (node: ts.StringLiteralLike): boolean => {
  const { parent } = node;
  if (ts.isLiteralTypeNode(parent) || ts.isCaseClause(parent)) return false;
  if (ts.isPropertyAssignment(parent) && parent.name === (node as ts.Node)) return false;
  return !(ts.isBinaryExpression(parent) && parent.operatorToken.kind !== ts.SyntaxKind.QuestionQuestionToken);
};

/** What stands beside it: in the object that it is a member of, or in the call that it is an argument of. */
const saidWith = (node: ts.Node): Pick<Finding, 'evidence' | 'remedy'> => {
  const call = ts.findAncestor(node, (n) => ts.isCallExpression(n) || ts.isObjectLiteralExpression(n) || ts.isArrowFunction(n));
  if (!call) return { evidence: [], remedy: undefined };
  if (ts.isObjectLiteralExpression(call)) return ofObject(call);
  if (!ts.isCallExpression(call)) return { evidence: [], remedy: undefined };
  const name = call.expression.getText();
  if (name === 'blocker') return { evidence: ['subject'], remedy: textOf(call.arguments[3]) };
  if (name === 'refusal') return { evidence: namesOf(call.arguments[3]), remedy: textOf(call.arguments[2]) };
  if (name !== 'add') return { evidence: [], remedy: undefined };
  // Of a VM's shape a code comes first, and of a template its place.
  return call.arguments[0] === node
    ? { evidence: ['subject'], remedy: textOf(call.arguments[2]) }
    : { evidence: ['path'], remedy: undefined };
};

const own = new Set(['code', 'message', 'remedy', 'ok', 'is', 'retriable']);
const ofObject = (object: ts.ObjectLiteralExpression): Pick<Finding, 'evidence' | 'remedy'> => {
  const member = (name: string): ts.Expression | undefined =>
    object.properties.find((p): p is ts.PropertyAssignment => ts.isPropertyAssignment(p) && p.name.getText() === name)?.initializer;
  const evidence = member('evidence');
  return { evidence: evidence ? namesOf(evidence) : namesOf(object).filter((n) => !own.has(n)), remedy: textOf(member('remedy')) };
};

const namesOf = (node: ts.Node | undefined): string[] =>
  node && ts.isObjectLiteralExpression(node) ? node.properties.flatMap((p) => (p.name ? [p.name.getText()] : [])) : [];

const textOf = (node: ts.Node | undefined): string | undefined => {
  if (!node) return undefined;
  if (ts.isArrowFunction(node)) return textOf(node.body);
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return undefined;
  const filled = (e: ts.Expression): string => (/^[\w.]+$/.test(e.getText()) ? `{${e.getText().split('.').at(-1)!}}` : '{…}');
  return node.head.text + node.templateSpans.map((s) => filled(s.expression) + s.literal.text).join('');
};

export const reference = async (): Promise<string> => {
  const all = findings();
  const parts = areas.map((area) => section(area, all.filter((f) => area.files.includes(f.file)))); // prettier-ignore
  return format([head, ...parts, options()].join('\n\n'), { ...(await resolveConfig(file)), parser: 'markdown' });
};

const section = ({ title, about, severity }: Area, found: readonly Finding[]): string => {
  const codes = [...new Set(found.map((f) => f.code))].sort();
  const rows = codes.map((code) => row(code, severity(code), found.filter((f) => f.code === code))); // prettier-ignore
  return [
    `## ${title}`,
    '',
    about,
    '',
    '| code | severity | means | evidence | remedy | decided in |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
};

const row = (code: Code, severity: string, said: readonly Finding[]): string => {
  const unique = (texts: readonly string[]): string[] => [...new Set(texts)];
  const remedies = unique(said.flatMap((f) => f.remedy ?? []));
  const remedy = remedies.length > 0 ? remedies.join('; or ') : (nextOf(code) ?? [CODES[code].next].flat().at(-1)!);
  const evidence = unique(said.flatMap((f) => f.evidence)).map((e) => `\`${e}\``);
  const files = unique(said.map((f) => f.file)).map((f) => `[${path.basename(f)}](../../${f})`);
  return `| \`${code}\` | ${severity} | ${cell(CODES[code].title)} | ${evidence.join(', ')} | ${cell(remedy)} | ${files.join(', ')} |`;
};

type Member = { readonly description?: string; readonly enum?: readonly string[]; readonly type?: string };
const options = (): string => {
  const { properties = {} } = z.toJSONSchema(TemplateOptions, { io: 'input' }) as { properties?: Readonly<Record<string, Member>> };
  const values = (m: Member): string =>
    m.enum?.join(', ') ?? { boolean: 'yes or no', integer: 'number', array: 'list' }[m.type ?? ''] ?? '';
  return [
    '## Options',
    '',
    'What a template chooses, and by what an option of `chrysalis options query` differs from another: its id is `TYPE@VERSION/move/METHOD/NEW-RESOURCES`, or `TYPE@VERSION/morph/NEW-RESOURCES` where the VM stays on its host.',
    '',
    '| option | of | what it does |',
    '| --- | --- | --- |',
    ...Object.entries(properties).map(([name, m]) => `| \`${name}\` | ${values(m)} | ${cell(m.description ?? '')} |`),
  ].join('\n');
};

/** Outside of code, what Markdown or HTML would read is escaped. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/[<>]/g, (c) => (c === '<' ? '&lt;' : '&gt;'));

if (import.meta.main) await writeFile(file, await reference());
export const written = (): Promise<string> => readFile(file, 'utf8');
