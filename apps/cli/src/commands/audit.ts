import type { Erased, Finding } from '@chrysalis/contracts';
import type { Command } from 'commander';
import { changing, duration, examples, finish, operationText } from '../command.ts';
import { exits } from '../exit.ts';
import { onInterrupt } from '../interrupt.ts';
import { onwardLines } from '../show/standing.ts';
import { print, table } from '../show/output.ts';

type Removed = readonly ({ readonly results: readonly Erased[] } | null)[] | null | undefined;
/** What the workflow `audit-host` gives. */
type Audited = {
  readonly hostId: string;
  readonly checked: number;
  readonly expected: number;
  readonly more: boolean;
  readonly findings: readonly Finding[];
  readonly removed?: Removed;
  readonly removedOthers?: Removed;
};

export const auditCommand = (host: Command): void => {
  examples(
    changing(
      host
        .command('audit')
        .argument('<host>')
        .description(
          'what a host has of VMs, volumes and networks and is not to have, and what it has not and is to. Removes nothing unless told',
        )
        .option('--remove', 'take away what is ours and not to be there; what is in use, busy or unknown stays')
        .option('--min-age <time>', 'what is younger is told as busy and stays, e.g. 0s, 10m; 5m unless told', duration)
        .option('--no-wait', 'do not wait for its end')
        .option('--timeout <time>', 'wait at most so long', duration, 600_000),
      async (run) => {
        const { client, options, args, format } = run;
        const minAgeMs = options['minAge'] as number | undefined;
        const body = { remove: options['remove'] === true, ...(minAgeMs === undefined ? {} : { minAgeMs }) };
        const answer = await client.post('/v1/hosts/{id}/audit', { path: { id: args[0]! }, body });
        if (options['wait'] === false) return finish({ ...run, options: { ...options, wait: false } }, answer, 'started');
        const { waitShown } = await import('../show/live.ts');
        onInterrupt(`${answer.operation} goes on`, `chrysalis operation watch ${answer.operation}`);
        const operation = await waitShown(client, answer.operation, { timeoutMs: options['timeout'], quiet: run.quiet });
        if (operation.state !== 'succeeded') {
          await print(format, { ...answer, ...operation }, () => operationText(operation));
          for (const line of onwardLines(operation)) process.stderr.write(`${line}\n`);
          return exits.failed;
        }
        const { output } = await client.get('/v1/workflows/{id}', { path: { id: answer.workflowId }, query: { items: 'none' } });
        const audited = output as Audited;
        await print(format, audited, () => auditText(audited));
        return exits.ok;
      },
      ({ hostId, remove }) =>
        `${String(hostId)} would be audited${remove === true ? `, and its orphans removed; which those are: chrysalis host audit ${String(hostId)}` : ''}`,
    ),
    'host audit h1',
    'host audit h1 --remove',
    'host audit h1 --remove --dry-run',
  );
};

const bytesText = (bytes: number): string => (bytes === 0 ? '' : bytes < 1_048_576 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1_048_576).toFixed(1)} MiB`); // prettier-ignore
const order: readonly Finding['verdict'][] = ['missing', 'orphan', 'busy', 'unknown'];

const auditText = ({ hostId, checked, expected, more, findings, removed, removedOthers }: Audited): string => {
  const done = new Map(
    [removed, removedOthers].flatMap((r) => (r ?? []).flatMap((g) => g?.results ?? [])).map((e) => [`${e.kind} ${e.id}`, e]),
  );
  const what = ({ kind, id }: Finding): Erased | undefined => done.get(`${kind} ${id}`);
  const rows = [...findings].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));
  const columns = {
    what: (f: Finding) => f.kind,
    id: (f: Finding) => f.id,
    of: (f: Finding) => (f.of === f.id ? '' : f.of),
    is: (f: Finding) => f.verdict,
    holds: (f: Finding) => bytesText(f.bytes),
    ...(done.size > 0 ? { done: (f: Finding) => what(f)?.done } : {}),
    why: (f: Finding) => what(f)?.why ?? f.why,
  };
  const counted = `${hostId} has ${checked} of VMs, volumes and networks; ${expected} ${expected === 1 ? 'is' : 'are'} to be there.`;
  const freed = [...done.values()].reduce((sum, e) => sum + e.bytes, 0);
  return [
    ...(rows.length > 0 ? [table(columns, rows), ''] : []),
    `${counted}${freed > 0 ? ` ${bytesText(freed)} are free again.` : ''}`,
    ...(more ? ['There is more than one audit has room for: audit it again after these are gone.'] : []),
    ...(done.size === 0 && rows.some((f) => f.verdict === 'orphan') ? [`next: chrysalis host audit ${hostId} --remove`] : []),
  ].join('\n');
};
