import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** What each part of the machine is for, how to see that it is there (a program, or a file by its path), and Debian's package for it. */
const parts = {
  qemu: [
    { command: 'qemu-system-x86_64', package: 'qemu-system-x86', why: 'runs the VMs' },
    { command: 'qemu-img', package: 'qemu-utils', why: 'makes their disks' },
    { command: 'ip', package: 'iproute2', why: "makes the hosts' network namespaces" },
    { command: 'nft', package: 'nftables', why: 'filters what VMs send and get on networks' },
    { command: 'dnsmasq', package: 'dnsmasq-base', why: 'tells VMs their addresses on networks' },
    { command: '/usr/share/OVMF/OVMF_CODE_4M.fd', package: 'ovmf', why: 'boots VMs by UEFI' },
    { command: 'mksquashfs', package: 'squashfs-tools', why: "packs the migration agent's disk" },
    { command: 'xz', package: 'xz-utils', why: "unpacks the guest kernel's modules" },
    { command: 'mkfs.ext4', package: 'e2fsprogs', why: 'makes file systems' },
  ],
  image: [
    { command: 'mmdebstrap', package: 'mmdebstrap', why: 'installs a Debian into a folder' },
    { command: 'sfdisk', package: 'fdisk', why: "divides the image's disk" },
    { command: 'mformat', package: 'mtools', why: 'makes FAT file systems without mounting them' },
    { command: 'mkfs.ext4', package: 'e2fsprogs', why: 'makes file systems' },
    { command: 'qemu-img', package: 'qemu-utils', why: 'compresses the disk' },
    { command: '/usr/share/keyrings/debian-archive-keyring.gpg', package: 'debian-archive-keyring', why: "holds Debian's public keys" },
    ...(process.getuid?.() === 0 ? [] : [{ command: 'newuidmap', package: 'uidmap', why: 'lets mmdebstrap do without root' }]),
  ],
  kafka: [
    { command: 'java', package: 'default-jre-headless', why: 'runs Apache Kafka' },
    { command: 'mvn', package: 'maven', why: "fetches Apache Kafka's jars" },
  ],
  // Debian's Python has no venv without that package.
  python: [
    { command: 'python3 -m venv', package: 'python3-venv', why: 'runs the example of a client', there: () => imports('ensurepip, venv') },
  ],
};
const imports = (modules) => spawnSync('python3', ['-c', `import ${modules}`]).status === 0;

const found = (command) =>
  path.isAbsolute(command)
    ? fs.existsSync(command)
    : [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'].some((dir) => fs.existsSync(path.join(dir, command)));
const skipped = () => (process.env.CHRYSALIS_SKIP ?? '').split(',');

/** Installs what is missing where it may (root on Debian or Ubuntu); else names it with the command to type. The command itself decides what it can do without. */
export const installSystemParts = (names) => {
  const missing = names
    .filter((n) => !skipped().includes(n))
    .flatMap((n) => parts[n].filter((p) => !(p.there ? p.there() : found(p.command))));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((p) => p.package))];
  const typed = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  for (const p of missing) console.error(`${p.command} is missing: it ${p.why}`);
  if (process.getuid?.() !== 0 || !found('apt-get')) {
    console.error(
      `It can't be installed from here. Type: ${found('apt-get') ? `sudo sh -c '${typed}'` : `(with your system's package manager) the packages that hold ${missing.map((p) => p.command).join(', ')}`}`,
    );
    return;
  }
  console.error(`Installing ${packages.join(', ')} …`);
  // Its some hundred lines matter only where it fails.
  const { status, stdout, stderr } = spawnSync('sh', ['-c', typed], {
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (status !== 0) console.error(`${stdout ?? ''}${stderr ?? ''}That failed. The lines above say why; type: ${typed}`);
};
