import type { LogLine } from '@chrysalis/api-client';

/** Output of scripts and agents is text of its own: below the line, set off. */
const INDENT = ' '.repeat(14);
const MAX_CHARACTERS = 4_000;

export const logLine = ({ at, level, vmId, section, step, message, said }: LogLine): string => {
  const mark = level === 'error' ? 'x' : level === 'warn' ? '!' : ' ';
  const where = step === undefined ? '' : `${section}/${step}  `;
  return [`${at.slice(11, 23)} ${mark} ${vmId === undefined ? '' : `${vmId.slice(-8)}  `}${where}${message}`, ...saidLines(said)].join(
    '\n',
  );
};

/** `stdout` and the like as they are, other members as one line each. */
const saidLines = (said: unknown): string[] => {
  if (said === undefined) return [];
  if (typeof said !== 'object' || said === null) return indented(String(said));
  return Object.entries(said).flatMap(([name, value]) => {
    if (typeof value !== 'string') return indented(`${name}: ${JSON.stringify(value)}`);
    if (value === '') return [];
    return value.includes('\n') ? [...indented(`${name}:`), ...indented(value.trimEnd(), '  ')] : indented(`${name}: ${value}`);
  });
};
const indented = (text: string, more = ''): string[] => {
  const cut = text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)} … (-o json has all of it)` : text;
  return cut.split('\n').map((line) => `${INDENT}${more}${line}`);
};
