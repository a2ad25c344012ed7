//! Encoding alone: decoded rows of the ten-column table into envelopes in a reused batch.

mod capture;
mod support;

use capture::{ORDERS, encoding};
use tidewater::event::{Format, TruncateFormat, ValueFormat};

fn main() -> support::Fallible<()> {
    let format = Format {
        values: ValueFormat::Lossless,
        truncate: TruncateFormat::EachPartition,
        ..Format::default()
    };
    let variants = vec![encoding::variant("envelope", ORDERS, format)];
    capture::measure("encode", ORDERS, variants)
}
