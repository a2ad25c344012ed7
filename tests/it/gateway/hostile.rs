//! Clients that mean harm, or know no better: whatever they send, the gateway goes on and holds its limits.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use super::{Scene, event};
use crate::model::random;
use crate::support::http::after;
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(30);

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What comes back until the gateway closes the connection; it may do so while it is written to.
fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    read(&mut stream)
}

/// As [`exchange`], of a client that says at once that no more will come: whoever half-closes may get no answer.
fn say(address: &str, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    read(&mut stream)
}

fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> Option<u16> {
    answer.split_whitespace().nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_large_requests_meet_their_limits() {
    let limits = "header_timeout = \"1s\"\nrequest_timeout = \"1s\"\nheader_bytes_max = 8192\n\
                  connections_max = 3\nbody_bytes_max = 4096\nbytes_in_flight_max = 4096";
    let mut scene = Scene::start("limits", limits).await;
    let (address, key) = (scene.address(), scene.key("hostile", &["events:write"]));
    let sender = super::Client::new(&address, Some(key.clone()));
    until("the key to be known", async || {
        sender.events(&event(Uuid::new_v4())).await.status.as_u16() == 202
    })
    .await;
    let head = format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n");

    let large = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(9_000)
    );
    assert_eq!(status(&exchange(&address, large.as_bytes())), Some(431));
    let many = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X: x\r\n".repeat(100)
    );
    assert_eq!(status(&exchange(&address, many.as_bytes())), Some(431));

    // A head that does not end is given up, and so is a connection that says nothing.
    for begun in ["", "GET / HTTP/1.1\r\nHost"] {
        let began = Instant::now();
        let mut stream = connect(&address);
        stream.write_all(begun.as_bytes()).unwrap();
        let answer = read(&mut stream);
        assert_eq!(status(&answer), None, "{answer}");
        assert!(began.elapsed() >= Duration::from_millis(900), "{begun}");
    }
    // So is a body that does not come, and meanwhile it holds what it may come to.
    let waiting =
        format!("{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut stream = connect(&address);
    let asking = waiting.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(asking.as_bytes()).unwrap();
    // It is asked for once its share is reserved.
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    sender.events(&event(Uuid::new_v4())).await.expect(503);
    let answer = read(&mut stream);
    assert_eq!(status(&answer), Some(408), "{answer}");
    assert!(answer.contains("gateway.request_timeout"), "{answer}");
    sender.events(&event(Uuid::new_v4())).await.expect(202);
    // A length that is too much is refused before a byte of it is sent, a chunked body while it comes.
    let length = format!(
        "{head}Content-Type: application/json\r\nContent-Length: 4097\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut stream = connect(&address);
    stream.write_all(length.as_bytes()).unwrap();
    assert_eq!(status(&read(&mut stream)), Some(413));
    let chunk = format!("{waiting}2000\r\n{}\r\n0\r\n\r\n", " ".repeat(0x2000));
    assert_eq!(status(&exchange(&address, chunk.as_bytes())), Some(413));
    let encoded = format!(
        "{head}Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(status(&exchange(&address, encoded.as_bytes())), Some(415));

    // The fourth connection waits for one of the three to end.
    drop(sender);
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(&address)).collect();
    let began = Instant::now();
    let last = "GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&exchange(&address, last.as_bytes())), Some(200));
    assert!(
        began.elapsed() > Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    for stream in &mut held {
        read(stream);
    }
    assert!(scene.process.is_running());
}

/// One answer, of a connection that stays open.
fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(char::from(byte[0]));
    }
    let lower = answer.to_ascii_lowercase();
    let length = after(&lower, "content-length:").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    answer + &String::from_utf8(body).unwrap()
}

/// A connection that is closed over unread bytes is reset, and takes with it the answer that says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_arrives_though_the_body_is_still_to_come() {
    const LENGTH: usize = 4 << 20;
    let scene = Scene::start("refusal", "").await;
    let (address, key) = (scene.address(), scene.key("hostile", &["events:write"]));
    let sender = super::Client::new(&address, Some(key.clone()));
    until("the key to be known", async || {
        sender.events(&event(Uuid::new_v4())).await.status.as_u16() == 202
    })
    .await;
    for (key, kind, expected) in [
        (key.as_str(), "application/json", 413),
        (key.as_str(), "text/plain", 415),
        ("nobody", "application/json", 401),
    ] {
        let mut stream = connect(&address);
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: {kind}\r\nContent-Length: {LENGTH}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let refusal = answer(&mut stream);
        assert_eq!(status(&refusal), Some(expected), "{refusal}");
        // The body is read to its end, and the next request is one.
        stream.write_all(&vec![b' '; LENGTH]).unwrap();
        let next = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(next.as_bytes()).unwrap();
        assert_eq!(status(&answer(&mut stream)), Some(200), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_end_no_more_than_their_connection() {
    let mut scene = Scene::start("hostile", "header_timeout = \"1s\"").await;
    let (address, key) = (
        scene.address(),
        scene.key("hostile", &["events:write", "read"]),
    );
    let sender = super::Client::new(&address, Some(key.clone()));
    until("the key to be known", async || {
        sender.events(&event(Uuid::new_v4())).await.status.as_u16() == 202
    })
    .await;
    let before = scene.records().len();
    let body = event(Uuid::new_v4()).to_string();
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    for smuggled in [
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01",
    ] {
        let answer = say(&address, smuggled.as_bytes());
        assert!(
            status(&answer).is_none_or(|status| status == 400),
            "{smuggled:?}: {answer}"
        );
    }
    for path in [
        "/v1/../openapi.json",
        "//v1/levels",
        "/v1/codes/%00",
        "/v1/codes/%ff/x",
        "/v1/levels?store_id=%",
    ] {
        let get = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange(&address, get.as_bytes());
        let refused = status(&answer).is_some_and(|status| (400..500).contains(&status));
        assert!(refused, "{path}: {answer}");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(random::seed());
    let mut answers = std::collections::BTreeMap::new();
    for _ in 0..1_500 {
        let mut bytes = request.clone().into_bytes();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, rng.random()),
                _ => {
                    let part = bytes[at..].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        let answer = say(&address, &bytes);
        *answers.entry(status(&answer)).or_insert(0) += 1;
    }
    println!("{answers:?}");
    assert!(
        answers
            .keys()
            .all(|status| status.is_none_or(|status| status != 500))
    );
    assert!(answers.contains_key(&Some(400)) && answers.contains_key(&Some(401)));
    assert!(scene.process.is_running());
    sender.events(&event(Uuid::new_v4())).await.expect(202);
    // Whatever got in is an event in its one form.
    let records = scene.records();
    assert!(records.len() > before);
    for record in records {
        let value = super::value(&record);
        assert_eq!(value.as_object().unwrap().len(), 7, "{value}");
    }
    assert!(
        !scene.process.log().contains("panicked"),
        "{}",
        scene.process.log()
    );
}
