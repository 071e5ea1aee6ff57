-- Each creation asks which VMs of the tenant are called so: without this by a look at all that it has.
create index vms_of_name on vms (tenant, (view ->> 'name'), vm) where status not in ('deleted', 'failed');
