export type Format = 'table' | 'json' | 'yaml';
export const formats: readonly Format[] = ['table', 'json', 'yaml'];
/** A heading and how a cell is made; what is not there is a dash. */
export type Columns<T> = Readonly<Record<string, (row: T) => unknown>>;

const cell = (value: unknown): string => (value === undefined || value === null || value === '' ? '-' : String(value));

/** Columns two blanks apart, nothing drawn: good for eyes and for `awk`. */
export const table = <T>(columns: Columns<T>, rows: readonly T[]): string => {
  const heads = Object.keys(columns);
  const lines = [heads.map((h) => h.toUpperCase()), ...rows.map((r) => heads.map((h) => cell(columns[h]!(r))))];
  const widths = heads.map((_, i) => Math.max(...lines.map((l) => l[i]!.length)));
  return lines.map((l) => l.map((c, i) => (i === heads.length - 1 ? c : c.padEnd(widths[i]!))).join('  ')).join('\n');
};

/** `name: value` lines of one thing. */
export const fields = (pairs: Readonly<Record<string, unknown>>): string => {
  const shown = Object.entries(pairs).filter(([, v]) => v !== undefined && v !== null && v !== '');
  const width = Math.max(...shown.map(([k]) => k.length));
  return shown.map(([k, v]) => `${`${k}:`.padEnd(width + 2)}${String(v).replaceAll('\n', `\n${' '.repeat(width + 2)}`)}`).join('\n');
};

/** Data on stdout in the form asked for; `text` makes the one for people. */
export const print = async (format: Format, data: unknown, text: () => string): Promise<void> => {
  const out =
    format === 'json' ? JSON.stringify(data, null, 2) : format === 'yaml' ? (await import('yaml')).stringify(data).trimEnd() : text();
  await write(`${out}\n`);
};
/** One thing of a stream: a line of JSON, or a document of YAML, or text. */
export const printOne = async (format: Format, data: unknown, text: () => string): Promise<void> => {
  if (format === 'json') return write(`${JSON.stringify(data)}\n`);
  return format === 'yaml' ? write(`---\n${(await import('yaml')).stringify(data)}`) : write(`${text()}\n`);
};

const write = (text: string): Promise<void> =>
  new Promise((resolve) => void (process.stdout.write(text) ? resolve() : process.stdout.once('drain', resolve)));

export const ref = (r: { name: string; version: number } | undefined): string | undefined => r && `${r.name}@${r.version}`;
export const mib = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`;
export const age = (at: string | undefined): string => {
  if (!at) return '-';
  const s = Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000));
  if (s < 120) return `${s}s`;
  return s < 7200 ? `${Math.round(s / 60)}m` : s < 172_800 ? `${Math.round(s / 3600)}h` : `${Math.round(s / 86_400)}d`;
};
export const took = (from: string | undefined, to: string | undefined): string | undefined => {
  if (!from || !to) return undefined;
  const ms = Date.parse(to) - Date.parse(from);
  return ms < 10_000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
};
