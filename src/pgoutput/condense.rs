//! `Condenser`: what is kept of a message that is too large to be held, while it goes past in pieces.
//!
//! ```text
//! bytes as they arrive ─▶ feed ─▶ the same message with every large value marked as unchanged
//! ```
//!
//! The result is a message of its own, with its relation, the kinds of all its columns and the values of
//! the small ones, so most often with its key. What is left out is marked like a TOAST value that the
//! server did not send, never as a null. Memory is bounded by what is kept, whatever the message claims.

/// Longest value that is kept, bytes: longer than any key of an index, which is at most a third of a page.
const VALUE_BYTES_KEPT: usize = 8 << 10;
/// Values kept of one message, bytes; later ones are left out whatever their size.
const BYTES_KEPT: usize = 256 << 10;

/// Takes a message in pieces and keeps its small parts.
#[derive(Debug)]
pub struct Condenser {
    layout: Layout,
    kept: Vec<u8>,
    step: Step,
    /// Bytes until the step is done.
    left: usize,
    /// Columns of the current tuple that have not begun.
    columns: usize,
    /// Whether another tuple follows: the old row of an update came first.
    more: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Message,
    DataRow,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Head,
    Tag,
    Relation { update: bool },
    TupleKind { update: bool },
    Count,
    Kind,
    Length,
    Value,
    LeftOut,
    MessageHead,
    Prefix,
    ContentLength,
    Complete,
    Refused,
}

impl Condenser {
    /// For a message of the output plugin behind `head` bytes of a frame's, which are kept.
    pub fn message(head: usize) -> Self {
        Self::new(Layout::Message, Step::Head, head)
    }

    /// For the body of a DataRow. It comes out in pgoutput's layout, see [`super::Tuple::condensed`].
    pub fn data_row() -> Self {
        Self::new(Layout::DataRow, Step::Count, 2)
    }

    fn new(layout: Layout, step: Step, left: usize) -> Self {
        let mut condenser = Condenser {
            layout,
            kept: Vec::new(),
            step,
            left,
            columns: 0,
            more: false,
        };
        condenser.settle();
        condenser
    }

    /// Takes the next piece.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.step == Step::Complete {
                self.step = Step::Refused;
            }
            let length = self.length_of_step(piece);
            let (taken, rest) = piece.split_at(length.min(piece.len()));
            if self.keeps() {
                self.kept.extend_from_slice(taken);
            }
            self.left -= taken.len().min(self.left);
            if self.step == Step::Prefix {
                self.end_of_prefix(taken);
            }
            self.settle();
            piece = rest;
        }
    }

    /// What was kept of the whole message. `None`: it is of a kind that cannot be shortened, or malformed.
    pub fn finish(self) -> Option<Vec<u8>> {
        (self.step == Step::Complete).then_some(self.kept)
    }

    fn length_of_step(&self, piece: &[u8]) -> usize {
        match self.step {
            // A prefix ends where its zero is.
            Step::Prefix => {
                let end = memchr::memchr(0, piece).map_or(piece.len(), |zero| zero + 1);
                end.min(self.left)
            }
            // Bytes behind the end, of which nothing is kept.
            Step::Complete | Step::Refused => piece.len(),
            Step::Head
            | Step::Tag
            | Step::Relation { .. }
            | Step::TupleKind { .. }
            | Step::Count
            | Step::Kind
            | Step::Length
            | Step::Value
            | Step::LeftOut
            | Step::MessageHead
            | Step::ContentLength => self.left,
        }
    }

    fn keeps(&self) -> bool {
        !matches!(self.step, Step::LeftOut | Step::Complete | Step::Refused)
    }

    /// Goes on for as long as steps are done.
    fn settle(&mut self) {
        while self.left == 0 && !matches!(self.step, Step::Complete | Step::Refused) {
            self.advance();
        }
    }

    fn begin(&mut self, step: Step, left: usize) {
        (self.step, self.left) = (step, left);
    }

    fn advance(&mut self) {
        match self.step {
            Step::Head => self.begin(Step::Tag, 1),
            Step::Tag => match self.last() {
                b'I' | b'D' => self.begin(Step::Relation { update: false }, 4),
                b'U' => self.begin(Step::Relation { update: true }, 4),
                // Flags and LSN.
                b'M' => self.begin(Step::MessageHead, 1 + 8),
                _ => self.begin(Step::Refused, 0),
            },
            Step::Relation { update } => self.begin(Step::TupleKind { update }, 1),
            Step::TupleKind { update } => {
                self.more = update && self.last() != b'N';
                self.begin(Step::Count, 2);
            }
            Step::Count => {
                self.columns = usize::from(u16::from_be_bytes(self.taken()));
                self.next_column();
            }
            Step::Kind => match self.last() {
                b't' => self.begin(Step::Length, 4),
                b'n' | b'u' => self.next_column(),
                _ => self.begin(Step::Refused, 0),
            },
            Step::Length => self.value(),
            Step::Value | Step::LeftOut => self.next_column(),
            Step::MessageHead => self.begin(Step::Prefix, BYTES_KEPT),
            // Too long a prefix: its own end sets the next step.
            Step::Prefix => self.begin(Step::Refused, 0),
            Step::ContentLength => self.content(),
            Step::Complete | Step::Refused => {}
        }
    }

    fn next_column(&mut self) {
        match (self.columns.checked_sub(1), self.layout) {
            (Some(columns), layout) => {
                self.columns = columns;
                match layout {
                    Layout::Message => self.begin(Step::Kind, 1),
                    Layout::DataRow => self.begin(Step::Length, 4),
                }
            }
            (None, _) if self.more => self.begin(Step::TupleKind { update: false }, 1),
            (None, _) => self.begin(Step::Complete, 0),
        }
    }

    /// Decides about the value whose length has come.
    fn value(&mut self) {
        let length = i32::from_be_bytes(self.taken());
        let kind = usize::from(self.layout == Layout::Message);
        let mark = self.kept.len() - 4 - kind;
        let Ok(bytes) = usize::try_from(length) else {
            if self.layout == Layout::DataRow && length == -1 {
                self.kept.truncate(mark);
                self.kept.push(b'n');
                self.next_column();
            } else {
                self.begin(Step::Refused, 0);
            }
            return;
        };
        self.kept.truncate(mark);
        if bytes <= VALUE_BYTES_KEPT && mark + bytes <= BYTES_KEPT {
            self.kept.push(b't');
            self.kept.extend_from_slice(&length.to_be_bytes());
            self.begin(Step::Value, bytes);
        } else {
            self.kept.push(b'u');
            self.begin(Step::LeftOut, bytes);
        }
    }

    fn end_of_prefix(&mut self, taken: &[u8]) {
        if taken.last() == Some(&0) {
            self.begin(Step::ContentLength, 4);
        }
    }

    /// A logical message keeps nothing of its content.
    fn content(&mut self) {
        let length = i32::from_be_bytes(self.taken());
        let Ok(bytes) = usize::try_from(length) else {
            return self.begin(Step::Refused, 0);
        };
        self.kept.truncate(self.kept.len() - 4);
        self.kept.extend_from_slice(&0_i32.to_be_bytes());
        self.columns = 0;
        self.begin(Step::LeftOut, bytes);
    }

    fn last(&self) -> u8 {
        self.kept.last().copied().unwrap_or_default()
    }

    /// The field that has just come.
    fn taken<const N: usize>(&self) -> [u8; N] {
        self.kept.last_chunk().copied().unwrap_or([0; N])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Column;
    use crate::pgoutput::{Message, OldTuple, Tuple, parse};

    /// As pgoutput and a DataRow have one column.
    fn column(layout: Layout, value: Option<&[u8]>) -> Vec<u8> {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        let length = length.to_be_bytes();
        match (layout, value) {
            (Layout::Message, None) => b"n".to_vec(),
            (Layout::Message, Some(value)) => [b"t", &length[..], value].concat(),
            (Layout::DataRow, value) => [&length, value.unwrap_or_default()].concat(),
        }
    }

    fn tuple(layout: Layout, values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes = i16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            bytes.extend(column(layout, *value));
        }
        bytes
    }

    /// Whatever the pieces, the same is kept.
    fn condensed(condenser: impl Fn() -> Condenser, message: &[u8]) -> Option<Vec<u8>> {
        let mut whole = condenser();
        whole.feed(message);
        let whole = whole.finish();
        for piece in [1, 2, 3, 7, 4096] {
            let mut cut = condenser();
            for piece in message.chunks(piece) {
                cut.feed(piece);
            }
            assert_eq!(cut.finish(), whole, "in pieces of {piece}");
        }
        whole
    }

    #[test]
    fn large_values_become_unchanged_ones() {
        let large = vec![b'x'; VALUE_BYTES_KEPT + 1];
        let kept = vec![b'y'; VALUE_BYTES_KEPT];
        let new = tuple(
            Layout::Message,
            &[Some(b"7"), Some(&large), None, Some(b""), Some(&kept)],
        );
        let message = [b"I\0\0\0\x2AN", &new[..]].concat();
        let framed = [&b"head"[..], &message].concat();
        let kept_message = condensed(|| Condenser::message(4), &framed).unwrap();
        assert_eq!(&kept_message[..4], b"head");
        let Ok(Message::Insert { relation, new }) = parse(&kept_message[4..]) else {
            panic!("{kept_message:?}")
        };
        let columns: Vec<Column<'_>> = new.columns().collect();
        assert_eq!(relation, 42);
        assert_eq!(
            columns,
            [
                Column::Text(b"7"),
                Column::Unchanged,
                Column::Null,
                Column::Text(b""),
                Column::Text(&kept)
            ]
        );
    }

    #[test]
    fn an_update_keeps_both_of_its_rows() {
        let large = vec![b'x'; 1 << 20];
        let old = tuple(Layout::Message, &[Some(b"1"), Some(&large)]);
        let new = tuple(Layout::Message, &[Some(b"2"), Some(&large)]);
        for (kind, expected) in [(b'K', true), (b'O', false)] {
            let message = [b"U\0\0\0\x01", &[kind][..], &old, b"N", &new].concat();
            let kept = condensed(|| Condenser::message(0), &message).unwrap();
            assert!(kept.len() < 40, "{} bytes", kept.len());
            let Ok(Message::Update { old, new, .. }) = parse(&kept) else {
                panic!("{kept:?}")
            };
            let key = |row: Tuple<'_>| {
                row.columns()
                    .next()
                    .map(|column| column == Column::Text(b"1"))
            };
            match old {
                Some(OldTuple::Key(row)) => assert!(expected && key(row) == Some(true)),
                Some(OldTuple::Full(row)) => assert!(!expected && key(row) == Some(true)),
                None => panic!("the old row is gone"),
            }
            assert_eq!(key(new), Some(false));
        }
    }

    #[test]
    fn a_row_of_a_result_comes_out_as_a_tuple() {
        let large = vec![b'x'; 1 << 20];
        let row = tuple(
            Layout::DataRow,
            &[Some(b"7"), None, Some(&large), Some(b"")],
        );
        let kept = condensed(Condenser::data_row, &row).unwrap();
        let columns: Vec<Column<'_>> = Tuple::condensed(&kept).unwrap().columns().collect();
        assert_eq!(
            columns,
            [
                Column::Text(b"7"),
                Column::Null,
                Column::Unchanged,
                Column::Text(b"")
            ]
        );
    }

    #[test]
    fn what_is_kept_is_bounded_however_many_the_values() {
        let value = vec![b'x'; VALUE_BYTES_KEPT];
        let row = tuple(Layout::DataRow, &vec![Some(&value[..]); 1600]);
        let kept = condensed(Condenser::data_row, &row).unwrap();
        assert!(kept.len() <= BYTES_KEPT + 5 * 1600, "{} bytes", kept.len());
        assert_eq!(Tuple::condensed(&kept).unwrap().columns().count(), 1600);
    }

    #[test]
    fn a_logical_message_keeps_its_prefix() {
        let content = vec![0; 1 << 20];
        let length = i32::try_from(content.len()).unwrap().to_be_bytes();
        let message = [b"M\x01\0\0\0\0\0\0\0\x09app.a\0", &length[..], &content].concat();
        let kept = condensed(|| Condenser::message(0), &message).unwrap();
        let expected = Message::Message {
            transactional: true,
            lsn: crate::event::Lsn(9),
            prefix: "app.a",
            content: b"",
        };
        assert_eq!(parse(&kept), Ok(expected));
    }

    #[test]
    fn what_cannot_be_shortened_is_refused() {
        let whole = tuple(Layout::DataRow, &[Some(b"7"), Some(b"8")]);
        for end in 0..whole.len() {
            assert_eq!(condensed(Condenser::data_row, &whole[..end]), None, "{end}");
        }
        let leftover = [&whole[..], b"!"].concat();
        assert_eq!(
            condensed(Condenser::data_row, &leftover),
            None,
            "a byte left over"
        );
        for malformed in [
            &b"R\0\0\0\x01public\0t\0"[..],
            b"I\0\0\0\x01N\0\x01?",
            b"I\0\0\0\x01N\0\x01t\xFF\xFF\xFF\xFF",
            b"M\0\0\0\0\0\0\0\0\x09a\0\xFF\xFF\xFF\xFF",
        ] {
            assert_eq!(condensed(|| Condenser::message(0), malformed), None);
        }
        let endless = [b"M\0\0\0\0\0\0\0\0\x09", &vec![b'a'; 2 * BYTES_KEPT][..]].concat();
        assert_eq!(condensed(|| Condenser::message(0), &endless), None);
    }
}
