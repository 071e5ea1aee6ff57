import type { HostFacts } from '@chrysalis/contracts';
import { accept, canonicalJson, type Decision } from '@chrysalis/kernel';
import type { Host, HostEvent } from './host.ts';

/** A host's agent told its facts: the first time this registers the host. */
export type ReportFacts = Readonly<{ type: 'report-facts'; facts: HostFacts }>;

/** Facts equal to what is known say nothing. Facts below what is held are still facts: holds stay, new ones are refused. */
export const reportFacts = ({ facts }: ReportFacts, host: Host): Decision<HostEvent, never> => {
  if (host.status === 'unknown') return accept({ type: 'chrysalis.resource-allocation.host.registered.v1', data: { facts } });
  if (canonicalJson(facts) === canonicalJson(host.facts)) return accept();
  return accept({ type: 'chrysalis.resource-allocation.host.facts-changed.v1', data: { facts } });
};
