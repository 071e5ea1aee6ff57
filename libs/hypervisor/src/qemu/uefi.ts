import { access } from 'node:fs/promises';

/** The code that every VM of the host maps, and what the variables of each begin as. */
export type UefiFiles = { readonly code: string; readonly variables: string };

/**
 * Of Debian's package `ovmf`, 4 MiB in all and without secure boot. A flash is RAM to a migration: a target has the code that its guest came
 * with, whatever version lies there, as long as its size is the same.
 */
export const DEBIAN_UEFI: UefiFiles = { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', variables: '/usr/share/OVMF/OVMF_VARS_4M.fd' };

export const uefiThere = async ({ code, variables }: UefiFiles): Promise<boolean> =>
  Promise.all([access(code), access(variables)]).then(
    () => true,
    () => false,
  );
