import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from '@jest/globals';
import type { BootSpec } from '../../driver.ts';
import { hasConsole } from './console.ts';
import { bootsAndPlugs } from './devices.ts';
import { bootsFromDisk } from './disk-image.ts';
import { isToldAndEnds, powersOff } from './lifecycle.ts';
import { movesItsDisks } from './disk-copy.ts';
import { beginsElsewhere } from './cold.ts';
import { moves } from './move.ts';
import { goesBeforeItsMemory } from './post-copy.ts';
import { goesByOtherWays } from './pre-copy-ways.ts';
import { goesOffAndOn } from './power.ts';
import { bootSpec, MOVED, type Rig } from './rig.ts';
import { saves } from './save.ts';
import { suspends } from './suspend.ts';
import type { Story } from './story.ts';
import { leavesTraces } from './traces.ts';
import { hasVolumes } from './volumes.ts';

/** What every driver must do, in one story: a VM is booted, changed, saved, fails to move, moves with what was plugged, and ends. */
export const driverContract = (kind: string, open: () => Promise<Rig>, image?: () => Promise<BootSpec['image']>): void => {
  describe(`hypervisor driver: ${kind}`, () => {
    const story = { kind, saves: mkdtempSync(join(tmpdir(), 'chy-saves-')) } as { -readonly [K in keyof Story]: Story[K] };
    beforeAll(async () => {
      story.rig = await open();
      story.spec = bootSpec(MOVED, image ? { image: await image() } : {});
    }, 600_000); // the image may have to be made first
    afterAll(() => story.rig?.close(), 30_000);
    afterAll(() => rmSync(story.saves, { recursive: true, force: true }));

    bootsFromDisk(story);
    hasConsole(story);
    bootsAndPlugs(story);
    hasVolumes(story);
    leavesTraces(story);
    powersOff(story);
    goesOffAndOn(story);
    saves(story);
    suspends(story);
    beginsElsewhere(story);
    goesByOtherWays(story);
    goesBeforeItsMemory(story);
    moves(story);
    movesItsDisks(story);
    isToldAndEnds(story);
  });
};
