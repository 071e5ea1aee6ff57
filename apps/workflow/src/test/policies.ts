import type { PolicySpec } from '@chrysalis/contracts';
import { v7 as uuidv7 } from 'uuid';
import { step, workflow } from './definitions.ts';
import { meta, type Answered, type World } from './world.ts';

export const STATE_CHANGED = 'chrysalis.resource-allocation.host.state-changed.v1';

/** The template that policies of tests start: one task of `alpha`, with the host's name as its input. */
export const publishTemplate = async (world: World): Promise<void> => {
  const { version: _, ...definition } = workflow([step('a', 'alpha', { input: { host: '${params.host}' } })], {
    name: 'look-after',
    params: { host: { type: 'string' }, n: { type: 'number', required: false } },
  });
  const answer = await world.post('/v1/workflow-templates', { definition }, { token: await world.tokenFor('fleet', 'acme') });
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
};

export const policy = (name: string, more: Partial<PolicySpec> = {}): PolicySpec => ({
  name,
  summary: 'a test',
  on: { event: STATE_CHANGED, when: 'event.data.to == "retiring"' },
  start: { template: 'look-after@1', params: { host: '${event.data.hostId}' }, subject: '${event.data.hostId}' },
  ...more,
});
export const scheduled = (name: string, schedule: string, more: Partial<PolicySpec> = {}): PolicySpec =>
  policy(name, { on: { schedule }, start: { template: 'look-after@1', params: { host: '${schedule.at}' }, subject: name }, ...more });

export const establish = async (world: World, spec: PolicySpec): Promise<Answered> => {
  const made = await world.post('/v1/workflow-policies', spec);
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  return world.post(`/v1/workflow-policies/${spec.name}/enable`, { reason: 'test' });
};

/** What resource allocation says of a host; answers the event's id. */
export const changed = async (world: World, hostId: string, to = 'retiring', tenant = 'acme'): Promise<string> => {
  const id = uuidv7();
  const event = { id, type: STATE_CHANGED, data: { hostId, from: 'enabled', to, reason: 'test' }, meta: { ...meta(id), tenant } };
  const says = world.running.find((s) => s.context === 'resource-allocation')!;
  await says.service.store.append({ stream: `host-${hostId}`, expected: 'any', events: [event] });
  return id;
};

type Started = { readonly workflowId: string; readonly at: string };
/** The workflows that began by a policy, in order, by the log itself: each start there is. */
export const startsOf = async (world: World, name: string): Promise<Started[]> => {
  const { pool } = world.running[0]!.service;
  const { rows } = await pool.query<Started>(
    `select data ->> 'workflowId' as "workflowId", data ->> 'at' as at from workflow.events
     where type = 'chrysalis.workflow.instance.started.v1' and data ->> 'workflowId' like $1 order by global_position`,
    [`by-policy-${name}-%`],
  );
  return rows;
};
export const firedOf = async (world: World, name: string): Promise<{ workflowId: string; cause: { missed?: number; at?: string } }[]> => {
  const events = await world.running[0]!.service.pool.query<{ data: never }>(
    `select data from workflow.events where stream_id = $1 and type = 'chrysalis.workflow.policy.fired.v1' order by version`,
    [`workflow-policy-${name}`],
  );
  return events.rows.map((r) => r.data);
};
