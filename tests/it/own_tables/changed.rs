//! Another mapping than the sink was folded by.

use std::time::Duration;

use super::shop::assert_same;
use super::{Wholesale, succeeds, verified};
use crate::commands::{refused, streaming};
use crate::support::{Tidewater, until};

#[tokio::test]
async fn a_sink_is_folded_by_one_mapping_at_a_time() {
    let wholesale = Wholesale::open("remapped").await;
    let config = wholesale.config();
    let mut process = Tidewater::start(&["run"], &config);
    streaming(&mut process).await;
    until("the sink to have its tables", async || {
        let log = process.log();
        assert!(process.is_running(), "{log}");
        log.contains("partitions assigned")
    })
    .await;
    wholesale.applied().await;
    let (source, sink) = (wholesale.source().await, wholesale.sink().await);
    assert_same(&source, &sink, "'X', 'R'").await;

    // What is paid is void from now on, for whoever asks.
    let other = wholesale.config_with(
        "status.cancelled = [\"X\"]",
        "status.cancelled = [\"X\", \"P\"]",
    );
    let parts = [
        "folded with retail.orders.status = {\"R\", \"X\"}",
        "has retail.orders.status = {\"P\", \"R\", \"X\"}",
        "tidewater rebuild",
    ];
    refused(&["aggregate"], &other, 2, &parts);
    refused(&["verify"], &other, 2, &parts);
    let doctor = Tidewater::run(&["doctor"], &other).output;
    assert!(doctor.contains(parts[0]), "{doctor}");

    // It folds anew, and whoever still has the old mapping ends.
    succeeds(&["rebuild"], &other);
    let ended = process.wait(Duration::from_mins(1));
    assert_eq!(ended.code(), Some(2), "{}", ended.log);
    assert!(
        ended
            .log
            .contains("has retail.orders.status = {\"R\", \"X\"}"),
        "{}",
        ended.log
    );
    assert_same(&source, &sink, "'X', 'R', 'P'").await;
    let mut process = Tidewater::start(&["run"], &other);
    streaming(&mut process).await;
    wholesale.applied().await;
    assert_same(&source, &sink, "'X', 'R', 'P'").await;
    verified(&other);
    assert_eq!(process.terminate().code(), Some(0));
}
