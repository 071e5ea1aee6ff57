import type { Command } from 'commander';
import { action, collect, examples, vmOf, type Run } from '../command.ts';
import { UsageError } from '../errors.ts';
import { exits } from '../exit.ts';
import { labelChanges, labelsText } from '../show/labels.ts';
import { restartOption } from '../show/restart.ts';
import { fields, print } from '../show/output.ts';

export const setVm = (vm: Command): void => {
  examples(
    action(
      vm
        .command('set')
        .argument('<vm>', 'id or name')
        .description('change what a VM is called, its labels, or what is done where it goes off though it is meant to run')
        .option('--name <name>', 'what it is called; its guest is not told')
        .option('--label <KEY=VALUE>', 'set a label, or with KEY- take it away; again for more', collect)
        .addOption(restartOption())
        .option('--dry-run', 'only say whether it could be done'),
      set,
    ),
    'vm set web --restart on-failure',
    'vm set web --name shop --label team=web --label old-',
  );
};

const set = async (run: Run): Promise<number> => {
  const { name, label, restart, dryRun: trial } = run.options;
  if (name === undefined && !label && !restart) throw new UsageError('nothing to change: say --name, --label or --restart');
  const { vmId } = await vmOf(run.client, run.args[0]!);
  const answer = await run.client.patch('/v1/vms/{id}', {
    path: { id: vmId },
    body: { ...(name === undefined ? {} : { name }), ...(label ? { labels: labelChanges(label) } : {}), ...(restart ? { restart } : {}) },
    query: { dryRun: trial ? 'true' : undefined },
  });
  await print(run.format, answer, () =>
    fields({ [trial ? 'would be' : 'vm']: vmId, name: answer.name, labels: labelsText(answer.labels), restart: answer.restart }),
  );
  return exits.ok;
};
