//! HTTP: metrics and health of the process, and what its servers have in common, and its clients.

mod answers;
mod health;
mod linger;
mod listener;
mod problem;
mod retry;
mod sink;
mod tls;

pub(crate) use answers::answering;
pub use health::{Error, Readiness, Server, StageJson, ask, ask_metrics};
pub use listener::ListenError;
pub(crate) use listener::{Listener, ListenerLimits};
pub(crate) use problem::Problem;
pub(crate) use retry::retry_after;
pub(crate) use sink::{Parameter, SinkLimits, SinkReader, json};
pub use tls::IdentityError;
