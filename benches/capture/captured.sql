-- What a slot has of a publication of the same name, a line of hexadecimal digits for each message; the slot goes.

select
  encode(
    int8send((lsn - '0/0')::bigint) || int4send(length(data)) || data,
    'hex'
  )
from pg_logical_slot_get_binary_changes(
  :'slot', null, null, 'proto_version', '1', 'publication_names', :'slot'
);

select from pg_drop_replication_slot(:'slot');
