//! A scripted server: what it sends is written out byte by byte.

use super::*;
use crate::connection::{Dialed, Socket};
use crate::exit::ExitCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// `R` 0: let in; `K`: process 7; `Z`: idle.
const ADMITTED: &[u8] = b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x07\0\0\0\x01Z\0\0\0\x05I";

fn connection(parameters: &str) -> Connection {
    format!("postgres://clerk:secret@/shop{parameters}")
        .parse()
        .unwrap()
}

/// A message: tag, length, body.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// A server that sends one part of `script` after each message of ours, then hangs up. The task gives
/// all that it heard.
fn peer(script: &[&[u8]]) -> (Socket, JoinSet<Vec<u8>>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let script: Vec<Vec<u8>> = script.iter().map(|part| part.to_vec()).collect();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut heard = Vec::new();
        for part in script {
            theirs.read_buf(&mut heard).await.unwrap();
            theirs.write_all(&part).await.unwrap();
        }
        theirs.shutdown().await.unwrap();
        // What the client says before it goes.
        let _ = theirs.read_to_end(&mut heard).await;
        heard
    });
    (Socket::Unix(ours), task)
}

/// Logs in to a scripted peer; gives the outcome and all that the peer heard.
async fn log_in(
    connection: &Connection,
    private: bool,
    end_point: Option<Vec<u8>>,
    script: &[&[u8]],
) -> (Result<i32, Error>, Vec<u8>) {
    let (socket, mut task) = peer(script);
    let dialed = Dialed {
        socket,
        host: "peer".to_owned(),
        private,
        end_point,
    };
    let outcome = Session::log_in(connection, dialed, SessionKind::Ordinary, &[]).await;
    let outcome = outcome.map(|session| session.backend_pid());
    (outcome, task.join_next().await.unwrap().unwrap())
}

async fn refusal(connection: &Connection, private: bool, script: &[&[u8]]) -> Error {
    log_in(connection, private, None, script)
        .await
        .0
        .expect_err("the login succeeded")
}

/// `R` with a kind and what follows it.
fn authentication(kind: i32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes()[..], rest].concat())
}

#[tokio::test]
async fn the_start_up_message_carries_the_settings() {
    let (outcome, heard) = log_in(&connection(""), true, None, &[ADMITTED]).await;
    assert_eq!(outcome.unwrap(), 7);
    let text = String::from_utf8_lossy(&heard);
    for part in [
        "user\0clerk\0",
        "database\0shop\0",
        "-c TimeZone=UTC",
        "-c tcp_user_timeout=14000",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(
        !text.contains("secret"),
        "the password goes nowhere unasked"
    );
}

#[tokio::test]
async fn md5_is_answered() {
    let question = authentication(5, &[1, 2, 3, 4]);
    let (outcome, heard) = log_in(&connection(""), false, None, &[&question, ADMITTED]).await;
    outcome.unwrap();
    let hash = postgres_protocol::authentication::md5_hash(b"clerk", b"secret", [1, 2, 3, 4]);
    assert!(heard.ends_with(&message(b'p', format!("{hash}\0").as_bytes())));
}

#[tokio::test]
async fn a_clear_text_password_needs_a_private_channel() {
    let question = authentication(3, &[]);
    let (outcome, heard) = log_in(&connection(""), true, None, &[&question, ADMITTED]).await;
    outcome.unwrap();
    assert!(heard.ends_with(&message(b'p', b"secret\0")));
    let error = refusal(&connection(""), false, &[&question]).await;
    assert!(error.to_string().contains("clear text"), "{error}");
}

#[tokio::test]
async fn a_server_that_skips_its_proof_is_refused() {
    // The server offers SCRAM, then claims success without having proved anything.
    let offer = authentication(10, b"SCRAM-SHA-256\0\0");
    let error = refusal(&connection(""), true, &[&offer, ADMITTED]).await;
    assert!(
        matches!(error, Error::Connection(connection::Error::Scram { .. })),
        "{error:?}"
    );
    // So is one that asks for the password in clear text after it began.
    let error = refusal(&connection(""), true, &[&offer, &authentication(3, &[])]).await;
    assert!(
        matches!(error, Error::Connection(connection::Error::Scram { .. })),
        "{error:?}"
    );
    // And one whose nonce does not begin with ours.
    let forged = authentication(11, b"r=forged,s=AAAA,i=4096");
    let error = refusal(&connection(""), true, &[&offer, &forged]).await;
    assert!(
        matches!(error, Error::Connection(connection::Error::Scram { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn scram_is_bound_to_the_channel_when_both_can() {
    let offer = authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    let plain = authentication(10, b"SCRAM-SHA-256\0\0");
    let hash = Some(vec![1; 32]);
    let check = async |parameters: &str, hash: &Option<Vec<u8>>, offer: &[u8], first: &[u8]| {
        let (_, heard) = log_in(&connection(parameters), true, hash.clone(), &[offer]).await;
        let found = heard.windows(first.len()).any(|window| window == first);
        assert!(found, "{parameters}: {}", String::from_utf8_lossy(&heard));
    };
    check("", &hash, &offer, b"SCRAM-SHA-256-PLUS\0\0\0\0").await;
    check("", &hash, &offer, b"p=tls-server-end-point,,n=").await;
    check("?channel_binding=disable", &hash, &offer, b"n,,n=").await;
    check("", &None, &offer, b"n,,n=").await;
    check("", &hash, &plain, b"y,,n=").await;
}

#[tokio::test]
async fn a_required_binding_is_not_talked_away() {
    let required = connection("?channel_binding=require");
    for question in [
        ADMITTED.to_vec(),
        authentication(3, &[]),
        authentication(5, &[1, 2, 3, 4]),
        authentication(10, b"SCRAM-SHA-256\0\0"),
    ] {
        let (outcome, _) = log_in(&required, true, Some(vec![1; 32]), &[&question]).await;
        let error = outcome.expect_err("without a binding");
        assert!(error.to_string().contains("channel binding"), "{error}");
    }
}

#[tokio::test]
async fn refusals_are_sorted() {
    let check = async |error: &[u8], code: ExitCode, transient: bool| {
        let error = refusal(&connection(""), true, &[&message(b'E', error)]).await;
        assert_eq!(
            (error.exit_code(), error.is_transient()),
            (code, transient),
            "{error}"
        );
    };
    check(
        b"SFATAL\0C28P01\0Mwrong\0\0",
        ExitCode::SourceAuthentication,
        false,
    )
    .await;
    check(
        b"SFATAL\0C28000\0Mno pg_hba.conf entry\0\0",
        ExitCode::SourceAuthentication,
        false,
    )
    .await;
    check(
        b"SFATAL\0C57P03\0Mstarting up\0\0",
        ExitCode::SourceUnreachable,
        true,
    )
    .await;
    check(
        b"SFATAL\0C53300\0Mtoo many clients\0\0",
        ExitCode::SourceUnreachable,
        true,
    )
    .await;
    let silent: Connection = "postgres://clerk@/shop".parse().unwrap();
    let error = refusal(&silent, true, &[&authentication(3, &[])]).await;
    assert!(
        error.to_string().contains("asks clerk for a password"),
        "{error}"
    );
    let error = refusal(&connection(""), true, &[&authentication(7, &[])]).await;
    assert!(
        error
            .to_string()
            .contains("use scram-sha-256 for this role"),
        "{error}"
    );
}

#[tokio::test]
async fn malformed_bytes_are_errors_and_a_cut_is_a_lost_connection() {
    for (script, part) in [
        (message(b'R', &[0, 0]), "scram"),                    // half a kind
        (authentication(99, &[]), "scram"),                   // an unknown kind
        (b"R\0\0\0\x03".to_vec(), "less than its own"),       // a length below four
        (b"R\x7f\xff\xff\xff123456789".to_vec(), "bound"),    // a length of two gigabytes
        (b"D\0\0\0\x06\0\0".to_vec(), "message 'D'"),         // a row before the login's end
        (b"Z\0\0\0\x05I".to_vec(), "message 'Z'"),            // ready before letting in
        (b"R\0\0\0\x08\0\0".to_vec(), "lost the connection"), // cut
        (Vec::new(), "lost the connection"),
    ] {
        let error = refusal(&connection(""), true, &[&script]).await;
        assert!(error.to_string().contains(part), "{script:?}: {error}");
    }
}

#[test]
fn malformed_rows_are_errors() {
    for body in [
        &b"\0"[..],                // half a count
        b"\0\x01",                 // a column without its length
        b"\0\x01\0\0\0\x05ab",     // a column shorter than its length
        b"\0\x01\xff\xff\xff\xfe", // a length of minus two
        b"\xff\xff",               // minus one columns
        b"\0\x01\0\0\0\x01a!",     // a byte left over
        b"\0\x01\0\0\0\x01\xff",   // not utf-8
    ] {
        assert_eq!(text_row(body), None, "{body:?}");
    }
    assert_eq!(
        text_row(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff"),
        Some(vec![Some("a".to_owned()), None])
    );
}

#[tokio::test]
async fn a_stream_is_read_frame_by_frame_and_its_end_told_from_its_loss() {
    let keepalive = message(b'd', b"k\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0");
    let mut script = b"W\0\0\0\x07\0\0\0".to_vec();
    script.extend_from_slice(&keepalive);
    script.extend_from_slice(&message(b'N', b"SNOTICE\0\0"));
    script.extend_from_slice(&message(b'S', b"a\0b\0"));
    script.extend_from_slice(&keepalive);
    let check = async |last: &[u8], part: &str, transient: bool| {
        let (socket, _task) = peer(&[ADMITTED, &[&script, last].concat()]);
        let host = "peer".to_owned();
        let dialed = Dialed {
            socket,
            host,
            private: true,
            end_point: None,
        };
        let kind = SessionKind::Replication;
        let session = Session::log_in(&connection(""), dialed, kind, &[])
            .await
            .unwrap();
        let mut stream = session
            .start_replication("s", Lsn::ZERO, &[])
            .await
            .unwrap();
        let mut frames = 0;
        let error = loop {
            match stream.next_frame() {
                Ok(Some(_)) => frames += 1,
                Ok(None) => {
                    if let Err(error) = stream.fill().await {
                        break error;
                    }
                }
                Err(error) => break error,
            }
        };
        assert_eq!(frames, 2);
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.is_transient(), transient, "{error}");
    };
    check(b"", "lost the connection", true).await;
    check(
        &message(
            b'N',
            b"SWARNING\0C55000\0Mskipped loading publication \"p\"\0\0",
        ),
        "or dropped?: skipped loading publication",
        false,
    )
    .await;
    check(&message(b'c', b""), "ended the replication stream", true).await;
    check(
        &message(b'E', b"SFATAL\0C57P01\0Mterminating\0\0"),
        "terminating",
        true,
    )
    .await;
    check(
        &message(b'E', b"SERROR\0CXX000\0Mbroken\0\0"),
        "broken",
        false,
    )
    .await;
    check(&message(b'd', b"k\0"), "malformed", false).await;
    check(&message(b'd', b"?"), "malformed", false).await;
    check(&message(b'D', b"\0\0"), "message 'D'", false).await;
    check(b"d\0\0\0\x03", "less than its own", false).await;
    // Nothing is held of what goes past; what cannot go past is refused by its length.
    check(b"d\x7f\0\0\0w", "lost the connection", true).await;
    check(b"T\x7f\0\0\0w", "a change of 2130706428 bytes", false).await;
}
