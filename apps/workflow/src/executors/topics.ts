import { tasksTopic, workflowEvents, type TaskDispatch, type TaskOffer } from '@chrysalis/contracts';
import type { StoredEvent } from '@chrysalis/event-store';
import type { CloudEvent } from '@chrysalis/messaging';
import { isLocal } from '../local/attempts.ts';

const HOSTS = tasksTopic('agent-gateway');

/**
 * Where else an event of a workflow goes: a task to its group; an offer, an attempt of a host that failed, and a wish to cancel, to those
 * who stand between here and the hosts. Groups of services take their tasks by group, and do not bid.
 */
export const topicsOf = ({ type, data }: Pick<StoredEvent, 'type' | 'data'>): string[] => {
  switch (type) {
    case workflowEvents.taskDispatched.type:
      return isLocal(data as TaskDispatch) ? [] : [tasksTopic((data as TaskDispatch).group)];
    case workflowEvents.taskOffered.type:
      return (data as TaskOffer).group === 'agent-gateway' ? [HOSTS] : [];
    case workflowEvents.taskFailed.type:
      return (data as { executor: string }).executor.startsWith('host:') ? [HOSTS] : [];
    case workflowEvents.cancelRequested.type:
      return [HOSTS];
    default:
      return [];
  }
};

/**
 * The second execution of a task goes under another key than the first: a group takes what has one key in its order, so it would wait for
 * the very execution that takes too long. Nothing depends on their order, as an execution is known by its attempt. Two keys may still be
 * in one partition, of 6 say once in six; then it waits.
 */
export const besideTheFirst = ({ type, data }: Pick<StoredEvent, 'type' | 'data'>, event: CloudEvent): CloudEvent =>
  type === workflowEvents.taskDispatched.type && (data as TaskDispatch).hedge
    ? { ...event, partitionkey: `${event.partitionkey}#hedge` }
    : event;
