import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';
import { runAsProcess, SERVICE, startService, type RunningService, type ServiceConfig, type ServiceContext } from '@chrysalis/service-kit';
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
export const start = (config: ServiceConfig, more: LocalKinds = {}): Promise<RunningService> => {
  const clock = new DatabaseClock();
  let due: DueLoop | undefined;
  let durations: Durations | undefined;
  const durationsOf = (service: ServiceContext): Durations => (durations ??= new Durations(service));
  let children: Children | undefined;
  const newEngine = (service: ServiceContext): Engine => {
    const { store, log } = service;
    const made = new Engine({
      store,
      clock,
      log,
      onWake: (at) => due?.noted(at),
      onEnded: (id) => pump?.ended(id),
      complete: (request) => durationsOf(service).withUsual(request),
      onCommitted: (id, state, events) => children?.committed(id, state, events),
    });
    children = new Children(service, made);
    made.local.register({ ...localKinds(made, service), ...children.kinds, ...more });
    return made;
  };
  let engine: Engine | undefined;
  const engineOf = (service: ServiceContext): Engine => (engine ??= newEngine(service));
  let pump: Pump | undefined;
  const pumpOf = (service: ServiceContext): Pump => (pump ??= new Pump(service, engineOf(service)));
  return startService(config, {
    context: 'workflow',
    schema: 'workflow',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers,
    providers: [
      { provide: Engine, useFactory: engineOf, inject: [SERVICE] },
      { provide: Durations, useFactory: durationsOf, inject: [SERVICE] },
      { provide: Pump, useFactory: pumpOf, inject: [SERVICE] },
    ],
    // What an executor gets is the event itself: nothing is sent that is not in the log. Local tasks never leave this service.
    route: (stored, event) => topicsOf(stored).map((topic) => ({ topic, event: besideTheFirst(stored, event) })),
    background: [
      async (service) => {
        due = new DueLoop({ store: service.store, engine: engineOf(service), clock, log: service.log });
        await due.start();
        return () => due!.stop();
      },
      async (service) => {
        await pumpOf(service).start();
        return () => pumpOf(service).stop();
      },
      async (service) => {
        await ship(service);
        const loop = new PolicyLoop(service);
        const policies = new PolicyIntake(service, loop.noted);
        const inlet = new Inlet(service, engineOf(service), pumpOf(service), policies);
        loop.start();
        await inlet.start();
        return {
          health: () => inlet.health(),
          stop: async () => {
            await inlet.stop();
            await policies.stop();
            await loop.stop();
          },
        };
      },
      async (service) => {
        await durationsOf(service).start();
        return () => durationsOf(service).stop();
      },
      async (service) => {
        engineOf(service);
        children!.start();
        return () => children!.stop();
      },
      async (service) => () => engineOf(service).stopLocal(),
    ],
  });
};

if (import.meta.main) await runAsProcess(start);
