//! Decoding alone: captured pgoutput messages into columns, nothing written.

mod capture;
mod support;

use std::hint::black_box;

use capture::ORDERS;
use tidewater::event::Column;
use tidewater::pgoutput::{Message, OldTuple, Tuple, parse};

fn main() -> support::Fallible<()> {
    let messages = ORDERS.messages();
    let pass = || {
        for (_, bytes) in &messages {
            let message = parse(bytes).expect("a server wrote it");
            if let Message::Insert { new, .. } | Message::Update { new, .. } = message {
                touch(new);
            } else if let Message::Delete { old, .. } = message {
                let (OldTuple::Key(old) | OldTuple::Full(old)) = old;
                touch(old);
            } else {
                black_box(message);
            }
        }
    };
    capture::measure("decode", ORDERS, vec![("columns", Box::new(pass))])
}

/// Visits every column, as the encoder does.
fn touch(tuple: Tuple<'_>) {
    for column in tuple.columns() {
        if let Column::Text(text) = black_box(column) {
            black_box(text.len());
        }
    }
}
