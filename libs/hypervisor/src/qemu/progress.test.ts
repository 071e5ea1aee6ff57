import { expect, test } from '@jest/globals';
import { cpusOf, moves } from './progress.ts';

const cpu = (nr: number, rip: string, flags: string, halted: 0 | 1, rax = '0'.repeat(16)): string =>
  `\nCPU#${nr}\nRAX=${rax} RBX=000000000049a3f4\nRIP=${rip} RFL=${flags} [-------] CPL=0 II=0 A20=1 SMM=0 HLT=${halted}\nES =0000 0000000000000000\n`;
const at = 'ffffffff8c3c3520';

test('the CPUs are read from what QEMU prints, of both sizes of registers', () => {
  const real = '\nCPU#0\nEAX=00000000\nEIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\n';
  expect(cpusOf(real)).toMatchObject([{ waits: false, off: false }]);
  expect(cpusOf(cpu(0, at, '00000246', 1) + cpu(1, at, '00000046', 1))).toMatchObject([
    { waits: true, off: false },
    { waits: false, off: true },
  ]);
});

test.each([
  ['idle, and woken by the next interrupt', [cpu(0, at, '00000246', 1)], true],
  ['elsewhere than before', [cpu(0, at, '00000246', 0), cpu(0, 'ffffffff8c3c3524', '00000246', 0)], true],
  ['a loop that counts', [cpu(0, at, '00000246', 0), cpu(0, at, '00000246', 0, '0000000000000001')], true],
  ['seen once', [cpu(0, at, '00000246', 0)], false],
  ['on one spot', [cpu(0, at, '00000046', 0), cpu(0, at, '00000046', 0)], false],
  ['halted for good', [cpu(0, at, '00000046', 1), cpu(0, at, '00000046', 1)], false],
  ['halted for good, beside one that waits', [cpu(0, at, '00000046', 1) + cpu(1, at, '00000246', 1)], true],
])('%s: %#', (_, [first, second], expected) => {
  expect(moves(second === undefined ? [] : cpusOf(first!), cpusOf(second ?? first!))).toBe(expected);
});
