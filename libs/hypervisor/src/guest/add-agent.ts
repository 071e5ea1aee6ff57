import type { Duplex } from 'node:stream';
import { GUEST_PORT_NAME, GuestError } from '@chrysalis/contracts';
import { AgentChannel } from './agent-channel.ts';
import { QgaError } from './qga-connection.ts';
import type { QgaClient } from './qga.ts';

/** Where the package is mounted in the guest; made by `addAgent`, removed by `removeAgent`. */
export const AGENT_DIR = '/run/chrysalis-agent';

/** What the host agent does with its driver. Each may be called again when it is done already. */
export type AgentHardware = Readonly<{
  /** A read-only virtio-blk disk with the package; the serial number that the guest will see. */
  plugPackageDisk: () => Promise<{ serial: string }>;
  unplugPackageDisk: () => Promise<void>;
  /** A virtio-serial port named `com.chrysalis.agent.0`. */
  plugAgentPort: () => Promise<void>;
  unplugAgentPort: () => Promise<void>;
  /** Connects to the host's end of that port. */
  openAgentPort: () => Promise<Duplex>;
}>;

export type AddAgent = Readonly<{
  qga: QgaClient;
  hardware: AgentHardware;
  vmId: string;
  grant: string;
  packageDigest: string;
  /** From the first command to an agent that took the grant. 4 s under TCG. */
  timeoutMs?: number;
  onStep?: (step: 'plugged' | 'started' | 'opened', ms: number) => void;
}>;

/**
 * Adds the migration agent to a running VM: plugs disk and port, has qemu-ga mount and start it, and opens the channel under the grant.
 * What fails undoes what was done. An agent that is there already is started only if it does not run.
 */
export const addAgent = async (o: AddAgent): Promise<AgentChannel> => {
  const started = performance.now();
  const givenUp = new AbortController();
  const step = (name: 'plugged' | 'started' | 'opened'): void => o.onStep?.(name, Math.round(performance.now() - started));
  try {
    const [{ serial }] = await Promise.all([o.hardware.plugPackageDisk(), o.hardware.plugAgentPort(), o.qga.sync()]);
    step('plugged');
    const opening = AgentChannel.open({
      connect: o.hardware.openAgentPort,
      vmId: o.vmId,
      grant: o.grant,
      timeoutMs: o.timeoutMs ?? 30_000,
      signal: givenUp.signal,
    });
    opening.catch(() => undefined);
    const pid = await o.qga.start('/bin/sh', ['-c', startScript(serial, o.packageDigest)]);
    step('started');
    const channel = await firstOf(opening, o.qga, pid);
    step('opened');
    return channel;
  } catch (e) {
    givenUp.abort();
    await removeAgent({ qga: o.qga, hardware: o.hardware }).catch(() => undefined);
    throw e;
  }
};

/** The channel, or why the agent could not start: a start that failed is known long before the deadline. */
const firstOf = async (opening: Promise<AgentChannel>, qga: QgaClient, pid: number): Promise<AgentChannel> => {
  let settled = false;
  const done = opening.finally(() => (settled = true));
  done.catch(() => undefined);
  const failed = (async (): Promise<AgentChannel> => {
    while (!settled) {
      await new Promise((r) => setTimeout(r, 250));
      const end = settled ? undefined : await qga.status(pid).catch(() => undefined);
      if (end && end.exitCode !== 0) {
        throw new GuestError('guest.unreachable', `the agent did not start: ${end.stderr.trim().slice(-512)}`, { exitCode: end.exitCode });
      }
    }
    return opening;
  })();
  return Promise.race([done, failed]);
};

const word = (text: string): string => {
  if (!/^[A-Za-z0-9_.:/-]{1,128}$/.test(text)) throw new RangeError(`not a plain word: ${JSON.stringify(text)}`);
  return text;
};

/** Disk and port show up in the guest some 0.4 s after the plug. Runs in any /bin/sh with mount. */
const startScript = (serial: string, digest: string): string => `
d=${AGENT_DIR}; n=0
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
find_disk() {
  for b in /sys/block/*; do
    s=; read -r s 2>/dev/null < $b/serial # the kernel writes no line end here: read says 1 and has it
    [ "$s" = ${word(serial)} ] && dev=/dev/\${b##*/}
  done
}
if ! [ -e $d/agent.blob ]; then
  modprobe -q squashfs 2>/dev/null
  dev=; find_disk
  while [ -z "$dev" ] || ! [ -b "$dev" ]; do
    n=$((n + 1)); [ $n -gt 200 ] && { echo "no disk with serial ${word(serial)}" >&2; exit 3; }
    sleep 0.02 2>/dev/null || sleep 1
    find_disk
  done
  mkdir -p $d && mount -t squashfs -o ro,nosuid,nodev "$dev" $d || exit 4
fi
for p in /proc/[0-9]*; do [ $p/exe -ef $d/lib/ld-linux-x86-64.so.2 ] && exit 0; done
exec $d/lib/ld-linux-x86-64.so.2 --library-path $d/lib $d/bin/node --snapshot-blob $d/agent.blob agent --package ${word(digest)} --serial ${word(serial)} --dir $d`;

/** Ends what runs from the package, unmounts it and says what is left. */
const stopScript = `
d=${AGENT_DIR}; n=0
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
running() {
  r=
  for p in /proc/[0-9]*; do [ $p/exe -ef $d/lib/ld-linux-x86-64.so.2 ] && r="$r \${p##*/}"; done
  [ -n "$r" ]
}
while running; do
  n=$((n + 1)); [ $n -gt 50 ] && { echo "still running:$r" >&2; exit 3; }
  [ $n -gt 3 ] && kill -9 $r 2>/dev/null
  sleep 0.02 2>/dev/null || sleep 1
done
while grep -q " $d " /proc/mounts; do
  n=$((n + 1)); [ $n -gt 100 ] && { echo "$d is still in use" >&2; exit 4; }
  umount $d 2>/dev/null || sleep 0.02 2>/dev/null || sleep 1
done
rmdir $d 2>/dev/null; ! [ -e $d ]`;

/**
 * Takes the agent out again, without trace: it is told to end (or made to), unmounted, its disk and port are unplugged. May be called
 * whatever state it is in, and with no channel.
 */
export const removeAgent = async (o: {
  qga: QgaClient;
  hardware: Pick<AgentHardware, 'unplugPackageDisk' | 'unplugAgentPort'>;
  channel?: AgentChannel;
}): Promise<void> => {
  await o.channel?.command('shutdown', {}, { id: `shutdown-${crypto.randomUUID()}`, timeoutMs: 2_000 }).catch(() => undefined);
  await o.qga.shell(stopScript);
  o.channel?.close();
  await Promise.all([o.hardware.unplugPackageDisk(), o.hardware.unplugAgentPort()]);
  const left = await traces(o.qga);
  if (left.length > 0) throw new QgaError('qga.exec_failed', `the guest still shows ${left.join(', ')}`, { left });
};

/** What of an agent the guest shows: its port, its directory. The disk is the driver's to see go. */
export const traces = async (qga: QgaClient): Promise<string[]> => {
  const script = `for f in /sys/class/virtio-ports/*/name; do read -r n < $f && [ "$n" = ${GUEST_PORT_NAME} ] && echo "port $n"; done; [ -e ${AGENT_DIR} ] && echo ${AGENT_DIR}; true`;
  return (await qga.shell(script)).split('\n').filter(Boolean);
};
