import { createHash } from 'node:crypto';
import type { TaskDispatch } from '@chrysalis/contracts';

type Execution = Pick<TaskDispatch, 'workflowId' | 'task' | 'action' | 'attempt'>;
/** Of an id, in characters. */
const LONGEST = 127;
const DIGEST = 24;

/**
 * The sub-workflow of one execution: the same whenever, and by whomever, it is asked for. What would be too long keeps its beginning and
 * gets a digest of the whole: two different ones stay two.
 */
export const childIdOf = ({ workflowId, task, action, attempt }: Execution): string => {
  const id = `${workflowId}.${task}.${action === 'run' ? '' : 'u'}${attempt}`;
  if (id.length <= LONGEST) return id;
  return `${id.slice(0, LONGEST - DIGEST - 1)}.${createHash('sha256').update(id).digest('hex').slice(0, DIGEST)}`;
};
