//! Kafka: where the partitions end that the consumer reads.

use std::time::{Duration, Instant};

use super::rate::Rate;
use super::{Answer, Figures, Pipeline, Watch};
use crate::config::settings;
use crate::kafka::{self, Isolation, Reader};
use crate::telemetry;

/// Over which rates are taken.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// How long a broker may take to tell a partition's end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What Kafka says.
#[derive(Debug)]
pub(in crate::console) struct Kafka {
    /// Sum of the ends of the partitions that are consumed.
    pub(in crate::console) end_offsets: i64,
    partitions: usize,
    /// Offsets per second: records, and a marker for each transaction.
    pub(in crate::console) rate: Option<f64>,
}

impl Kafka {
    /// In a few words.
    pub(in crate::console) fn detail(&self) -> String {
        match self.partitions {
            0 => "no partition is consumed yet".to_owned(),
            partitions => format!("{partitions} partitions are consumed"),
        }
    }
}

/// Asks it.
pub(in crate::console) struct KafkaWatch {
    settings: Option<settings::Kafka>,
    reader: Option<Reader>,
    ends: Rate,
}

impl KafkaWatch {
    /// Connects when it is first asked.
    pub(in crate::console) fn new(settings: Option<settings::Kafka>) -> KafkaWatch {
        KafkaWatch {
            settings,
            reader: None,
            ends: Rate::over(RATE_WINDOW),
        }
    }
}

impl Watch for KafkaWatch {
    type Found = Kafka;
    const PAUSE: Duration = Duration::from_secs(1);

    async fn ask(&mut self, known: &Pipeline) -> Result<Kafka, String> {
        let Some(settings) = self.settings.clone() else {
            return Err("the configuration of the console has no [kafka]".to_owned());
        };
        let (partitions, reader) = (known.partitions(), self.reader.take());
        let count = partitions.len();
        let asked = tokio::task::spawn_blocking(move || ends(&settings, reader, &partitions));
        let (reader, end_offsets) = asked
            .await
            .map_err(|_| "the reader of the topics failed".to_owned())?
            .map_err(|error| telemetry::chain(&error))?;
        self.reader = Some(reader);
        Ok(Kafka {
            end_offsets,
            partitions: count,
            rate: self.ends.take(end_offsets as f64, Instant::now()),
        })
    }

    fn answer(figures: &mut Figures) -> &mut Answer<Kafka> {
        &mut figures.kafka
    }
}

/// Blocks.
fn ends(
    settings: &settings::Kafka,
    reader: Option<Reader>,
    partitions: &[(String, i32)],
) -> Result<(Reader, i64), kafka::Error> {
    let reader = match reader {
        Some(reader) => reader,
        None => Reader::open(settings, Isolation::Committed)?,
    };
    let mut sum = 0;
    for (topic, partition) in partitions {
        sum += reader.watermarks(topic, *partition, ANSWER_TIMEOUT)?.1;
    }
    Ok((reader, sum))
}
