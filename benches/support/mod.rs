//! What the benchmarks share: the servers, the machine and its load, processes and their CPU time, the
//! source database, and the report.

#![allow(
    dead_code,
    reason = "each benchmark is a program of its own and uses its part"
)]

pub(crate) mod debezium;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod replicator;
pub(crate) mod report;
pub(crate) mod servers;
pub(crate) mod source;

/// What a benchmark may fail with; it is shown, and that is all.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs a benchmark to its end, all of it on this thread.
pub(crate) fn run(benchmark: impl Future<Output = Fallible<()>>) -> Fallible<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(benchmark)
}

/// The middle one of the values; of an even number the lower of the two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}
