import type { Amounts, Code } from '@chrysalis/contracts';
import { beyond, misfits, shortages } from './capacity.ts';
import type { HostView, PlacementRequest, Policy, Reason } from './types.ts';

/** What a request needs on this host: all of it, or for a move of a VM that is here already, what the VM does not hold yet. */
export const needOn = (host: Pick<HostView, 'vms'>, r: Pick<PlacementRequest, 'vmId' | 'consumer' | 'amounts'>): Amounts => {
  const already = r.consumer === 'move' ? host.vms.get(r.vmId) : undefined;
  return already ? beyond(r.amounts, already) : r.amounts;
};

/** A VM may change its type on a cordoned host it is on: cordoned means no new guests. */
export const staysOn = (host: Pick<HostView, 'vms'>, r: Pick<PlacementRequest, 'vmId' | 'consumer'>): boolean =>
  r.consumer === 'move' && host.vms.has(r.vmId);

const policy = (name: string, refuses: Policy['refuses']): Policy => ({ name, refuses });
const refusal = (code: Code, message: string, evidence: Reason['evidence']): Omit<Reason, 'policy'> => ({ code, message, evidence });
const missing = (wanted: readonly string[], present: readonly string[]): string[] =>
  [...new Set(wanted)].filter((w) => !present.includes(w));

/** The state alone: shared by the engine and by the host's stream, so that both say the same. */
export const stateRefuses = (state: HostView['state'], stays: boolean): Code | undefined => {
  switch (state) {
    case 'enabled':
      return undefined;
    case 'cordoned':
      return stays ? undefined : 'host.cordoned';
    case 'draining':
      return 'host.draining';
    case 'retiring':
      return 'host.retiring';
    case 'lost':
      return 'host.lost';
  }
};

export const pinned = policy('pin', ({ facts }, { host }) =>
  host === undefined || host === facts.hostId ? undefined : refusal('host.not_requested', `the request names ${host}`, { requested: host }),
);

export const excluded = policy('exclusion', ({ facts }, { notHost }) =>
  notHost === facts.hostId ? refusal('host.excluded', 'the request excludes this host', { excluded: notHost }) : undefined,
);

export const state = policy('state', (host, request) => {
  const code = stateRefuses(host.state, staysOn(host, request));
  return code === undefined ? undefined : refusal(code, `the host is ${host.state}`, { state: host.state });
});

export const connected = policy('connected', (host) =>
  host.connected ? undefined : refusal('host.disconnected', 'its agent is not connected', {}),
);

export const cpuModel = policy('cpu-model', ({ facts }, { cpuModel: wanted }) =>
  facts.cpuModels.includes(wanted)
    ? undefined
    : refusal('host.cpu_model_unsupported', `the host cannot run CPU model ${wanted}`, { requested: wanted }),
);

export const machineType = policy('machine-type', ({ facts }, { machine }) =>
  machine === undefined || facts.machineTypes.includes(machine)
    ? undefined
    : refusal('host.machine_type_unsupported', `the host has no machine type ${machine}`, { requested: machine }),
);

const has = (name: string, code: Code, of: (r: PlacementRequest) => readonly string[], on: (h: HostView) => readonly string[]): Policy =>
  policy(name, (host, request) => {
    const lacking = missing(of(request), on(host));
    return lacking.length === 0 ? undefined : refusal(code, `the host lacks ${lacking.join(', ')}`, { missing: lacking });
  });

export const traits = has(
  'traits',
  'host.traits_missing',
  (r) => r.traits,
  (h) => h.facts.traits,
);
export const networks = has(
  'networks',
  'host.networks_missing',
  (r) => r.networks,
  (h) => h.facts.networks,
);
export const pools = has(
  'pools',
  'host.pools_missing',
  (r) => r.pools,
  (h) => h.facts.storagePools,
);

export const units = policy('units', ({ facts }, { amounts }) => {
  const wrong = misfits(facts, amounts);
  const text = wrong.map((m) => `${m.resource} ${m.requested} (${m.min} to ${m.max} in steps of ${m.step})`).join(', ');
  return wrong.length === 0 ? undefined : refusal('host.amount_unsupported', `the host does not give ${text}`, { misfits: wrong });
});

export const enough = policy('capacity', (host, request) => {
  const short = shortages(host.facts, host.held, needOn(host, request));
  const text = short.map((s) => `${s.resource}: ${s.requested} asked, ${Math.max(0, s.free)} free of ${s.capacity}`).join('; ');
  return short.length === 0 ? undefined : refusal('host.capacity_exceeded', text, { shortages: short });
});

/** In the order in which an operator would ask. */
export const policies: readonly Policy[] = [
  pinned,
  excluded,
  state,
  connected,
  cpuModel,
  machineType,
  traits,
  networks,
  pools,
  units,
  enough,
];
