-- `vm list --label team=web`: those that have a label, few among many.
create index vms_by_label on vms using gin ((data -> 'labels') jsonb_path_ops);
