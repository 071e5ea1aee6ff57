import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { start as startProjector } from '@chrysalis/projector-app';
import type { RunningService, ServiceConfig } from '@chrysalis/service-kit';
import { start as startAdmin } from '../../../admin-api/src/main.ts';
import { World, type Behaviour } from '../../../workflow/src/test/world.ts';
import { environmentOf, run, type Ran } from './run.ts';

/** The workflow service with its executors, the projector, the door before them, and an administrator of `acme` at the command line. */
export class Front {
  private readonly folder = mkdtempSync(path.join(tmpdir(), 'chrysalis-front-'));

  private constructor(
    readonly world: World,
    readonly projector: RunningService,
    readonly door: RunningService,
    readonly token: string,
  ) {}

  static async open(behaviour: Behaviour): Promise<Front> {
    const world = await World.open();
    world.behaviour = behaviour;
    await world.startExecutors();
    const workflow = await world.startWorkflow();
    const projector = await startProjector(world.config);
    const door = await startAdmin({
      ...world.config,
      serviceUrls: { workflow: workflow.url } as NonNullable<ServiceConfig['serviceUrls']>,
    });
    return new Front(world, projector, door, await world.tokenFor('fleet', 'acme'));
  }

  async close(): Promise<void> {
    rmSync(this.folder, { recursive: true, force: true });
    await this.door.stop();
    await this.projector.stop();
    await this.world.close();
  }

  chrysalis(...args: readonly string[]): Promise<Ran> {
    return run(args, { env: environmentOf(this.door.url, this.token) });
  }

  /** The path of a file with this text. */
  file(name: string, text: string): string {
    const full = path.join(this.folder, name);
    writeFileSync(full, text);
    return full;
  }
}
