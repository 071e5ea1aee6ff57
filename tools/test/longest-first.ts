import { readFileSync } from 'node:fs';
import jestSequencer from '@jest/test-sequencer';

// Its types are those of its CommonJS; what is imported here is its module, whose default is the class.
const Sequencer = jestSequencer as unknown as typeof jestSequencer.default;

/** What starts machines, servers or processes takes minutes, however small its file is. */
const slow = /\b(onQemu|busContract|ServiceProcesses|Fleet\.open|runDemo|spawn)\b/;
type Tests = Parameters<InstanceType<typeof Sequencer>['sort']>[0];

/**
 * Jest's order, by how long each suite took when it last ran. Where none has (a clean clone) Jest goes by the size of files, and a long
 * one may come last, beside an idle core: there those that start something go first.
 */
export default class LongestFirst extends Sequencer {
  override sort(tests: Tests): Tests {
    const order = super.sort(tests) as Tests;
    if (order.some((t) => t.duration !== undefined)) return order;
    const starts = new Set(order.filter((t) => slow.test(readFileSync(t.path, 'utf8'))));
    return [...order.filter((t) => starts.has(t)), ...order.filter((t) => !starts.has(t))];
  }
}
