import type { Handler } from '../execution/handler.ts';
import { bootVm } from './boot-vm.ts';
import { destroyVm } from './destroy-vm.ts';
import { plug, resizeDisk, unplug } from './devices.ts';
import { addAgent, guestHandlers, removeAgent } from './guest.ts';
import { imageHandlers, type ImageParts } from './images.ts';
import type { Parts } from './handler-context.ts';
import { preflight } from './preflight.ts';
import { saveVm } from './save-vm.ts';
import { confirmTarget, discardTarget, prepareTarget } from './target.ts';
import { releaseSource, transfer } from './transfer.ts';

/** Every kind of task that a host agent executes. */
export const handlers = (parts: Parts & ImageParts): Handler[] => [
  bootVm(parts),
  destroyVm(parts),
  preflight(parts),
  plug(parts),
  unplug(parts),
  resizeDisk(parts),
  prepareTarget(parts),
  discardTarget(parts),
  transfer(parts),
  confirmTarget(parts),
  releaseSource(parts),
  addAgent(parts),
  removeAgent(parts),
  saveVm(parts),
  ...imageHandlers(parts),
  ...guestHandlers(parts),
];
