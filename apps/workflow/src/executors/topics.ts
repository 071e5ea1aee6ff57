import { tasksTopic, workflowEvents, type TaskDispatch, type TaskOffer } from '@chrysalis/contracts';
import type { StoredEvent } from '@chrysalis/event-store';
import { isLocal } from '../open-here.ts';

const HOSTS = tasksTopic('agent-gateway');

/**
 * Where else an event of a workflow goes: a task to its group; an offer, and an attempt of a host that failed, to those who stand
 * between here and the hosts. Groups of services take their tasks by group, and do not bid.
 */
export const topicsOf = ({ type, data }: Pick<StoredEvent, 'type' | 'data'>): string[] => {
  switch (type) {
    case workflowEvents.taskDispatched.type:
      return isLocal(data as TaskDispatch) ? [] : [tasksTopic((data as TaskDispatch).group)];
    case workflowEvents.taskOffered.type:
      return (data as TaskOffer).group === 'agent-gateway' ? [HOSTS] : [];
    case workflowEvents.taskFailed.type:
      return (data as { executor: string }).executor.startsWith('host:') ? [HOSTS] : [];
    default:
      return [];
  }
};
