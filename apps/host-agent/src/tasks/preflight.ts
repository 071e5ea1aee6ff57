import { freemem } from 'node:os';
import { statfs } from 'node:fs/promises';
import {
  type Blocker,
  type Code,
  type HostFacts,
  hostTasks,
  type InputOf,
  memoryMiBOf,
  type Topology,
  topologyHash as hashOf,
} from '@chrysalis/contracts';
import { blockerOf, hardwarePolicies, hardwareRequest, reasonsAgainst } from '@chrysalis/placement';
import type { Handler } from '../execution/handler.ts';
import { look } from '../move/look.ts';
import { agentThere } from './agent-there.ts';
import { handler, notBelow, type HandlerContext } from './handler-context.ts';

type Input = InputOf<typeof hostTasks.preflight>;

/** Every blocker at once; changes nothing. */
export const preflight = (context: HandlerContext): Handler =>
  handler(
    hostTasks.preflight,
    notBelow,
    async (input) => {
      const facts = await context.facts();
      const blockers = input.role === 'source' ? await atSource(context, input) : await atTarget(context, input, facts);
      const { agent, blockers: away } = await inGuest(context, input);
      return { blockers: [...sane(input), ...blockers, ...away], facts, ...(agent ? { agent } : {}) };
    },
    'hardware',
  );

/** Right after a switch-over a port may take a moment to show who has it. */
const AGENT_PATIENCE_MS = 500;

/** An agent that ended, or was not started by the guest's last boot, would be waited for to the end of each step that asks it. */
const inGuest = async (context: HandlerContext, { vmId, guest }: Input): Promise<{ agent?: 'there' | 'away'; blockers: Blocker[] }> => {
  if (guest === undefined) return { blockers: [] };
  const there = await agentThere(context, vmId, AGENT_PATIENCE_MS).catch(() => false); // why is told as another blocker
  if (there) return { agent: 'there', blockers: [] };
  const remedy = 'ask for the options with a grant: that adds the agent anew';
  const away = blocker('guest.agent_away', vmId, `the migration agent in ${vmId} does not answer`, remedy);
  return { agent: 'away', blockers: guest === 'needed' ? [away] : [] };
};

const blocker = (code: Code, subject: string, message: string, remedy?: string): Blocker => ({
  code,
  subject,
  message,
  ...(remedy ? { remedy } : {}),
});

const sane = ({ topology, topologyHash, targetSpec, vmId }: Input): Blocker[] => [
  ...(hashOf(topology) === topologyHash
    ? []
    : [blocker('host.topology_mismatch', vmId, 'the recorded topology does not have the recorded hash')]),
  ...(targetSpec.vcpus.now <= topology.vcpus.max ? [] : [noHeadroom(vmId, 'vCPUs', targetSpec.vcpus.now, topology.vcpus.max)]),
  ...(targetSpec.memoryMiB.now <= topology.memory.maxMiB
    ? []
    : [noHeadroom(vmId, 'MiB of memory', targetSpec.memoryMiB.now, topology.memory.maxMiB)]),
];
const noHeadroom = (vmId: string, what: string, needs: number, max: number): Blocker =>
  blocker('vm.no_headroom', vmId, `needs ${needs} ${what}, was made for at most ${max}`, 'restart it with more headroom');

const atSource = async ({ driver, states, now }: HandlerContext, { vmId, topologyHash, epoch }: Input): Promise<Blocker[]> => {
  const state = states.get(vmId);
  if (state?.role !== 'runner' || epoch > state.epoch)
    return [blocker('host.vm_unknown', vmId, `this host does not run ${vmId} at epoch ${epoch}`)];
  const { move } = state;
  const inMove = move?.side === 'source' && move.phase === 'transferring';
  return [
    ...(inMove ? [blocker('host.vm_in_move', vmId, `is in move ${move.moveId}`)] : []),
    ...notAsShould(vmId, await look(driver, vmId), new Date(now()).toISOString()),
    ...(await otherHardware(driver, vmId, topologyHash)),
  ];
};

const notAsShould = (vmId: string, seen: Awaited<ReturnType<typeof look>>, at: string): Blocker[] => {
  if (seen === 'unclear') return [blocker('host.vm_not_running', vmId, 'the hypervisor does not answer')];
  return [
    ...(seen.running ? [] : [blocker('host.vm_not_running', vmId, `is ${seen.state}`)]),
    ...(seen.migrating ? [blocker('host.vm_in_move', vmId, 'a migration of it is in flight', `asked at ${at}`)] : []),
  ];
};

const otherHardware = async (driver: HandlerContext['driver'], vmId: string, topologyHash: string): Promise<Blocker[]> => {
  try {
    const shown = await driver.topology(vmId);
    if (shown.topologyHash === topologyHash) return [];
    return [blocker('host.topology_mismatch', vmId, `the hypervisor shows ${shown.topologyHash}, recorded is ${topologyHash}`)];
  } catch (error) {
    return [blocker('host.topology_mismatch', vmId, (error as Error).message.slice(0, 1000))];
  }
};

const atTarget = async (context: HandlerContext, { vmId, topology, targetSpec }: Input, facts: HostFacts): Promise<Blocker[]> => {
  const state = context.states.get(vmId);
  const here = state && state.role !== 'none' ? [blocker('host.vm_present', vmId, `is on this host already, as ${state.role}`)] : [];
  // The engine's own policies, on what this host reports now: a plan may have been made before its last report.
  const unfit = reasonsAgainst({ facts }, hardwareRequest(topology, targetSpec), hardwarePolicies).map((r) => blockerOf(facts.hostId, r));
  return [...here, ...unfit, ...(context.config.driver === 'qemu' ? await short(context, topology) : [])];
};

/** Room as the machine itself has it now, whatever the ledger says. */
const short = async ({ config }: HandlerContext, t: Topology): Promise<Blocker[]> => {
  const found: Blocker[] = [];
  const freeMiB = Math.floor(freemem() / 1_048_576);
  if (freeMiB < memoryMiBOf(t))
    found.push(blocker('host.memory_short', config.hostId, `${memoryMiBOf(t)} MiB of memory needed, ${freeMiB} free`));
  for (const [pool, { directory, shared }] of Object.entries(config.pools)) {
    if (shared) continue; // the volumes are there already
    const needMiB = t.disks.filter((d) => d.pool === pool && !d.readOnly).reduce((sum, d) => sum + d.sizeMiB, 0);
    const { bavail, bsize } = await statfs(directory);
    const haveMiB = Math.floor((bavail * bsize) / 1_048_576);
    if (needMiB > haveMiB) found.push(blocker('host.disk_short', `${config.hostId}/${pool}`, `${needMiB} MiB needed, ${haveMiB} free`));
  }
  return found;
};
