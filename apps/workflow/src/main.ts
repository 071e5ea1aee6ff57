import path from 'node:path';
import { taskGroups, tasksTopic } from '@chrysalis/contracts';
import { migrationsIn } from '@chrysalis/event-store';
import {
  runAsProcess,
  startService,
  type RunningService,
  type ServiceConfig,
  type ServiceContext,
  type ServiceParts,
} from '@chrysalis/service-kit';
import { controllers } from './http/controllers.ts';
import { Children } from './children/children.ts';
import { DatabaseClock } from './engine/clock.ts';
import { Durations } from './durations/durations.ts';
import { DueLoop } from './engine/due.ts';
import { Engine } from './engine/engine.ts';
import { besideTheFirst, topicsOf } from './executors/topics.ts';
import { Inlet } from './engine/inlet.ts';
import type { LocalKinds } from './local/local.ts';
import { localKinds } from './local/kinds.ts';
import { PolicyIntake } from './policies/intake.ts';
import { PolicyLoop } from './policies/loop.ts';
import { ship } from './policies/shipped.ts';
import { Pump } from './queue/pump.ts';

/** `more`: kinds of local tasks beside the service's own. */
export const start = (config: ServiceConfig, more: LocalKinds = {}): Promise<RunningService> =>
  startService(config, {
    context: 'workflow',
    schema: 'workflow',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers,
    parts: (service) => parts(service, more),
  });

const parts = (service: ServiceContext, more: LocalKinds): ServiceParts => {
  const { store, log } = service;
  const clock = new DatabaseClock();
  const durations = new Durations(service);
  const engine = new Engine({ store, clock, log, complete: (request) => durations.withUsual(request) });
  const children = new Children(service, engine);
  engine.local.register({ ...localKinds, ...children.kinds, ...more });
  const due = new DueLoop({ store, engine, clock, log });
  const pump = new Pump(service, engine);
  const loop = new PolicyLoop(service);
  const policies = new PolicyIntake(service, loop.noted);
  const inlet = new Inlet(service, engine, pump, policies);
  return {
    providers: [
      { provide: Engine, useValue: engine },
      { provide: Durations, useValue: durations },
      { provide: Pump, useValue: pump },
    ],
    // What an executor gets is the event itself: nothing is sent that is not in the log. Local tasks never leave this service.
    route: (stored, event) => topicsOf(stored).map((topic) => ({ topic, event: besideTheFirst(stored, event) })),
    routesTo: taskGroups.map(tasksTopic),
    background: [
      due,
      pump,
      { start: () => ship(service), stop: async () => undefined },
      loop,
      policies,
      inlet,
      durations,
      children,
      { stop: () => engine.stopLocal() },
    ],
  };
};

if (import.meta.main) await runAsProcess(start);
