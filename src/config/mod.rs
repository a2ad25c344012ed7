//! Configuration: one TOML file and the environment become typed, bounded settings, once, at the edge.
//!
//! The only reader of the environment. Everything past this module takes resolved settings.

pub mod settings;
