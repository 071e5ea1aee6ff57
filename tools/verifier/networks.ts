import type pg from 'pg';

type Told = { stream: string; type: string; data: { vmId?: string; address?: string; topology?: { nics: Nic[] } } };
type Nic = { network: string; segment?: { address: string } };

const told = async (db: pg.ClientBase, streams: string): Promise<Told[]> =>
  (
    await db.query<Told>(
      `select stream_id as stream, type, data from provisioning.events where stream_id like $1 order by stream_id, version`,
      [streams],
    )
  ).rows;

type Owners = Map<string, string>;

/** What is wrong with what is told of a network then. */
const apply = (owners: Owners, { stream, type, data: { address, vmId } }: Told): string[] => {
  const key = `${stream} ${address}`;
  const owner = owners.get(key);
  if (type.includes('.address-given.')) {
    owners.set(key, vmId!);
    return owner === undefined ? [] : [`I6: ${address} of ${stream} was given to ${vmId} while ${owner} had it`];
  }
  if (type.includes('.address-returned.')) owners.delete(key);
  const inUse = type.includes('.network.deleted.') && [...owners.keys()].some((k) => k.startsWith(`${stream} `));
  return inUse ? [`I6: ${stream} was deleted while VMs were on it`] : [];
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

/** An address is one VM's at a time, by its network's own stream, and a VM's hardware has the one that it was given there. */
export const addressesHaveOneVm = async (db: pg.ClientBase): Promise<string[]> => {
  const owners: Owners = new Map();
  const faults: string[] = [];
  for (const event of await told(db, 'network-%')) faults.push(...apply(owners, event));
  for (const [vm, nics] of await shown(db))
    for (const { network, segment } of nics.filter((n) => n.segment)) {
      const owner = owners.get(`${network} ${segment!.address}`);
      if (owner !== vm) faults.push(`I6: ${vm} has ${segment!.address} of ${network} in its hardware, which is ${owner ?? 'nobody'}’s`);
    }
  return faults;
};
