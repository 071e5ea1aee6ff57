import type { SeedRequest } from '@chrysalis/contracts';
import { ProblemError } from '@chrysalis/service-kit';
import { parseDocument } from 'yaml';
import { fatDisk } from './fat.ts';

export type SeedOf = {
  readonly vmId: string;
  readonly hostName: string;
  readonly nics: readonly { readonly id: string; readonly mac: string }[];
  readonly wanted: SeedRequest;
  /** Nobody can guess what is in a seed by trying whose digest it has. */
  readonly salt: Buffer;
};

/**
 * What a guest's cloud-init (or a reader of its kind) is told at its first boot: a disk labelled CIDATA, as its data source NoCloud has it.
 * The instance is the VM: a guest that has seen it does nothing again. JSON is YAML. Refused with `seed.invalid`.
 */
export const seedDisk = ({ vmId, hostName, nics, wanted, salt }: SeedOf): Buffer => {
  const { sshKeys = [], userData, networkConfig } = wanted;
  const metaData = { 'instance-id': vmId, 'local-hostname': hostName, ...(sshKeys.length > 0 ? { 'public-keys': sshKeys } : {}) };
  if (userData !== undefined) assertCloudConfig(userData);
  const network = networkConfig === undefined ? JSON.stringify(byDhcp(nics)) : assertNetwork(networkConfig);
  return fatDisk('CIDATA', [
    { name: 'meta-data', content: Buffer.from(JSON.stringify(metaData)) },
    { name: 'user-data', content: Buffer.from(userData ?? '#cloud-config\n{}\n') },
    { name: 'network-config', content: Buffer.from(network) },
    { name: 'salt', content: salt },
  ]);
};

/** Of version 2: each NIC by its address, which a move does not change. */
const byDhcp = (nics: SeedOf['nics']) => ({
  version: 2,
  ethernets: Object.fromEntries(nics.map(({ id, mac }) => [id, { match: { macaddress: mac }, dhcp4: true }])),
});

const assertCloudConfig = (text: string): void => {
  if (!/^#cloud-config\r?\n/.test(text)) throw invalid('userData', 'its first line is not #cloud-config');
  mapping('userData', text);
};

const assertNetwork = (text: string): string => {
  const { version } = mapping('networkConfig', text);
  if (version !== 2) throw invalid('networkConfig', 'version: 2 is what is taken');
  return text;
};

/** What is wrong is told by its place, and never by what stands there: it may be a secret. */
const mapping = (path: string, text: string): Record<string, unknown> => {
  const read = parseDocument(text, { logLevel: 'silent', prettyErrors: false });
  const [error] = read.errors;
  if (error) throw invalid(path, `it is no YAML: ${error.code} at character ${error.pos[0]}`);
  const value: unknown = toValue(path, read);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalid(path, 'it is no mapping of names to values');
};

const toValue = (path: string, read: ReturnType<typeof parseDocument>): unknown => {
  try {
    return read.toJS({ maxAliasCount: 100 });
  } catch {
    throw invalid(path, 'its aliases lead nowhere, or to too much');
  }
};

const invalid = (path: string, message: string): ProblemError =>
  ProblemError.of({ code: 'seed.invalid', message: `seed.${path}: ${message}`, path: `seed.${path}` });
