//! Where each stage of the pipeline stands: its rate, and what waits before it.
//!
//! The source, Kafka, the sink and the roles are asked side by side, so that one that does not answer holds up
//! nobody else's figures; what is old is shown as not known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use super::figures::{
    Kafka, KafkaWatch, Roles, RolesWatch, Sink, SinkWatch, Source, SourceWatch, Watch,
};
use super::stages::{self, Stage};
use crate::config::settings::Settings;
use crate::http::SinkReader;

/// Older figures are none.
const FIGURES_MAX_AGE: Duration = Duration::from_secs(10);

/// The figures that are shown; clones share them.
#[derive(Clone, Default)]
pub(super) struct Pipeline(Arc<Mutex<Figures>>);

/// Each part's last answer.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) source: Answer<Source>,
    pub(super) kafka: Answer<Kafka>,
    pub(super) sink: Answer<Sink>,
    pub(super) roles: Answer<Roles>,
}

/// What a part has answered, and when.
#[derive(Default)]
pub(super) enum Answer<T> {
    /// It has not been asked yet.
    #[default]
    None,
    /// It has answered.
    Is(T, Instant),
    /// It does not answer, for this reason.
    Failed(String),
}

impl<T> Answer<T> {
    /// What is known now.
    pub(super) fn known(&self) -> Option<&T> {
        match self {
            Answer::Is(found, at) if at.elapsed() < FIGURES_MAX_AGE => Some(found),
            Answer::Is(..) | Answer::None | Answer::Failed(_) => None,
        }
    }

    fn service(&self, detail: impl Fn(&T) -> String) -> Service {
        match self {
            Answer::Is(found, at) if at.elapsed() < FIGURES_MAX_AGE => Service {
                ok: true,
                detail: detail(found),
            },
            Answer::Is(..) => Service {
                ok: false,
                detail: "has not answered for ten seconds".to_owned(),
            },
            Answer::None => Service {
                ok: true,
                detail: "is asked for the first time".to_owned(),
            },
            Answer::Failed(why) => Service {
                ok: false,
                detail: why.clone(),
            },
        }
    }
}

#[derive(Serialize)]
struct Service {
    ok: bool,
    detail: String,
}

#[derive(Serialize)]
struct Services {
    source: Service,
    kafka: Service,
    sink: Service,
}

#[derive(Serialize)]
struct Latency {
    commit_to_kafka_seconds: Option<f64>,
    applied_age_seconds: Option<f64>,
    cause_to_code_p50_seconds: Option<f64>,
    cause_to_code_p99_seconds: Option<f64>,
}

/// The event as the page reads it.
#[derive(Serialize)]
struct Shown {
    at: String,
    state: Option<&'static str>,
    fresh_seconds: Option<f64>,
    services: Services,
    stages: [Stage; 6],
    latency: Latency,
}

impl Pipeline {
    /// Asks all parts again and again while somebody looks.
    pub(super) fn start(
        settings: &Settings,
        reader: SinkReader,
        is_watched: impl Fn() -> bool + Clone + Send + Sync + 'static,
        tasks: &mut JoinSet<()>,
    ) -> Pipeline {
        let pipeline = Pipeline::default();
        let retail = settings.retail.clone();
        tasks.spawn(
            pipeline
                .clone()
                .watch(SinkWatch::new(reader, retail), is_watched.clone()),
        );
        let source = SourceWatch::new(settings.source.clone());
        tasks.spawn(pipeline.clone().watch(source, is_watched.clone()));
        let roles = RolesWatch::new(settings.console.roles.clone());
        tasks.spawn(pipeline.clone().watch(roles, is_watched.clone()));
        let kafka = KafkaWatch::new(settings.kafka.clone());
        tasks.spawn(pipeline.clone().watch(kafka, is_watched));
        pipeline
    }

    async fn watch<W: Watch>(self, mut watch: W, is_watched: impl Fn() -> bool + Send + Sync) {
        loop {
            if is_watched() {
                let found = watch.ask(&self).await;
                let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                *W::answer(&mut figures) = match found {
                    Ok(found) => Answer::Is(found, Instant::now()),
                    Err(why) => Answer::Failed(why),
                };
            }
            tokio::time::sleep(W::PAUSE).await;
        }
    }

    /// The consumer's partitions.
    pub(super) fn partitions(&self) -> Vec<(String, i32)> {
        let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sink = figures.sink.known();
        sink.map(|sink| sink.partitions.clone()).unwrap_or_default()
    }

    /// The event's text.
    pub(super) fn text(&self) -> String {
        let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Figures {
            source,
            kafka,
            sink,
            roles,
        } = &*figures;
        let age = sink.known().and_then(|sink| sink.applied_age_seconds);
        let latencies = roles.known();
        let shown = Shown {
            at: format!("{:.3}", jiff::Timestamp::now()),
            state: sink.known().map(|sink| sink.state),
            fresh_seconds: age,
            services: Services {
                source: source.service(Source::detail),
                kafka: kafka.service(Kafka::detail),
                sink: sink.service(Sink::detail),
            },
            stages: stages::stages(&figures),
            latency: Latency {
                commit_to_kafka_seconds: latencies.and_then(|roles| roles.commit_to_kafka_seconds),
                applied_age_seconds: age,
                cause_to_code_p50_seconds: sink.known().and_then(|sink| sink.cause_to_code[0]),
                cause_to_code_p99_seconds: sink.known().and_then(|sink| sink.cause_to_code[1]),
            },
        };
        serde_json::to_string(&shown).unwrap_or_default()
    }
}
