import { clearLine, cursorTo } from 'node:readline';

/** Words for a person: on stdout, or on stderr where stdout carries the report. A line that changes is rewritten on a terminal only. */
export type Screen = { title(text: string): void; line(text?: string): void; live(text: string): void; settle(): void };

export const createScreen = (stream: NodeJS.WriteStream): Screen => {
  let open = false;
  let lastLive = 0;
  const settle = (): void => {
    if (!open) return;
    stream.write('\n');
    open = false;
  };
  return {
    settle,
    title: (text) => {
      settle();
      stream.write(`\n${stream.isTTY ? `\x1b[1m${text}\x1b[0m` : text}\n`);
    },
    line: (text = '') => {
      settle();
      stream.write(`  ${text}\n`);
    },
    live: (text) => {
      if (!stream.isTTY) {
        if (Date.now() - lastLive < 1000) return; // a log wants a line a second, not a hundred
        lastLive = Date.now();
        stream.write(`  ${text}\n`);
        return;
      }
      clearLine(stream, 0);
      cursorTo(stream, 0);
      stream.write(`  ${text}`);
      open = true;
    },
  };
};

export const bar = (done: number, total: number, width = 24): string => {
  const filled = total > 0 ? Math.round((Math.min(done, total) / total) * width) : 0;
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]`;
};
export const mib = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`;

/** Columns of text, the first row being the heads. */
export const table = (rows: readonly (readonly string[])[]): string[] => {
  const widths = rows[0]!.map((_, c) => Math.max(...rows.map((r) => (r[c] ?? '').length)));
  return rows.map((r) => r.map((cell, c) => (c === r.length - 1 ? cell : cell.padEnd(widths[c]!))).join('  '));
};
