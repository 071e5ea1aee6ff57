import { spawn } from 'node:child_process';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');

/** What ESLint says of this text if it stood in that file. */
const lint = (file: string, text: string): Promise<string> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, ['node_modules/eslint/bin/eslint.js', '--stdin', '--stdin-filename', file, '--format', 'json'], {
      cwd: root,
      env: { ...process.env, NX_DAEMON: 'false' },
    });
    let out = '';
    child.stdout.on('data', (d: Buffer) => (out += d.toString()));
    child.on('close', () => resolve(out));
    child.stdin.end(text);
  });
export const rulesBroken = async (file: string, text: string): Promise<string[]> => {
  const [result] = JSON.parse(await lint(file, text)) as { messages: { ruleId: string; severity: number }[] }[];
  return result!.messages.filter((m) => m.severity === 2).map((m) => m.ruleId);
};
