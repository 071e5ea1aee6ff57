import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { connectionOf, type GlobalOptions } from '../context.ts';
import { print } from '../show/output.ts';

const ownVersion = (): string =>
  (JSON.parse(readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8')) as { version: string }).version;

/** Says also what the server is, if there is one; that there is none is no fault. */
export const versionCommand = (program: Command): void => {
  program
    .command('version')
    .description('of this command, and of the control plane if it answers')
    .action(async (_: unknown, self: Command) => {
      const options = self.optsWithGlobals<GlobalOptions>();
      const found = { client: ownVersion(), ...(await serverVersion(options)) };
      await print(options.output ?? 'table', found, () =>
        Object.entries(found)
          .map(([k, v]) => `${k} ${v}`)
          .join('\n'),
      );
    });
};

const serverVersion = async (options: GlobalOptions): Promise<{ server?: string; api?: string }> => {
  try {
    const { server } = connectionOf(options);
    const response = await fetch(`${server}/openapi.json`, { signal: AbortSignal.timeout(2_000) });
    return { server, api: ((await response.json()) as { info: { version: string } }).info.version };
  } catch {
    return {};
  }
};
