import { jest } from '@jest/globals';
import { buildProgram } from '../program.ts';

export type InProcess = { readonly out: string; readonly said: string; readonly error?: Error };

/** `chrysalis` in this process: some forty of them take no longer than one of their own. `said` is what it says beside its data. */
export const inProcess = async (server: string, token: string, line: string | readonly string[]): Promise<InProcess> => {
  const [out, said]: [string[], string[]] = [[], []];
  const spies = (
    [
      ['stdout', out],
      ['stderr', said],
    ] as const
  ).map(([name, kept]) =>
    jest.spyOn(process[name], 'write').mockImplementation((text: string | Uint8Array): boolean => kept.push(String(text)) > 0),
  );
  try {
    const words = typeof line === 'string' ? line.split(' ').filter(Boolean) : line;
    await buildProgram().parseAsync(['--server', server, '--token', token, ...words], { from: 'user' });
    return { out: out.join(''), said: said.join('') };
  } catch (error) {
    return { out: out.join(''), said: said.join(''), error: error as Error };
  } finally {
    for (const spy of spies) spy.mockRestore();
    process.exitCode = undefined;
  }
};
