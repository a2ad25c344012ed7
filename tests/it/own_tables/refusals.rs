//! What is mapped wrong, as doctor, batch and aggregate say it: each with what mends it.

use super::{Wholesale, succeeds};
use crate::commands::refused;
use crate::support::Tidewater;
use tidewater::exit::ExitCode;

/// Doctor finds it, and neither batch nor aggregate begins.
#[track_caller]
fn is_refused(config: &str, parts: &[&str]) {
    let doctor = Tidewater::run(&["doctor"], config).expect(ExitCode::Findings);
    for part in parts {
        assert!(
            doctor.output.contains(part),
            "no \"{part}\" in {}",
            doctor.output
        );
    }
    let code = ExitCode::SourceTables as u8;
    refused(&["batch", "--date", "today"], config, code, parts);
    refused(&["aggregate"], config, code, parts);
}

#[tokio::test]
async fn what_is_mapped_wrong_is_told_with_its_remedy() {
    let wholesale = Wholesale::open("mapped_wrong").await;
    let source = wholesale.source().await;
    succeeds(&["migrate"], &wholesale.config());
    let is = |from: &str, to: &str| wholesale.config_with(from, to);
    is_refused(
        &is("on_hand = \"Qty\"", "on_hand = \"qty\""),
        &[
            "erp.Stock has no column qty, which retail.inventory.columns.on_hand names: set it to one that is there",
            "of Article no., Depot, Qty, on_hand",
        ],
    );
    is_refused(
        &is("columns.contact_allowed = \"may_write\"", ""),
        &[
            "retail.customers.columns.contact_allowed names",
            "or to \"\" if it has none such",
        ],
    );
    is_refused(
        &is("on_hand = \"Qty\"", "on_hand = \"on_hand\""),
        &[
            "column on_hand of erp.Stock is text, and retail.inventory.columns.on_hand takes smallint, integer",
            "name a column of such a type",
        ],
    );
    is_refused(
        &is(
            "contact_allowed = \"may_write\"",
            "contact_allowed = \"name\"",
        ),
        &[
            "column name of crm.members is text, and retail.customers.columns.contact_allowed takes boolean",
        ],
    );
    is_refused(
        &wholesale
            .config()
            .replace(
                "columns.order_id = \"line_no\"",
                "columns.order_id = \"depot\"",
            )
            .replace(
                "columns.store_id = \"depot\"",
                "columns.store_id = \"line_no\"",
            ),
        &[
            "sales.order_lines is keyed by (line_no), and the aggregates need exactly (\"depot\")",
            "alter table \"sales\".\"order_lines\" add primary key (\"depot\")",
        ],
    );
    for (alter, found) in [
        ("drop constraint \"Stock_pkey\"", "()"),
        ("add primary key (\"Depot\")", "(Depot)"),
        (
            "drop constraint \"Stock_pkey\", alter on_hand set not null, \
             add primary key (\"Depot\", \"Article no.\", on_hand)",
            "(Article no., Depot, on_hand)",
        ),
    ] {
        let prepare = "truncate erp.\"Stock\"";
        let alter = format!("{prepare}; alter table erp.\"Stock\" {alter}");
        source.batch_execute(&alter).await.unwrap();
        let keyed = format!(
            "is keyed by {found}, and the aggregates need exactly (\"Depot\", \"Article no.\")"
        );
        is_refused(&wholesale.config(), &[&keyed]);
    }
    let back = "alter table erp.\"Stock\" drop constraint \"Stock_pkey\", add primary key (\"Depot\", \"Article no.\")";
    source.batch_execute(back).await.unwrap();
    succeeds(&["batch", "--date", "today"], &wholesale.config());
}

#[tokio::test]
async fn what_never_reaches_a_topic_is_told_by_the_doctor() {
    let wholesale = Wholesale::open("unpublished").await;
    let source = wholesale.source().await;
    let missing = |config: &str, parts: &[&str]| {
        let doctor = Tidewater::run(&["doctor"], config).expect(ExitCode::Findings);
        for part in parts {
            assert!(
                doctor.output.contains(part),
                "no \"{part}\" in {}",
                doctor.output
            );
        }
    };
    let uncaptured = wholesale.config_with("\"erp.Stock\", ", "");
    missing(
        &uncaptured,
        &[
            "erp.Stock is not among the captured tables",
            "source.tables",
        ],
    );
    let elsewhere = wholesale.config_with("table = \"crm.members\"", "table = \"crm.Members\"");
    missing(
        &elsewhere,
        &["no table crm.Members, which retail.customers.table names"],
    );
    if crate::support::server_version().await >= 150_000 {
        let publish = format!(
            "create publication {} for table erp.\"Stock\", crm.members (member_no, class), sales.order_lines",
            wholesale.name
        );
        source.batch_execute(&publish).await.unwrap();
        let parts = [
            "the publication leaves may_write out of crm.members",
            "column list",
        ];
        missing(&wholesale.config(), &parts);
    }
}

#[test]
fn what_cannot_be_meant_is_a_fault_of_the_configuration() {
    let refuse = |mapping: &str, part: &str| {
        let code = ExitCode::Configuration as u8;
        refused(
            &["doctor"],
            &format!("[retail.inventory]\n{mapping}"),
            code,
            &[part],
        );
    };
    refuse(
        "columns = { store_id = \"place\", product_id = \"place\" }",
        "retail.inventory.columns.product_id: \"place\" is retail.inventory.columns.store_id already; name the \
         column of each",
    );
    refuse(
        "columns.on_hand = \"\"",
        "retail.inventory.columns.on_hand: is missing; set it to the name of a column",
    );
    refuse(
        "table = \"stock\"",
        "retail.inventory.table: \"stock\" is out of bounds; it may be schema.table",
    );
    refuse(
        "columns.onhand = \"Qty\"",
        "retail.inventory.columns.onhand: there is no such key; did you mean retail.inventory.columns.on_hand?",
    );
}
