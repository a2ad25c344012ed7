//! HTTP: metrics and health of the process, and what the gateway's and the console's servers have in common.

mod health;
mod listener;
mod problem;
mod sink;

pub use health::{Error, Readiness, Server, StageJson, ask, ask_metrics};
pub use listener::ListenError;
pub(crate) use listener::{Listener, ListenerLimits};
pub(crate) use problem::{Problem, panicked};
pub(crate) use sink::{Parameter, SinkLimits, SinkReader, json};
