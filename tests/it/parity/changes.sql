update toast set n = 2 where id = 101;
update whole set t = 'b' where id = 101;
update whole set t = t where id = 104;
update whole set t = 'c' where id = 104;
update whole set id = 103 where id = 102;
delete from whole where id = 101;
update numbers set id = 206 where id = 105;
delete from numbers where id = 101;
update times set id = 205 where id = 105;
delete from times where id = 101;
delete from texts where id = 101;
delete from lists where id = 101;
delete from domains where id = 101;
update defaulted set t = 'changed' where id = 102;
delete from defaulted where id = 101;
update defaulted set id = 103 where id = 102;
delete from zeros where id = 101;
delete from zero_stamps;
delete from unknown where id = 101;
delete from toast where id = 101;
do $$ begin
    if to_regclass('places') is not null then
        update places set n = 0 where id = 104;
        update places set id = 105 where id = 103;
        delete from places where id = 101;
    end if;
    if to_regclass('vectors') is not null then
        update vectors set n = 0 where id = 103;
        update vectors set id = 105 where id = 102;
        delete from vectors where id = 101;
    end if;
end $$;
-- next
begin;
insert into keyless values (7, 'one');
insert into keyless values (8, 'two');
commit;
truncate keyless;
update keyless_whole set b = 'y' where a = 100;
update keyless_whole set b = b;
update scales set n = 1.50 where id = 101;
update scales set n = 1.51 where id = 101;
update priced set t = t where p = 102;
update chosen set z = 'changed' where id = 101;
update chosen set code = 'moved' where id = 101;
update chosen set id = 105 where id = 101;
delete from chosen where id = 102;
insert into frozen values (200, 'late');
update composite set t = 'changed' where a = 'b' and b = 102;
update composite set a = 'other "x" \ é' where b = 101;
delete from composite where b = 102;
update priced set p = 7.25 where p = 102;
delete from priced where p = 101.5;
update open_priced set p = 7.250 where p = 102;
delete from open_priced where p = 101.5;
update identified set u = '6ba7b810-9dad-11d1-80b4-000000000001' where n = 100;
delete from identified where n = 100;
delete from dated where s = 100;
update floating set f = 0.0001 where f = 101.5;
delete from flagged where not b;
update parted set n = 9 where id = 101;
update parted set region = 'two' where id = 101;
delete from parted where id = 102;
delete from "Mixed Case"."Täble Ünï" where "Id" = 101;
update "Mixed Case".plain set "Key" = 'l' where "Zwei" = 100;
update wide set c1 = 'two' where id = 101;
delete from wide where id = 102;

-- next
alter type mood add value 'new';
alter table evolving add b numeric(9,3) not null default 1.5;
-- next
insert into texts (id, e) values (300, 'new');
insert into evolving values (301, 'a', 2);
update evolving set a = 'b' where id = 101;
delete from evolving where id = 101;
alter table evolving drop a;
insert into evolving values (302, 3);
alter table evolving alter b type text;
insert into evolving values (303, 'four');
alter table evolving rename b to c;
delete from evolving where id = 303;
truncate composite, priced;
-- next
delete from explained_keys where id = 101;
delete from explained_keyless where a = 100;
delete from explained_quotes where id = 101;
delete from explained_sums where id = 101;
-- next
create table late (id integer primary key, t text default 'l' not null);
-- next
insert into late values (1, 'a');
delete from late;
-- next
begin;
insert into late values (2, 'a');
select pg_logical_emit_message(true, 'app', 'hello');
update late set t = 'b' where id = 2;
select pg_logical_emit_message(true, 'with "quotes" \ é', '\x00ff10'::bytea);
update late set id = 3 where id = 2;
delete from late;
truncate late;
commit;
select pg_logical_emit_message(true, '', '');
select pg_logical_emit_message(false, 'alone', 'hello');
select pg_logical_emit_message(false, 'alone', 'again?~');
-- next
begin;
insert into late values (4, 'a');
rollback;
