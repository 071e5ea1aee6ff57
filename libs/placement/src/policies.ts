import { broughtMiB, type Amounts, type Code, type HostState } from '@chrysalis/contracts';
import { beyond, misfits, shortages } from './capacity.ts';
import type { HardwareRequest, HostView, LedgerRequest, Objection, Policy, PoolView, StateCode } from './types.ts';

type Here = Pick<HostView, 'vms'>;
/** What a request needs on this host: all of it, or for a move of a VM that is here already, what the VM does not hold yet. */
export const needOn = (host: Here, r: LedgerRequest): Amounts => {
  const already = r.consumer === 'move' ? host.vms.get(r.vmId) : undefined;
  return already ? beyond(r.amounts, already) : r.amounts;
};

/** A VM may change its type on a cordoned host it is on: cordoned means no new guests. From a draining one it is to leave instead. */
const staysOn = (host: Here, r: LedgerRequest): boolean => r.consumer === 'move' && host.vms.has(r.vmId);

const policy = <H, R, C extends Code>(name: string, refuses: Policy<H, R, C>['refuses']): Policy<H, R, C> => ({ name, refuses });
const refusal = <C extends Code>(code: C, message: string, remedy: string, evidence: Objection['evidence']): Objection<C> => ({
  code,
  message,
  remedy,
  evidence,
});

const stateCode = (state: HostState, stays: () => boolean): StateCode | undefined => {
  switch (state) {
    case 'enabled':
      return undefined;
    case 'cordoned':
      return stays() ? undefined : 'host.cordoned';
    case 'draining':
      return 'host.draining';
    case 'retiring':
      return 'host.retiring';
    case 'lost':
      return 'host.lost';
  }
};

type Facts = Pick<HostView, 'facts'>;

export const pinned: Policy = policy('pin', ({ facts: { hostId } }, { host }) =>
  host === undefined || host === hostId
    ? undefined
    : refusal('host.not_requested', `the request names ${host}`, `ask for ${hostId}, or for no host`, { requested: host }),
);

const excluded: Policy = policy('exclusion', ({ facts: { hostId } }, { notHost }) =>
  notHost === hostId ? refusal('host.excluded', `the request excludes ${hostId}`, 'choose another host', { excluded: notHost }) : undefined,
);

export const state = policy('state', (host: Pick<HostView, 'facts' | 'state' | 'vms'>, request: LedgerRequest) => {
  const code = stateCode(host.state, () => staysOn(host, request));
  if (code === undefined) return undefined;
  const { hostId } = host.facts;
  const remedy = `${code === 'host.lost' ? `bring ${hostId} back` : `enable ${hostId}`}, or choose another host`;
  return refusal(code, `${hostId} is ${host.state}`, remedy, { state: host.state });
});

export const connected = policy('connected', ({ facts: { hostId }, away }: Pick<HostView, 'facts' | 'away'>, _: unknown) =>
  away === undefined
    ? undefined
    : refusal('host.agent_away', `the agent of ${hostId} is not connected: ${away}`, `bring ${hostId} back, or choose another host`, {
        away,
      }),
);

const cpuModel = policy('cpu-model', ({ facts }: Facts, { cpuModel: wanted }: HardwareRequest) =>
  facts.cpuModels.includes(wanted)
    ? undefined
    : refusal('host.cpu_model_missing', `${facts.hostId} cannot give the CPU model ${wanted}`, `choose a host that offers ${wanted}`, {
        requested: wanted,
      }),
);

const machineType = policy('machine-type', ({ facts }: Facts, { machine }: HardwareRequest) =>
  machine === undefined || facts.machineTypes.includes(machine)
    ? undefined
    : refusal('host.machine_type_missing', `${facts.hostId} has no machine type ${machine}`, `choose a host that has ${machine}`, {
        requested: machine,
      }),
);

const missing = (wanted: readonly string[], present: readonly string[]): readonly string[] =>
  wanted.every((w) => present.includes(w)) ? [] : [...new Set(wanted.filter((w) => !present.includes(w)))];

const traits = policy('traits', ({ facts }: Facts, r: HardwareRequest) => {
  const lacking = missing(r.traits, facts.traits);
  if (lacking.length === 0) return undefined;
  const names = lacking.join(', ');
  return refusal('host.traits_missing', `${facts.hostId} lacks the traits ${names}`, `choose a host with ${names}`, { missing: lacking });
});

const networks = policy('networks', ({ facts }: Facts, r: HardwareRequest) => {
  const lacking = missing(r.networks, facts.networks);
  if (lacking.length === 0) return undefined;
  const { hostId } = facts;
  const names = lacking.join(', ');
  return refusal('host.networks_missing', `${hostId} is not on the networks ${names}`, `connect ${hostId} to ${names}`, {
    missing: lacking,
  });
});

const segments = policy('segments', ({ facts }: Facts, { segmentMtu }: HardwareRequest) => {
  if (segmentMtu === undefined) return undefined;
  const { hostId } = facts;
  const { mtu, lacking } = facts.segments ?? { mtu: 0, lacking: ['an agent that knows them'] };
  if (lacking.length > 0)
    return refusal('host.segments_missing', `${hostId} cannot carry networks that span hosts: it lacks ${lacking.join(', ')}`, `give it ${lacking.join(', ')}, or choose another host`, { lacking }); // prettier-ignore
  if (segmentMtu <= mtu) return undefined;
  const message = `${hostId} can carry frames of ${mtu} between hosts, and the network’s have ${segmentMtu}`;
  return refusal('host.mtu_too_small', message, `raise the MTU of the network of ${hostId}, or choose another host`, {
    requested: segmentMtu,
    mtu,
  });
});

const firmware = policy('firmware', ({ facts }: Facts, r: HardwareRequest) => {
  if (r.firmware === undefined || facts.firmware?.includes(r.firmware)) return undefined;
  const { hostId, firmware: present = ['bios'] } = facts;
  const remedy = `install Debian’s ovmf on ${hostId} and restart its agent, or choose another host`;
  return refusal('host.uefi_missing', `${hostId} has no UEFI for VMs`, remedy, { requested: r.firmware, present });
});

export const pools = policy('pools', ({ facts }: Facts, r: HardwareRequest) => {
  const lacking = missing(r.pools, facts.storagePools);
  if (lacking.length === 0) return undefined;
  const { hostId } = facts;
  const names = lacking.join(', ');
  return refusal('host.pools_missing', `${hostId} does not reach the storage pools ${names}`, `attach ${names} to ${hostId}`, {
    missing: lacking,
  });
});

/** Of a pool, by the name that this host has for it; undefined where nobody has told of its room. */
export const poolNamed = ({ facts, pools: known }: Pick<HostView, 'facts' | 'pools'>, name: string): PoolView | undefined => {
  const found = facts.pools?.find((p) => p.name === name);
  return found && known?.get(found.poolId);
};

/** What disks take in pools beyond what they have there: a disk that goes along in a pool that hosts share takes nothing more. */
const room = policy('room', (host: Pick<HostView, 'facts' | 'pools'>, request: Pick<LedgerRequest, 'room'>) => {
  for (const wanted of request.room ?? []) {
    const { pool, sizeMiB } = wanted;
    const { hostId, pools: told } = host.facts;
    if (told && !told.some((p) => p.name === pool))
      return refusal('host.pools_missing', `${hostId} cannot tell of the storage pool ${pool}`, `see the agent’s log on ${hostId}`, {
        missing: [pool],
      });
    const there = poolNamed(host, pool);
    const hasMiB = broughtMiB(wanted, there?.poolId);
    if (!there || sizeMiB <= hasMiB) continue;
    const { poolId, name, capacityMiB } = there;
    const [requestedMiB, freeMiB] = [sizeMiB - hasMiB, Math.max(0, capacityMiB - there.heldMiB)];
    if (requestedMiB <= freeMiB) continue;
    const text = `the pool ${name} has too little room: ${requestedMiB} MiB wanted, ${freeMiB} free of ${capacityMiB}`;
    const evidence = { poolId, requestedMiB, freeMiB, capacityMiB };
    return refusal('pool.capacity_exceeded', text, `free ${requestedMiB - freeMiB} MiB in ${name}, or choose another pool`, evidence);
  }
  return undefined;
});

/** The very pool of that name, where it is known which: two of one name are two. */
export const samePools = (wanted: readonly { readonly pool: string; readonly poolId?: string | undefined }[]): Policy<Facts, unknown> =>
  policy('same-pool', ({ facts }) => {
    const other = wanted.find(({ pool, poolId }) => {
      const here = facts.pools?.find((p) => p.name === pool)?.poolId;
      return poolId !== undefined && here !== undefined && here !== poolId;
    });
    if (!other) return undefined;
    const message = `the pool that ${facts.hostId} calls ${other.pool} is another one than ${other.poolId}`;
    return refusal('host.pools_missing', message, `attach ${other.poolId} to ${facts.hostId}, or choose another host`, {
      missing: [other.pool],
    });
  });

const units = policy('units', ({ facts }: Facts, { amounts }: LedgerRequest) => {
  const wrong = misfits(facts, amounts);
  if (wrong.length === 0) return undefined;
  const text = wrong.map((m) => `${m.resource} ${m.requested} (${m.min} to ${m.max} in steps of ${m.step})`).join(', ');
  const remedy = 'choose a type whose amounts the host gives, or another host';
  return refusal('host.amount_unsupported', `${facts.hostId} does not give ${text}`, remedy, { misfits: wrong });
});

const enough = policy('capacity', (host: Pick<HostView, 'facts' | 'held' | 'vms'>, request: LedgerRequest) => {
  const short = shortages(host.facts, host.held, needOn(host, request));
  if (short.length === 0) return undefined;
  const { hostId } = host.facts;
  const text = short.map((s) => `${s.resource} ${s.requested} wanted, ${Math.max(0, s.free)} free of ${s.capacity}`).join('; ');
  const lacks = short.map((s) => `${s.requested - s.free} of ${s.resource}`).join(', ');
  return refusal('host.capacity_exceeded', `${hostId} has too little room: ${text}`, `free ${lacks} on ${hostId}`, { shortages: short });
});

export { room as enoughRoom };

/** What a host can judge of itself, whatever the ledger says: its preflight. */
export const hardwarePolicies = [cpuModel, machineType, traits, networks, segments, firmware, pools] as const;

/** What a host's own stream decides on when something is to be held there. */
export const ledgerPolicies = [state, units, enough] as const;

/** All of them, in the order in which an operator would ask. */
export const policies: readonly Policy[] = [pinned, excluded, state, connected, ...hardwarePolicies, units, enough, room];
