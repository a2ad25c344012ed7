-- Makes the capture that the benches replay: the bytes of pgoutput for the ten-column table, as a real
-- server wrote them. Run it in an empty database of a server with wal_level=logical:
--
--     psql -Atq -f benches/capture/orders.sql | xxd -r -p > benches/capture/orders.bin
--
-- Each message is 8 bytes of LSN, 4 bytes of length and the message itself. Ten transactions of 100
-- inserts, then one of 100 updates and one of 50 deletes.

set timezone = 'UTC';
set datestyle = 'ISO';
set extra_float_digits = 1;
set client_min_messages = 'warning';

\ir ../orders.sql

create publication capture for table orders;

select from pg_create_logical_replication_slot('capture', 'pgoutput');

call place_orders(10, 100);
update orders set quantity = quantity + 1 where order_id <= 100;
delete from orders where order_id > 950;

\set slot capture
\ir captured.sql
