import { Controller, Inject, Param, Post, Req } from '@nestjs/common';
import { provisioningCommands } from '@chrysalis/contracts';
import { setVmFilter as workflow } from '@chrysalis/provisioning-core';
import { canonicalJson } from '@chrysalis/kernel';
import {
  accepted,
  Allow,
  AsMessage,
  Commands,
  Doc,
  dryRunQuery,
  ifMatch,
  ofTenant,
  ProblemError,
  reachOf,
  refusal,
  SERVICE,
  type Answer,
  type CommandRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { decideVm } from '../decide-vm.ts';
import { vmOf } from '../sql/vms.ts';

const { setVmFilter } = provisioningCommands;

@Controller()
export class VmFilterController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/vms/:id/filter')
  @Allow('operator')
  @AsMessage(setVmFilter)
  @Doc({
    summary: setVmFilter.summary,
    body: setVmFilter.body,
    query: dryRunQuery,
    answers: {
      202: setVmFilter.answer,
      404: '`vm.unknown`',
      409: '`vm.on_no_network`, `vm.in_move`, `vm.in_action`, `vm.not_ready`',
    },
  })
  set(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, setVmFilter.body, async ({ allow }, ctx) => {
      const vm = await vmOf(ctx.tx, this.service.schema, reachOf(ctx.caller), id);
      if (!vm || vm.status === 'deleted') throw ProblemError.of({ code: 'vm.unknown', vmId: id });
      const { segment } = (vm.topology?.nics ?? vm.nics).find((n) => n.segment) ?? {};
      if (!segment) throw ProblemError.of({ code: 'vm.on_no_network', vmId: id });
      const before = segment.allow;
      if (!vm.action && canonicalJson(before) === canonicalJson(allow)) return { status: 202, body: { vmId: id, status: vm.status } };
      const workflowId = ctx.newId('op');
      const params = { vmId: id, hostId: vm.host, epoch: vm.epoch, allow, before };
      const decided = await decideVm(
        ofTenant(ctx, vm.tenant),
        id,
        {
          type: 'begin-change',
          vmId: id,
          change: 'set-filter',
          workflowId,
          request: { workflowId, definition: workflow, params, subject: id },
        },
        ifMatch(request) ?? vm.version,
      );
      if (!decided.ok) throw refusal(ifMatch(request), decided.rejection);
      return accepted({ vmId: id, status: decided.vm.status, operation: workflowId });
    });
  }
}
