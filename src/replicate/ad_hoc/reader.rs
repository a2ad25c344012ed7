//! The reader: a thread with connections of its own, so that the stream never waits for a query.
//!
//! A chunk is one short transaction: the table's lock, and then its snapshot, since TRUNCATE and rewriting ALTER
//! TABLE are not MVCC-safe; the rows; and behind it the end of the log, with a message that makes the stream
//! pass it at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::rows::{Rows, columns, is_canonical, write_column, write_key};
use super::visibility::Visibility;
use super::whole::{Part, Whole};
use super::window::Chunk;
use crate::config::settings::{Kafka, Source};
use crate::connection::{self, Database};
use crate::event::selection::Selection;
use crate::event::{BARRIER_PREFIX, Column, KeyRange, Lsn, Table};
use crate::kafka::topics;
use crate::pgoutput::Tuple;
use crate::postgres::{self, Patterns, PublishedTable, Session, SessionKind};
use crate::replicate::Error;
use crate::replicate::described::snapshot_table;
use crate::replicate::row_store::FedTable;
use crate::replicate::snapshot::{KeyColumn, SnapshotTable};
use crate::replicate::start::{held_bytes_max, session_options};
use crate::replicate::stored::fed_table;

/// Rows of one chunk, bytes.
const CHUNK_BYTES_MAX: usize = 2 << 20;
/// How long a lock is waited for before the wait is said to have failed, and begins anew.
const LOCK_TIMEOUT: &str = "10s";
/// What the snapshot of a chunk sees, and the source's clock.
const SNAPSHOT: &str = "select pg_current_snapshot(),
    (extract(epoch from clock_timestamp()) * 1000000)::bigint";

/// What the reader is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// The tables that patterns name.
    LookUp(Vec<String>),
    /// A table as it is now.
    Describe(u32),
    /// Rows of it.
    Chunk(ChunkOrder),
    /// All of it as of one point, which is told.
    Anchor(Arc<Description>),
    /// The next rows as of that point.
    Rows,
}

/// Rows of a table in the order of its keys.
#[derive(Clone, Debug)]
pub(super) struct ChunkOrder {
    pub(super) table: Arc<Description>,
    pub(super) which: Which,
    /// At most so many rows.
    pub(super) rows: u64,
}

/// Which rows of a table are read.
#[derive(Clone, Debug)]
pub(super) enum Which {
    /// From that key on; none: from the very first.
    From(Option<Vec<String>>),
    /// Those that the row store lists: the columns that old rows carry, in the table's order.
    Listed(Vec<Vec<String>>),
}

/// A table as it was when it was described.
#[derive(Debug)]
pub(crate) struct Description {
    pub(super) published: PublishedTable,
    pub(super) read: SnapshotTable,
    /// As the encoder sees it.
    pub(super) table: Table,
    /// What may not have changed for a chunk to be of it.
    pub(super) identity: String,
    /// What the row store has to know of it; none if its rows are not stored.
    pub(super) fed: Option<FedTable>,
}

/// What the reader tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// The tables that match.
    LookedUp(Vec<Found>),
    /// The table.
    Described(Box<Description>),
    /// The table is dropped, or not published any more.
    Gone,
    /// It is not as it was described.
    Altered,
    /// Rows of it.
    Chunk(Box<ReadChunk>),
    /// The point that the table is read at.
    Anchored(Lsn),
    /// Rows as of that point.
    Rows(Box<Part>),
    /// It did not work.
    Failed(Error),
}

/// A table that matches.
#[derive(Debug)]
pub(crate) struct Found {
    pub(super) published: PublishedTable,
    pub(super) topic: String,
    /// Every table of that topic matches.
    pub(super) whole_topic: bool,
    /// What the topic shows of it is void.
    pub(super) void: bool,
}

impl Found {
    /// Those of all captured tables that are asked for.
    pub(crate) fn of(
        all: &[PublishedTable],
        is_asked: impl Fn(&PublishedTable) -> bool,
        selection: &Selection,
        prefix: &str,
    ) -> Vec<Found> {
        let topic = |table: &PublishedTable| {
            let name = &table.table;
            topics::routed(selection, prefix, &name.schema, &name.name)
        };
        let left_out: HashSet<String> = all
            .iter()
            .filter(|table| !is_asked(table))
            .map(topic)
            .collect();
        let found = all.iter().filter(|table| is_asked(table)).map(|table| {
            let topic = topic(table);
            Found {
                published: table.clone(),
                whole_topic: !left_out.contains(&topic),
                topic,
                void: false,
            }
        });
        found.collect()
    }

    /// The same, whose topic shows what is void.
    pub(crate) fn void(self, void: bool) -> Found {
        Found { void, ..self }
    }

    /// Its oid.
    pub(crate) fn oid(&self) -> u32 {
        self.published.id
    }
}

/// A chunk, and what comes behind it.
#[derive(Debug)]
pub(crate) struct ReadChunk {
    pub(super) chunk: Chunk,
    /// What the row store has to know of the table as it was then.
    pub(super) fed: Option<FedTable>,
    /// The key of the next chunk's first row; none: this was the last.
    pub(super) next: Option<Vec<String>>,
    /// The source's clock when it was read, microseconds since 1970.
    pub(super) read_at_us: i64,
}

/// What the reader needs.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) source: Source,
    pub(super) kafka: Kafka,
    pub(super) selection: Arc<Selection>,
    /// Whose rows are stored; none if nobody's are.
    pub(super) stored: Option<Patterns>,
}

/// The thread; it ends when this is dropped.
pub(super) struct Reader {
    orders: Option<Sender<Order>>,
    told: UnboundedReceiver<Told>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts the thread.
    pub(super) fn start(setup: Setup) -> Result<Reader, Error> {
        let (orders, received) = channel();
        let (tell, told) = unbounded_channel();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("ad-hoc-reader".to_owned())
            .spawn(move || work(setup, &received, &tell, &stopped))
            .map_err(Error::Thread)?;
        Ok(Reader {
            orders: Some(orders),
            told,
            stop,
            thread: Some(thread),
        })
    }

    /// Asks for something; one thing at a time.
    pub(super) fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // It fails only after the thread has ended, which `told` says.
            let _ = orders.send(order);
        }
    }

    /// What it tells next. Cancel-safe.
    pub(super) async fn told(&mut self) -> Told {
        let told = self.told.recv().await;
        told.unwrap_or(Told::Failed(Error::WorkerEnded))
    }

    /// What it has told.
    pub(super) fn try_told(&mut self) -> Option<Told> {
        self.told.try_recv().ok()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.cancel();
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

fn work(
    setup: Setup,
    orders: &Receiver<Order>,
    tell: &UnboundedSender<Told>,
    stop: &CancellationToken,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = tell.send(Told::Failed(Error::Thread(error)));
            return;
        }
    };
    let mut work = Work {
        setup,
        connections: None,
        whole: None,
        stop: stop.clone(),
    };
    while let Ok(order) = orders.recv() {
        let carried_out = runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.cancelled() => None,
                told = work.carry_out(order) => Some(told),
            }
        });
        let Some(carried_out) = carried_out else {
            return;
        };
        if tell.send(carried_out.unwrap_or_else(Told::Failed)).is_err() {
            return;
        }
    }
}

struct Work {
    setup: Setup,
    /// Taken while they are used: after a failure there are none.
    connections: Option<Connections>,
    /// The table without a key that is read.
    whole: Option<Whole>,
    stop: CancellationToken,
}

struct Connections {
    session: Session,
    catalog: Database,
}

impl Work {
    async fn carry_out(&mut self, order: Order) -> Result<Told, Error> {
        let mut connections = match self.connections.take() {
            Some(connections) => connections,
            None => self.connect().await?,
        };
        let catalog = &connections.catalog;
        // What was left in the midst is not gone on with.
        let whole = self.whole.take().filter(|_| matches!(order, Order::Rows));
        let told = match order {
            Order::Anchor(table) => {
                let source = &self.setup.source;
                let (whole, point) = Whole::begin(
                    source,
                    held_bytes_max(&self.setup.kafka),
                    catalog,
                    &table,
                    &self.stop,
                )
                .await?;
                self.whole = Some(whole);
                Ok(Told::Anchored(point))
            }
            Order::Rows => {
                let mut whole = whole.ok_or(Error::SnapshotUnreadable)?;
                let told = whole.rows().await?;
                self.whole = Some(whole);
                Ok(told)
            }
            Order::LookUp(patterns) => self.look_up(catalog, &patterns).await,
            Order::Describe(oid) => self.describe(catalog, oid).await,
            Order::Chunk(order) => self.chunk(&mut connections, &order).await,
        }?;
        self.connections = Some(connections);
        Ok(told)
    }

    async fn connect(&self) -> Result<Connections, Error> {
        let source = &self.setup.source;
        let mut options = session_options(source);
        options.push(("lock_timeout", LOCK_TIMEOUT.to_owned()));
        // What the stream is to pass has to be flushed here, and may wait for no standby.
        options.push(("synchronous_commit", "local".to_owned()));
        let options: Vec<(&str, &str)> = options
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let kind = SessionKind::Ordinary;
        let mut session = Session::connect(&source.connection, kind, &options).await?;
        session.set_message_bytes_max(held_bytes_max(&self.setup.kafka));
        let catalog = connection::connect(&source.connection).await?;
        if postgres::is_in_recovery(&catalog).await? {
            return Err(Error::StandbyRead);
        }
        Ok(Connections { session, catalog })
    }

    fn patterns(&self) -> Result<Patterns, Error> {
        Patterns::new(&self.setup.source.tables).map_err(Error::Patterns)
    }

    async fn look_up(&self, catalog: &Database, asked: &[String]) -> Result<Told, Error> {
        let Setup {
            source,
            kafka,
            selection,
            ..
        } = &self.setup;
        let all =
            postgres::captured_tables(catalog, &source.publication, &self.patterns()?).await?;
        let asked = if asked.is_empty() {
            all.clone()
        } else {
            let asked = Patterns::new(asked).map_err(Error::Patterns)?;
            postgres::captured_tables(catalog, &source.publication, &asked).await?
        };
        let asked: HashSet<u32> = asked.iter().map(|table| table.id).collect();
        let is_asked = |table: &PublishedTable| asked.contains(&table.id);
        let found = Found::of(&all, is_asked, selection, &kafka.prefix);
        Ok(Told::LookedUp(found))
    }

    async fn describe(&self, catalog: &Database, oid: u32) -> Result<Told, Error> {
        let Setup {
            source, selection, ..
        } = &self.setup;
        let publication = &source.publication;
        // Before all else: what changes behind it makes the first chunk find another.
        let identity = postgres::table_identity(catalog, publication, oid).await?;
        let tables = postgres::captured_tables(catalog, publication, &self.patterns()?).await?;
        let published = tables.into_iter().find(|table| table.id == oid);
        let shape = postgres::table_shape(catalog, oid).await?;
        let (Some(identity), Some(published), Some(shape)) = (identity, published, shape) else {
            return Ok(Told::Gone);
        };
        let shape = shape.with_columns(&published.columns);
        let mut read = snapshot_table(&shape, &published, &selection.columns);
        let columns = shape.columns.iter().map(|column| &column.shape);
        let of_key = |index| read.key.iter().any(|key| key.index == index);
        let mut of_key = columns.enumerate().filter(|(index, _)| of_key(*index));
        if !of_key.all(|(_, column)| is_canonical(column)) {
            read.key.clear();
        }
        let fed = match &self.setup.stored {
            // The text of such a key may be another one in the stream.
            Some(patterns) if !read.key.is_empty() => {
                fed_table(catalog, patterns, selection, &shape, &published).await?
            }
            _ => None,
        };
        Ok(Told::Described(Box::new(Description {
            fed,
            table: selection.select(shape.to_table(), &shape.identity())?,
            read,
            published,
            identity,
        })))
    }

    async fn chunk(
        &self,
        connections: &mut Connections,
        order: &ChunkOrder,
    ) -> Result<Told, Error> {
        let Connections { session, catalog } = connections;
        let described = &order.table;
        session
            .query("begin transaction isolation level repeatable read, read only")
            .await?;
        let name = described.published.table.quoted();
        let locked = session
            .query(&format!("lock table {name} in access share mode"))
            .await;
        let publication = &self.setup.source.publication;
        let oid = described.published.id;
        let is_same = match locked {
            Ok(_) => {
                let identity = postgres::table_identity(catalog, publication, oid).await?;
                identity.as_ref() == Some(&described.identity)
            }
            Err(postgres::Error::Server { source, .. }) if source.code == UNDEFINED_TABLE => false,
            Err(error) => {
                session.query("rollback").await?;
                return Err(error.into());
            }
        };
        if !is_same {
            session.query("rollback").await?;
            return Ok(Told::Altered);
        }
        let fed = match &described.fed {
            None => None,
            Some(fed) => postgres::table_layout(catalog, oid)
                .await?
                .map(|catalog| fed.clone().with(catalog)),
        };
        // Before the snapshot: who waits no more by then is visible.
        let waiting = postgres::waiting_for_standby(catalog).await?;
        let (visible, read_at_us) = snapshot(session).await?;
        let (rows, next) = read_rows(session, order).await?;
        session.query("commit").await?;
        let noted = note_end(session).await?;
        Ok(Told::Chunk(Box::new(ReadChunk {
            chunk: Chunk {
                rows,
                visible,
                waiting,
                noted,
            },
            fed,
            next,
            read_at_us,
        })))
    }
}

/// SQLSTATE of a table that has another name by now, or is gone.
const UNDEFINED_TABLE: &str = "42P01";

async fn snapshot(session: &mut Session) -> Result<(Visibility, i64), Error> {
    let row = first_row(session.query(SNAPSHOT).await?);
    let mut columns = row.into_iter().flatten();
    let visible = columns.next().and_then(|text| Visibility::parse(&text));
    let clock = columns.next().and_then(|text| text.parse().ok());
    match (visible, clock) {
        (Some(visible), Some(clock)) => Ok((visible, clock)),
        _ => Err(Error::SnapshotUnreadable),
    }
}

fn first_row(rows: Vec<Vec<Option<String>>>) -> Vec<Option<String>> {
    rows.into_iter().next().unwrap_or_default()
}

/// The rows of the chunk, and the key that the next one begins with.
async fn read_rows(
    session: &mut Session,
    order: &ChunkOrder,
) -> Result<(Rows, Option<Vec<String>>), Error> {
    let read = &order.table.read;
    let key: Vec<usize> = read.key.iter().map(|column| column.index).collect();
    let mut listed = Listed::default();
    let query = match &order.which {
        Which::From(from) => {
            let range = KeyRange {
                from: from.clone(),
                until: None,
            };
            read.select_first(&range, order.rows + 1)
        }
        Which::Listed(keys) => {
            listed = Listed::new(&order.table, keys);
            read.select_keys(&listed.keys)
        }
    };
    session.select(&query).await?;
    let (mut rows, mut next, mut text) = (Rows::default(), None, Vec::new());
    let (mut count, mut missing) = (0, false);
    loop {
        let more = session
            .next_rows(|row| {
                count += 1;
                if next.is_some() && listed.absent.is_empty() {
                    return Ok(());
                }
                let (tuple, _) = columns(row).map_err(|source| Error::Malformed {
                    lsn: Lsn::ZERO,
                    source,
                })?;
                let keyed = write_key(&key, Some(tuple), None, &mut text);
                missing |= !keyed;
                listed.found(&text, tuple);
                let full = count > order.rows || rows.bytes() >= CHUNK_BYTES_MAX;
                if next.is_some() || full {
                    next.get_or_insert_with(|| read.bound(tuple));
                    return Ok(());
                }
                rows.push(&text, row);
                Ok::<(), Error>(())
            })
            .await?;
        if !more {
            break;
        }
    }
    // Key columns are not null.
    if missing {
        return Err(Error::SnapshotUnreadable);
    }
    rows.lack(listed.absent);
    Ok((rows, next.filter(|_| matches!(order.which, Which::From(_)))))
}

/// Keys that rows are asked for by.
#[derive(Default)]
struct Listed {
    /// Their columns by which the table is read, in that order.
    keys: Vec<Vec<String>>,
    /// Those that no row was found of, by the text of these columns.
    absent: HashMap<Box<[u8]>, Vec<Vec<String>>>,
    identity: Vec<usize>,
}

impl Listed {
    /// `listed`: columns that old rows carry, among which those are that the table is read by.
    fn new(table: &Description, listed: &[Vec<String>]) -> Listed {
        let identity = table.fed.as_ref().map_or(&[][..], |fed| &fed.identity);
        let place = |column: &KeyColumn| identity.iter().position(|index| *index == column.index);
        let places: Vec<Option<usize>> = table.read.key.iter().map(place).collect();
        let mut absent: HashMap<Box<[u8]>, Vec<Vec<String>>> = HashMap::new();
        let (mut keys, mut text) = (Vec::new(), Vec::new());
        for listed in listed {
            let column = |place: &Option<usize>| listed.get((*place)?).cloned();
            let Some(key) = places.iter().map(column).collect::<Option<Vec<String>>>() else {
                continue;
            };
            text.clear();
            for column in &key {
                write_column(column.as_bytes(), &mut text);
            }
            let of_key = absent.entry(text.as_slice().into()).or_default();
            of_key.push(listed.clone());
            keys.push(key);
        }
        Listed {
            keys,
            absent,
            identity: identity.to_vec(),
        }
    }

    /// A row was found by its key, which is `text`.
    fn found(&mut self, text: &[u8], row: Tuple<'_>) {
        let Some(of_key) = self.absent.get_mut(text) else {
            return;
        };
        let has = |(index, text): (&usize, &String)| {
            row.columns().nth(*index) == Some(Column::Text(text.as_bytes()))
        };
        let identity = &self.identity;
        of_key.retain(|listed| !identity.iter().zip(listed).all(has));
        if of_key.is_empty() {
            self.absent.remove(text);
        }
    }
}

/// The end of the log, and a commit behind it: what has to be passed is flushed then, and sent.
async fn note_end(session: &mut Session) -> Result<Lsn, Error> {
    let row = first_row(session.query("select pg_current_wal_insert_lsn()").await?);
    let noted = row.into_iter().flatten().next();
    let noted = noted.and_then(|text| text.parse().ok());
    let barrier = format!("select pg_logical_emit_message(true, '{BARRIER_PREFIX}', '')");
    session.query(&barrier).await?;
    noted.ok_or(Error::SnapshotUnreadable)
}
