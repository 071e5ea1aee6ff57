import { tasksTopic, workflowEvents as events, type DataOf } from '@chrysalis/contracts';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { acceptOffer } from '../bids/accept-offer.ts';
import { withdraw } from '../bids/withdraw.ts';
import { acceptTask } from './accept-task.ts';
import { stopTransfer } from './stop-transfer.ts';

/** What is for hosts: tasks, offers of tasks, and attempts that are wanted no more. Not executed here, so no `@Executor`: an agent reports, later. */
@Consumer('deliver', { topics: [tasksTopic('agent-gateway')], abreast: true })
export class HostWork {
  @OnEvent(events.taskDispatched)
  dispatched(dispatch: DataOf<typeof events.taskDispatched>, ctx: EventContext): Promise<void> {
    return acceptTask(dispatch, ctx);
  }

  @OnEvent(events.taskOffered)
  offered(offer: DataOf<typeof events.taskOffered>, ctx: EventContext): Promise<void> {
    return acceptOffer(offer, ctx);
  }

  @OnEvent(events.taskFailed)
  failed(attempt: DataOf<typeof events.taskFailed>, ctx: EventContext): Promise<void> {
    return withdraw(attempt, ctx);
  }

  @OnEvent(events.cancelRequested)
  cancelled(wish: DataOf<typeof events.cancelRequested>, ctx: EventContext): Promise<void> {
    return stopTransfer(wish, ctx);
  }
}
