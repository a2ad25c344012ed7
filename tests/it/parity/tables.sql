create extension ltree;
create type mood as enum ('sad', 'happy');
create type pair as (x int, y text);
create table numbers (
    id bigint primary key, b boolean, s smallint, i integer, l bigint, o oid, n122 numeric(12,2),
    n50 numeric(5,0), n numeric, n3820 numeric(38,20), r real, d double precision, m money,
    b1 bit(1), b12 bit(12), vb varbit(20), vbn varbit);
create table times (
    id integer primary key, da date, ti time, ti0 time(0), ti3 time(3), tiz timetz, tiz0 timetz(0),
    ts timestamp, ts0 timestamp(0), ts3 timestamp(3), ts4 timestamp(4), tz timestamptz,
    tz0 timestamptz(0), tz3 timestamptz(3), iv interval);
create table texts (
    id integer primary key, t text, v varchar(20), c char(5), by bytea, u uuid, j json, jb jsonb,
    x xml, e mood, ine inet, cid cidr, mac macaddr, pt point, i4r int4range, nr numrange,
    tsr tsrange, tzr tstzrange, dr daterange, tsv tsvector,
    -- Left out by both.
    co pair, tsq tsquery, bx box, pl pg_lsn, mr int4multirange);
create table lists (
    id integer primary key, ba boolean[], sa smallint[], ia integer[], la bigint[], na numeric(12,2)[],
    nna numeric[], ra real[], da double precision[], ta text[], bya bytea[], daa date[], tia time(0)[],
    tiza timetz[], tsa timestamp[], ts3a timestamp(3)[], tza timestamptz[], ua uuid[], jba jsonb[],
    ea mood[], lta ltree[], ina inet[], i4ra int4range[], b8a bit(8)[], ma money[]);
create table toast (
    id integer primary key, t text, by bytea, jb jsonb, ta text[], ia integer[], la bigint[],
    na numeric[], n integer);
alter table toast alter t set storage external, alter by set storage external,
    alter jb set storage external, alter ta set storage external, alter ia set storage external,
    alter la set storage external, alter na set storage external;
create table whole (id integer primary key, t text, n numeric(10,2) not null);
alter table whole replica identity full;
create table keyless (a integer, b text);
create table explained_times (id integer primary key, tia time[]);
create table marker (id integer primary key);
-- Read last by a snapshot, and written last.
create table zz_last (id integer primary key);
insert into zz_last values (0);
create publication parity for all tables;
