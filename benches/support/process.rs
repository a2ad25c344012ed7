//! Processes and what they cost, from `/proc`.

use std::fs::{read_dir, read_to_string};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

/// CPU time of a process that still runs, ended threads included; zero once it is gone.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold blanks.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    ticks as f64 / per_second as f64
}

/// CPU time of one thread, or of a process with one, to the nanosecond; `None` once it is gone.
pub(crate) fn thread_cpu_seconds(path: &str) -> Option<f64> {
    let text = read_to_string(format!("{path}/schedstat")).ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// CPU time of each thread that still runs, by name.
pub(crate) fn threads(pid: u32) -> Vec<(String, f64)> {
    let Ok(tasks) = read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = read_to_string(path.join("comm")).ok()?;
            let seconds = thread_cpu_seconds(path.to_str()?)?;
            Some((name.trim().to_owned(), seconds))
        })
        .collect()
}

/// CPU time of all child processes that have been waited for.
pub(crate) fn children_cpu_seconds() -> f64 {
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0.0, |usage| {
        seconds(usage.user_time()) + seconds(usage.system_time())
    })
}

/// Largest resident memory so far.
pub(crate) fn resident_peak_bytes(pid: u32) -> u64 {
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next())
        .and_then(|text| text.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

/// Bytes that a process has written to files and pipes; sockets do not count.
pub(crate) fn bytes_written(pid: u32) -> u64 {
    let text = read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("wchar: ")?.parse().ok())
        .unwrap_or_default()
}

/// How often `/proc` is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(1);
