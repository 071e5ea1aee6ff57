const MAX = 63; // a Name of the contracts

/** A step's or task's name from what it does and to what: cut to a Name's length, and told apart by a number where that is needed. */
export const namer = (taken: Iterable<string> = []): ((...parts: readonly (string | number)[]) => string) => {
  const used = new Set(taken);
  return (...parts) => {
    const base = parts.join('-').slice(0, MAX);
    let name = base;
    for (let n = 2; used.has(name); n++) name = `${base.slice(0, MAX - 1 - String(n).length)}-${n}`;
    used.add(name);
    return name;
  };
};

/** Tasks every move has; no step of a template may take these names. */
export const reservedNames: readonly string[] = [
  'hold-target',
  'begin-move',
  'preflight-source',
  'preflight-target',
  'check-blockers',
  'guest-facts',
  'record-unplugged',
  'prepare-target',
  'await-approval',
  'settle-approval',
  'transfer',
  'confirm-target',
  'switch-over',
  'record-plugged',
  'verify-guest',
  'release-source',
  'await-memory',
  'swap-holds',
  'change-type',
  'end-move',
];
