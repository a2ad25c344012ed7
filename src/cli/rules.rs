//! `tidewater rules`: what the promotion rules say of somebody.

use clap::{Args, Subcommand};

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::retail::evaluation::Policy;
use crate::retail::explain::{Decides, Explanation, Question, Tuple, explain};
use crate::retail::statements::Statements;
use crate::retail::time::{Moment, Timestamp};
use crate::{connection, output, retail};

const EXAMPLES: &str = "\
Examples:
  tidewater rules explain --customer 7 --product 2            # in every store that they bought it in
  tidewater rules explain --customer 7 --product 2 --store 1 --rule 1
  tidewater rules explain --customer 7 --product 2 --at 2026-11-28T08:30:00Z --json";

/// What to say.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum RulesCommand {
    /// Which conditions hold for a customer and a product, and which fail, with their figures.
    Explain(ExplainArguments),
}

/// Whom to explain.
#[derive(Clone, Debug, Args)]
pub struct ExplainArguments {
    /// Customer.
    #[arg(long, value_name = "ID")]
    customer: i64,
    /// Product.
    #[arg(long, value_name = "ID")]
    product: i64,
    /// Store; without it every store that the customer has bought the product in.
    #[arg(long, value_name = "ID")]
    store: Option<i64>,
    /// Rule; without it all that are enabled.
    #[arg(long, value_name = "ID")]
    rule: Option<i64>,
    /// Decide as if it were this moment, such as 2026-11-28T08:30:00Z, on the state as it is now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// A moment in UTC.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    match Moment::parse(text) {
        Ok(Moment::Finite(at)) if text.ends_with('Z') => Ok(at),
        _ => Err("a moment in UTC is written like 2026-11-28T08:30:00Z".to_owned()),
    }
}

/// Explains.
pub(super) async fn run(
    settings: &Settings,
    RulesCommand::Explain(arguments): &RulesCommand,
) -> Result<ExitCode, Failure> {
    let sink = settings
        .sink
        .as_ref()
        .ok_or(retail::Error::Missing { section: "sink" })?;
    let policy = Policy {
        at: arguments.at,
        ..Policy::new(&settings.retail)
    };
    retail::check_schema(sink).await?;
    let question = Question {
        customer_id: arguments.customer,
        product_id: arguments.product,
        store_id: arguments.store,
        rule_id: arguments.rule,
    };
    let mut database = connection::connect(&sink.connection)
        .await
        .map_err(retail::Error::Connect)?;
    let statements = Statements::default();
    let explanation = explain(&mut database, &statements, &policy, question).await?;
    if arguments.json {
        output::json(&explanation);
    } else {
        output::line(text(&explanation, &question));
    }
    Ok(ExitCode::Success)
}

fn text(explanation: &Explanation, question: &Question) -> String {
    if explanation.tuples.is_empty() {
        return nothing(question);
    }
    let tuples = explanation.tuples.iter().map(paragraph);
    let mut lines = vec![format!("at {}, {}", explanation.at, explanation.state)];
    lines.extend(tuples);
    lines.join("\n\n")
}

/// Nothing to explain is an answer too.
fn nothing(question: &Question) -> String {
    let Question {
        customer_id,
        product_id,
        ..
    } = question;
    match (question.rule_id, question.store_id) {
        (Some(rule), _) => format!(
            "nothing to explain: there is no rule {rule}, or customer {customer_id} has no uncancelled \
             order of product {product_id}: name a store with --store"
        ),
        (None, None) => format!(
            "nothing to explain: customer {customer_id} has no uncancelled order of product {product_id} \
             in any store, or no rule is enabled: name a store with --store, a rule with --rule"
        ),
        (None, Some(_)) => {
            "nothing to explain: no rule is enabled; name one with --rule".to_owned()
        }
    }
}

fn paragraph(tuple: &Tuple) -> String {
    let failing = |decides: Decides| {
        let mut failing = tuple.conditions.iter();
        failing
            .find(|one| one.decides == decides && !one.holds)
            .map_or("", |one| one.name)
    };
    let verdict = if tuple.issuable {
        "eligible, and a code may be issued".to_owned()
    } else if tuple.eligible {
        format!("eligible, but no code: {}", failing(Decides::Issue))
    } else {
        format!("not eligible: {}", failing(Decides::Eligibility))
    };
    let mut lines = vec![format!(
        "rule {} ({}), customer {}, store {}, product {}: {verdict}",
        tuple.rule_id, tuple.rule, tuple.customer_id, tuple.store_id, tuple.product_id
    )];
    lines.extend(tuple.conditions.iter().map(|condition| {
        let holds = if condition.holds { "yes" } else { "no" };
        format!("  {holds:<4}{:<16}{}", condition.name, condition.figures)
    }));
    lines.join("\n")
}
