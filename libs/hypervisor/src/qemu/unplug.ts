import { HypervisorError, hasCode } from '../errors.ts';
import type { QmpEvent } from '../qmp.ts';
import type { Vm } from './vm.ts';

/** ACPI 6.5, table 6.48: status codes of an ejection that ended in a refusal; 0x84 and 0x85 only say that it is under way. */
const REFUSED = new Set([1, 2, 0x80, 0x81, 0x82, 0x83]);
const EJECT_SOURCES = new Set([3, 0x103]);

const refusal = (event: QmpEvent, qdev: string): boolean => {
  if (event.event !== 'ACPI_DEVICE_OST') return event.data['device'] === qdev;
  const info = event.data['info'] as { device?: string; source?: number; status?: number } | undefined;
  return info?.device === qdev && EJECT_SOURCES.has(info.source ?? -1) && REFUSED.has(info.status ?? -1);
};

/**
 * Asks the guest to let go of a device and waits for what it says. `device_del` answers OK also where no driver listens, so
 * that its answer means nothing. After a timeout the request stays open in QEMU: asking again goes on waiting for the same one.
 */
export const requestUnplug = async (vm: Vm, qdev: string, deadlineMs: number): Promise<void> => {
  const names = ['DEVICE_DELETED', 'DEVICE_UNPLUG_GUEST_ERROR', 'MEM_UNPLUG_ERROR', 'ACPI_DEVICE_OST'];
  const decided = (event: QmpEvent): boolean =>
    event.event === 'DEVICE_DELETED' ? event.data['device'] === qdev : refusal(event, qdev);
  const answer = vm.qmp.waitFor(names, decided, deadlineMs);
  try {
    await vm.qmp.execute('device_del', { id: qdev }).catch((error: unknown) => {
      const pending = hasCode(error, 'hypervisor.qmp_refused') && /already in the process of unplug|in progress/i.test(error.message);
      const deleted = hasCode(error, 'hypervisor.qmp_refused') && error.detail['class'] === 'DeviceNotFound';
      if (deleted) return answer.cancel();
      if (!pending) throw error;
    });
    if (await isGone(vm, qdev)) return;
    const event = await answer.promise;
    if (event.event === 'DEVICE_DELETED') return;
    throw new HypervisorError('hypervisor.unplug_refused', `The guest refused to let go of ${qdev}`, { device: qdev, event: event.event, data: event.data });
  } catch (error) {
    if (!hasCode(error, 'hypervisor.qmp_timeout')) throw error;
    // The event may have been lost with an earlier monitor: what is there decides.
    if (await isGone(vm, qdev)) return;
    throw new HypervisorError('hypervisor.unplug_timeout', `The guest did not let go of ${qdev} in ${deadlineMs} ms`, { device: qdev, deadlineMs });
  } finally {
    answer.cancel();
  }
};

const isGone = async (vm: Vm, qdev: string): Promise<boolean> => {
  const list = await vm.qmp.execute<{ name: string }[]>('qom-list', { path: '/machine/peripheral' });
  return !list.some((entry) => entry.name === qdev);
};
