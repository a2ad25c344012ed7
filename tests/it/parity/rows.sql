insert into numbers values
    ($ID + 1, true, -32768, 2147483647, 9223372036854775807, 4294967295, '12.50', '99999', '123.4500',
     '1.5', 1.5, 1e16, '1234.56', '1', '10000001', '100000000001', '101', '1', '1', '1'),
    ($ID + 2, false, 0, -1, -9223372036854775808, 0, '-12.50', '-128', 'NaN',
     '-0.00000000000000000001', 3.4028235e38, 123456.789, '-0.01', '0', '00000000', '000000000000', '', '', '0', '0'),
    ($ID + 3, null, null, null, null, null, 'NaN', null, 'Infinity', null, 'NaN', '-Infinity', null,
     null, null, '000010000000', '0', '0000000100000000000000000', '', null),
    ($ID + 4, null, 1, 0, 1, 1, '-0.01', '-129', '1e20', '12345678901234567.12345678901234567890', -0.0,
     0.001, '92233720368547758.07', '0', '01111111', '011111111111', '10000000000000000001', '1111111111111111', null, null),
    ($ID + 5, null, 1, 0, 1, 1, '9999999999.99', '32768', '-12345678901234567890.5', '0', 9999999,
     0.0009999, '-92233720368547758.08', '1', null, null, null, null, null, null),
    ($ID + 6, null, 1, 0, 1, 1, '0', '0', '-Infinity', '-1', 'Infinity', 'NaN', '0', '1', null, null, null, null, null, null),
    ($ID + 7, null, 1, 0, 1, 1, '0.10', '7', '0.000000000000000000000000000000000001', '100', 1e-7, 12345678.9, '100', '1',
     null, null, null, null, null, null),
    ($ID + 8, null, 1, 0, 1, 1, '0.30', '7', '1000', '0.1', 0.1, 0.1, '0.10', '1', null, null, null, null, null, null);
insert into times values
    ($ID + 1, '2026-02-03', '04:05:06.000007', '04:05:06', '04:05:06.123', '04:05:06.1234', '04:05:06.000007+02',
     '04:05:06+00', '2026-02-03 04:05:06.000007', '2026-02-03 04:05:06', '2026-02-03 04:05:06.123',
     '2026-02-03 04:05:06.1234', '2026-02-03 04:05:06.000007+00', '2026-02-03 04:05:06+00', '2026-02-03 04:05:06.5+00',
     '2026-02-03 04:05:06.120+02', '1 year 2 mons -3 days 04:05:06.5', '3 days 00:00:01', '2 years 3 mons'),
    ($ID + 2, '1969-12-31', '00:00:00', '00:00:00', '00:00:00', '00:00:00', '24:00:00+00', '23:59:59-03:30',
     '0044-03-15 12:00:00 BC', '0001-01-01', '1969-12-31 23:59:59.999', '1969-12-31 23:59:59.9999',
     '0044-03-15 12:00:00+00 BC', '0001-01-01 00:00:00+00', '1900-01-01 00:00:00+00', '1969-12-31 23:59:59.999+00', '-1 mons',
     '00:00:00', '-1 mons'),
    ($ID + 3, null, '23:59:59.999999', '23:59:59', '23:59:59.999', null, '23:59:59.999999-15:59', null,
     'infinity', '-infinity', 'infinity', '-infinity', 'infinity', '-infinity', null, null,
     '-1.000001 sec', null, null),
    ($ID + 4, '5874897-12-31', null, null, null, null, '01:00:00.12+14', null,
     '294276-12-31 23:59:59.999999', '12345-01-01', '12345-01-01', '12345-01-01',
     '294276-12-31 23:59:59.999999+00', '12345-01-01 00:00:00+00', null, '12345-01-01 00:00:00.5+00',
     '178000000 years', null, null),
    ($ID + 5, '2262-04-11', null, null, null, null, null, null, '2262-04-11 23:47:16.854775', '1677-09-21 00:12:44',
     '1677-09-22', '2262-04-12', null, null, null, null, '10 years 5 mons -40 days -23:59:59.999999', null, null),
    ($ID + 6, '0001-01-01', '12:00:00', '12:00:00', '12:00:00.1', '12:00:00.0001', '12:00:00+00', '12:00:00+05:30',
     '2026-02-03 12:00:00', '2026-02-03 00:00:00', '2026-02-03 12:00:00.1', '2026-02-03 12:00:00.01',
     '2026-02-03 12:00:00.5+00', '2026-02-03 00:00:00+00', '2026-02-03 12:00:00+00', '2026-02-03 12:00:00+00',
     '00:00:00', '1 hour', '1 year'),
    ($ID + 7, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, '00:00:00.000001',
     '-00:00:01', null);
insert into midnight values ($ID + 1, '24:00:00', '24:00:00', '24:00:00');
insert into texts values
    ($ID + 1, e'a "q", \\ / \u00e9 \U0001F600 \t\n\x01\x1f \x7f \u2028', 'v', 'w', 'c', 'd', 'e', '\x00ff10',
     '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '{"a": [1, 1.0],  "a":2}', '{"b": 1e3}', '<a>x</a>', 'happy', 'So so',
     '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1.5,-2)', '[1,5)', '[1,9223372036854775806)', '[1.50,2)',
     '[2026-01-01,2026-01-02)', '[2026-01-01 00:00:00+00,)', '[2026-01-01,2026-01-05)', 'a b', 'CiText', 'a.b.c',
     '"one"=>"1", "two"=>NULL, "th\"r\\ee"=>"\"3\"", "vier"=>"é😀", "a"=>"", ""=>"empty"', '0-306-40615-2'),
    ($ID + 2, '', '', '', '', '', '', '\x', null, 'null', 'null', null, 'sad', null, '::1', '::/0', null, null,
     '(1e300,NaN)', 'empty', '(,)', '(,)', 'empty', '(-infinity,infinity)', '(,2026-01-05)', '', '', '', '', null),
    ($ID + 3, null, null, null, null, null, null, '\xfbffbf', null, null, null, null, null, null, '10.0.0.0/24', null, null, null,
     '(Infinity,-0)', '(,5)', null, null, null, null, null, null, null, null,
     (select hstore(array_agg('key' || g), array_agg('value' || g)) from generate_series(1, 40) g), null),
    ($ID + 4, null, null, null, null, null, null, '\xfb', null, null, null, null, null, null, null, null, null, null,
     null, null, null, null, null, null, null, null, null, null,
     (select hstore(array_agg('k' || g), array_agg(null::text)) from generate_series(1, 12) g), null);
insert into texts (id) values ($ID + 5);
insert into lists values
    ($ID + 1, '{t,f,NULL}', '{1,-2,NULL}', '{1,NULL}', '{1,NULL,9223372036854775807}', '{1,4294967295}', '{1.50,NULL,-2}',
     '{1.50,NULL,100,1e20}', '{1.5,NULL,1e10}', '{1.5,1e16,NULL}', '{"x",NULL,"y,z","q\"\\"}', '{a,NULL}', '{a,NULL}',
     '{a,NULL}', '{"\\x00ff",NULL}', '{2026-02-03,NULL,1969-12-31}', '{04:05:06,NULL}', '{04:05:06+02,NULL}',
     '{"2026-02-03 04:05:06.000007",NULL}', '{"2026-02-03 04:05:06.123",NULL}',
     '{"2026-02-03 04:05:06.000007+00",NULL}', '{"2026-02-03 04:05:06.12+00",NULL}',
     '{6ba7b810-9dad-11d1-80b4-00c04fd430c8,NULL}', '{"{\"a\": 1}",NULL}',
     '{"{\"a\": 1}",NULL}', '{happy,sad}', '{a.b}', '{Ci,NULL}', array['a=>1', null]::hstore[], '{10.0.0.1,NULL}',
     '{10.0.0.0/8,NULL}', '{08:00:2b:01:02:03}', '{08:00:2b:01:02:03:04:05}', '{"[1,5)",NULL}', '{"[1,5)"}', '{"[1.5,5)"}',
     '{"[2026-01-01,2026-01-02)"}', '{"[2026-01-01 00:00:00+00,)"}', '{"[2026-01-01,2026-01-05)"}', '{00000001,NULL}',
     '{1.50}', '{1 day}', '{101}', '{<a/>}', '{"(1,2)"}', '{a}'),
    ($ID + 2, '{}', '{}', '{{1,2},{3,4}}', '{}', '{}', '{NaN,1}', '{}', '{}', '{NaN,Infinity}', '{}', '{}', '{}', '{}', '{}', '{}',
     '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
     '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');
insert into lists (id, ea, lta) values ($ID + 3, '{happy,NULL}', '{a.b,NULL}');
insert into lists (id, ba, la, da) values ($ID + 4, '[0:1]={t,f}', '{{1},{2},{3}}', '{-0,1e-5}');
insert into unknown values
    ($ID + 1, row(1, 'a b'), 'a & b', '(1,1),(0,0)', '<(1.5,2),3>', '((0,0),(1,2.5))', '[(0,0),(1,1)]',
     '((0,0),(1,1),(1,0))', '{1,2,3}', '[(0,0),(1,1)]', '0/16', '7', '(0,1)', '$.a', '10:20:', '{[1,3),[5,6)}', 'numbers',
     '978-0-306-40615-7', '{a}', '{0/16,NULL}'),
    ($ID + 2, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
insert into domains values
    ($ID + 1, 1.5, 2.25, '2026-02-03 04:05:06.1234', '04:05:06.7', '1', 'one', '{a,NULL}', '{1.5}', 1),
    ($ID + 2, null, null, null, null, null, 'two', null, null, null);
insert into defaulted (id) values ($ID + 1);
insert into defaulted (id, t, i, n122) values ($ID + 2, 'given', 77, 9.99);
insert into zeros values
    ($ID + 1, true, 1, 2, 3, 4, 5.25, 6.5, 7, 8, 9, '1', '100000001', '11', 't', 'c', 'happy',
     '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '{}', '{}', '<a/>', '\x01', '2026-02-03', '04:05:06', '04:05:06+00',
     '2026-02-03 04:05:06+00', '1 day', '10.0.0.1', '[1,2)', '(1,2)', 'ci', 'a.b', 'a=>1',
     '{1}', '{a}', '{1}', '{sad}', 'a', 3);
insert into zero_stamps values ($ID + 1, '2026-02-03', '2026-02-03');
insert into toast select $ID + 1, repeat('x', 3000), repeat('v', 3000), decode(repeat('ab', 3000), 'hex'),
    to_json(repeat('j', 3000)), to_jsonb(repeat('j', 3000)), ('<a>' || repeat('x', 3000) || '</a>')::xml,
    array[repeat('e', 3000), 'f'], array[repeat('e', 3000)], array_agg('abc'::char(3)),
    array_agg(g), array_agg(g), array_agg(g), array_agg(g), array_agg('2026-02-03'::date), array_agg('2026-02-03'::timestamp),
    array_agg('6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid), array[to_json(repeat('j', 3000))],
    array[to_jsonb(repeat('j', 3000))], array[decode(repeat('ab', 3000), 'hex')], repeat('1', 30000)::varbit,
    hstore('a', repeat('h', 3000)), repeat('7', 9000)::numeric, string_agg('w' || g, ' ')::tsvector, repeat('c', 3000),
    ('(' || string_agg('(1,2)', ',') || ')')::path, 1
    from generate_series(1, 1500) g;
insert into whole values ($ID + 1, 'a', 1), ($ID + 2, 'b', 2), ($ID + 4, 'b', 2);
insert into keyless values ($ID, 'x'), (null, null);
insert into keyless_whole values ($ID, 'x'), (null, null);
insert into chosen values ($ID + 1, 'one' || $ID, 4, 'z'), ($ID + 2, 'two' || $ID, 5, null);
insert into frozen values ($ID + 1, 'f');
insert into composite values ($ID + 1, 't', 'a "q" \ é', 5), ($ID + 2, null, 'b', null);
insert into priced values ($ID + 1.5, 'a'), ($ID + 2, 'b');
insert into scales values ($ID + 1, 1.5);
insert into open_priced values ($ID + 1.50, 'a'), ($ID + 2, 'b');
insert into identified values (('6ba7b810-9dad-11d1-80b4-0000000' || 10000 + $ID)::uuid, $ID);
insert into dated values ('2026-02-03', '2026-02-03 04:05:06.123', $ID, 'd');
insert into floating values (power(2, $ID), 'g'), ($ID + 1.5, 'f');
insert into flagged values ($ID = 0, 'sad');
insert into evolving values ($ID + 1, 'a');
insert into "Mixed Case"."Täble Ünï" values
    ($ID + 1, 'groß', 's', 'ab', '2', 'xy', 'q', 'sc', '😀'), ($ID + 2, null, null, null, null, null, null, null, null);
insert into "Mixed Case".plain values ('k', $ID);
insert into parted values ($ID + 1, 'one', 1.5), ($ID + 2, 'two', 2.5), ($ID + 3, 'two', null);
insert into wide (id, c1, c2, c3, c4, c5) values ($ID + 1, 'one', 2, now(), true, 5), ($ID + 2, null, null, null, null, null);
insert into explained_times values ($ID + 1, '{04:05:06.000007}');
insert into explained_keys values ($ID + 1, 'one' || $ID, 1);
insert into explained_keyless values ($ID, 'x');
insert into explained_unique values ($ID, 'x');
insert into explained_nulls values ($ID + 1, null);
insert into explained_names values ($ID + 1, 'n');
insert into explained_generated values ($ID + 1);
insert into explained_dates values ($ID + 1, 'infinity'), ($ID + 2, '0044-03-15 BC');
insert into explained_date_lists values ($ID + 1, '{infinity,0044-03-15 BC}');
insert into explained_stamp_lists values ($ID + 1, '{infinity,0044-03-15 12:00:00 BC}');
insert into explained_matrices values ($ID + 1, '{{a,b},{c,d}}');
insert into explained_quotes values ($ID + 1, 'x');
insert into explained_sums values ($ID + 1, 'x');
do $$ begin
    if to_regclass('places') is not null then
        insert into places values
            ($ID + 1, 1, 'point(1 2)', 'srid=4326;point(-1.5 2.25)', 'linestring z (0 0 0, 1 2 3)',
             'srid=4326;polygon((0 0, 0 1, 1 1, 0 0))', 'point(13.4 52.5)', array['point(1 2)', null]::geometry[],
             array['point(1 2)']::geography[]),
            ($ID + 2, 2, null, 'srid=4326;point empty', null, null, 'point(0 0)', '{}', null),
            ($ID + 3, 3, 'srid=3857;geometrycollection(point(1 2), linestring(0 0, 1 1))', 'srid=4326;point(0 0)', null,
             'point(0 0)', 'point(0 0)', null, null);
        insert into places
        select $ID + 4, 4, st_makeline(array_agg(st_makepoint(n, n * n) order by n)), 'srid=4326;point(0 0)', null,
            st_makeline(array_agg(st_setsrid(st_makepoint(n / 9.0, n / 9.0), 4326) order by n))::geography, 'point(0 0)'
        from generate_series(1, 400) as n;
    end if;
    if to_regclass('vectors') is not null then
        insert into vectors values
            ($ID + 1, 1, '[1,-2.5,1e-7,0.1]', '[1,2,3]', '[0.1,65504,6e-8]', '[1,2,3]', array['[1]', null]::vector[],
             array['[1]']::halfvec[]),
            ($ID + 2, 2, null, '[3.4e38,-0,1.17549435e-38]', null, '[0,0,0]', '{}', null);
        insert into vectors
        select $ID + 3, 3, array_agg(n / 7.0)::vector, '[1,2,3]', array_agg(n / 7.0)::halfvec, '[1,2,3]'
        from generate_series(1, 2000) as n;
    end if;
end $$;
