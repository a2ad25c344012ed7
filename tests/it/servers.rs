//! `scripts/with-servers` leaves nothing behind, however it ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::until;

/// What the servers' command says of them, and of itself.
struct Servers {
    script: Child,
    directory: String,
    processes: Vec<Pid>,
}

/// Starts servers beside a command that ends neither by itself nor, in part, when it is asked to.
fn start() -> Servers {
    let command = "
        bash -c 'trap \"\" TERM; sleep 1000; sleep 1000' &
        postmaster=$(head -1 $TIDEWATER_TEST_DIRECTORY/postgres/postmaster.pid)
        echo $TIDEWATER_TEST_DIRECTORY $TIDEWATER_TEST_KAFKA_PID $postmaster $$ $!
        wait";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // A shell ignores interrupts in what it starts in the background, and so would all below it.
    let mut script = Command::new("env")
        .arg("--default-signal=INT")
        .arg(root.join("scripts/with-servers"))
        .args(["bash", "-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = script.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    let mut words = line.split_whitespace();
    let directory = words.next().unwrap().to_owned();
    let processes: Vec<Pid> = words
        .map(|word| Pid::from_raw(word.parse().unwrap()))
        .collect();
    assert_eq!(processes.len(), 4, "{line}");
    Servers {
        script,
        directory,
        processes,
    }
}

/// Whether the process is gone; one that has ended and waits to be reaped is.
fn is_gone(process: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .map_or(true, |stat| stat.contains(") Z "))
}

#[tokio::test]
async fn nothing_is_left_behind() {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let mut servers = start();
        assert!(Path::new(&servers.directory).exists());
        assert!(!servers.processes.iter().any(|process| is_gone(*process)));
        let script = Pid::from_raw(servers.script.id().try_into().unwrap());
        kill(script, signal).unwrap();
        for process in servers.processes {
            until("a process to end", async || is_gone(process)).await;
        }
        let directory = Path::new(&servers.directory);
        until("the directory to go", async || !directory.exists()).await;
        let ended = tokio::task::spawn_blocking(move || servers.script.wait().unwrap());
        let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
        let code = ended.unwrap().unwrap().code();
        assert_eq!(code, (signal == Signal::SIGINT).then_some(130));
    }
}
