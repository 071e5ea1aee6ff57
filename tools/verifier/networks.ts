import type pg from 'pg';

type Data = {
  vmId?: string;
  addressId?: string;
  address?: string;
  from?: string;
  networkId?: string;
  left?: true;
  topology?: { nics: Nic[] };
};
type Told = { stream: string; type: string; data: Data };
type Nic = { network: string; segment?: { address: string; further?: string[] } };

const told = async (db: pg.ClientBase, streams: string): Promise<Told[]> =>
  (
    await db.query<Told>(
      `select stream_id as stream, type, data from provisioning.events where stream_id like $1 order by stream_id, version`,
      [streams],
    )
  ).rows;

type Owners = Map<string, string>;

/** What is wrong with what is told of a network then. */
const apply = (owners: Owners, { stream, type, data: { address, vmId, addressId } }: Told): string[] => {
  const key = `${stream} ${address}`;
  const owner = owners.get(key);
  if (/\.address-(given|reserved)\./.test(type)) {
    const whose = vmId ?? addressId!;
    owners.set(key, whose);
    return owner === undefined ? [] : [`I6: ${address} of ${stream} was given to ${whose} while ${owner} had it`];
  }
  if (/\.address-(returned|released)\./.test(type)) owners.delete(key);
  const inUse = type.includes('.network.deleted.') && [...owners.keys()].some((k) => k.startsWith(`${stream} `));
  return inUse ? [`I6: ${stream} was deleted while addresses of it were had`] : [];
};

/** The NICs that each VM has, as was last recorded of it; of one that is gone none. */
const shown = async (db: pg.ClientBase): Promise<Map<string, Nic[]>> => {
  const hardware = new Map<string, Nic[]>();
  for (const { stream, type, data } of await told(db, 'vm-%')) {
    if (data.topology) hardware.set(stream, data.topology.nics);
    if (/\.vm\.(deleted|provisioning-failed)\./.test(type)) hardware.delete(stream);
  }
  return hardware;
};

/** Which VMs may have each reserved address: two only after a move that was neither done nor taken back. And what is wrong with what is told. */
type Bound = { key: string; vms: Set<string> };
const applyBound = (all: Map<string, Bound>, { stream, type, data }: Told): string[] => {
  const { vmId, from, address, networkId, left } = data;
  if (type.includes('.reserved.')) all.set(stream, { key: `${networkId} ${address}`, vms: new Set() });
  const { vms } = all.get(stream) ?? { vms: new Set<string>() };
  if (type.includes('.unbound.')) vms.delete(vmId!);
  if (type.includes('.action-failed.') && left) vms.add(vmId!);
  if (type.includes('.released.') && vms.size > 0) return [`I6: ${stream} was released while ${[...vms].join(', ')} had it`];
  if (!type.includes('.bound.')) return [];
  const others = [...vms].filter((vm) => vm !== vmId && vm !== from);
  vms.clear();
  vms.add(vmId!);
  return others.length === 0 ? [] : [`I6: ${stream} was bound to ${vmId} while ${others.join(', ')} had it`];
};

/** The hardware of a VM has a reserved address exactly where that is bound to it; while something is under way with it, or a move of it was left, it may. */
const furtherFaults = (hardware: Map<string, Nic[]>, all: Map<string, Bound>, busy: ReadonlySet<string>): string[] => {
  const byKey = new Map([...all].map(([stream, { key, vms }]) => [key, { stream, vms }]));
  const has = [...hardware].flatMap(([vm, nics]) =>
    nics.flatMap(({ network, segment }) => (segment?.further ?? []).map((a) => ({ vm, key: `${network} ${a}` }))),
  );
  const wrong = has.flatMap(({ vm, key }) => {
    const { stream, vms } = byKey.get(key) ?? { stream: key, vms: new Set<string>() };
    const whose = [...vms].join(', ') || 'nobody';
    return busy.has(stream) || vms.has(vm) ? [] : [`I6: ${vm} has ${key} in its hardware, which is ${whose}’s`];
  });
  const settled = [...all].filter(([stream, { vms }]) => vms.size === 1 && !busy.has(stream));
  const lacks = settled.flatMap(([stream, { key, vms }]) =>
    [...vms]
      .filter((vm) => hardware.has(vm) && !has.some((h) => h.vm === vm && h.key === key))
      .map((vm) => `I6: ${vm} has ${stream} and not in its hardware`),
  );
  return [...wrong, ...lacks];
};

/** A reserved address is one VM's at a time, by its own stream; and that VM's hardware, and no other's, has it. */
const furtherHaveOneVm = async (db: pg.ClientBase, hardware: Map<string, Nic[]>): Promise<string[]> => {
  const all = new Map<string, Bound>();
  const busy = new Set<string>();
  const faults: string[] = [];
  for (const event of await told(db, 'address-%')) {
    faults.push(...applyBound(all, event));
    // What could not be taken back is of a host that nobody recorded.
    if (event.type.includes('-requested.') || event.data.left) busy.add(event.stream);
    else busy.delete(event.stream);
  }
  return [...faults, ...furtherFaults(hardware, all, busy)];
};

/** An address is one VM's at a time, by its network's own stream, and a VM's hardware has the one that it was given there. */
export const addressesHaveOneVm = async (db: pg.ClientBase): Promise<string[]> => {
  const owners: Owners = new Map();
  const faults: string[] = [];
  for (const event of await told(db, 'network-%')) faults.push(...apply(owners, event));
  const hardware = await shown(db);
  for (const [vm, nics] of hardware)
    for (const { network, segment } of nics.filter((n) => n.segment)) {
      const owner = owners.get(`${network} ${segment!.address}`);
      if (owner !== vm) faults.push(`I6: ${vm} has ${segment!.address} of ${network} in its hardware, which is ${owner ?? 'nobody'}’s`);
    }
  return [...faults, ...(await furtherHaveOneVm(db, hardware))];
};
