import type { Command } from 'commander';
import { action, collect, examples, vmOf, type Run } from '../command.ts';
import { UsageError } from '../errors.ts';
import { exits } from '../exit.ts';
import { labelChanges, labelsText } from '../show/labels.ts';
import { restartOption } from '../show/restart.ts';
import { fields, print } from '../show/output.ts';
import { startFields } from '../show/pending.ts';

export const setVm = (vm: Command): void => {
  examples(
    action(
      vm
        .command('set')
        .argument('<vm>', 'id or name')
        .description(
          'change what a VM is called, its labels, what it boots from, or what is done where it goes off though it is meant to run',
        )
        .option('--name <name>', 'what it is called; its guest is not told')
        .option('--label <KEY=VALUE>', 'set a label, or with KEY- take it away; again for more', collect)
        .addOption(restartOption())
        .option(
          '--boot-order <devices>',
          'from its next start on: disks, volumes and networks that it has, `root,back`; `default`: as its image',
          collect,
        )
        .option('--dry-run', 'only say whether it could be done'),
      set,
    ),
    'vm set web --restart on-failure',
    'vm set web --name shop --label team=web --label old-',
    'vm set web --boot-order rescue,root',
  );
};

const set = async (run: Run): Promise<number> => {
  const { name, label, restart, bootOrder: devices, dryRun: trial } = run.options;
  if (name === undefined && !label && !restart && devices === undefined)
    throw new UsageError('nothing to change: say --name, --label, --boot-order or --restart');
  const { vmId } = await vmOf(run.client, run.args[0]!);
  const bootOrder = devices === undefined ? {} : { bootOrder: await idsOf(run, vmId, devices as string[]) };
  const answer = await run.client.patch('/v1/vms/{id}', {
    path: { id: vmId },
    body: {
      ...(name === undefined ? {} : { name }),
      ...(label ? { labels: labelChanges(label) } : {}),
      ...(restart ? { restart } : {}),
      ...bootOrder,
    },
    query: { dryRun: trial ? 'true' : undefined },
  });
  await print(run.format, answer, () =>
    fields({
      [trial ? 'would be' : 'vm']: vmId,
      name: answer.name,
      labels: labelsText(answer.labels),
      restart: answer.restart,
      ...startFields(answer),
    }),
  );
  return exits.ok;
};

/** What people call volumes and networks; of a name that neither has, a disk or a NIC of its type. */
const idsOf = async ({ client }: Run, vmId: string, names: readonly string[]): Promise<string[]> => {
  if (names.length === 1 && names[0] === 'default') return [];
  const [{ topology }, volumes] = await Promise.all([
    client.get('/v1/vms/{id}', { path: { id: vmId } }),
    client.all('/v1/volumes', { vm: vmId }),
  ]);
  const own = [...(topology?.disks ?? []), ...(topology?.nics ?? [])].map((d) => d.id);
  const idOf = async (name: string): Promise<string> => {
    const volume = volumes.find((v) => v.name === name && own.includes(v.volumeId));
    if (own.includes(name) || volume) return volume?.volumeId ?? name;
    const networks = await client.all('/v1/networks', { name });
    return networks.find((n) => own.includes(n.networkId))?.networkId ?? name;
  };
  return Promise.all(names.map(idOf));
};
