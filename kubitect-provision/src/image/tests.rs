//! Downloads from a test server on this machine, which breaks off, starts again, or sends the wrong content.

mod limits;
mod server;

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubitect_config::cluster::Image;
use kubitect_config::digest::{self, hex};
use kubitect_config::value::Checksum;
use sha2::{Digest, Sha512};

use self::server::{Answer, cut, rest, serve, status, whole};
use super::*;
use crate::resource::Format;

/// A qcow2 header of version 3, with enough after it to be cut in pieces.
pub(super) fn qcow2(virtual_size: u64) -> Vec<u8> {
    let mut bytes = vec![0; 300_000];
    bytes[..4].copy_from_slice(b"QFI\xfb");
    bytes[7] = 3;
    bytes[24..32].copy_from_slice(&virtual_size.to_be_bytes());
    for (i, byte) in bytes.iter_mut().enumerate().skip(512) {
        *byte = (i % 251) as u8;
    }
    bytes
}

fn image(source: &str, checksum: Option<Checksum>) -> Image {
    Image {
        distro: "ubuntu22".to_owned(),
        source: source.to_owned(),
        checksum,
    }
}

fn sha256(bytes: &[u8]) -> Checksum {
    Checksum::Sha256(digest::sha256(bytes))
}

struct Share(tempfile::TempDir);

impl Share {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn fetch(&self, image: &Image) -> Result<LocalImage, Error> {
        fetch(image, self.0.path(), &AtomicBool::new(false), &|_| ())
    }

    /// The names in the cache that are not locks.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.0.path().join("images"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".lock"))
            .collect();
        names.sort();
        names
    }
}

#[test]
fn an_image_is_fetched_once_and_named_by_its_checksum() {
    let bytes = qcow2(5 << 30);
    let server = serve(vec![whole(&bytes)]);
    let share = Share::new();
    let image = image(&server.url, Some(sha256(&bytes)));
    let first = share.fetch(&image).unwrap();
    assert_eq!(std::fs::read(&first.path).unwrap(), bytes);
    assert_eq!((first.virtual_size, first.format), (5 << 30, Format::Qcow2));
    assert_eq!(share.names(), [format!("sha256-{}.img", first.sha256)]);
    assert_eq!(share.fetch(&image).unwrap(), first);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_was_cut_off_is_gone_on_with() {
    let bytes = qcow2(1 << 30);
    let server = serve(vec![
        cut(&bytes, 100_000),
        status("503 Busy"),
        rest(&bytes, 100_000),
    ]);
    let share = Share::new();
    let fetched = share
        .fetch(&image(&server.url, Some(sha256(&bytes))))
        .unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes);
    let requests = server.requests();
    assert!(!requests[0].contains("range:"), "{requests:?}");
    assert!(requests[2].contains("range: bytes=100000-"), "{requests:?}");
    assert!(requests[1].contains("if-range: \"v1\""), "{requests:?}");
}

#[test]
fn a_server_that_begins_anew_is_followed() {
    let bytes = qcow2(1 << 30);
    let server = serve(vec![cut(&bytes, 100_000), whole(&bytes)]);
    let share = Share::new();
    let fetched = share.fetch(&image(&server.url, None)).unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes);
}

#[test]
fn what_an_earlier_run_left_of_another_image_is_found_out() {
    let bytes = qcow2(1 << 30);
    let server = serve(vec![rest(&bytes, 100_000), whole(&bytes)]);
    let share = Share::new();
    let image = image(&server.url, Some(sha256(&bytes)));
    let Some(Checksum::Sha256(digits)) = &image.checksum else {
        unreachable!("it was made so")
    };
    let folder = share.0.path().join("images");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join(format!("sha256-{digits}.part")),
        vec![7; 100_000],
    )
    .unwrap();
    let fetched = share.fetch(&image).unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes);
}

#[test]
fn a_wrong_digest_names_both_and_leaves_nothing() {
    let bytes = qcow2(1 << 30);
    let server = serve(vec![whole(&bytes)]);
    let share = Share::new();
    let error = share
        .fetch(&image(&server.url, Some(Checksum::Sha256("0".repeat(64)))))
        .unwrap_err();
    let text = error.to_string();
    let found = digest::sha256(&bytes);
    assert!(
        text.contains(&found) && text.contains(&"0".repeat(64)),
        "{text}"
    );
    assert!(share.names().is_empty());
}

#[test]
fn what_is_no_image_is_not_kept() {
    let server = serve(vec![whole(b"<html>Log in, please</html>")]);
    let share = Share::new();
    let error = share
        .fetch(&image(&server.url, None))
        .unwrap_err()
        .to_string();
    assert!(error.contains("web page"), "{error}");
    assert!(share.names().is_empty());
}

#[test]
fn a_missing_file_is_said_at_once_and_a_dead_server_after_some_attempts() {
    let server = serve(vec![status("404 Not Found")]);
    let share = Share::new();
    let error = share
        .fetch(&image(&server.url, None))
        .unwrap_err()
        .to_string();
    assert!(error.contains("404"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn without_checksum_the_address_is_remembered_and_the_digest_told() {
    let bytes = qcow2(1 << 30);
    let server = serve(vec![whole(&bytes)]);
    let share = Share::new();
    let events = Mutex::new(Vec::new());
    let image = image(&server.url, None);
    let record = |event: Event| events.lock().unwrap().push(event.to_string());
    let first = fetch(&image, share.0.path(), &AtomicBool::new(false), &record).unwrap();
    let last = events.into_inner().unwrap().pop().unwrap();
    assert!(last.contains(&format!("sha256:{}", first.sha256)), "{last}");
    assert_eq!(share.fetch(&image).unwrap(), first);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn other_kinds_of_checksum_are_taken_too() {
    let bytes = qcow2(1 << 30);
    let share = Share::new();
    let sha512 = hex(&Sha512::digest(&bytes));
    let server = serve(vec![whole(&bytes)]);
    let by_512 = image(&server.url, Some(Checksum::Sha512(sha512.clone())));
    let first = share.fetch(&by_512).unwrap();
    assert_eq!(share.fetch(&by_512).unwrap(), first);

    let list = serve(vec![whole(format!("{sha512} *x.img\n").as_bytes())]);
    let published = image(&server.url, Some(Checksum::Published(list.url.clone())));
    assert_eq!(share.fetch(&published).unwrap(), first);
    assert_eq!(server.requests().len(), 1);
    // The list is not fetched again: its server has ended.
    assert_eq!(share.fetch(&published).unwrap(), first);
    assert_eq!(list.requests().len(), 1);

    let empty = serve(vec![whole(b"\n")]);
    let unlisted = image(&server.url, Some(Checksum::Published(empty.url.clone())));
    let error = share.fetch(&unlisted).unwrap_err().to_string();
    assert!(error.contains("no line for x.img"), "{error}");
}

#[test]
fn a_cached_image_that_rotted_is_fetched_anew() {
    let bytes = qcow2(1 << 30);
    let server = serve(vec![whole(&bytes), whole(&bytes)]);
    let share = Share::new();
    let image = image(&server.url, Some(sha256(&bytes)));
    let first = share.fetch(&image).unwrap();
    std::fs::write(&first.path, b"rotten").unwrap();
    assert_eq!(share.fetch(&image).unwrap(), first);
    assert_eq!(std::fs::read(&first.path).unwrap(), bytes);
}

#[test]
fn runs_side_by_side_fetch_once() {
    let bytes = qcow2(1 << 30);
    let server = serve(vec![whole(&bytes)]);
    let share = Share::new();
    let image = image(&server.url, Some(sha256(&bytes)));
    let fetched: Vec<LocalImage> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| share.fetch(&image).unwrap()))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(fetched.iter().all(|image| *image == fetched[0]));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_cancelled_fetch_goes_on_the_next_time() {
    let bytes = qcow2(1 << 30);
    let cancelled = Arc::new(AtomicBool::new(false));
    let server = serve(vec![Answer {
        cancels: Some((50_000, Arc::clone(&cancelled))),
        ..whole(&bytes)
    }]);
    let share = Share::new();
    let mut image = image(&server.url, Some(sha256(&bytes)));
    let error = fetch(&image, share.0.path(), &cancelled, &|_| ()).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    let part = share.0.path().join("images").join(&share.names()[0]);
    let have = part.metadata().unwrap().len();
    assert!(have > 0 && have < bytes.len() as u64, "{have}");
    let server = serve(vec![rest(&bytes, have as usize)]);
    image.source = server.url.clone();
    let fetched = share.fetch(&image).unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes);
}

#[test]
fn a_server_that_says_nothing_can_be_cancelled() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.img", server.local_addr().unwrap());
    let list = Some(Checksum::Published(format!("{url}.sha256")));
    for checksum in [None, list] {
        let cancelled = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&cancelled);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            flag.store(true, Ordering::Relaxed);
        });
        let began = std::time::Instant::now();
        let share = Share::new();
        let result = fetch(&image(&url, checksum), share.0.path(), &cancelled, &|_| ());
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn a_file_is_used_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.img");
    let bytes = qcow2(1 << 30);
    std::fs::write(&path, &bytes).unwrap();
    let share = Share::new();
    let source = path.to_str().unwrap();
    let found = share.fetch(&image(source, Some(sha256(&bytes)))).unwrap();
    assert_eq!(found.path, path);
    assert!(!share.0.path().join("images").exists());
    let wrong = image(source, Some(Checksum::Sha512("0".repeat(128))));
    assert!(matches!(
        share.fetch(&wrong),
        Err(Error::Checksum { kind: "sha512", .. })
    ));
    let folder_error = share
        .fetch(&image(folder.path().to_str().unwrap(), None))
        .unwrap_err();
    assert!(
        folder_error.to_string().contains("not a file"),
        "{folder_error}"
    );
    let missing = share.fetch(&image("/nonexistent.img", None)).unwrap_err();
    assert_eq!(missing.to_string(), "open image /nonexistent.img");
}

#[test]
fn a_share_that_can_t_be_written_is_named() {
    let share = Share::new();
    std::fs::write(share.0.path().join("images"), "").unwrap();
    let error = share
        .fetch(&image("http://127.0.0.1:1/x.img", None))
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::File {
                action: "create folder",
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn passwords_in_addresses_are_not_shown() {
    assert_eq!(
        without_secrets("https://me:secret@example.org/a@b"),
        "https://example.org/a@b"
    );
    assert_eq!(without_secrets("/images/a@b"), "/images/a@b");
}

#[test]
fn what_is_shared_is_for_its_owner_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let bytes = qcow2(1 << 30);
    let server = serve(vec![whole(&bytes)]);
    let folder = tempfile::tempdir().unwrap();
    let share = folder.path().join("share");
    let image = image(&server.url, None);
    let fetched = fetch(&image, &share, &AtomicBool::new(false), &|_| ()).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&share), 0o700);
    assert_eq!(mode(&fetched.path), 0o600);
    for entry in std::fs::read_dir(share.join("images")).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn https_stays_https_and_secrets_are_not_shown() {
    // An https address must not lead to a server without TLS.
    let bytes = qcow2(1 << 30);
    let open = serve(vec![whole(&bytes)]);
    let request = download::agent("https://images.example/x.img").get(&open.url);
    let error = request.call().unwrap_err().to_string();
    assert!(error.to_lowercase().contains("https"), "{error}");
    assert!(open.requests().is_empty());
    let source = "https://me:s3cret@h.invalid/x.img?sig=s3cret";
    assert_eq!(
        without_secrets(source),
        "https://h.invalid/x.img?(not shown)"
    );
}
