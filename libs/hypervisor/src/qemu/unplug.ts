import { HypervisorError, hasCode } from '../errors.ts';
import type { QmpEvent } from '../qmp.ts';
import type { Vm } from './vm.ts';

/** ACPI 6.5, table 6.48: status codes of an ejection that ended in a refusal; 0x84 and 0x85 only say that it is under way. */
const REFUSED = new Set([1, 2, 0x80, 0x81, 0x82, 0x83]);
const REFUSALS = new Set(['DEVICE_UNPLUG_GUEST_ERROR', 'MEM_UNPLUG_ERROR']);
const EJECT_SOURCES = new Set([3, 0x103]);

/**
 * The device that this event says is gone. Parts (`.../virtio-backend`) are reported before the device itself, which still uses
 * its backend then: no end. But a CPU's own event may never come (7.2 under TCG keeps a reference to it): its local APIC's does.
 */
export const deletedQdev = (event: QmpEvent): string | undefined => {
  if (event.event !== 'DEVICE_DELETED') return undefined;
  const { device, path } = event.data;
  return typeof device === 'string' ? device : /^\/machine\/peripheral\/(cpu-[^/]+)\/lapic$/.exec(String(path))?.[1];
};

type Verdict = 'gone' | 'refused' | undefined;
const verdict = (event: QmpEvent, qdev: string): Verdict => {
  if (event.event === 'ACPI_DEVICE_OST') return ostVerdict(event, qdev);
  if (event.event === 'DEVICE_DELETED') return deletedQdev(event) === qdev ? 'gone' : undefined;
  return event.data['device'] === qdev && REFUSALS.has(event.event) ? 'refused' : undefined;
};

const ostVerdict = (event: QmpEvent, qdev: string): Verdict => {
  const info = event.data['info'] as { device?: string; source?: number; status?: number } | undefined;
  const refused = info?.device === qdev && EJECT_SOURCES.has(info.source ?? -1) && REFUSED.has(info.status ?? -1);
  return refused ? 'refused' : undefined;
};

/**
 * Asks the guest to let go of a device and waits for what it says. `device_del` answers OK also where no driver listens, so
 * that its answer means nothing. After a timeout the request stays open in QEMU: asking again goes on waiting for the same one.
 */
export const requestUnplug = async (vm: Vm, qdev: string, deadlineMs: number): Promise<void> => {
  const until = performance.now() + deadlineMs;
  const signs = new Signs(vm, qdev);
  try {
    let absent = await askGuest(vm, qdev);
    for (;;) {
      const sign = await signs.next(Math.max(0, Math.min(until - performance.now(), LOOK_EVERY_MS)));
      if (signs.ended) return;
      if (sign) throw refusedBy(qdev, sign);
      const wasAbsent = absent;
      absent = await isGone(vm, qdev);
      if (absent && wasAbsent) return;
      if (performance.now() > until && !absent)
        throw new HypervisorError('hypervisor.unplug_timeout', `The guest did not let go of ${qdev} in ${deadlineMs} ms`, {
          device: qdev,
          deadlineMs,
        });
    }
  } finally {
    signs.stop();
  }
};

const refusedBy = (qdev: string, { event, data }: QmpEvent): HypervisorError =>
  new HypervisorError('hypervisor.unplug_refused', `The guest refused to let go of ${qdev}`, { device: qdev, event, data });

/**
 * The event may have gone to a monitor that a restarted host agent replaced, so we look as well. A device that is on its way out
 * is absent from the tree before QEMU is done with it (removing its backend then corrupts QEMU's heap: seen with a NIC): only
 * absent at two looks is gone.
 */
const LOOK_EVERY_MS = 500;

/** True when QEMU does not know the device any more. */
const askGuest = (vm: Vm, qdev: string): Promise<boolean> =>
  vm.qmp.execute('device_del', { id: qdev }).then(
    () => false,
    (error: unknown) => {
      if (!hasCode(error, 'hypervisor.qmp_refused')) throw error;
      if (error.detail['class'] === 'DeviceNotFound') return true;
      if (/already in the process of unplug|in progress/i.test(error.message)) return false;
      throw error;
    },
  );

/** The signs of an end, from before the request on: none is missed between two looks. */
class Signs {
  ended = false;
  readonly stop: () => void;
  private refused: QmpEvent | undefined;
  private wake: () => void = () => undefined;

  constructor(vm: Vm, qdev: string) {
    const off = vm.qmp.on((event) => {
      const v = verdict(event, qdev);
      if (v === 'refused') this.refused = event;
      if (v === 'gone') this.ended = true;
      if (v) this.wake();
    });
    void vm.qmp.closed.then(() => this.wake());
    this.stop = off;
  }

  /** A refusal, or nothing when it ended or it is time to look. */
  async next(ms: number): Promise<QmpEvent | undefined> {
    if (!this.refused && !this.ended) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.refused;
  }
}

const isGone = async (vm: Vm, qdev: string): Promise<boolean> => {
  const list = await vm.qmp.execute<{ name: string }[]>('qom-list', { path: '/machine/peripheral' });
  return !list.some((entry) => entry.name === qdev);
};
