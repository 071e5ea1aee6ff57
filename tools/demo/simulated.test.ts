import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { chooseDriver } from '../run/driver.ts';
import { DemoReport } from './report.ts';
import { runDemo } from './testing/run-demo.ts';

describe('the demo without QEMU', () => {
  test('the whole story on simulated hosts, which it says first and last, with no check that would be about nothing', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-picture-'));
    const picture = path.join(dir, 'run.svg');
    const { code, stdout, stderr } = await runDemo([
      '--driver',
      'simulated',
      '--back',
      '--json',
      '--max-gap',
      '20000',
      '--picture',
      picture,
    ]);
    const svg = code === 0 ? readFileSync(picture, 'utf8') : '';
    rmSync(dir, { recursive: true });
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    const r = DemoReport.parse(JSON.parse(stdout));
    // Before its own first line it may say what it cleared away of others that were killed, as tests beside this one do.
    const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('removed what an earlier run had left'));
    for (const line of [lines[0], lines.at(-1)]) expect(line).toContain('SIMULATED');

    expect(r.hypervisor).toMatchObject({ driver: 'simulated', accelerator: 'none' });
    expect(r.simulated?.length).toBeGreaterThan(0);
    expect(r.migration.state).toBe('succeeded');
    expect([r.vm.before.host, r.vm.after.host]).toEqual(['rack1-old', 'rack2-new']);
    expect([...r.steps, ...r.back!.steps].filter((s) => s.state !== 'done')).toEqual([]);
    const { before, after: home } = { before: r.vm.before, after: r.back!.after };
    expect([home.type, home.host, home.bootId, home.vcpus, home.memoryMiB]).toEqual([
      before.type,
      before.host,
      before.bootId,
      before.vcpus,
      before.memoryMiB,
    ]);
    expect(r.service.longestGapMs).toBeGreaterThanOrEqual(r.migration.downtimeMs / 2); // the client really met the blackout

    expect(r.steps.every((s) => Date.parse(s.startedAt!) > 0)).toBe(true);
    expect(svg.match(/class="done"/g)).toHaveLength(r.steps.length);
    for (const text of ['>SIMULATED<', `${r.service.requests} heartbeats`, 'switch-over: the guest stands still', 'class="answered"'])
      expect(svg).toContain(text);

    const names = r.checks.map((c) => c.name);
    expect(names).toContain("the source's simulated VM is gone");
    expect(names.filter((n) => /QEMU|connection/.test(n))).toEqual([]);
  });

  test('is what is chosen where there is no QEMU, and not where there is', () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-path-'));
    try {
      expect(chooseDriver(undefined, `${dir}:`)).toEqual({ driver: 'simulated', why: 'there is no qemu-system-x86_64 here' });
      expect(chooseDriver('qemu', dir).driver).toBe('qemu');
      writeFileSync(path.join(dir, 'qemu-system-x86_64'), '');
      expect(chooseDriver(undefined, `/nowhere:${dir}`).driver).toBe('qemu');
      expect(chooseDriver('simulated', dir).driver).toBe('simulated');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
