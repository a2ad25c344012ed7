//! The doctor: what would keep replication or the aggregates from working, each finding with what mends
//! it.
//!
//! ```text
//! settings ─▶ facts (I/O: source, Kafka, sink) ─▶ checks (pure) ─▶ Report
//! ```
//!
//! Nothing is changed, and nothing is created: a server that is not set up yet is described as such.

mod batch;
mod checks;
mod facts;
mod mapped;
mod receiver;
mod selection;
mod standby;

use std::fmt;

use serde::Serialize;

use crate::config::settings::Settings;
use crate::retail;

/// How bad a finding is; the worst decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Info,
    /// It works, and may stop to.
    Warning,
    /// It does not work.
    Error,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The check's name, `source.wal-level` for instance.
    pub check: &'static str,
    /// What was found.
    pub finding: String,
    /// The SQL or setting that mends it.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, finding: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Ok,
            check,
            finding: finding.into(),
            remedy: None,
        }
    }

    fn bad(
        severity: Severity,
        check: &'static str,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            severity,
            check,
            finding: finding.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// An error that names its own remedy.
    fn error(severity: Severity, check: &'static str, error: &dyn std::error::Error) -> Finding {
        Finding {
            severity,
            check,
            finding: crate::telemetry::chain(error),
            remedy: None,
        }
    }
}

/// Every finding, in the order of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the checks found, what is as it should be included.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst finding.
    pub fn severity(&self) -> Severity {
        let severities = self.findings.iter().map(|finding| finding.severity);
        severities.max().unwrap_or(Severity::Ok)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let mark = match finding.severity {
                Severity::Ok => "ok",
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            writeln!(f, "{mark:<8}{:<24}{}", finding.check, finding.finding)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:<8}{:<24}→ {remedy}", "", "")?;
            }
        }
        let count = |severity| {
            let of = |finding: &&Finding| finding.severity == severity;
            self.findings.iter().filter(of).count()
        };
        write!(
            f,
            "{} checks: {} errors, {} warnings",
            self.findings.len(),
            count(Severity::Error),
            count(Severity::Warning)
        )
    }
}

/// Examines every configured part.
pub async fn run(settings: &Settings) -> Report {
    let mut findings = checks::settings(settings);
    if let Some(webhook) = &settings.webhook {
        let usable = retail::webhook::check(webhook);
        findings.push(receiver::check(webhook, usable.as_ref().err()));
    }
    if let Some(source) = &settings.source {
        match facts::source(source, &settings.retail.mapping).await {
            Ok(facts) => {
                findings.extend(checks::source(source, &facts));
                if settings.sink.is_some() {
                    findings.extend(mapped::check(&settings.retail.mapping, &facts));
                }
                findings.extend(selection::check(&settings.selection, &facts.shapes));
            }
            Err(error) => findings.push(Finding::error(Severity::Error, "source.reached", &error)),
        }
    }
    if let Some(kafka) = &settings.kafka {
        match facts::kafka(settings, kafka).await {
            Ok(topics) => findings.extend(checks::kafka(kafka, &topics)),
            Err(error) => findings.push(Finding::error(Severity::Error, "kafka.reached", &error)),
        }
    }
    if let Some(sink) = &settings.sink {
        match facts::sink(sink).await {
            Ok(facts) => {
                findings.extend(checks::sink(&facts, settings.retail.arms));
                findings.push(mapped::folded_by(&settings.retail.mapping, &facts));
            }
            Err(error) => findings.push(Finding::error(Severity::Error, "sink.reached", &error)),
        }
    }
    Report { findings }
}
