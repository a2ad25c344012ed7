//! Promotion rules against a real sink: who is eligible, who gets a code, and that a code gets out.

mod arms;
mod conditions;
mod dispatch;
mod explain;
mod feed;
mod instances;
mod intent;
mod issue;
mod pipeline;
mod random;
mod redemption;
mod restored;
mod shop;
mod sweep;
mod webhook;
