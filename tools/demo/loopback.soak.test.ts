import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { onQemu } from '@chrysalis/testing';
import { NamespacesUnavailable } from '../../infra/network/user-namespace.ts';
import { chooseNetwork } from '../run/network.ts';
import { DemoReport } from './report.ts';
import { runDemo } from './testing/run-demo.ts';

/** By the uuid that QEMU's own command line carries. */
const qemusOf = (vmId: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(vmId);
    } catch {
      return false; // it ended while we looked
    }
  });

onQemu('the demo without network namespaces', () => {
  test('the whole story on real QEMU: heartbeats over virtio-serial stand in for HTTP, which it says first and last', async () => {
    // What the client's gap is on a quiet machine is the demo's to show; beside other suites a guest under TCG stands still for longer.
    const { code, stdout, stderr } = await runDemo(['--network', 'loopback', '--json', '--max-gap', '20000']);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    const r = DemoReport.parse(JSON.parse(stdout));
    const lines = stderr.trim().split('\n');
    for (const line of [lines[0], lines.at(-1)]) expect(line).toContain('heartbeats over virtio-serial');

    expect(r.hypervisor.driver).toBe('qemu');
    expect(r.hosts.map((h) => h.address).sort()).toEqual(['127.18.0.11', '127.18.0.12']);
    expect([r.vm.before.host, r.vm.after.host]).toEqual(['rack1-old', 'rack2-new']);
    expect(r.service).toMatchObject({ errors: 0, follows: false });
    expect(r.service.longestGapMs).toBeGreaterThanOrEqual(r.migration.downtimeMs / 2); // the client really met the blackout
    const names = r.checks.map((c) => c.name);
    expect(names).toContain("the source's QEMU is gone");
    expect(names).not.toContain('one connection'); // none can follow the VM, so it is no check
    expect(qemusOf(r.vm.id)).toEqual([]);
  }, 400_000);
});

describe('the network of real VMs', () => {
  const refused = (): void => {
    throw new NamespacesUnavailable('no user namespaces here', 'Type this. ');
  };

  test('namespaces where they can be had; else loopback, with the reason and what would change it', () => {
    expect(chooseNetwork('qemu', undefined, () => undefined).network).toBe('namespaces');
    expect(chooseNetwork('qemu', undefined, refused)).toEqual({ network: 'loopback', why: 'no user namespaces here. Type this.' });
  });

  test('asked for by name it is that or an error', () => {
    expect(chooseNetwork('qemu', 'loopback', () => undefined).network).toBe('loopback');
    expect(() => chooseNetwork('qemu', 'namespaces', refused)).toThrow(NamespacesUnavailable);
  });

  test('simulated VMs need none', () => {
    expect(chooseNetwork('simulated', undefined, refused).network).toBe('loopback');
  });
});
