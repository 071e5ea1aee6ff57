import type { HypervisorCode } from '@chrysalis/contracts';

/** Every way a driver says no; what each code means is in the catalogue of codes. */
export class HypervisorError extends Error {
  override readonly name = 'HypervisorError';
  readonly code: HypervisorCode;
  /** Evidence: QEMU's last words, the refused command, the differences. */
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(code: HypervisorCode, message: string, detail: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.detail = detail;
  }
}

export const noDisplay = (vmId: string): HypervisorError =>
  new HypervisorError('hypervisor.no_display', `The image of ${vmId} asks for no display`, { vmId });

export const noUefi = (): HypervisorError =>
  new HypervisorError('hypervisor.uefi_missing', 'This host has no UEFI for VMs: Debian’s package ovmf is not on it');

export const hasCode = (error: unknown, ...codes: HypervisorCode[]): error is HypervisorError =>
  error instanceof HypervisorError && (codes.length === 0 || codes.includes(error.code));
