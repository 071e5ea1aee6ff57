import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { codeAreas, formerCodes, type CodeEntry } from '@chrysalis/contracts';
import { format, resolveConfig } from 'prettier';

// Writes docs/reference/codes.md from the catalogue: `node tools/reference/codes.ts`. A test compares the two.

const root = path.resolve(import.meta.dirname, '../..');
const file = path.join(root, 'docs/reference/codes.md');

const head = `# Codes

Whatever is refused, or did not happen, has a code. A code never changes its meaning, and one meaning has one code. This page is made from
the catalogue in \`libs/contracts/src/codes\` by \`node tools/reference/codes.ts\`.

- **Status**: of the answer over HTTP, a problem document (RFC 9457) with \`code\`, \`title\`, \`detail\`, \`next\` and the evidence. A code
  without one comes inside of another answer: as the cause of a task or an operation, as a blocker of a plan, as a fault of a definition, or
  over an agent's connection.
- **404**: there is no such thing as the path names. Where a member of the body names it, the same code comes with **422**.
- **Next**: what to do next. What stands in \`{}\` is filled with that member of the problem; where it has none, the text behind ‘or’ counts.
- A code that is not here comes from an agent of another version, or from an older event: it is shown as it is.
`;

export const reference = async (): Promise<string> => {
  const parts = Object.entries(codeAreas).map(([area, codes]) => `## ${area}\n\n${table(codes)}`);
  return format([head, ...parts, former()].join('\n\n'), { ...(await resolveConfig(file)), parser: 'markdown' });
};

const table = (codes: Readonly<Record<string, CodeEntry>>): string =>
  ['| code | status | what it says | next |', '| --- | --- | --- | --- |', ...Object.entries(codes).map(([code, e]) => row(code, e))].join(
    '\n',
  );

const former = (): string =>
  [
    '## Former names',
    '',
    'They stand in older events, and agents of older versions say them.',
    '',
    ...Object.entries(formerCodes).map(([old, code]) => `- \`${old}\`: \`${code}\``),
  ].join('\n');

const row = (code: string, { status, title, next }: CodeEntry): string =>
  `| \`${code}\` | ${status ?? ''} | ${cell(title)} | ${[next].flat().map(cell).join('; or ')} |`;

/** Outside of code, what Markdown or HTML would read is escaped. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/[<>]/g, (c) => (c === '<' ? '&lt;' : '&gt;'));

if (import.meta.main) await writeFile(file, await reference());
export const written = (): Promise<string> => readFile(file, 'utf8');
