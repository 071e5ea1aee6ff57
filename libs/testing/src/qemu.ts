import { spawnSync } from 'node:child_process';
import { describe, test } from '@jest/globals';
import { skipped } from './kafka.ts';

/** Debian's package of each tool that the suites run. */
const packages = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  nft: 'nftables',
  dnsmasq: 'dnsmasq-base',
} as const;

/** A suite on real QEMU: left out only by name, and where a tool is not there it fails with what to type. */
export const onQemu = (name: string, suite: () => void, tools: readonly (keyof typeof packages)[] = ['qemu-system-x86_64']): void => {
  if (skipped('qemu')) {
    process.stdout.write(`skipped (CHRYSALIS_SKIP): qemu: ${name}\n`);
    return describe(name, () => test.skip('left out by CHRYSALIS_SKIP=qemu', () => undefined));
  }
  const missing = tools.filter((tool) => spawnSync(tool, ['--version']).status !== 0);
  if (missing.length === 0) return describe(name, suite);
  test(name, () => {
    const names = missing.map((tool) => packages[tool]).join(' ');
    throw new Error(`no ${missing.join(', ')}: type \`apt-get install ${names}\`, or leave it out by name with CHRYSALIS_SKIP=qemu`);
  });
};
