//! The limits of a download: size, free disk space, time.

use std::io::Write;

use super::*;

impl Limits {
    /// Without limits but a long time.
    fn open() -> Self {
        Self {
            bytes: u64::MAX,
            reserve: 0,
            within: Duration::from_secs(60),
        }
    }
}

#[test]
fn an_image_that_comes_for_ever_is_given_up() {
    let share = Share::new();
    let part = share.0.path().join("x.part");
    let (cancelled, on_event) = (AtomicBool::new(false), |_| ());
    let control = Control {
        what: "get it",
        on_event: &on_event,
        cancelled: &cancelled,
    };
    let short = Limits {
        within: Duration::from_secs(1),
        ..Limits::open()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.img", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        let mut sent = stream.write_all(head.as_bytes());
        // A byte comes within each time limit of a read.
        while sent.is_ok() {
            std::thread::sleep(Duration::from_millis(50));
            sent = stream.write_all(b"x");
        }
    });
    let error = download::download_to(&url, &part, false, short, control).unwrap_err();
    let why = "not all here within 1 s; download it by hand";
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn an_image_has_a_limit_and_leaves_a_reserve_on_the_disk() {
    let bytes = qcow2(1 << 30);
    let share = Share::new();
    let part = share.0.path().join("x.part");
    let (cancelled, on_event) = (AtomicBool::new(false), |_| ());
    let control = Control {
        what: "get it",
        on_event: &on_event,
        cancelled: &cancelled,
    };
    let small = Limits {
        bytes: 100_000,
        ..Limits::open()
    };
    let full = Limits {
        reserve: u64::MAX,
        ..Limits::open()
    };
    for (limits, why) in [(small, "more than 0 GiB"), (full, "would have less than")] {
        let server = serve(vec![whole(&bytes)]);
        let error = download::download_to(&server.url, &part, false, limits, control).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(!part.exists(), "nothing is left on the disk");
    }
    let server = serve(vec![whole(&bytes)]);
    let enough = Limits {
        bytes: bytes.len() as u64,
        ..Limits::open()
    };
    download::download_to(&server.url, &part, false, enough, control).unwrap();
}
