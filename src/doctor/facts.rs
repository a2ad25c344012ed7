//! What the doctor asks the servers.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::mapping::Mapping;
use crate::config::settings::{Kafka, Settings, Sink, Source};
use crate::connection;
use crate::kafka::{self, Admin, topics};
use crate::postgres::{self, Patterns, Publication, Server, SlotState, TableName, TableShape};
use crate::retail::{self, SchemaError, mapped};

/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Tables that are looked up together.
const TABLES_TOGETHER: usize = 500;

/// The source, as it is.
pub(super) struct SourceFacts {
    pub(super) server: Server,
    pub(super) slot: Option<SlotState>,
    pub(super) publication: Result<Publication, postgres::Error>,
    pub(super) tables: Vec<TableFacts>,
    /// The same as they are captured: with the columns that the publication publishes, if there is one.
    pub(super) shapes: Vec<TableShape>,
    /// The mapped tables, in the mapping's order; `None` for one that is not there.
    pub(super) mapped: Vec<Option<mapped::Found>>,
    /// Backend and age in seconds of the oldest transaction that has an id.
    pub(super) oldest_transaction: Option<(i32, f64)>,
    /// Name and age in seconds of the oldest prepared transaction.
    pub(super) oldest_prepared: Option<(String, f64)>,
    /// The source's clock minus ours, seconds.
    pub(super) clock_offset: f64,
}

/// A configured table.
#[derive(Clone, Debug)]
pub(super) struct TableFacts {
    /// `pg_class.oid`.
    pub(super) id: u32,
    pub(super) table: TableName,
    /// `pg_class.relreplident`.
    pub(super) identity: String,
    pub(super) key: BTreeSet<String>,
    pub(super) may_select: bool,
    pub(super) unlogged: bool,
}

/// A topic, as it is.
#[derive(Clone, Debug)]
pub(super) struct TopicFacts {
    pub(super) name: String,
    /// What it is for.
    pub(super) purpose: Purpose,
    /// None: it does not exist yet.
    pub(super) settings: Option<TopicSettings>,
}

/// The settings that matter.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicSettings {
    pub(super) cleanup: String,
    pub(super) retention_ms: String,
    pub(super) message_bytes_max: Option<usize>,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Events of a table.
    Events,
    /// Events that the aggregates are folded from: history.
    History,
    /// The position.
    Position,
}

/// The sink, as it is.
pub(super) struct SinkFacts {
    pub(super) schema: Result<(), SchemaError>,
    pub(super) may_create: bool,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) clock_offset: f64,
    /// Seconds since the batch last finished; `None` when it never has.
    pub(super) batch_age: Option<f64>,
    /// The mapping that its tables were folded by; `None` when none were yet.
    pub(super) folded_by: Option<String>,
}

/// Asks the source.
pub(super) async fn source(
    source: &Source,
    mapping: &Mapping,
) -> Result<SourceFacts, postgres::Error> {
    const TABLES: &str = "
        select n.nspname::text, c.relname::text, c.relreplident::text,
               array(select a.attname::text from pg_index i
                       join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
                      where i.indrelid = c.oid and i.indisprimary),
               has_table_privilege(c.oid, 'select'), c.relpersistence = 'u', c.oid
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and c.relpersistence <> 't'
           and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
         order by 1, 2";
    const OLDEST: &str = "
        select pid, extract(epoch from clock_timestamp() - xact_start)::float8
          from pg_stat_activity
         where backend_xid is not null and xact_start is not null
         order by xact_start limit 1";
    const PREPARED: &str = "
        select gid, extract(epoch from clock_timestamp() - prepared)::float8
          from pg_prepared_xacts order by prepared limit 1";
    let client = connection::connect(&source.connection).await?;
    let failed = |error| postgres::Error::query("examining the source")(error);
    let server = postgres::inspect_server(&client).await?;
    let slot = postgres::read_slot(&client, &source.slot).await?;
    let patterns = Patterns::new(&source.tables).ok();
    let publication = match &patterns {
        Some(patterns) => postgres::check_publication(&client, &source.publication, patterns).await,
        None => Err(postgres::Error::NoTable {
            patterns: source.tables.join(", "),
        }),
    };
    let rows = client.query(TABLES, &[]).await.map_err(failed)?;
    let tables = rows.iter().map(|row| TableFacts {
        id: row.get(6),
        table: TableName {
            schema: row.get(0),
            name: row.get(1),
        },
        identity: row.get(2),
        key: row.get::<_, Vec<String>>(3).into_iter().collect(),
        may_select: row.get(4),
        unlogged: row.get(5),
    });
    let wanted = |facts: &TableFacts| patterns.as_ref().is_some_and(|p| p.matches(&facts.table));
    let tables: Vec<TableFacts> = tables.filter(wanted).collect();
    let shapes = shapes(&client, &tables, publication.as_ref().ok()).await?;
    let mut mapped = Vec::new();
    for table in mapping.tables() {
        mapped.push(mapped::find(&client, table).await.map_err(failed)?);
    }
    let oldest = client.query_opt(OLDEST, &[]).await.map_err(failed)?;
    let prepared = client.query_opt(PREPARED, &[]).await.map_err(failed)?;
    Ok(SourceFacts {
        server,
        slot,
        publication,
        tables,
        shapes,
        mapped,
        oldest_transaction: oldest.map(|row| (row.get(0), row.get(1))),
        oldest_prepared: prepared.map(|row| (row.get(0), row.get(1))),
        clock_offset: clock_offset(&client).await.map_err(failed)?,
    })
}

async fn shapes(
    client: &connection::Database,
    tables: &[TableFacts],
    publication: Option<&Publication>,
) -> Result<Vec<TableShape>, postgres::Error> {
    let ids: Vec<u32> = tables.iter().map(|facts| facts.id).collect();
    let mut shapes = Vec::new();
    for ids in ids.chunks(TABLES_TOGETHER) {
        let mut found = postgres::table_shapes(client, ids).await?;
        for shape in ids.iter().filter_map(|id| found.remove(id)) {
            let Some(publication) = publication else {
                shapes.push(shape);
                continue;
            };
            let mut published = publication.tables.iter();
            if let Some(published) = published.find(|published| published.id == shape.id) {
                shapes.push(shape.with_columns(&published.columns));
            }
        }
    }
    Ok(shapes)
}

/// The server's clock minus ours, seconds; off by at most half a round trip.
async fn clock_offset(client: &connection::Database) -> Result<f64, tokio_postgres::Error> {
    let clock = "select extract(epoch from clock_timestamp())::float8";
    let before = jiff::Timestamp::now().as_microsecond();
    let theirs: f64 = client.query_one(clock, &[]).await?.get(0);
    let after = jiff::Timestamp::now().as_microsecond();
    Ok(theirs - i64::midpoint(before, after) as f64 / 1e6)
}

/// Asks Kafka.
pub(super) async fn kafka(
    settings: &Settings,
    kafka: &Kafka,
) -> Result<Vec<TopicFacts>, kafka::Error> {
    let admin = Admin::new(kafka)?;
    admin.reach(ANSWER_TIMEOUT)?;
    let mut wanted = Vec::new();
    if let Some(source) = &settings.source {
        let position = topics::position(&kafka.prefix, &source.slot);
        wanted.push((position, Purpose::Position));
    }
    let purpose = if settings.sink.is_some() {
        Purpose::History
    } else {
        Purpose::Events
    };
    for table in settings.retail.mapping.tables() {
        let (schema, name) = (&table.schema, &table.name);
        let topic = topics::routed(&settings.selection, &kafka.prefix, schema, name);
        wanted.push((topic, purpose));
    }
    if settings.sink.is_some() {
        wanted.push((topics::events(&kafka.prefix), Purpose::History));
    }
    let mut found = Vec::new();
    for (name, purpose) in wanted {
        let settings = match admin.partitions(&name)? {
            None => None,
            Some(_) => Some(topic_settings(&admin, &name).await?),
        };
        found.push(TopicFacts {
            name,
            purpose,
            settings,
        });
    }
    Ok(found)
}

async fn topic_settings(admin: &Admin, topic: &str) -> Result<TopicSettings, kafka::Error> {
    let limit = admin.setting(topic, "max.message.bytes").await?;
    Ok(TopicSettings {
        cleanup: admin
            .setting(topic, "cleanup.policy")
            .await?
            .unwrap_or_default(),
        retention_ms: admin
            .setting(topic, "retention.ms")
            .await?
            .unwrap_or_default(),
        message_bytes_max: limit.and_then(|text| text.parse().ok()),
    })
}

/// Asks the sink.
pub(super) async fn sink(sink: &Sink) -> Result<SinkFacts, retail::Error> {
    const BATCH: &str = "
        select extract(epoch from clock_timestamp() - max(finished_at))::float8 from batch_run";
    const MAPPING: &str = "select mapping from sink_identity";
    const RIGHTS: &str = "
        select coalesce(has_schema_privilege(current_schema(), 'create'), false),
               current_user::text, current_database()::text";
    let client = connection::connect(&sink.connection)
        .await
        .map_err(retail::Error::Connect)?;
    let failed = |source| retail::Error::Lost {
        doing: "examine the sink",
        source,
    };
    let rights = client.query_one(RIGHTS, &[]).await.map_err(failed)?;
    let schema = retail::check_schema(sink).await;
    let (mut batch_age, mut folded_by) = (None, None);
    if schema.is_ok() {
        batch_age = client.query_one(BATCH, &[]).await.map_err(failed)?.get(0);
        folded_by = client.query_one(MAPPING, &[]).await.map_err(failed)?.get(0);
    }
    Ok(SinkFacts {
        schema,
        batch_age,
        folded_by,
        may_create: rights.get(0),
        user: rights.get(1),
        database: rights.get(2),
        clock_offset: clock_offset(&client).await.map_err(failed)?,
    })
}
