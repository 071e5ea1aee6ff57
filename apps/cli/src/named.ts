import { ApiError, type Client } from '@chrysalis/api-client';
import { vmOf } from './command.ts';
import { SeveralNamedError } from './errors.ts';

/** What lists are asked for, by what people call it. */
export const vmIdOf = async (client: Client, text: string): Promise<string> => (await vmOf(client, text)).vmId;

export const hostIdOf = async (client: Client, text: string): Promise<string> =>
  (await client.get('/v1/hosts/{id}', { path: { id: text } })).hostId;

/** A VM's name, or else what it is as it is: there are subjects of many kinds, and some are only words. */
export const subjectOf = async (client: Client, text: string): Promise<string> => {
  if (/^[a-z]+-[0-9a-f]{8}-/.test(text)) return text;
  const [vms, host] = await Promise.all([client.all('/v1/vms', { name: text }), hostIdOf(client, text).catch(unlessUnknown)]);
  const lines = [...vms.map((v) => `${v.vmId}  a VM`), ...(host === undefined ? [] : [`${host}  a host`])];
  if (vms.length > 0 && lines.length > 1) throw new SeveralNamedError(text, 'VMs and hosts', lines);
  return vms[0]?.vmId ?? text;
};

const unlessUnknown = (error: unknown): undefined => {
  if (error instanceof ApiError && error.code === 'host.unknown') return undefined;
  throw error;
};
