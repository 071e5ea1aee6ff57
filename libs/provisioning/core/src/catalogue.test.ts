import { describe, expect, test } from '@jest/globals';
import { WorkflowDefinition, type VmTypeSpec } from '@chrysalis/contracts';
import { validateDefinition } from '@chrysalis/workflow-core';
import { given } from '@chrysalis/testing/decider';
import {
  deleteVm,
  faultsOf,
  imageDecider,
  MAC_TAILS,
  macOf,
  macTail,
  provisionVm,
  specAt,
  vmTypeDecider,
  type VmTypeEvent,
} from './index.ts';

const spec = (over: Partial<VmTypeSpec> = {}): VmTypeSpec => ({
  vcpus: { now: 1, max: 4 },
  memoryMiB: { now: 512, max: 2048 },
  disks: [{ id: 'data', sizeMiB: 128 }],
  nics: [{ id: 'front', network: 'front' }],
  cpuModel: 'Westmere',
  requiredTraits: [],
  ...over,
});
const published = (version: number, s = spec()): VmTypeEvent => ({
  type: 'chrysalis.provisioning.vm-type.published.v1',
  data: { name: 'small', version, spec: s },
});

describe('VM types', () => {
  test('a version is deprecated once; a name then means the newest that is not', () => {
    const bigger = spec({ vcpus: { now: 2, max: 4 } });
    const both = [published(1), published(2, bigger)];
    const command = { type: 'deprecate', name: 'small', version: 2, reason: 'old', replacementKnown: true } as const;
    const replacement = { name: 'small', version: 1 };
    const deprecated = {
      type: 'chrysalis.provisioning.vm-type.deprecated.v1',
      data: { name: 'small', version: 2, reason: 'old' },
    } as const;
    const state = given(vmTypeDecider, both).when(command).then([deprecated]);
    expect(specAt(state)?.ref.version).toBe(1);
    expect(specAt(state, 2)?.ref.version).toBe(2);
    given(vmTypeDecider, [...both, deprecated])
      .when(command)
      .thenNothing();
    given(vmTypeDecider, [...both, deprecated])
      .when({ ...command, replacement })
      .then([{ ...deprecated, data: { ...deprecated.data, replacement } }]);
    given(vmTypeDecider, both)
      .when({ ...command, version: 3 })
      .thenRejected('vm-type.unknown');
    given(vmTypeDecider, both)
      .when({ ...command, replacement, replacementKnown: false })
      .thenRejected('vm-type.unknown');
    given(vmTypeDecider, both)
      .when({ ...command, replacement: { name: 'small', version: 2 } })
      .thenRejected('vm-type.invalid');
  });

  test('another spec is another version, the same spec is the same one', () => {
    const bigger = spec({ vcpus: { now: 2, max: 4 } });
    given(vmTypeDecider)
      .when({ type: 'publish', name: 'small', spec: spec() })
      .then([published(1)]);
    given(vmTypeDecider, [published(1)])
      .when({ type: 'publish', name: 'small', spec: bigger })
      .then([published(2, bigger)]);
    given(vmTypeDecider, [published(1), published(2, bigger)])
      .when({ type: 'publish', name: 'small', spec: spec() })
      .thenNothing();
  });
  test('every fault of meaning at once', () => {
    const bad = spec({
      vcpus: { now: 8, max: 4 },
      memoryMiB: { now: 4097, max: 2048 },
      nics: [{ id: 'data', network: 'front' }],
      cpuModel: 'host',
    });
    expect(faultsOf(bad).map((f) => f.path)).toEqual(['vcpus.now', 'memoryMiB.now', 'memoryMiB.now', 'nics.0.id', 'cpuModel']);
    given(vmTypeDecider).when({ type: 'publish', name: 'small', spec: bad }).thenRejected('vm-type.invalid');
  });
  test.each(['Westmere,+foo;rm -rf', 'Westmere foo', '-machine', 'Westmere\n', '', 'a=b'])(
    'a CPU model is one word of QEMU’s command line: not %j',
    (cpuModel) => {
      expect(faultsOf(spec({ cpuModel })).map((f) => f.path)).toEqual(['cpuModel']);
    },
  );
  test('two long names that were made to be one in the guest are a fault', () => {
    const disks = ['a-name-too-long-00uawv', 'a-name-too-long-00umwl', 'a-name-too-long-00uawx'].map((id) => ({ id, sizeMiB: 1 }));
    expect(faultsOf({ ...spec(), disks })).toEqual([
      { path: 'disks.1.id', message: expect.stringContaining('the serial number of a-name-too-long-00uawv') },
    ]);
  });
  test('a member that no type has is a fault, at any depth', () => {
    const bad = { ...spec(), gpus: 1, nics: [{ id: 'front', network: 'front', vlan: 7 }] };
    expect(faultsOf(bad).map((f) => f.path)).toEqual(['nics.0.vlan', 'gpus']);
  });
  test('every fault of shape at once', () => {
    const bad = { ...spec(), vcpus: { now: 0, max: 65 }, disks: [{ id: 'Data', sizeMiB: 2_000_000 }] };
    expect(faultsOf(bad).map((f) => f.path)).toEqual(['vcpus.now', 'vcpus.max', 'disks.0.id', 'disks.0.sizeMiB']);
    expect(faultsOf(undefined)).toHaveLength(1);
  });
});

test('an image version never changes', () => {
  const image = { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' };
  const registered = { type: 'chrysalis.provisioning.image.registered.v1' as const, data: { image } };
  given(imageDecider).when({ type: 'register', image }).then([registered]);
  given(imageDecider, [registered]).when({ type: 'register', image }).thenNothing();
  given(imageDecider, [registered])
    .when({ type: 'register', image: { ...image, cmdline: 'loud' } })
    .thenRejected('image.conflict');
});

test('MACs: every tail once, the fifth byte in 16..250, then round again', () => {
  const all = new Set(Array.from({ length: MAC_TAILS }, (_, n) => macOf(0, macTail(n))));
  expect(all.size).toBe(MAC_TAILS);
  expect([macOf(1, macTail(0)), macOf(2, macTail(MAC_TAILS - 1))]).toEqual(['52:54:00:01:10:01', '52:54:00:02:fa:fe']);
  expect(macTail(MAC_TAILS)).toEqual(macTail(0));
});

test.each([provisionVm({ pinned: true }), provisionVm({ pinned: false }), deleteVm({ onHost: true }), deleteVm({ onHost: false })])(
  'workflow %# is one that the workflow service accepts',
  (definition) => {
    expect(WorkflowDefinition.parse(definition)).toEqual(definition);
    expect(validateDefinition(definition)).toEqual([]);
  },
);
