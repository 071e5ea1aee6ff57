import { verify } from '../verifier/verify.ts';
import { holds, type Claim } from './provisioning/claim.ts';
import { Lab } from './provisioning/lab.ts';
import { claims } from './provisioning/table.ts';
import type { Recorder, Scenario } from './scenario.ts';

/** What provisioning promises of real VMs, one claim a line: each looked at from outside while VMs that others share live on. */
export const provisioning = async ({ signal, say, record, only }: Recorder): Promise<void> => {
  const wanted = claims.filter(({ name }) => only.length === 0 || only.some((part) => name.includes(part)));
  if (wanted.length === 0) throw new Error(`no scenario of provisioning has ${only.join(' or ')} in its name`);
  const lab = await Lab.open(say);
  try {
    for (const claim of wanted) if (!signal.aborted) record(await look(lab, claim));
  } finally {
    await lab.close();
  }
};

/** What could not be looked at to its end does not hold, and is the fault that is shown. */
const look = async (lab: Lab, claim: Claim): Promise<Scenario> => {
  const begun = performance.now();
  const seen = await claim.see(lab).catch((error: unknown) => ({ expected: {}, observed: { failed: String(error) }, vm: undefined }));
  const monitors = () => (seen.vm ? lab.outside.monitors(seen.vm) : []);
  const { invariants, faults } = await verify({ databaseUrl: lab.run.platform.database.url, monitors });
  return {
    name: claim.name,
    group: 'provisioning',
    driver: 'qemu',
    expected: seen.expected,
    observed: faults.length > 0 ? { ...seen.observed, faults } : seen.observed,
    ok: holds(seen) && Object.values(invariants).every(Boolean),
    ms: performance.now() - begun,
    invariants,
  };
};
