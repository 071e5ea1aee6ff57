import type { Handler } from '../execution/handler.ts';
import { bootVm } from './boot-vm.ts';
import { destroyVm } from './destroy-vm.ts';
import { plug, resizeDisk, unplug } from './devices.ts';
import { addAgent, guestHandlers, removeAgent } from './guest.ts';
import { ensureDisk, type EnsureDisk } from '../images/from-depot.ts';
import { imageHandlers, type ImageContext } from './images.ts';
import type { HandlerContext } from './handler-context.ts';
import { powerHandlers } from './power.ts';
import { preflight } from './preflight.ts';
import { saveVm } from './save-vm.ts';
import { announce, confirmTarget, discardTarget, prepareTarget } from './target.ts';
import { traceHandlers } from './traces.ts';
import { awaitMemory, releaseSource, settleApproval, transfer } from './transfer.ts';
import { nicHandlers } from '../nics.ts';
import { addressHandlers, setFilter } from '../segments.ts';
import { volumeHandlers } from '../volumes/tasks.ts';

/** Every kind of task that a host agent executes. */
export const handlers = (context: HandlerContext & ImageContext): Handler[] => handlersBy(context, ensureDisk(context));

const handlersBy = (context: HandlerContext & ImageContext, ensure: EnsureDisk): Handler[] => [
  bootVm(context, ensure),
  destroyVm(context),
  preflight(context),
  plug(context),
  unplug(context),
  resizeDisk(context),
  prepareTarget(context),
  discardTarget(context),
  transfer(context),
  awaitMemory(context),
  settleApproval(context),
  confirmTarget(context),
  announce(context),
  releaseSource(context),
  addAgent(context),
  removeAgent(context),
  saveVm(context),
  ...powerHandlers(context),
  ...imageHandlers(context),
  ...volumeHandlers(context, ensure),
  ...traceHandlers(context),
  setFilter(context),
  ...nicHandlers(context),
  ...addressHandlers(context),
  ...guestHandlers(context),
];
