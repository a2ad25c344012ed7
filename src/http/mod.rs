//! HTTP: metrics and health of the process, and what the gateway's and the console's servers have in common.

mod answers;
mod health;
mod listener;
mod problem;
mod sink;

pub(crate) use answers::answering;
pub use health::{Error, Readiness, Server, StageJson, ask, ask_metrics};
pub use listener::ListenError;
pub(crate) use listener::{Listener, ListenerLimits};
pub(crate) use problem::Problem;
pub(crate) use sink::{Parameter, SinkLimits, SinkReader, json};
