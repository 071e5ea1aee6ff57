-- Files of images that were deleted, until they are gone from the depot: whoever dies in between leaves them to whoever looks next.
create table image_files_to_go (
  digest text primary key,
  format text not null
);

-- Who is made of an image, for the refusal of its deletion.
create index vms_of_image on vms ((view ->> 'image'), vm) where status not in ('deleted', 'failed');
