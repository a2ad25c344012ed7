//! The source client against a real server: streams, slots, publications, catalog, lease, rights.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tidewater::connection::{Connection, Database, connect};
use tidewater::event::{ColumnDefault, ColumnFacts, Lsn, ReplicaIdentity, TypeShape};
use tidewater::exit::ExitCode;
use tidewater::postgres::{
    self, Error, Frame, Patterns, ReplicationStream, RowBody, Session, SessionKind, SnapshotExport,
};

use crate::support;

const OPTIONS: [(&str, &str); 3] = [
    ("proto_version", "1"),
    ("publication_names", "\"p\""),
    ("messages", "true"),
];
/// No step here takes longer on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database of its own with a table `t`, published by `p`.
async fn shop(name: &str) -> (Connection, Database) {
    let connection = support::postgres_database(name).await;
    let database = connect(&connection).await.unwrap();
    database
        .batch_execute(
            "create table t (id bigint primary key, note text); create publication p for table t",
        )
        .await
        .unwrap();
    (connection, database)
}

async fn replication(connection: &Connection) -> Session {
    Session::connect(connection, SessionKind::Replication, &[])
        .await
        .unwrap()
}

fn slot_name(name: &str) -> String {
    support::unique(name).replace('-', "_")
}

/// The next frame that `wanted` takes something from.
async fn next<T>(
    stream: &mut ReplicationStream,
    mut wanted: impl FnMut(Frame<'_>) -> Option<T>,
) -> Result<T, Error> {
    let search = async {
        loop {
            match stream.next_frame()? {
                Some(frame) => {
                    if let Some(found) = wanted(frame) {
                        return Ok(found);
                    }
                }
                None => stream.fill().await?,
            }
        }
    };
    tokio::time::timeout(PATIENCE, search)
        .await
        .expect("the frame did not come")
}

/// The tag of the next pgoutput message other than a relation's.
async fn next_tag(stream: &mut ReplicationStream) -> u8 {
    next(stream, |frame| match frame {
        Frame::XLogData { data, .. } => data.first().copied().filter(|tag| *tag != b'R'),
        Frame::Condensed { .. } | Frame::Keepalive { .. } => None,
    })
    .await
    .unwrap()
}

async fn confirmed(database: &Database, slot: &str) -> Lsn {
    let state = postgres::read_slot(database, slot).await.unwrap().unwrap();
    state.confirmed_flush_lsn.unwrap()
}

#[tokio::test]
async fn an_insert_is_streamed_and_confirmed() {
    let (connection, database) = shop("stream").await;
    let slot = slot_name("stream");
    let mut session = replication(&connection).await;
    let identity = postgres::identify_system(&mut session).await.unwrap();
    assert_eq!(identity.database, connection.database());
    assert!(identity.timeline >= 1 && identity.flushed > Lsn::ZERO);
    let created = postgres::create_slot(&mut session, &slot, false, SnapshotExport::Nothing)
        .await
        .unwrap();
    database
        .batch_execute("insert into t values (1, 'one')")
        .await
        .unwrap();
    let mut stream = session
        .start_replication(&slot, Lsn::ZERO, &OPTIONS)
        .await
        .unwrap();
    for expected in [b'B', b'I'] {
        assert_eq!(next_tag(&mut stream).await, expected);
    }
    let end = next(&mut stream, |frame| match frame {
        Frame::XLogData {
            data: [b'C', rest @ ..],
            end,
            ..
        } => {
            assert_eq!(rest.len(), 1 + 8 + 8 + 8);
            Some(end)
        }
        _ => None,
    })
    .await
    .unwrap();
    assert!(end > created.consistent_point);

    let busy = replication(&connection).await;
    let busy = busy
        .start_replication(&slot, Lsn::ZERO, &OPTIONS)
        .await
        .expect_err("in use");
    assert!(
        matches!(busy, Error::SlotBusy { pid: Some(_), .. }),
        "{busy:?}"
    );
    assert_eq!(busy.exit_code(), ExitCode::SlotBusy);

    // An unasked keepalive may come first: ask until the answer follows the status.
    let deadline = Instant::now() + PATIENCE;
    while confirmed(&database, &slot).await != end {
        assert!(Instant::now() < deadline, "the status was not taken");
        stream.queue_status(end, 0, true);
        stream.flush().await.unwrap();
        let keepalive = |frame: Frame<'_>| matches!(frame, Frame::Keepalive { .. }).then_some(());
        next(&mut stream, keepalive).await.unwrap();
    }
    stream.queue_status(Lsn(end.0 + 8), 0, false);
    stream.close().await.unwrap();
    assert_eq!(
        confirmed(&database, &slot).await,
        Lsn(end.0 + 8),
        "the last status counts"
    );
    let mut session = replication(&connection).await;
    postgres::drop_slot(&mut session, &slot).await.unwrap();
    assert_eq!(postgres::read_slot(&database, &slot).await.unwrap(), None);
}

#[tokio::test]
async fn a_large_transaction_is_streamed_whole() {
    const ROWS: u64 = 50_000;
    let (connection, database) = shop("large").await;
    let mut session = replication(&connection).await;
    let slot = slot_name("large");
    postgres::create_slot(&mut session, &slot, true, SnapshotExport::Nothing)
        .await
        .unwrap();
    let insert =
        "insert into t select n, repeat('x', (n % 700)::int) from generate_series(1, 50000) n";
    database.batch_execute(insert).await.unwrap();
    let mut stream = session
        .start_replication(&slot, Lsn::ZERO, &OPTIONS)
        .await
        .unwrap();
    let mut rows = 0;
    while next_tag(&mut stream).await != b'C' {
        rows += 1;
    }
    assert_eq!(rows, ROWS + 1, "begin and the rows");
}

#[tokio::test]
async fn a_change_above_the_bound_is_named() {
    let (connection, database) = shop("bound").await;
    let mut session = replication(&connection).await;
    let slot = slot_name("bound");
    postgres::create_slot(&mut session, &slot, true, SnapshotExport::Nothing)
        .await
        .unwrap();
    database
        .batch_execute("insert into t values (1, repeat('x', 2000000))")
        .await
        .unwrap();
    let mut stream = session
        .start_replication(&slot, Lsn::ZERO, &OPTIONS)
        .await
        .unwrap();
    stream.set_message_bytes_max(1 << 20);
    let condensed = |frame: Frame<'_>| match frame {
        Frame::Condensed {
            start,
            data,
            excess,
        } => Some((start, data.to_vec(), excess)),
        _ => None,
    };
    let (lsn, data, excess) = next(&mut stream, condensed).await.unwrap();
    assert!(excess.bytes > 2_000_000 && excess.bytes_max == 1 << 20 && lsn > Lsn::ZERO);
    let kept = b"N\0\x02t\0\0\0\x011u";
    assert!(
        data.first() == Some(&b'I') && data.ends_with(kept),
        "{data:?}"
    );
    assert_eq!(next_tag(&mut stream).await, b'C', "and the stream goes on");
}

#[tokio::test]
async fn rows_are_selected_under_the_exported_snapshot() {
    const ROWS: usize = 20_000;
    let (connection, database) = shop("select").await;
    let insert = "insert into t select n, 'note ' || n from generate_series(1, 20000) n";
    database.batch_execute(insert).await.unwrap();
    let mut exporter = replication(&connection).await;
    let slot = slot_name("select");
    let created = postgres::create_slot(&mut exporter, &slot, true, SnapshotExport::Export)
        .await
        .unwrap();
    database.batch_execute("delete from t").await.unwrap();

    let mut reader = Session::connect(&connection, SessionKind::Ordinary, &[])
        .await
        .unwrap();
    let snapshot = created.snapshot.unwrap();
    reader
        .query("begin isolation level repeatable read read only")
        .await
        .unwrap();
    reader
        .query(&format!("set transaction snapshot '{snapshot}'"))
        .await
        .unwrap();
    reader
        .select("select id, note from only t order by id")
        .await
        .unwrap();
    let mut rows: Vec<Vec<u8>> = Vec::new();
    let mut batches = 0;
    loop {
        batches += 1;
        let more = reader.next_rows(|row| {
            let RowBody::Whole(row) = row else {
                panic!("a large row")
            };
            rows.push(row.to_vec());
            Ok::<(), Infallible>(())
        });
        if !more.await.unwrap() {
            break;
        }
    }
    assert_eq!(rows.len(), ROWS, "the snapshot does not see the delete");
    assert_eq!(rows[0], b"\0\x02\0\0\0\x011\0\0\0\x06note 1");
    assert!(batches > 1, "the caller gets its turn between batches");
    let rows = reader.query("select count(*), null from t").await.unwrap();
    assert_eq!(
        rows,
        [[Some(ROWS.to_string()), None]],
        "the session goes on after a select"
    );
}

#[tokio::test]
async fn a_failed_select_leaves_the_session_usable() {
    let (connection, _database) = shop("failed").await;
    let mut session = Session::connect(&connection, SessionKind::Ordinary, &[])
        .await
        .unwrap();
    session
        .select("select nothing from nowhere")
        .await
        .expect_err("no such table");
    session
        .select("select 1 / (3 - n) from generate_series(1, 5) n")
        .await
        .unwrap();
    let mut rows = 0;
    let error = loop {
        let count = |_: RowBody<'_>| {
            rows += 1;
            Ok::<(), Infallible>(())
        };
        match session.next_rows(count).await {
            Ok(more) => assert!(more, "it ended without its error"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("division by zero"), "{error}");
    assert_eq!(rows, 2);
    assert_eq!(
        session.query("select 1").await.unwrap(),
        [[Some("1".to_owned())]]
    );
}

#[tokio::test]
async fn values_look_the_same_whatever_the_role_prefers() {
    let (connection, database) = shop("settings").await;
    for setting in [
        "timezone = 'Asia/Kolkata'",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = 'postgres_verbose'",
        "bytea_output = 'escape'",
        "extra_float_digits = -3",
    ] {
        let statement = format!("alter database {} set {setting}", connection.database());
        database.batch_execute(&statement).await.unwrap();
    }
    let mut session = Session::connect(&connection, SessionKind::Ordinary, &[])
        .await
        .unwrap();
    let rows = session
        .query(
            "select timestamptz '2026-11-23 08:00:00.5+00', interval '1 year 2 days -3 hours',
                    bytea '\\x00ff', 0.1::float8 + 0.2::float8",
        )
        .await
        .unwrap();
    let expected = [
        "2026-11-23 08:00:00.5+00",
        "P1Y2DT-3H",
        "\\x00ff",
        "0.30000000000000004",
    ];
    assert_eq!(rows, [expected.map(|text| Some(text.to_owned()))]);
}

#[tokio::test]
async fn slots_that_are_not_ours_are_refused() {
    let (connection, database) = shop("foreign").await;
    let (plugin, physical) = (slot_name("plugin"), slot_name("physical"));
    database
        .batch_execute(&format!(
            "select pg_create_logical_replication_slot('{plugin}', 'test_decoding');
             select pg_create_physical_replication_slot('{physical}')"
        ))
        .await
        .unwrap();
    let other = support::postgres_database("other").await;
    let other = connect(&other).await.unwrap();
    for (client, slot, part) in [
        (&database, &plugin, "plugin test_decoding"),
        (&database, &physical, "physical slot"),
    ] {
        let state = postgres::read_slot(client, slot).await.unwrap().unwrap();
        let error = postgres::check_slot(slot, &state).expect_err(part);
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.exit_code(), ExitCode::SlotUnusable);
    }
    let ours = slot_name("ours");
    let mut session = replication(&connection).await;
    postgres::create_slot(&mut session, &ours, false, SnapshotExport::Nothing)
        .await
        .unwrap();
    let again = postgres::create_slot(&mut session, &ours, false, SnapshotExport::Nothing).await;
    assert!(matches!(again, Err(Error::SlotExists { .. })), "{again:?}");
    let state = postgres::read_slot(&other, &ours).await.unwrap().unwrap();
    let error = postgres::check_slot(&ours, &state).expect_err("another database's");
    assert!(
        error.to_string().contains("belongs to the database"),
        "{error}"
    );

    let missing = session
        .start_replication("no_such_slot", Lsn::ZERO, &OPTIONS)
        .await;
    let missing = missing.expect_err("no such slot");
    assert_eq!(missing.exit_code(), ExitCode::HistoryLost, "{missing}");
    for slot in [plugin, physical, ours] {
        database
            .batch_execute(&format!("select pg_drop_replication_slot('{slot}')"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_stale_walsender_is_ended() {
    let (connection, database) = shop("stale").await;
    let slot = slot_name("stale");
    let mut session = replication(&connection).await;
    postgres::create_slot(&mut session, &slot, false, SnapshotExport::Nothing)
        .await
        .unwrap();
    assert!(
        !postgres::terminate_walsender(&database, &slot)
            .await
            .unwrap()
    );
    let mut stream = session
        .start_replication(&slot, Lsn::ZERO, &OPTIONS)
        .await
        .unwrap();
    assert!(
        postgres::terminate_walsender(&database, &slot)
            .await
            .unwrap()
    );
    let state = postgres::read_slot(&database, &slot)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(state.active_pid, None);
    let error = next(&mut stream, |_| None::<()>)
        .await
        .expect_err("it was ended");
    assert!(error.is_transient(), "{error:?}");
    let mut session = replication(&connection).await;
    postgres::drop_slot(&mut session, &slot).await.unwrap();
}

#[tokio::test]
async fn a_publication_dropped_while_streaming_is_reported() {
    let (connection, database) = shop("dropped").await;
    // PostgreSQL 18 tells by a warning.
    let statement = format!(
        "alter database {} set client_min_messages = error",
        connection.database()
    );
    database.batch_execute(&statement).await.unwrap();
    let slot = slot_name("dropped");
    let mut session = replication(&connection).await;
    postgres::create_slot(&mut session, &slot, true, SnapshotExport::Nothing)
        .await
        .unwrap();
    let mut stream = session
        .start_replication(&slot, Lsn::ZERO, &OPTIONS)
        .await
        .unwrap();
    database
        .batch_execute("drop publication p; insert into t values (1)")
        .await
        .unwrap();
    let error = next(&mut stream, |_| None::<()>)
        .await
        .expect_err("no publication");
    let text = error.to_string();
    assert!(
        text.contains("was the publication created after them, or dropped?"),
        "{text}"
    );
    assert!(text.contains("publication \"p\""), "{text}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn the_lease_has_one_holder_until_its_session_ends() {
    let (connection, first) = shop("lease").await;
    let second = connect(&connection).await.unwrap();
    let name = postgres::lease_name(&support::unique("lease"), "slot");
    assert!(postgres::try_lease(&first, &name).await.unwrap());
    assert!(
        postgres::try_lease(&first, &name).await.unwrap(),
        "taking it twice is taking it"
    );
    assert!(!postgres::try_lease(&second, &name).await.unwrap());
    assert!(postgres::holds_lease(&first, &name).await.unwrap());
    assert!(!postgres::holds_lease(&second, &name).await.unwrap());
    let holder = postgres::lease_holder(&second, &name)
        .await
        .unwrap()
        .unwrap();
    let pid: i32 = first
        .query_one("select pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(holder, (pid, "tidewater".to_owned()));
    first
        .batch_execute("select pg_advisory_unlock_all()")
        .await
        .unwrap();
    assert!(
        !postgres::holds_lease(&first, &name).await.unwrap(),
        "a lost lock is seen"
    );
    assert!(postgres::try_lease(&second, &name).await.unwrap());
}

#[tokio::test]
async fn publications_are_created_and_checked() {
    let (_, database) = shop("publication").await;
    database
        .batch_execute(
            "create schema s;
             create table s.a (id int primary key, hidden text, twice int generated always as (id * 2) stored);
             create table s.b (id int);
             create table s.p (id int primary key) partition by range (id);
             create table s.p1 partition of s.p for values from (0) to (10);
             create unlogged table s.u (id int)",
        )
        .await
        .unwrap();
    let patterns = |texts: &[&str]| {
        Patterns::new(&texts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    };
    let wanted = patterns(&["s.*", "!s.u"]);
    let missing = postgres::check_publication(&database, "q", &wanted)
        .await
        .expect_err("missing");
    assert!(
        missing
            .to_string()
            .contains("create publication \"q\" for table"),
        "{missing}"
    );
    let created = postgres::ensure_publication(&database, "q", &wanted)
        .await
        .unwrap();
    assert!(created.created && !created.via_partition_root);
    let mut names: Vec<String> = created
        .tables
        .iter()
        .map(|table| table.table.to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["s.a", "s.b", "s.p1"]);
    let again = postgres::ensure_publication(&database, "q", &wanted)
        .await
        .unwrap();
    assert!(!again.created);

    let error = postgres::ensure_publication(&database, "q", &patterns(&["*.*"])).await;
    assert!(matches!(error, Err(Error::Unlogged { .. })), "{error:?}");
    // It is managed: what it lacks is added, unless somebody has taken the comment away.
    let both = patterns(&["public.t", "s.a"]);
    let extended = postgres::ensure_publication(&database, "q", &both).await;
    assert_eq!(extended.unwrap().tables.len(), 2);
    assert!(postgres::is_managed(&database, "q").await.unwrap());
    database
        .batch_execute("alter publication q drop table public.t; comment on publication q is null")
        .await
        .unwrap();
    let error = postgres::ensure_publication(&database, "q", &both).await;
    let error = error.expect_err("t is missing");
    assert!(
        error
            .to_string()
            .contains("alter publication \"q\" add table \"public\".\"t\""),
        "{error}"
    );
    assert_eq!(error.exit_code(), ExitCode::SourceTables);
    let error = postgres::ensure_publication(&database, "q", &patterns(&["nowhere.*"])).await;
    assert!(matches!(error, Err(Error::NoTable { .. })), "{error:?}");
    database
        .batch_execute("alter publication q set (publish = 'insert, update')")
        .await
        .unwrap();
    let error = postgres::ensure_publication(&database, "q", &wanted)
        .await
        .expect_err("operations");
    assert!(
        error
            .to_string()
            .contains("does not publish delete, truncate"),
        "{error}"
    );
    // Column lists and row filters came with 15.
    let (columns, filter) = if postgres::inspect_server(&database).await.unwrap().version >= 150_000
    {
        (vec!["id"], Some("(id > 5)"))
    } else {
        (vec!["id", "hidden"], None)
    };
    let part = if filter.is_some() {
        "(id) where (id > 5)"
    } else {
        ""
    };
    let statement = format!(
        "create publication r for table s.a {part}, s.p with (publish_via_partition_root = true)"
    );
    database.batch_execute(&statement).await.unwrap();
    let rooted = postgres::ensure_publication(&database, "r", &patterns(&["s.a", "s.p"])).await;
    let rooted = rooted.unwrap();
    assert!(rooted.via_partition_root);
    let a = rooted
        .tables
        .iter()
        .find(|table| table.table.name == "a")
        .unwrap();
    assert!(a.columns == columns && !a.partitioned, "{a:?}");
    assert_eq!(a.row_filter.as_deref(), filter);
    let p = rooted
        .tables
        .iter()
        .find(|table| table.table.name == "p")
        .unwrap();
    assert!(p.partitioned);
}

#[tokio::test]
async fn tables_are_described() {
    let (_, database) = shop("describe").await;
    database
        .batch_execute(
            "create type mood as enum ('calm', 'busy');
             create domain price as numeric(12,2);
             create domain fee as price;
             create type pair as (a int, b int);
             create table shape (
                 note text, gone int, second int not null, first bigint not null,
                 mood mood, moods mood[], price price, fee fee, fees fee[], pair pair,
                 boxes box[], twice int generated always as (second * 2) stored,
                 primary key (first, second) include (mood));
             alter table shape drop column gone;
             create unique index shape_second on shape (second);
             alter table shape replica identity using index shape_second",
        )
        .await
        .unwrap();
    let oid: u32 = database
        .query_one("select 'shape'::regclass::oid", &[])
        .await
        .unwrap()
        .get(0);
    let shape = postgres::table_shape(&database, oid)
        .await
        .unwrap()
        .unwrap();
    let names: Vec<&str> = shape
        .columns
        .iter()
        .map(|column| column.shape.name.as_str())
        .collect();
    let expected = [
        "note", "second", "first", "mood", "moods", "price", "fee", "fees", "pair", "boxes",
        "twice",
    ];
    assert_eq!(names, expected, "no dropped column");
    assert_eq!(
        shape.primary_key,
        [2, 1],
        "in the key's order, without included columns"
    );
    assert_eq!(
        (shape.replica_identity, &shape.identity_index[..]),
        (ReplicaIdentity::Index, &[1][..])
    );
    let array = |element| {
        Some(TypeShape::Array {
            element: Box::new(element),
            delimiter: b',',
        })
    };
    let resolved: Vec<Option<TypeShape>> = shape
        .columns
        .iter()
        .skip(3)
        .map(|column| column.shape.resolved.clone())
        .collect();
    let numeric = TypeShape::Builtin(1700);
    let mood = TypeShape::Enum(["calm", "busy"].map(str::to_owned).to_vec());
    let expected = [
        Some(mood.clone()),
        array(mood),
        Some(numeric.clone()),
        Some(numeric.clone()),
        array(numeric),
        Some(TypeShape::Composite(vec![
            ("a".to_owned(), TypeShape::Builtin(23)),
            ("b".to_owned(), TypeShape::Builtin(23)),
        ])),
        None,
        None,
    ];
    assert_eq!(resolved, expected);
    assert_eq!(shape.columns[2].type_name, "bigint");
    let listed = shape.with_columns(&["note".to_owned(), "first".to_owned(), "second".to_owned()]);
    assert_eq!(
        (listed.columns.len(), &listed.primary_key[..]),
        (3, &[2, 1][..])
    );
    assert_eq!(postgres::table_shape(&database, 1).await.unwrap(), None);
}

#[tokio::test]
async fn missing_rights_are_named_with_their_remedy() {
    let (connection, database) = shop("rights").await;
    let role = slot_name("clerk");
    database
        .batch_execute(&format!("create role {role} login password 'pw'"))
        .await
        .unwrap();
    let clerk = connection.with_user(&role, Some("pw"));
    let error = Session::connect(&clerk, SessionKind::Replication, &[])
        .await
        .expect_err("rights");
    assert!(
        error
            .to_string()
            .contains(&format!("alter role \"{role}\" replication")),
        "{error}"
    );
    assert_eq!(error.exit_code(), ExitCode::SourceRights);

    let client = connect(&clerk).await.unwrap();
    let server = postgres::inspect_server(&client).await.unwrap();
    assert!(!server.may_replicate);
    assert_eq!(server.wal_level, "logical");
    let tables = Patterns::new(&["public.t".to_owned()]).unwrap();
    let error = postgres::ensure_publication(&client, "q", &tables)
        .await
        .expect_err("rights");
    assert_eq!(error.exit_code(), ExitCode::SourceRights, "{error}");
    let sql = "create publication \"q\" for table \"public\".\"t\"";
    assert!(error.to_string().contains(sql), "{error}");
    client.batch_execute("begin").await.unwrap();
    let t = postgres::TableName {
        schema: "public".to_owned(),
        name: "t".to_owned(),
    };
    let error = postgres::lock_tables(&client, &[t])
        .await
        .expect_err("rights");
    assert!(error.to_string().contains("grant select"), "{error}");
    drop(client);
    database
        .batch_execute(&format!("drop role {role}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn columns_have_their_facts() {
    let (_, database) = shop("facts").await;
    database
        .batch_execute(
            "create domain price as numeric(12,2) not null default 7;
             create domain fee as price;
             create table facts (
                 a integer not null default 5, b price, c fee default -1, d numeric(5,0) default null,
                 e timestamptz default now(), f interval default '1 day', g integer,
                 h integer generated always as (g + 1) stored)",
        )
        .await
        .unwrap();
    let oid = "select 'facts'::regclass::oid";
    let oid: u32 = database.query_one(oid, &[]).await.unwrap().get(0);
    let shape = postgres::table_shape(&database, oid).await.unwrap();
    let columns = shape.unwrap().columns;
    let default = |expression: &str, constant: Option<&str>| {
        Some(ColumnDefault {
            expression: expression.to_owned(),
            constant: constant.map(str::to_owned),
        })
    };
    // Precision and scale as the server packs them.
    let numeric = |precision: i32, scale: i32| (precision << 16 | scale) + 4;
    let expected = [
        (-1, true, default("5", Some("5"))),
        (numeric(12, 2), true, None),
        (numeric(12, 2), false, default("'-1'::integer", Some("-1"))),
        (numeric(5, 0), false, None),
        (-1, false, default("now()", None)),
        (-1, false, default("'P1D'::interval", Some("P1D"))),
        (-1, false, None),
        (-1, false, None),
    ];
    for (column, (modifier, not_null, default)) in columns.iter().zip(expected) {
        let shape = &column.shape;
        assert_eq!(shape.type_modifier, modifier, "{}", shape.name);
        assert_eq!(
            shape.facts,
            ColumnFacts { not_null, default },
            "{}",
            shape.name
        );
    }
    assert_eq!(columns.len(), 8);
}
