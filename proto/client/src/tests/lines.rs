//! Line protocol: what is sent, what is read from the answer, and how a busy server is waited for.

use std::io::Read as _;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{PATIENCE, secret};
use crate::{Connection, Error, Lines, Options, Precision, RefusedLine, Written};

/// Answers requests with these answers, one a connection, and keeps the requests: head and body.
async fn serve(listener: TcpListener, answers: &[&str], seen: &Mutex<Vec<(String, Vec<u8>)>>) {
    for answer in answers {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let (head, mut body, length) = loop {
            socket.read_buf(&mut bytes).await.unwrap();
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                break (head.clone(), bytes[end + 4..].to_vec(), length.parse::<usize>().unwrap());
            }
        };
        while body.len() < length {
            socket.read_buf(&mut body).await.unwrap();
        }
        seen.lock().unwrap().push((head, body));
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

/// What a write ends in, the pauses that were told, and the requests.
type Outcome = (Result<Written, Error>, Vec<(String, Duration)>, Vec<(String, Vec<u8>)>);

async fn write(answers: &[String], prepare: impl FnOnce(Lines) -> Lines) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connection = Connection::new(Options { token: Some(secret()), ..Options::new(url) }).unwrap();
    let lines = prepare(connection.lines());
    let (seen, mut pauses) = (Mutex::new(Vec::new()), Vec::new());
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let database = "my db".parse().unwrap();
    let write = lines.write(&database, Precision::Seconds, b"cpu f=1 7\n", |said, pause| {
        pauses.push((said.to_owned(), pause));
    });
    let both = futures::future::join(write, serve(listener, &answers, &seen));
    let (written, ()) = tokio::time::timeout(PATIENCE, both).await.expect("the test ends in time");
    (written, pauses, seen.into_inner().unwrap())
}

#[tokio::test]
async fn lines_go_out_in_gzip_with_the_token() {
    let accepted = answer("204 No Content", "x-ochre-lines-written: 1\r\nx-ochre-lines-rejected: 0\r\n", "");
    let (written, pauses, seen) = write(std::slice::from_ref(&accepted), |lines| lines).await;
    assert_eq!(written, Ok(Written { written: 1, ..Written::default() }));
    assert_eq!(pauses, Vec::new());
    let (head, body) = &seen[0];
    assert!(head.starts_with("POST /api/v3/write_lp?db=my+db&precision=s HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: Bearer ochre_secret"), "{head}");
    assert!(head.contains("\r\ncontent-encoding: gzip"), "{head}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "cpu f=1 7\n");

    let (_, _, seen) = write(&[accepted], Lines::without_gzip).await;
    assert!(!seen[0].0.contains("content-encoding"), "{}", seen[0].0);
    assert_eq!(seen[0].1, b"cpu f=1 7\n");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_after_the_pause_that_it_names() {
    let answers = [
        answer("503 Service Unavailable", "retry-after: 0\r\n", r#"{"error":"starting"}"#),
        answer("429 Too Many Requests", "retry-after: 1\r\n", ""),
        answer("204 No Content", "x-ochre-lines-written: 1\r\nx-ochre-lines-rejected: 0\r\n", ""),
    ];
    let (written, pauses, seen) = write(&answers, |lines| lines).await;
    assert_eq!(written, Ok(Written { written: 1, ..Written::default() }));
    let expected = [("starting".to_owned(), Duration::ZERO), ("Too Many Requests".to_owned(), Duration::from_secs(1))];
    assert_eq!(pauses, expected);
    assert_eq!(seen.len(), 3);

    let busy = answer("503 Service Unavailable", "retry-after: 0\r\n", r#"{"error":"starting"}"#);
    let (written, pauses, seen) = write(&vec![busy; 10], |lines| lines).await;
    let message = "the server answered 503 Service Unavailable: starting".to_owned();
    assert_eq!(written, Err(Error::Unavailable { message, retry_after: Some(Duration::ZERO) }));
    assert_eq!((pauses.len(), seen.len()), (9, 10), "not for ever");
}

#[tokio::test]
async fn refused_lines_and_refused_writes_are_told_apart() {
    let body =
        r#"{"error":"partial write","data":[{"original_line":"cpu x","line_number":2,"error_message":"no field"}]}"#;
    let partial = answer("400 Bad Request", "x-ochre-lines-written: 3\r\nx-ochre-lines-rejected: 1\r\n", body);
    let refused = vec![RefusedLine { number: 2, text: "cpu x".to_owned(), reason: "no field".to_owned() }];
    assert_eq!(write(&[partial], |lines| lines).await.0, Ok(Written { written: 3, rejected: 1, refused }));

    let empty = answer("400 Bad Request", "", r#"{"error":"the write has no lines: send some"}"#);
    assert_eq!(write(&[empty], |lines| lines).await.0, Ok(Written::default()));

    let denied = answer("403 Forbidden", "", r#"{"error":"token t may not write to database m"}"#);
    let message = "the server answered 403 Forbidden: token t may not write to database m".to_owned();
    assert_eq!(write(&[denied], |lines| lines).await.0, Err(Error::Denied { message }));
}
