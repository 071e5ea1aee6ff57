import { tasksTopic, workflowEvents, type TaskDispatch } from '@chrysalis/contracts';
import { runAsProcess, SERVICE, startService, type RunningService, type ServiceConfig, type ServiceContext } from '@chrysalis/service-kit';
import { DatabaseClock } from './clock.ts';
import { WorkflowsController } from './controller.ts';
import { DueLoop } from './due.ts';
import { Engine } from './engine.ts';
import { Inlet } from './inlet.ts';
import { tables } from './tables.ts';

export const start = (config: ServiceConfig): Promise<RunningService> => {
  const clock = new DatabaseClock();
  let due: DueLoop | undefined;
  const newEngine = (service: ServiceContext): Engine => new Engine({ store: service.store, clock, onWake: (at) => due?.noted(at) });
  let engine: Engine | undefined;
  const engineOf = (service: ServiceContext): Engine => (engine ??= newEngine(service));
  return startService(config, {
    context: 'workflow',
    schema: 'workflow',
    tables: [tables],
    controllers: [WorkflowsController],
    providers: [{ provide: Engine, useFactory: engineOf, inject: [SERVICE] }],
    // What an executor gets is the event itself: nothing is sent that is not in the log.
    route: (stored, event) =>
      stored.type === workflowEvents.taskDispatched.type ? [{ topic: tasksTopic((stored.data as TaskDispatch).group), event }] : [],
    background: [
      async (service) => {
        due = new DueLoop({ store: service.store, engine: engineOf(service), clock, log: service.log });
        await due.start();
        return () => due!.stop();
      },
      async (service) => {
        const inlet = new Inlet(service, engineOf(service));
        await inlet.start();
        return () => inlet.stop();
      },
    ],
  });
};

if (import.meta.main) await runAsProcess(start);
