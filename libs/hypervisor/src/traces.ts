import type { Erased, Trace } from '@chrysalis/contracts';

const UUID = String.raw`[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`;
/** `vm-….root.qcow2`, `volume-….qcow2`, and one of those that is being made. */
const FILE = new RegExp(String.raw`^(?:(vm-${UUID})\.[a-z][a-z0-9-]*\.[a-z0-9]{2,6}|(volume-${UUID})\.qcow2)(?:\.new-[0-9]+)?$`);

/** Whose the file of a pool is, by its name, which is made of an id. */
export const ownerOfFile = (file: string): Pick<Trace, 'vmId' | 'volumeId'> | undefined => {
  const [, vmId, volumeId] = FILE.exec(file) ?? [];
  if (vmId !== undefined) return { vmId };
  return volumeId === undefined ? undefined : { volumeId };
};

export const young = (ageMs: number, minAgeMs: number): Pick<Trace, 'busy'> =>
  ageMs < minAgeMs ? { busy: `made ${Math.max(0, Math.round(ageMs / 1000))} s ago` } : {};

const erased = ({ kind, id, bytes }: Trace, done: Erased['done'], why?: string): Erased => ({
  kind,
  id,
  done,
  bytes: done === 'removed' ? bytes : 0,
  ...(why === undefined ? {} : { why }),
});
export const removed = (trace: Trace): Erased => erased(trace, 'removed');
export const gone = (trace: Trace): Erased => erased(trace, 'gone');
export const stays = (trace: Trace, why: string): Erased => erased(trace, 'stays', why.slice(0, 255));

/** As it is now, compared with what was judged: undefined where it is that very one still. */
export const otherwise = (judged: Trace, now: Trace | undefined): Erased | undefined => {
  if (!now) return gone(judged);
  return now.print === judged.print ? undefined : stays(judged, 'it is another one by now');
};
