//! The form of a capture file.
//!
//! ```text
//! tidewater-capture 1⏎
//! {"database":"shop",…}⏎                                 the header
//! 'm' length: u32  lsn: u64  server time: i64  data …    a message as the server sent it
//! 't' length: u32  {"relation":16384,"table":{…}}        what a relation's changes look like from here on
//! ```
//!
//! Numbers are big-endian; a length counts what follows it. A file that was cut short is read up to its
//! last whole frame.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::FileError;
use crate::event::{Lsn, Table};

const NAME: &str = "tidewater-capture ";
const VERSION: u32 = 1;
const MESSAGE: u8 = b'm';
const TABLE: u8 = b't';
/// Longest first line and header, bytes.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// A server cannot send more in one message.
const FRAME_BYTES_MAX: u32 = 1 << 30;
/// LSN and time before a message's own bytes.
const STAMP_BYTES: usize = 16;

/// Where a capture comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The tidewater that wrote it.
    pub tidewater: String,
    /// `server_version` of the source.
    pub server_version: String,
    /// Database.
    pub database: String,
    /// Publication.
    pub publication: String,
    /// Whether row values were scrambled.
    pub scrambled: bool,
}

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message of the output plugin.
    Message {
        /// Its place in the log; zero for relation and type messages.
        lsn: Lsn,
        /// The server's clock, microseconds since 1970.
        server_time_us: i64,
        /// The message.
        data: &'a [u8],
    },
    /// A relation is described, as the catalog completed it.
    Table(Box<Described>),
}

/// What a relation's changes look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// `pg_class.oid`
    pub relation: u32,
    /// All that the encoder has to know, before a configuration selects from it.
    pub table: Table,
    /// Indexes into its columns of those that the server sends of old rows.
    pub identity: Vec<usize>,
}

/// Writes a capture file.
#[derive(Debug)]
pub struct Writer {
    file: BufWriter<File>,
    path: PathBuf,
    bytes: u64,
}

impl Writer {
    /// A new file; never one that is there.
    pub fn create(path: &Path, header: &Header) -> Result<Self, FileError> {
        let file = File::create_new(path).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                FileError::Exists(path.to_owned())
            } else {
                failed("create", path)(source)
            }
        })?;
        let mut writer = Writer {
            file: BufWriter::new(file),
            path: path.to_owned(),
            bytes: 0,
        };
        let header = json(header);
        writer.put(&[NAME.as_bytes(), VERSION.to_string().as_bytes(), b"\n"])?;
        writer.put(&[&header, b"\n"])?;
        Ok(writer)
    }

    /// Appends a message.
    pub fn message(&mut self, lsn: Lsn, time_us: i64, data: &[u8]) -> Result<(), FileError> {
        let length = u32::try_from(STAMP_BYTES + data.len()).unwrap_or(u32::MAX);
        self.put(&[
            &[MESSAGE],
            &length.to_be_bytes(),
            &lsn.0.to_be_bytes(),
            &time_us.to_be_bytes(),
            data,
        ])
    }

    /// Appends a description.
    pub fn table(&mut self, described: &Described) -> Result<(), FileError> {
        let text = json(described);
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.put(&[&[TABLE], &length.to_be_bytes(), &text])
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes everything to the disk.
    pub fn finish(mut self) -> Result<(), FileError> {
        let written = self
            .file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all());
        written.map_err(failed("write", &self.path))
    }

    fn put(&mut self, parts: &[&[u8]]) -> Result<(), FileError> {
        for part in parts {
            let written = self.file.write_all(part);
            written.map_err(failed("write", &self.path))?;
            self.bytes += part.len() as u64;
        }
        Ok(())
    }
}

/// Reads a capture file frame by frame, into one buffer.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    path: PathBuf,
    header: Header,
    at: u64,
    buffer: Vec<u8>,
}

impl Reader<BufReader<File>> {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(failed("open", path))?;
        Reader::new(BufReader::with_capacity(1 << 20, file), path)
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads the header of what `input` holds; errors name `path`.
    pub fn new(mut input: R, path: &Path) -> Result<Self, FileError> {
        let mut at = 0;
        let mut line = |input: &mut R| {
            let mut line = Vec::new();
            let read = input.take(HEADER_BYTES_MAX).read_until(b'\n', &mut line);
            read.map_err(failed("read", path))?;
            at += line.len() as u64;
            line.pop_if(|byte| *byte == b'\n');
            Ok(line)
        };
        let first = line(&mut input)?;
        let found = std::str::from_utf8(&first).ok();
        let version = found.and_then(|text| text.strip_prefix(NAME));
        let version = version.ok_or_else(|| FileError::Foreign(path.to_owned()))?;
        if version != VERSION.to_string() {
            return Err(FileError::Version {
                path: path.to_owned(),
                found: version.to_owned(),
                known: VERSION,
            });
        }
        let header = line(&mut input)?;
        let header = serde_json::from_slice(&header).map_err(|error| FileError::Damaged {
            path: path.to_owned(),
            at: first.len() as u64 + 1,
            what: format!("the header cannot be read: {error}"),
        })?;
        Ok(Reader {
            input,
            path: path.to_owned(),
            header,
            at,
            buffer: Vec::new(),
        })
    }

    /// Where the capture comes from.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next frame; `None` at the end.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FileError> {
        let mut head = [0; 5];
        let Some([tag, a, b, c, d]) = self.whole(&mut head)?.then_some(head) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        if !matches!(tag, MESSAGE | TABLE) || length > FRAME_BYTES_MAX {
            return Err(self.damaged(format!("a frame {tag:#04x} of {length} bytes")));
        }
        // The length is believed only as far as bytes follow.
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let read = self
            .input
            .by_ref()
            .take(length.into())
            .read_to_end(&mut buffer);
        let read = read.map_err(failed("read", &self.path))?;
        self.buffer = buffer;
        if read < length as usize {
            return Ok(None);
        }
        let frame_at = self.at + head.len() as u64;
        self.at = frame_at + read as u64;
        let damaged = |what: String| FileError::Damaged {
            path: self.path.clone(),
            at: frame_at,
            what,
        };
        if tag == TABLE {
            let described = serde_json::from_slice(&self.buffer);
            let described = described.map_err(|error| damaged(error.to_string()))?;
            return Ok(Some(Frame::Table(Box::new(described))));
        }
        let (lsn, rest) = self.buffer.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let Some((time, data)) = rest.split_first_chunk() else {
            return Err(damaged("a message without its time".to_owned()));
        };
        Ok(Some(Frame::Message {
            lsn: Lsn(u64::from_be_bytes(*lsn)),
            server_time_us: i64::from_be_bytes(*time),
            data,
        }))
    }

    /// Fills the head of a frame; `false` when the file ends before it does.
    fn whole(&mut self, head: &mut [u8]) -> Result<bool, FileError> {
        match self.input.read_exact(head) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(failed("read", &self.path)(error)),
        }
    }

    fn damaged(&self, what: String) -> FileError {
        FileError::Damaged {
            path: self.path.clone(),
            at: self.at,
            what,
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io {
        action,
        path: path.clone(),
        source,
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Nothing in them that JSON cannot say.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ColumnFacts, ColumnShape, ReplicaIdentity, TypeShape};

    fn header() -> Header {
        Header {
            tidewater: "0.1.0".to_owned(),
            server_version: "15.18".to_owned(),
            database: "shop".to_owned(),
            publication: "tidewater".to_owned(),
            scrambled: false,
        }
    }

    fn described() -> Described {
        Described {
            relation: 16384,
            table: Table {
                schema: "public".to_owned(),
                name: "orders".to_owned(),
                replica_identity: ReplicaIdentity::Full,
                columns: vec![ColumnShape {
                    name: "mood".to_owned(),
                    type_oid: 16390,
                    type_modifier: -1,
                    resolved: Some(TypeShape::Array {
                        element: Box::new(TypeShape::Enum(vec!["sad".to_owned()])),
                        delimiter: b',',
                    }),
                    facts: ColumnFacts::default(),
                }],
                key: vec![0],
            },
            identity: vec![0],
        }
    }

    fn written() -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.capture");
        let mut writer = Writer::create(&path, &header()).unwrap();
        writer.message(Lsn(7), -1, b"Bxyz").unwrap();
        writer.table(&described()).unwrap();
        writer.message(Lsn(8), 5, b"").unwrap();
        let bytes = writer.bytes();
        assert!(matches!(
            Writer::create(&path, &header()),
            Err(FileError::Exists(_))
        ));
        writer.finish().unwrap();
        let contents = std::fs::read(path).unwrap();
        assert_eq!(contents.len() as u64, bytes);
        contents
    }

    fn read(bytes: &[u8]) -> Result<Vec<String>, FileError> {
        let mut reader = Reader::new(bytes, Path::new("a.capture"))?;
        assert_eq!(*reader.header(), header());
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame()? {
            frames.push(format!("{frame:?}"));
        }
        Ok(frames)
    }

    #[test]
    fn what_was_written_is_read() {
        let frames = read(&written()).unwrap();
        let expected = [
            Frame::Message {
                lsn: Lsn(7),
                server_time_us: -1,
                data: b"Bxyz",
            },
            Frame::Table(Box::new(described())),
            Frame::Message {
                lsn: Lsn(8),
                server_time_us: 5,
                data: b"",
            },
        ];
        assert_eq!(frames, expected.map(|frame| format!("{frame:?}")));
    }

    #[test]
    fn a_file_that_was_cut_is_read_up_to_its_last_whole_frame() {
        let whole = written();
        let body = whole.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let mut counts = Vec::new();
        for length in body..=whole.len() {
            counts.push(read(&whole[..length]).unwrap().len());
        }
        assert!(counts.is_sorted());
        assert_eq!((counts[0], counts[counts.len() - 2]), (0, 2));
        assert_eq!(counts.last(), Some(&3));
    }

    #[test]
    fn foreign_and_damaged_files_are_named() {
        let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(message(b"PK\x03\x04").contains("no capture file"));
        assert!(message(b"tidewater-capture 9\n{}\n").contains("the form 9"));
        assert!(message(b"tidewater-capture 1\n{\n").contains("at byte 20: the header"));
        let mut bytes = written();
        let frames = bytes.len();
        bytes.extend_from_slice(b"x\0\0\0\x01y");
        let found = message(&bytes);
        assert!(
            found.contains(&format!("at byte {frames}: a frame 0x78")),
            "{found}"
        );
    }
}
