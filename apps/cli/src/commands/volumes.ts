import type { Client, Volume } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, assertNamed, dryRun, examples, finish, listCommand, positive, vmOf, waits, type Run } from '../command.ts';
import { RefusedError, SeveralNamedError, UsageError } from '../errors.ts';
import { exits } from '../exit.ts';
import { vmIdOf } from '../named.ts';
import { age, fields, print, ref } from '../show/output.ts';
import { placementText } from '../show/placement.ts';
import { imagesThere } from './images.ts';
import { poolsNamed } from './pools.ts';

export const volumeCommands = (program: Command): void => {
  const volume = program.command('volume').description('disks that outlive the VM they are attached to');
  examples(
    listCommand(volume.command('list').alias('ls').description('the volumes, newest first'), {
      path: '/v1/volumes',
      filters: {
        state: 'creating, available, attached, deleting, deleted, failed or all',
        pool: 'in pools of this name',
        vm: 'that this VM has, by id or name',
      },
      named: { pool: async (client, text) => (await poolsNamed(client, text))[0].name, vm: vmIdOf },
      empty: 'No volumes. Make one with: chrysalis volume create NAME --size 1024',
      columns: {
        id: (v) => v.volumeId,
        name: (v) => v.name,
        state: (v) => v.state,
        'size MiB': (v) => v.sizeMiB,
        pool: (v) => v.pool,
        host: (v) => v.hostId,
        vm: (v) => v.vmId,
        'under way': (v) => v.action?.action,
        age: (v) => age(v.createdAt),
      },
    }),
    'volume list',
    'volume list --state available -o json',
    'volume list --vm web',
  );
  examples(
    action(volume.command('get').argument('<volume>', 'id or name').description('a volume: state, size and place'), async (run) => {
      const found = await volumeOf(run.client, run.args[0]!);
      const { diskSerial } = await import('@chrysalis/contracts'); // not at start: only this asks for it
      await print(run.format, found, () => volumeText(found, diskSerial(found.volumeId)));
    }),
    'volume get data',
  );
  createCommand(volume);
  attachCommands(volume);
  deleteCommand(volume);
};

const createCommand = (volume: Command): void => {
  examples(
    action(
      waits(
        volume
          .command('create')
          .argument('<name>')
          .description('make a volume, blank or with what an image or another volume has')
          .option('--size <MiB>', 'in MiB; without it as large as what it is made of', positive)
          .option('--from-image <image>', 'a copy of a disk image, `debian` or `debian@1`')
          .option('--from-volume <volume>', 'a copy of a volume that no VM has, by id or name')
          .option('--pool <pool>', 'storage pool; else the shared one')
          .option('--host <host>', 'made there; in a pool that only this host sees it stays there')
          .option('--dry-run', 'only say whether it could be made, and where'),
      ),
      create,
    ),
    'volume create data --size 1024 --wait',
    'volume create scratch --size 4096 --pool local --host h1',
    'volume create web --from-image debian@1 --size 4096 --wait',
    'volume create copy --from-volume data --wait',
  );
};

const create = async (run: Run): Promise<number> => {
  const { pool, host, size, dryRun: trial } = run.options as { pool?: string; host?: string; size?: number; dryRun?: true };
  const { from, sizeMiB = size } = await sourceOf(run);
  const at = host === undefined ? {} : { host };
  const body = {
    name: run.args[0]!,
    ...(size === undefined ? {} : { sizeMiB: size }),
    ...(from ? { from } : {}),
    ...(pool === undefined ? {} : { pool }),
    ...at,
  };
  if (trial) await run.client.post('/v1/volumes', { body, query: dryRun }); // refuses what the real one would
  const { DEFAULT_POOL } = await import('@chrysalis/contracts'); // not at start: only this asks for it
  const where = await run.client.post('/v1/volume-placements', { body: { pool: pool ?? DEFAULT_POOL, sizeMiB: sizeMiB ?? 1, ...at } });
  if (trial) await print(run.format, where, () => placementText(where));
  // Known by now: else it would be made, and be left as one that failed a moment later.
  else if (where.candidates.length === 0) throw new RefusedError(placementText(where));
  else return finish(run, await run.client.post('/v1/volumes', { body }), `creating ${body.name}`);
  return where.candidates.length > 0 ? exits.ok : exits.refused;
};

type Source = { readonly from?: { image: string } | { volume: string }; readonly sizeMiB?: number };
/** `sizeMiB`: what it takes at least, as far as that is known here. */
const sourceOf = async ({ client, options }: Run): Promise<Source> => {
  const { fromImage, fromVolume, size } = options as { fromImage?: string; fromVolume?: string; size?: number };
  if (fromImage !== undefined && fromVolume !== undefined) throw new UsageError('--from-image or --from-volume, and not both');
  if (fromVolume !== undefined) {
    const { volumeId, sizeMiB } = await volumeOf(client, fromVolume);
    return { from: { volume: volumeId }, sizeMiB: size ?? sizeMiB };
  }
  if (fromImage === undefined) return {};
  const found = (await imagesThere(client)).find((i) => ref(i) === fromImage || i.name === fromImage);
  const sizeMiB = size ?? found?.disk?.sizeMiB;
  return { from: { image: fromImage }, ...(sizeMiB === undefined ? {} : { sizeMiB }) };
};

/** What is done to a volume with or without a VM; what is so already is said at once. */
const changing = (volume: Command, verb: string, what: string, ask: (run: Run, id: string) => Promise<Acted>): Command => {
  const command = volume
    .command(verb)
    .argument('<volume>', 'id or name')
    .description(what)
    .option('--dry-run', 'only say whether it could be done');
  return action(waits(command), async (run) => {
    const { volumeId, name } = await volumeOf(run.client, run.args[0]!);
    const answer = await ask(run, volumeId);
    const { operation } = answer;
    if (operation && !run.options['dryRun']) return finish(run, { ...answer, operation }, `${verb} of ${name}`);
    await print(run.format, answer, () => (operation ? `would ${verb} ${name}` : `${name} is so already: ${answer.state}`));
    return exits.ok;
  });
};
type Acted = { readonly volumeId?: unknown; readonly state: string; readonly operation?: string | undefined };
const trial = (run: Run) => ({ dryRun: run.options['dryRun'] ? ('true' as const) : undefined });

const attachCommands = (volume: Command): void => {
  examples(
    changing(volume, 'attach', 'give a volume to a VM, running or off', async (run, id) => {
      const { vmId } = await vmOf(run.client, run.options['vm'] as string);
      return run.client.post('/v1/volumes/{id}/attach', { path: { id }, body: { vm: vmId }, query: trial(run) });
    }).requiredOption('--vm <vm>', 'id or name'),
    'volume attach data --vm web --wait',
  );
  examples(
    changing(volume, 'detach', 'take a volume from its VM; it fails while the guest uses it', (run, id) =>
      run.client.post('/v1/volumes/{id}/detach', {
        path: { id },
        body: run.options['force'] ? { force: true } : {},
        query: trial(run),
      }),
    ).option('--force', 'whether or not the guest uses it: what it has not written yet is lost'),
    'volume detach data --wait',
  );
  examples(
    changing(volume, 'grow', 'make a volume larger, with or without a VM', (run, id) =>
      run.client.post('/v1/volumes/{id}/grow', { path: { id }, body: { sizeMiB: run.options['size'] as number }, query: trial(run) }),
    ).requiredOption('--size <MiB>', 'what it is to have, in MiB', positive),
    'volume grow data --size 2048 --wait',
  );
};

const deleteCommand = (volume: Command): void => {
  examples(
    action(
      waits(
        volume
          .command('delete')
          .alias('rm')
          .argument('<volume>', 'id or name')
          .description('delete a volume and what is on it')
          .option('--dry-run', 'only say whether it could be done'),
      ),
      async (run: Run) => {
        const { volumeId, name } = await volumeOf(run.client, run.args[0]!);
        const path = { id: volumeId };
        if (!run.options['dryRun']) return finish(run, await run.client.delete('/v1/volumes/{id}', { path }), `deleting ${name}`);
        const answer = await run.client.delete('/v1/volumes/{id}', { path, query: dryRun });
        await print(run.format, answer, () => `would delete ${name} (${volumeId})`);
        return exits.ok;
      },
    ),
    'volume delete data --wait',
  );
};

/** A volume by its id or by its name. */
const volumeOf = async (client: Client, text: string): Promise<Volume> => {
  assertNamed('volume', text);
  if (/^volume-[0-9a-f]{8}-/.test(text)) return client.get('/v1/volumes/{id}', { path: { id: text } });
  const found = await client.all('/v1/volumes', { name: text });
  if (found.length > 1)
    throw new SeveralNamedError(
      text,
      'volumes',
      found.map((v) => `${v.volumeId}  ${v.state}  ${v.sizeMiB} MiB`),
    );
  return client.get('/v1/volumes/{id}', { path: { id: found[0]?.volumeId ?? text } });
};

const volumeText = (v: Volume, serial: string): string =>
  fields({
    volume: v.volumeId,
    name: v.name,
    state: v.state,
    size: `${v.sizeMiB} MiB`,
    pool: v.poolId === undefined ? v.pool : `${v.pool} (${v.poolId})`,
    'made of': v.from && (v.from.image ?? v.from.volumeId),
    host: v.hostId,
    vm: v.vmId,
    'seen in the guest': v.vmId && (v.seen ? 'yes' : 'nobody in it was asked'),
    'known there as': v.vmId && `/dev/disk/by-id/virtio-${serial}`,
    'under way': v.action && `${v.action.action} (${v.action.operation})`,
    operation: v.operation,
    cause: v.cause && `${v.cause.code}: ${v.cause.message}`,
    created: v.createdAt,
  });
