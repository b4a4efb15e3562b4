//! A server on this machine with the answers that a test needs, also with ones that break off.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One answer: status line, headers, body, and after how many bytes of it the connection breaks.
#[derive(Clone)]
pub struct Answer {
    pub status: &'static str,
    pub headers: Vec<String>,
    pub body: Vec<u8>,
    pub cut: Option<usize>,
    /// After how many bytes the fetch is cancelled; the rest comes a moment later.
    pub cancels: Option<(usize, Arc<AtomicBool>)>,
}

pub fn whole(body: &[u8]) -> Answer {
    Answer {
        status: "200 OK",
        headers: vec!["ETag: \"v1\"".to_owned()],
        body: body.to_vec(),
        cut: None,
        cancels: None,
    }
}

pub fn cut(body: &[u8], at: usize) -> Answer {
    Answer {
        cut: Some(at),
        ..whole(body)
    }
}

pub fn rest(body: &[u8], from: usize) -> Answer {
    Answer {
        status: "206 Partial Content",
        headers: vec![format!(
            "Content-Range: bytes {from}-{}/{}",
            body.len() - 1,
            body.len()
        )],
        body: body[from..].to_vec(),
        cut: None,
        cancels: None,
    }
}

pub fn status(status: &'static str) -> Answer {
    Answer {
        status,
        ..whole(b"")
    }
}

/// A server that gives one answer a connection, and records the requests.
pub struct Server {
    pub url: String,
    pub requests: Arc<Mutex<Vec<String>>>,
}

pub fn serve(answers: Vec<Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/images/x.img", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&requests);
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let request: String = BufReader::new(stream.try_clone().unwrap())
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .map(|line| line + "\n")
                .collect();
            recorded.lock().unwrap().push(request.to_lowercase());
            let headers: String = answer.headers.iter().map(|h| format!("{h}\r\n")).collect();
            let head = format!(
                "HTTP/1.1 {}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                answer.status,
                answer.body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let mut body = &answer.body[..answer.cut.unwrap_or(answer.body.len())];
            if let Some((at, flag)) = &answer.cancels {
                let _ = stream.write_all(&body[..*at]);
                std::thread::sleep(Duration::from_millis(300));
                flag.store(true, Ordering::Relaxed);
                body = &body[*at..];
            }
            let _ = stream.write_all(body);
        }
    });
    Server { url, requests }
}

impl Server {
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}
