import { z } from 'zod';
import { event, taskGroups } from './define.ts';
import { Name, Positive, Timestamp, type HostFacts } from './shapes.ts';

/** What an executor is told apart by: each label has one or more values. */
export const Labels = z.record(Name, z.array(z.string().max(255)).max(512));
export type Labels = z.infer<typeof Labels>;

export const TaskKind = z.string().regex(/^[a-z-]+\.[a-z-]+$/);
/** Task kinds that an executor has a handler for. */
export const TaskKinds = z.array(TaskKind.max(128)).max(256);

/** The labels of a host agent, from what its host is. `place` is `site/room/rack`. */
export const labelsOfHost = (facts: HostFacts): Labels => ({
  host: [facts.hostId],
  driver: [facts.driver],
  accelerator: [facts.accelerator],
  site: [facts.place.site],
  room: [facts.place.room],
  rack: [facts.place.rack],
  place: [`${facts.place.site}/${facts.place.room}/${facts.place.rack}`],
  trait: facts.traits,
  pool: facts.storagePools,
  network: facts.networks,
});

/** The labels that are wanted and not borne. A wanted value may be a list, `a,b`: all of them are wanted. */
export const labelsMissing = (borne: Labels, wanted: Readonly<Record<string, string>>): string[] =>
  Object.entries(wanted).flatMap(([name, values]) =>
    values
      .split(',')
      .filter((value) => !(Object.hasOwn(borne, name) && borne[name]!.includes(value)))
      .map((value) => `${name}=${value}`),
  );

/** Stream: `executor-<context>`. Said at a start where it is not what was said before; host agents are known by their enrolment. */
export const executorAnnounced = <C extends string>(context: C) =>
  event(
    `chrysalis.${context}.executor.announced.v1` as const,
    'A service tells which kinds of tasks its group runs',
    z.object({ executor: z.string().min(1).max(255), group: z.enum(taskGroups), kinds: TaskKinds, labels: Labels, at: Timestamp }),
  );

/** A host agent takes so many tasks at a time unless it says otherwise. */
export const USUAL_CAPACITY = 4;
export const Capacity = Positive.max(10_000);
