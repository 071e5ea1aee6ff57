import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Controller, Inject, UseInterceptors, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { EventPattern } from '@nestjs/microservices';
import type { workflowEvents } from '@chrysalis/contracts';
import {
  event,
  eventsTopic,
  provisioningEvents,
  provisioningTasks,
  resourceAllocationTasks,
  type DataOf,
  type InputOf,
} from '@chrysalis/contracts';
import { ConcurrentAppend } from '@chrysalis/event-store';
import { Poison } from '@chrysalis/messaging';
import { busEvent, serviceConfig, temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import type { Observable } from 'rxjs';
import { z } from 'zod';
import { SERVICE, type ServiceContext } from '../context.ts';
import { Consumer, Executor, OnEvent, OnTask, type EventContext, type ResultOf, type TaskContext } from './handlers.ts';
import { startService, type RunningService } from '../service.ts';
import { done } from './task-results.ts';
import { newSigningKey } from '../access/tokens.ts';

const { vmDeleted, vmMoveEnded, vmPlaced, vmSwitchedOver } = provisioningEvents;
const { release } = resourceAllocationTasks;

class Through implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle();
  }
}

/** What a method is to do with a VM's event, by the VM's name. */
const faults: Record<string, () => unknown> = {
  'vm-plain': () => new Error('the plain reason'),
  'vm-poison': () => new Poison('it will never do'),
  'vm-code': () => Object.assign(new Error('a reason with a code'), { code: 'vm.odd' }),
};
const tries = new Map<string, number>();

@Consumer('listening')
class Listening {
  constructor(@Inject(SERVICE) private readonly service: ServiceContext) {}

  @OnEvent(vmDeleted)
  async gone({ vmId }: DataOf<typeof vmDeleted>, { tx }: EventContext): Promise<void> {
    const tried = (tries.get(vmId) ?? 0) + 1;
    tries.set(vmId, tried);
    await tx.query(`insert into ${this.service.schema}.effects values ($1)`, [vmId]);
    if (vmId === 'vm-contended' && tried < 12) throw new ConcurrentAppend(['vm-contended']);
    const fault = faults[vmId]?.();
    if (fault) throw fault;
  }

  @OnEvent(vmPlaced, vmSwitchedOver)
  async moved(data: DataOf<typeof vmPlaced | typeof vmSwitchedOver>, { tx, event: { type } }: EventContext): Promise<void> {
    await tx.query(`insert into provisioning.effects values ($1)`, [`${data.vmId} by ${type}`]);
  }

  @UseInterceptors(new Through())
  @OnEvent(vmMoveEnded)
  async streamed({ vmId }: DataOf<typeof vmMoveEnded>, { tx }: EventContext): Promise<void> {
    await tx.query(`insert into provisioning.effects values ($1)`, [vmId]);
    if (vmId === 'vm-stream-fails') throw new Error('the reason through a stream');
  }
}

describe('handlers on the bus', () => {
  let database: TemporaryDatabase;
  let running: RunningService;
  const topic = eventsTopic('provisioning');
  const config = async () => serviceConfig(database, await newSigningKey(), 4);
  const tell = (stream: string, type: string, data: unknown): Promise<void> =>
    running.service.bus.publish([{ topic, event: busEvent(stream, type, data, { streamversion: 1 }) }]);
  const effects = async (): Promise<string[]> =>
    (await running.service.pool.query<{ what: string }>('select what from provisioning.effects order by what')).rows.map((r) => r.what);
  const parked = (key: string): Promise<{ reason: string; attempts: number }> =>
    until(async () => {
      const sql = 'select reason, attempts from provisioning.parked where key = $1 and consumer = $2';
      return (await running.service.pool.query<{ reason: string; attempts: number }>(sql, [key, 'provisioning.listening'])).rows[0];
    });

  beforeAll(async () => {
    database = await temporaryDatabase();
    running = await startService(await config(), {
      context: 'provisioning',
      schema: 'provisioning',
      migrations: [{ number: 1001, name: 'effects', sql: 'create table effects (what text primary key)' }],
      handlers: [Listening],
    });
  });
  afterAll(async () => {
    await running?.stop();
    await database?.drop();
  });

  test('have what is injected, the data and the transaction; one method may take several events', async () => {
    await tell('vm-a', vmDeleted.type, { vmId: 'vm-a' });
    await tell('vm-b', vmPlaced.type, { vmId: 'vm-b', hostId: 'h1', epoch: 1 });
    await tell('vm-c', vmMoveEnded.type, { vmId: 'vm-c', moveId: 'm', outcome: 'succeeded' });
    await until(async () => (await effects()).includes('vm-c'));
    expect(await until(async () => (await effects()).length === 3 && effects())).toEqual(['vm-a', `vm-b by ${vmPlaced.type}`, 'vm-c']);
  });

  test('what they throw reaches parking as it is, after the tries it is worth, and their effect is rolled back', async () => {
    for (const vmId of Object.keys(faults)) await tell(vmId, vmDeleted.type, { vmId });
    await tell('vm-stream-fails', vmMoveEnded.type, { vmId: 'vm-stream-fails', moveId: 'm', outcome: 'succeeded' });
    expect(await parked('vm-plain')).toEqual({ reason: 'the plain reason', attempts: 5 });
    expect(await parked('vm-code')).toEqual({ reason: 'a reason with a code', attempts: 5 });
    expect(await parked('vm-poison')).toEqual({ reason: 'it will never do', attempts: 1 });
    expect(await parked('vm-stream-fails')).toEqual({ reason: 'the reason through a stream', attempts: 5 });
    expect((await effects()).filter((what) => what in faults || what === 'vm-stream-fails')).toEqual([]);
  });

  test('contention is no fault: the event is tried again for as long as it takes, and parked for nothing', async () => {
    await tell('vm-contended', vmDeleted.type, { vmId: 'vm-contended' });
    await until(async () => (await effects()).includes('vm-contended'));
    expect(tries.get('vm-contended')).toBe(12);
    expect((await running.service.pool.query(`select from provisioning.parked where key = 'vm-contended'`)).rowCount).toBe(0);
  });

  test('data that does not fit its contract is parked at once, before the method sees it, and says where', async () => {
    await tell('vm-misfit', vmDeleted.type, { vmId: 7 });
    const { reason, attempts } = await parked('vm-misfit');
    expect(attempts).toBe(1);
    expect(reason).toContain('vmId');
    expect([...tries.keys()]).not.toContain(7);
  });

  test('what nobody takes costs nothing: it is in no inbox', async () => {
    await tell('vm-x', provisioningEvents.vmTypeDeprecated.type, { anything: true });
    await tell('vm-x', vmDeleted.type, { vmId: 'vm-x' });
    await until(async () => (await effects()).includes('vm-x'));
    const { rows } = await running.service.pool.query<{ n: number }>(`select count(*)::int as n from provisioning.inbox`);
    expect(rows[0]!.n).toBe((await effects()).length);
  });

  describe('a service does not start', () => {
    const started = async (...handlers: Parameters<typeof startService>[1]['handlers'] & object): Promise<string> => {
      try {
        const service = await startService(await config(), { context: 'resource-allocation', schema: 'resource_allocation', handlers });
        await service.stop();
        return 'it started';
      } catch (error) {
        return (error as Error).message;
      }
    };

    test('with an event that no contract knows', async () => {
      const misspelt = event('chrysalis.provisioning.vm.deletd.v1', 'misspelt', z.object({}));
      @Consumer('c')
      class Misspelt {
        @OnEvent(misspelt)
        async gone(): Promise<void> {}
      }
      expect(await started(Misspelt)).toBe(
        'Misspelt.gone takes chrysalis.provisioning.vm.deletd.v1, and no contract says that there is such an event',
      );
    });

    test('with an event that one consumer takes twice, in one class or two; two consumers may both have it', async () => {
      @Consumer('c')
      class Twice {
        @OnEvent(vmDeleted)
        async one(): Promise<void> {}
        @OnEvent(vmPlaced, vmDeleted)
        async two(): Promise<void> {}
      }
      @Consumer('c')
      class Same {
        @OnEvent(vmDeleted)
        async gone(): Promise<void> {}
      }
      @Consumer('d')
      class Other {
        @OnEvent(vmDeleted)
        async gone(): Promise<void> {}
      }
      expect(await started(Twice)).toBe(`Twice.two is the second of the consumer c to take ${vmDeleted.type}`);
      expect(await started(Same, Twice)).toBe(`Twice.one is the second of the consumer c to take ${vmDeleted.type}`);
      expect(await started(Same, Other)).toBe('it started');
    });

    test('with a task of another group, or one that is executed twice', async () => {
      @Executor()
      class Foreign {
        @OnTask(provisioningTasks.recordBoot)
        async boot(): ResultOf<typeof provisioningTasks.recordBoot> {
          return done({});
        }
      }
      @Executor()
      class Twice {
        @OnTask(release)
        async one(): ResultOf<typeof release> {
          return done({});
        }
        @OnTask(release)
        async two(): ResultOf<typeof release> {
          return done({});
        }
      }
      expect(await started(Foreign)).toBe(
        'Foreign.boot executes vm.record-boot, and tasks of provisioning never come to resource-allocation',
      );
      expect(await started(Twice)).toBe('Twice.two is the second to execute allocation.release');
    });

    test('with a pattern whose data nobody checks, or events without a name to remember them by', async () => {
      @Controller()
      class Bare {
        @EventPattern('anything')
        async heard(_: unknown): Promise<void> {}
      }
      @Controller()
      class Nameless {
        @OnEvent(vmDeleted)
        async gone(): Promise<void> {}
      }
      expect(await started(Bare)).toContain("anything is a pattern of Nest's own");
      expect(await started(Nameless)).toBe(`Nameless.gone takes ${vmDeleted.type}, and Nameless is no @Consumer`);
    });
  });

  test('a method that takes or answers something else than its contract does not compile', () => {
    class Wrong {
      // @ts-expect-error the data is of another event
      @OnEvent(vmDeleted)
      async otherData(_: DataOf<typeof workflowEvents.instanceEnded>): Promise<void> {}
      // @ts-expect-error one of the two has no hostId
      @OnEvent(vmPlaced, vmSwitchedOver)
      async oneOfTwo(_: { hostId: string }): Promise<void> {}
      // @ts-expect-error an event has no dispatch
      @OnEvent(vmDeleted)
      async otherContext(_: DataOf<typeof vmDeleted>, __: TaskContext): Promise<void> {}
      // @ts-expect-error nobody waits for it
      @OnEvent(vmDeleted)
      notAwaited(_: DataOf<typeof vmDeleted>): void {}
      // @ts-expect-error the input is of another task
      @OnTask(release)
      async otherInput(_: InputOf<typeof provisioningTasks.recordBoot>): ResultOf<typeof release> {
        return done({});
      }
      // @ts-expect-error the output lacks what the contract has
      @OnTask(resourceAllocationTasks.place)
      async otherOutput(_: InputOf<typeof resourceAllocationTasks.place>) {
        return done({ hostId: 'h1' });
      }
    }
    expect(Object.getOwnPropertyNames(Wrong.prototype)).toHaveLength(7);
  });
});
