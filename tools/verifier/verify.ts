import { createConnection } from 'node:net';
import pg from 'pg';
import { auditsRemoveOrphansAlone } from './audits.ts';
import { addressesHaveOneVm } from './networks.ts';
import { poolsAreWhatTheirEventsSay, poolsHoldWhatIsThere } from './pools.ts';
import { restartsHaveTimers, startsArePlanned } from './restarts.ts';
import { hostsHoldWhatVolumesSay, noVmLockedByFinishedChanges, volumesHaveOneVm } from './volumes.ts';

/**
 * Looks at the event tables, the ledger and QEMU's spare monitors by its own means: it shares no reducer, query or client with the
 * product, so that a mistake there is not repeated here. Judges I1, I3, I4, I6, I7, and of I10 that nobody was believed about a VM who did not
 * have it, where it can see them.
 */
export type Verdict = Readonly<Record<string, boolean>>;
export type Findings = { readonly invariants: Verdict; readonly faults: readonly string[] };

type Amounts = { vcpu: number; memoryMiB: number; diskMiB: number };
const kinds = ['vcpu', 'memoryMiB', 'diskMiB'] as const;
type Inventory = Record<(typeof kinds)[number], { total: number; reserved: number; ratioPerMille: number }>;
/** An event of a host in the ledger's service: each type has some of these. */
type HostEvent = {
  type: string;
  data: {
    hostId?: string;
    facts?: { hostId: string; inventory: Inventory };
    consumer?: { kind: string; id: string };
    amounts?: Amounts;
    moveId?: string;
    vmId?: string;
  };
};

export const verify = async (o: { readonly databaseUrl: string; readonly monitors: () => readonly string[] }): Promise<Findings> => {
  const db = new pg.Client({ connectionString: o.databaseUrl });
  await db.connect();
  try {
    const faults: string[] = [];
    const judge = async (look: () => Promise<string[]>): Promise<boolean> => {
      const found = await look();
      faults.push(...found);
      return found.length === 0;
    };
    return {
      invariants: {
        I1: await judge(async () => [...(await singleRunner(o.monitors())), ...(await oneAgentAHost(db))]),
        I3: await judge(() => everyEventOnTheBus(db)),
        I4: await judge(() => denseVersions(db)),
        I6: await judge(async () => [
          ...(await allocationsConserved(db)),
          ...(await poolsAreWhatTheirEventsSay(db)),
          ...(await poolsHoldWhatIsThere(db)),
          ...(await volumesHaveOneVm(db)),
          ...(await addressesHaveOneVm(db)),
          ...(await hostsHoldWhatVolumesSay(db, o.monitors())),
        ]),
        I7: await judge(async () => [
          ...(await nothingHeldByFinishedMoves(db)),
          ...(await noVmLockedByFinishedActions(db)),
          ...(await noVmLockedByFinishedChanges(db)),
          ...(await startsArePlanned(db)),
          ...(await restartsHaveTimers(db)),
          ...(await auditsRemoveOrphansAlone(db)),
        ]),
        I10: await judge(() => observedByItsHost(db)),
      },
      faults,
    };
  } finally {
    await db.end();
  }
};

const schemas = ['provisioning', 'resource_allocation', 'migration_templates', 'workflow', 'agent_gateway'];

const denseVersions = async (db: pg.Client): Promise<string[]> => {
  const faults: string[] = [];
  for (const s of schemas) {
    const { rows } = await db.query<{ stream_id: string }>(
      `select stream_id from ${s}.events group by stream_id having count(*) <> max(version) or min(version) <> 1 or count(distinct version) <> count(*)`,
    );
    faults.push(...rows.map((r) => `I4: versions of ${s}.${r.stream_id} are not dense`));
  }
  return faults;
};

/** What a relay says it has published is on the embedded bus; Kafka is not read here. Of a log that is being published again nothing is said. */
export const everyEventOnTheBus = async (db: pg.ClientBase): Promise<string[]> => {
  const { rows: bus } = await db.query<{ there: boolean }>(`select to_regclass('bus.messages') is not null as there`);
  if (!bus[0]!.there) return [];
  const faults: string[] = [];
  for (const s of schemas) {
    const { rows } = await db.query<{ stream_id: string; version: number; type: string }>(
      `select e.stream_id, e.version, e.type from ${s}.checkpoints c
       join ${s}.events e on (e.transaction_id, e.global_position) <= (c.transaction_id, c.position)
       where c.name = 'relay' and c.detail->>'replay' is null
         and not exists (select from bus.messages m where m.topic = $1 and m.event->>'id' = e.id::text)`,
      [`chrysalis.${s.replaceAll('_', '-')}.events`],
    );
    faults.push(...rows.map((r) => `I3: ${s}.${r.stream_id}@${r.version} ${r.type} was committed and is not on the bus`));
  }
  return faults;
};

/** Holds by host and consumer, from the events alone. */
const holds = async (db: pg.Client): Promise<{ held: Map<string, Map<string, Amounts>>; capacity: Map<string, Amounts> }> => {
  const { rows } = await db.query<HostEvent>(
    `select type, data from resource_allocation.events where stream_id like 'host-%' order by stream_id, version`,
  );
  const held = new Map<string, Map<string, Amounts>>();
  const capacity = new Map<string, Amounts>();
  for (const { type, data: d } of rows) {
    const name = type.replace('chrysalis.resource-allocation.', '').replace(/\.v\d+$/, '');
    const { facts, consumer } = d;
    if (facts)
      capacity.set(
        facts.hostId,
        Object.fromEntries(
          kinds.map((k) => [
            k,
            Math.floor(((facts.inventory[k].total - facts.inventory[k].reserved) * facts.inventory[k].ratioPerMille) / 1000),
          ]),
        ) as Amounts,
      );
    if (typeof d.hostId !== 'string') continue;
    const of = held.get(d.hostId) ?? new Map<string, Amounts>();
    held.set(d.hostId, of);
    if (name === 'allocation.held') of.set(`${consumer!.kind}:${consumer!.id}`, d.amounts!);
    if (name === 'allocation.released') of.delete(`${consumer!.kind}:${consumer!.id}`);
    if (name === 'allocation.swapped') {
      of.delete(`move:${d.moveId}`);
      of.set(`vm:${d.vmId}`, d.amounts!);
    }
  }
  return { held, capacity };
};

const allocationsConserved = async (db: pg.Client): Promise<string[]> => {
  const faults: string[] = [];
  const { held, capacity } = await holds(db);
  const ledger = await db.query<{ host: string; consumer: string; vcpu: number; memory: number; disk: number }>(
    `select host, consumer, vcpu, memory_mib as memory, disk_mib as disk from resource_allocation.ledger`,
  );
  const expected = [...held].flatMap(([host, of]) => [...of].map(([c, a]) => `${host} ${c} ${a.vcpu} ${a.memoryMiB} ${a.diskMiB}`)).sort();
  const observed = ledger.rows.map((r) => `${r.host} ${r.consumer} ${r.vcpu} ${r.memory} ${r.disk}`).sort();
  if (JSON.stringify(expected) !== JSON.stringify(observed))
    faults.push(`I6: the ledger is not what the events say: ${JSON.stringify({ expected, observed })}`);
  for (const [host, of] of held) {
    for (const k of kinds) {
      const sum = [...of.values()].reduce((n, a) => n + a[k], 0);
      if (sum < 0 || sum > (capacity.get(host)?.[k] ?? 0))
        faults.push(`I6: ${host} has ${sum} ${k} allocated of ${capacity.get(host)?.[k] ?? 0}`);
    }
  }
  return faults;
};

const nothingHeldByFinishedMoves = async (db: pg.Client): Promise<string[]> => {
  const { rows } = await db.query<{ id: string }>(
    `select id from (
       select distinct on (data->>'moveId') data->>'moveId' as id, type from migration_templates.events
       where type ~ '^chrysalis\.migration-templates\.move\.(ended|resumed)\.v' order by data->>'moveId', global_position desc
     ) latest where type like '%.ended.v%'`,
  );
  const ended = new Set(rows.map((r) => `move:${r.id}`));
  const { held } = await holds(db);
  return [...held].flatMap(([host, of]) => [...of.keys()].filter((c) => ended.has(c)).map((c) => `I7: ${c} ended and holds on ${host}`));
};

/** A VM that is started, stopped, paused, … is locked until the end of that is recorded; the workflow of it owns that end. */
export const noVmLockedByFinishedActions = async (db: pg.ClientBase): Promise<string[]> => {
  const { rows } = await db.query<{ vm: string; action: string; workflow: string }>(
    `select r.stream_id as vm, r.data->>'action' as action, w.stream_id as workflow
     from provisioning.events r
     join workflow.events w on w.stream_id = 'workflow-' || (r.data->'request'->>'workflowId') and w.type ~ '\\.instance\\.ended\\.v[0-9]+$'
     where r.type ~ '\\.vm\\.action-requested\\.v[0-9]+$' and not exists (
       select 1 from provisioning.events e
       where e.stream_id = r.stream_id and e.type ~ '\\.vm\\.action-ended\\.v[0-9]+$' and e.data->>'workflowId' = r.data->'request'->>'workflowId')`,
  );
  return rows.map((r) => `I7: ${r.workflow} ended and ${r.vm} is locked by its ${r.action}`);
};

/** Two agents with one host id would each run what the other was given: a host changes its agent only after it was released. */
const oneAgentAHost = async (db: pg.Client): Promise<string[]> => {
  const { rows } = await db.query<{ stream_id: string; keys: (string | null)[] }>(
    `select stream_id, array_agg(case when type like '%.released.v%' then null else data->>'agentKey' end order by version) as keys
     from agent_gateway.events
     where type like '%.host-agent.released.v%' or (type like '%.host-agent.enrolled.v%' and data ? 'agentKey') group by stream_id`,
  );
  return rows
    .filter(({ keys }) => keys.some((key, i) => i > 0 && key !== null && keys[i - 1] !== null && key !== keys[i - 1]))
    .map((r) => `I1: ${r.stream_id} changed its agent without a release`);
};

/** Each VM's observations are of hosts that it was on, in the order in which it was there: none of a past one after that of the next. */
const observedByItsHost = async (db: pg.Client): Promise<string[]> => {
  const { rows: places } = await db.query<{ vm: string; host: string; epoch: number }>(
    `select stream_id as vm, coalesce(data->>'toHost', data->>'hostId') as host, (data->>'epoch')::int as epoch
     from provisioning.events where type ~ '\\.vm\\.(placed|switched-over)\\.v[0-9]+$' order by stream_id, version`,
  );
  const { rows: seen } = await db.query<{ vm: string; host: string; epoch: number; version: number }>(
    `select data->>'vmId' as vm, data->>'hostId' as host, (data->>'epoch')::int as epoch, version
     from agent_gateway.events where type like 'chrysalis.agent-gateway.vm.observed.v%' order by stream_id, version`,
  );
  const staysOf = Map.groupBy(places, (p) => p.vm);
  const reached = new Map<string, number>();
  return seen.flatMap(({ vm, host, epoch, version }) => {
    const stays = staysOf.get(vm) ?? [];
    const from = reached.get(vm) ?? 0;
    const at = stays.findLastIndex((p, i) => i >= from && p.host === host && p.epoch <= epoch);
    reached.set(vm, Math.max(from, at));
    return at < 0 ? [`I10: ${host} was believed about ${vm} at epoch ${epoch} (observation ${version}), and did not have it then`] : [];
  });
};

const singleRunner = async (monitors: readonly string[]): Promise<string[]> => {
  const states = await Promise.all(monitors.map(statusOf));
  const running = states.filter((s) => s === 'running');
  return running.length > 1 ? [`I1: ${running.length} QEMUs run`] : [];
};

/** `query-status` over a monitor of its own; `gone` where nobody answers. */
const statusOf = (socketPath: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = createConnection(socketPath);
    let text = '';
    const end = (state: string): void => {
      socket.destroy();
      resolve(state);
    };
    socket.setTimeout(2000, () => end('silent'));
    socket.on('error', () => end('gone'));
    socket.on('close', () => end('gone'));
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (text.includes('"QMP"') && !text.includes('asked')) {
        socket.write('{"execute":"qmp_capabilities"}\n{"execute":"query-status","id":"status"}\n');
        text = 'asked ';
      }
      const status = /"status": ?"([a-z-]+)"/.exec(text)?.[1];
      if (status) end(status);
    });
  });
