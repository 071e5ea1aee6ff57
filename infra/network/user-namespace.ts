import { accessSync, constants, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { spawn, spawnSync } from 'node:child_process';
import { startTimeOf } from './process-time.ts';

const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;
const MARK = 'CHRYSALIS_USER_NAMESPACE';

/** Whether this process may make network namespaces: as root, or in a user namespace of its own. */
export const mayMakeNamespaces = (): boolean => {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
  return [CAP_NET_ADMIN, CAP_SYS_ADMIN].every((c) => (effective >> c) & 1n);
};

/** The user namespace that this process was put into by `inUserNamespace`, e.g. `user:[4026532270]`. */
export const ownUserNamespace = (): string | undefined => (process.env[MARK] ? readlinkSync('/proc/self/ns/user') : undefined);

/** This process is a command's second life, begun by the first one in a user namespace: what that one said is said. */
export const isSecondLife = (): boolean => process.env[MARK] === String(process.ppid);

/** Neither root nor a user namespace can be had; the message says what to do. */
export class NamespacesUnavailable extends Error {
  readonly code = 'fabric.unavailable';
  constructor(
    readonly why: string,
    /** What to type, if anything but root would do. */
    readonly remedy = '',
  ) {
    super(
      `The hosts need network namespaces, which this account cannot make: ${why}. ${remedy}` +
        'Run it as root (with sudo). The demo goes without as well: npm run demo -- --network loopback',
    );
  }
}

// Twice a namespace: as its root a private /run is mounted, where `ip netns` keeps its names; then back to the account's own number,
// since PostgreSQL refuses to run as 0, with the capabilities kept over exec. Each step is an exec: the pid stays the one we started.
const enter = `mount -t tmpfs -o mode=755 none /run && uid=$1 gid=$2 && shift 2 && exec unshare --user --map-user="$uid" --map-group="$gid" \
--keep-caps --net --mount -- sh -c 'ip link set lo up && exec "$@"' sh "$@"`;
const entering = (argv: readonly string[]): string[] => [
  ...['--user', '--map-root-user', '--mount', '--', 'sh', '-c', enter, 'sh'],
  String(process.getuid!()),
  String(process.getgid!()),
  ...argv,
];

/** Throws where the system does not let this account have a user namespace with a network of its own, or a tap for QEMU in it. */
export const assertUserNamespaces = (): void => {
  const { error, status, stderr } = spawnSync('unshare', entering(['true']), { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  if (error) throw new NamespacesUnavailable(`unshare does not run (${error.message})`, 'Install util-linux. ');
  if (status !== 0)
    throw new NamespacesUnavailable(
      stderr.trim().split('\n').at(-1) ?? `unshare ended with ${status}`,
      'What lets it: sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000, on Ubuntu also ' +
        'kernel.apparmor_restrict_unprivileged_userns=0; in a container, --privileged. ',
    );
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw new NamespacesUnavailable(
      `/dev/net/tun is not open to it (${(cause as NodeJS.ErrnoException).code})`,
      'Type: sudo chmod 666 /dev/net/tun. ',
    );
  }
};

/**
 * This very command again, in a user namespace with a network, mounts and capabilities of its own. It has no way to the Internet there.
 * Resolves with its exit code. It ends with us: its channel closes.
 */
export const inUserNamespace = (): Promise<number> => {
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawn('unshare', entering(argv), {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [MARK]: String(process.pid) },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal ? 143 : 1)));
  });
};

/**
 * Ends every process of a user namespace, which then goes with all its networks. A namespace's number may come again: who is older
 * than `since` (as `startTimeOf` says it) is left alone.
 */
export const endUserNamespace = (id: string, since: string): number => {
  const members = readdirSync('/proc').filter(
    (pid) => /^\d+$/.test(pid) && isIn(pid, id) && Number(startTimeOf(Number(pid))) >= Number(since),
  );
  for (const pid of members) end(Number(pid));
  return members.length;
};
const isIn = (pid: string, id: string): boolean => {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`) === id;
  } catch {
    return false; // another account's, or ended
  }
};
const end = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone already
  }
};
