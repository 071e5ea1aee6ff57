import { jest } from '@jest/globals';
import { buildProgram } from '../program.ts';

export type InProcess = { readonly out: string; readonly error?: Error };

/** `chrysalis` in this process: some forty of them take no longer than one of their own. Data alone is kept of what it says. */
export const inProcess = async (server: string, token: string, line: string): Promise<InProcess> => {
  const out: string[] = [];
  const write = (text: string | Uint8Array): boolean => out.push(String(text)) > 0;
  const spies = [jest.spyOn(process.stdout, 'write').mockImplementation(write), jest.spyOn(process.stderr, 'write').mockReturnValue(true)];
  try {
    await buildProgram().parseAsync(['--server', server, '--token', token, ...line.split(' ').filter(Boolean)], { from: 'user' });
    return { out: out.join('') };
  } catch (error) {
    return { out: out.join(''), error: error as Error };
  } finally {
    for (const spy of spies) spy.mockRestore();
    process.exitCode = undefined;
  }
};
