import { ApiError } from '@chrysalis/api-client';
import { ConsoleWord } from '@chrysalis/contracts';
import { settles, type Claim, type Seen } from '../claim.ts';
import { guests } from './guests.ts';
import type { Lab } from './lab.ts';
import { refusal } from './look.ts';

/** Somebody at a console: what came from the guest, and what was said about it. The tiny guest writes back what is typed. */
class Sitting {
  text = '';
  readonly words: string[] = [];
  type: (text: string) => void = () => undefined;
  leave: () => void = () => undefined;

  static async at(lab: Lab, vmId: string, query: string): Promise<Sitting> {
    const sitting = new Sitting();
    const socket = await lab.api.socket(`/v1/vms/${vmId}/console?${query}`);
    socket.on('message', (data, binary) => {
      if (binary) sitting.text += String(data as Buffer);
      else sitting.words.push(saidOf(ConsoleWord.parse(JSON.parse(String(data as Buffer)))));
    });
    sitting.type = (text) => socket.send(Buffer.from(text), { binary: true });
    sitting.leave = () => socket.close();
    socket.resume();
    await lab.until(
      'the console to be open, or refused',
      async () => sitting.words.length,
      (n) => n > 0,
    );
    return sitting;
  }
}
const saidOf = (word: ConsoleWord): string => {
  if (word.type === 'opened') return word.writer ? 'types' : 'reads';
  if (word.type === 'closed') return word.code;
  return word.type === 'reads' ? `reads, for ${word.by}` : word.type;
};
const logOf = async (lab: Lab, vmId: string): Promise<string> =>
  (await lab.api.get('/v1/vms/{id}/console-log', { path: { id: vmId }, query: {} })).text;
/** Types of the console's events, with who and how it ended, and whether anything that was typed is in any of them. */
const recorded = async (lab: Lab, vmId: string): Promise<{ events: string[]; tells: boolean }> => {
  const { rows } = await lab.db.query<{ type: string; code: string | null; all: string }>(
    `select type, data->>'code' as code, data::text || meta::text as all from agent_gateway.events where stream_id = $1 order by version`,
    [`console-${vmId}`],
  );
  const events = rows.map((r) => [r.type.split('.')[3], r.code].filter(Boolean).join(' '));
  return { events, tells: rows.some((r) => /secret/.test(r.all)) };
};

const twoAtOne: Claim['see'] = async (lab): Promise<Seen> => {
  const vm = await lab.running('tiny', 'talks');
  const first = await Sitting.at(lab, vm.vmId, 'write=true');
  const reader = await Sitting.at(lab, vm.vmId, 'write=false');
  first.type('secret');
  const second = await Sitting.at(lab, vm.vmId, 'write=true');
  const forced = await Sitting.at(lab, vm.vmId, 'write=true&force=true&tail=4096');
  forced.type('-more');
  first.type('-never');
  const typed = 'secret-more';
  const expected = {
    first: { text: typed, words: ['types', 'reads, for operator'] },
    reader: { text: typed, words: ['reads'] },
    second: ['console.has_writer'],
    forced: { typed: true, words: ['types'] },
  };
  const look = async () => ({
    first: { text: first.text, words: first.words.map((w) => w.replace(/for .*/, 'for operator')) },
    reader: { text: reader.text, words: reader.words },
    second: second.words,
    forced: { typed: forced.text.endsWith('-more'), words: forced.words },
  });
  const seen = await settles(expected, look);
  for (const sitting of [first, reader, forced]) sitting.leave();
  const told = {
    events: ['opened', 'opened', 'opened', ...Array.from({ length: 3 }, () => 'closed console.left')],
    tells: false,
  };
  const audit = await settles(told, () => recorded(lab, vm.vmId));
  return { vm, expected: { ...seen.expected, audit: told }, observed: { ...seen.observed, audit: audit.observed } };
};

/** The host's agent comes back by its keeper. */
const killAgent = async (lab: Lab): Promise<void> => {
  const before = lab.host.pid()!;
  process.kill(before, 'SIGKILL');
  await lab.until(
    'another host agent',
    async () => lab.host.pid(),
    (pid) => pid !== undefined && pid !== before,
  );
};

const logStays: Claim['see'] = async (lab): Promise<Seen> => {
  const vm = await lab.running('tiny', 'talks');
  const said = async (text: string): Promise<void> => {
    const sitting = await Sitting.at(lab, vm.vmId, 'write=true');
    sitting.type(text);
    await lab.until(
      text,
      async () => sitting.text,
      (t) => t.includes(text),
    );
    sitting.leave();
  };
  await said('one.');
  await lab.act(vm.vmId, 'stop', { force: true, timeoutMs: 1_000 });
  await lab.act(vm.vmId, 'start');
  await said('two.');
  await killAgent(lab);
  await lab.until(
    'its console again',
    () => logOf(lab, vm.vmId).catch(() => ''),
    (text) => text.includes('two.'),
  );
  await said('three.');
  const expected = { order: ['one.', 'boot', 'two.', 'away', 'three.'] };
  return { vm, ...(await settles(expected, async () => ({ order: inOrder(await logOf(lab, vm.vmId)) }))) };
};
/** Each of these from the first `one.` on, as it comes. */
const inOrder = (log: string): string[] => log.slice(Math.max(0, log.indexOf('one.'))).match(/one\.|two\.|three\.|four\.|boot|away/g) ?? [];

const goesAlong: Claim['see'] = async (lab): Promise<Seen> => {
  const vm = await lab.running('tiny', 'talks');
  const there = await Sitting.at(lab, vm.vmId, 'write=true');
  const plan = await lab.api.post('/v1/migration-plans', { body: { vmIds: [vm.vmId], to: 'tiny' } });
  const { operation } = await lab.api.post('/v1/migrations', { body: { planId: plan.planId } });
  const end = await lab.ended(String(operation));
  const moved = await lab.until(
    'its new host',
    () => lab.vm(vm.vmId),
    (v) => v.hostId !== vm.hostId,
  );
  const here = await Sitting.at(lab, vm.vmId, 'write=true');
  here.type('four.');
  const expected = {
    ended: 'succeeded',
    was: ['types', 'console.moved'],
    is: ['types'],
    order: ['one.', 'boot', 'two.', 'away', 'three.', 'four.'],
  };
  const look = async () => ({ ended: end.state, was: there.words, is: here.words, order: inOrder(await logOf(lab, vm.vmId)) });
  const seen = await settles(expected, look);
  here.leave();
  return { vm: moved, ...seen };
};

const pictured: Claim['see'] = async (lab): Promise<Seen> => {
  const tiny = lab.images.find((i) => i.image === 'tiny')!;
  const image = {
    name: 'draws',
    version: 1,
    digest: tiny.digest,
    cmdline: '',
    disk: { format: 'raw' as const, sizeMiB: 1 },
    display: 'vga' as const,
  };
  await lab.api.post('/v1/images', { body: { image } });
  const body = { ...guests.tiny, image: 'draws@1', host: lab.host.hostId, name: 'draws' };
  const { vmId, operation } = await lab.api.post('/v1/vms', { body });
  const made = await lab.ended(operation);
  // Before its firmware has set the adapter up it shows an empty 640 x 480.
  const picture = await lab.until(
    'its firmware to draw',
    () => lab.api.bytes(`/v1/vms/${vmId}/screen`),
    (png) => png.readUInt32BE(16) === 720,
  );
  const blind = await lab.running('tiny', 'talks');
  const refused = await refusal(lab.api.bytes(`/v1/vms/${blind.vmId}/screen`));
  const adapters =
    lab.outside.qemusOf(vmId).length > 0 && (await lab.api.get('/v1/vms/{id}', { path: { id: vmId } })).topology?.image.display;
  const gone = await lab.remove(vmId);
  const observed = {
    ...{ made: made.state, png: picture.subarray(1, 4).toString(), size: [picture.readUInt32BE(16), picture.readUInt32BE(20)] },
    ...{ adapters, ...refused, gone: gone.state },
  };
  const expected = {
    ...{ made: 'succeeded', png: 'PNG', size: [720, 400], adapters: 'vga' },
    ...{ refused: 'hypervisor.no_display', status: 409, gone: 'succeeded' },
  };
  return { expected, observed };
};

const nobodys: Claim['see'] = async (lab): Promise<Seen> => {
  const vm = await lab.running('tiny', 'talks');
  const token = await lab.run.platform.tokenFor('oscar', ['operator']);
  const asked = async (query: string, as: string): Promise<string> => {
    const { createClient } = await import('@chrysalis/api-client');
    const client = createClient({ server: lab.run.platform.adminUrl, token: as });
    return client.socket(`/v1/vms/${vm.vmId}/console?${query}`).then(
      (socket) => (socket.terminate(), 'let in'),
      (error: unknown) => (error instanceof ApiError ? error.code : String(error)),
    );
  };
  const observed = {
    reads: await asked('write=false', token),
    types: await asked('write=true', token),
    viewer: await asked('write=false', await lab.run.platform.tokenFor('vera', ['viewer'])),
    other: await asked('write=false', await lab.run.platform.tokenFor('olaf', ['admin'], 'other')),
    console: await asked('write=true', await lab.run.platform.tokenFor('cora', ['operator', 'console'])),
  };
  return {
    vm,
    expected: { reads: 'let in', types: 'auth.denied', viewer: 'auth.denied', other: 'vm.unknown', console: 'let in' },
    observed,
  };
};

export const consoleClaims: readonly Claim[] = [
  {
    name: 'a console has one who types and any who read; --force takes the place and says so; who is in the log, and not what',
    see: twoAtOne,
  },
  { name: 'to read a console takes an operator, to type the role console; another tenant has no such VM', see: nobodys },
  { name: 'the log of a console goes on over a stop, a start and a kill -9 of its host agent, which it tells of', see: logStays },
  { name: 'a move with the console open ends it with a code, and it goes on at the target behind the same log', see: goesAlong },
  { name: 'a VM whose image asks for a display is pictured; one without is refused', see: pictured },
];
