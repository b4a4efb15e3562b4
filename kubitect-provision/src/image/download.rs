//! Fetching over http(s), through the proxy that the environment names: several attempts, each going on where the one
//! before was cut off.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::WithoutBody;
use ureq::{Agent, RequestBuilder};

use super::{Watch, shown};
use crate::error::{Source, humane};
use crate::{Error, file};

/// How often a fetch is tried; the pauses between are 1, 2, 4 and 8 seconds.
const ATTEMPTS: u32 = 5;
/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// A list of digests is never longer.
const TEXT_MAX: u64 = 4 << 20;
/// How long such a list may take.
const TEXT_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Progress is told once in so many bytes.
const STRIDE: u64 = 4 << 20;

/// How much of an image is taken at most, and how much of the disk it lies on is left free, in bytes; and for how long it is
/// fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub most: u64,
    pub reserve: u64,
    pub within: Duration,
}

impl Room {
    /// Cloud images have less than 2 GiB; what fills a disk to its last byte stops others as well.
    pub const DEFAULT: Self = Self {
        most: 64 << 30,
        reserve: 1 << 30,
        // 600 MiB at 45 KiB/s.
        within: Duration::from_secs(4 * 3600),
    };
}

/// Why an attempt ended.
enum Stop {
    /// Another attempt may help.
    Again(Source),
    /// None will.
    For(Error),
}

/// Fetches a small text.
pub(super) fn text(url: &str, watch: Watch<'_>) -> Result<String, Error> {
    let failed = |source: Source| Error::Image {
        image: shown(url),
        why: "its list of digests can't be fetched; give the image's checksum as sha256:<digits>"
            .to_owned(),
        source: Some(source),
    };
    let request = agent(url).get(url);
    let request = request.config().timeout_global(Some(TEXT_WITHIN)).build();
    watch.wait(move || small(request))?.map_err(failed)
}

/// The text that answers a request.
fn small(request: RequestBuilder<WithoutBody>) -> Result<String, Source> {
    let mut response = request.call()?;
    if response.status() != StatusCode::OK {
        return Err(response.status().to_string().into());
    }
    let body = response.body_mut().with_config();
    Ok(body.limit(TEXT_MAX).lossy_utf8(true).read_to_string()?)
}

/// Fetches `url` into `part`. With `trust_part`, goes on with what an earlier run left there; the caller checks the
/// digest. Says whether anything of the file is from another answer than the last.
pub(super) fn to(
    url: &str,
    part: &Path,
    trust_part: bool,
    room: Room,
    watch: Watch<'_>,
) -> Result<bool, Error> {
    let mut part_file = OpenOptions::new()
        .create(true)
        .truncate(!trust_part)
        .write(true)
        .mode(0o600)
        .open(part)
        .map_err(file::error("open", part))?;
    let mut fetch = Fetch {
        agent: agent(url),
        url,
        part,
        trust_part,
        room,
        began: Instant::now(),
        validator: None,
        resumed: false,
        watch,
    };
    let mut attempt = 1;
    loop {
        match fetch.attempt(&mut part_file) {
            Ok(()) => return Ok(fetch.resumed),
            Err(Stop::For(error)) => return Err(error),
            Err(Stop::Again(source)) if attempt == ATTEMPTS => {
                return Err(Error::Image {
                    image: shown(url),
                    why: format!(
                        "it can't be fetched ({ATTEMPTS} attempts); check the address, the network and the proxy"
                    ),
                    source: Some(source),
                });
            }
            Err(Stop::Again(error)) => {
                tracing::debug!(url = shown(url), %error, attempt, "fetch cut off")
            }
        }
        pause(Duration::from_secs(1 << (attempt - 1)), watch)?;
        attempt += 1;
    }
}

/// Who fetches this address: what is asked for by https comes by https, wherever the server sends us on to, and from who shows
/// a certificate that this machine's own authorities (those of a site among them) vouch for.
pub(super) fn agent(url: &str) -> Agent {
    let certificates = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    Agent::config_builder()
        .https_only(url.starts_with("https://"))
        .tls_config(certificates)
        .http_status_as_error(false)
        .timeout_resolve(Some(SILENCE))
        .timeout_connect(Some(SILENCE))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        // Ranges count the bytes of the image itself.
        .accept_encoding("identity")
        .user_agent(concat!("kubitect/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn pause(time: Duration, watch: Watch<'_>) -> Result<(), Error> {
    for _ in 0..time.as_millis() / 100 {
        watch.check_cancelled()?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

struct Fetch<'a> {
    agent: Agent,
    url: &'a str,
    part: &'a Path,
    /// Whether the digest will tell if parts of two images were joined.
    trust_part: bool,
    room: Room,
    began: Instant,
    /// The entity tag of what the part is of, so that a server does not go on with something else.
    validator: Option<String>,
    resumed: bool,
    watch: Watch<'a>,
}

impl Fetch<'_> {
    fn attempt(&mut self, part: &mut File) -> Result<(), Stop> {
        self.in_time()?;
        self.watch.check_cancelled().map_err(Stop::For)?;
        let have = self.have(part)?;
        let mut request = self.agent.get(self.url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
            if let Some(validator) = &self.validator {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        let response = self.watch.wait(move || request.call());
        let response = response.map_err(Stop::For)?.map_err(stop)?;
        let (from, total) = self.placed(&response, have, part)?;
        self.validator = strong_tag(response.headers());
        if from == 0 {
            self.resumed = false;
            self.truncate(part)?;
        } else {
            self.resumed = true;
        }
        let body = response.into_body().into_with_config();
        let body = body.limit(u64::MAX).reader();
        self.copy(body, part, from, total)
    }

    /// How much of the image is there and can be gone on with.
    fn have(&self, part: &mut File) -> Result<u64, Stop> {
        if !self.trust_part && self.validator.is_none() {
            self.truncate(part)?;
        }
        part.seek(SeekFrom::End(0)).map_err(|e| self.disk(e))
    }

    /// From where on the answer is, and how long the whole will be.
    fn placed<T>(
        &self,
        response: &Response<T>,
        have: u64,
        part: &mut File,
    ) -> Result<(u64, Option<u64>), Stop> {
        let headers = response.headers();
        let number = |name| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        match response.status() {
            StatusCode::OK => Ok((0, number(header::CONTENT_LENGTH))),
            StatusCode::PARTIAL_CONTENT => match content_range(headers) {
                Some((from, total)) if from == have => Ok((have, total)),
                _ => {
                    self.truncate(part)?;
                    Err(Stop::Again(
                        "the server went on at another place than asked".into(),
                    ))
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                // What is there is as long as the image, or longer: begin anew, for the digest did not tell yet.
                self.truncate(part)?;
                Err(Stop::Again(
                    "the server has no more than is here already".into(),
                ))
            }
            status if status.is_server_error() || [408, 429].contains(&status.as_u16()) => {
                Err(Stop::Again(format!("the server says {status}").into()))
            }
            status => Err(Stop::For(Error::Image {
                image: shown(self.url),
                why: format!("the server says {status}; check the address"),
                source: None,
            })),
        }
    }

    fn copy(
        &self,
        mut body: impl Read + Send + 'static,
        part: &mut File,
        from: u64,
        total: Option<u64>,
    ) -> Result<(), Stop> {
        let mut buffer = vec![0; 128 << 10];
        let mut done = from;
        self.fits(total.unwrap_or(0), total.unwrap_or(0).saturating_sub(from))?;
        loop {
            self.in_time()?;
            self.watch.check_cancelled().map_err(Stop::For)?;
            let waited = self.watch.wait(move || {
                let read = body.read(&mut buffer);
                (body, buffer, read)
            });
            let read;
            (body, buffer, read) = waited.map_err(Stop::For)?;
            let read = read.map_err(|e| Stop::Again(e.into()))?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            part.write_all(bytes).map_err(|e| self.disk(e))?;
            let before = done / STRIDE;
            done += read as u64;
            if done / STRIDE > before || done > self.room.most {
                self.fits(done, 0)?;
                self.watch.progress(done, total);
            }
        }
        match total {
            Some(total) if total != done => Err(Stop::Again(
                format!("the answer ended after {done} of {total} bytes").into(),
            )),
            _ => part.sync_all().map_err(|e| self.disk(e)),
        }
    }

    /// An error if it has taken too long, however steadily something comes. What is there stays: a later run may go on with it.
    fn in_time(&self) -> Result<(), Stop> {
        let within = self.room.within;
        match self.began.elapsed() > within {
            false => Ok(()),
            true => Err(Stop::For(Error::Image {
                image: shown(self.url),
                why: format!(
                    "it was not all here within {}; download it by hand, and name the file",
                    humane(within)
                ),
                source: None,
            })),
        }
    }

    /// An error if the image, of which there are or will be so many bytes and so many are yet to be written, is too large or
    /// leaves too little of the disk. What is there of it goes: a full disk is not left full.
    fn fits(&self, bytes: u64, left: u64) -> Result<(), Stop> {
        let Room { most, reserve, .. } = self.room;
        let folder = self.part.parent().unwrap_or(self.part);
        let fs = rustix::fs::statvfs(folder).map_err(|e| self.disk(e.into()))?;
        let free = fs.f_bavail.saturating_mul(fs.f_frsize);
        let why = if bytes > most {
            format!(
                "it has more than {} GiB; download it by hand, and name the file",
                most >> 30
            )
        } else if free < left.saturating_add(reserve) {
            format!(
                "{} would have less than {} MiB left with it; make room, or put KUBITECT_HOME elsewhere",
                folder.display(),
                reserve >> 20
            )
        } else {
            return Ok(());
        };
        let _ = std::fs::remove_file(self.part);
        Err(Stop::For(Error::Image {
            image: shown(self.url),
            why,
            source: None,
        }))
    }

    fn truncate(&self, part: &mut File) -> Result<(), Stop> {
        part.set_len(0)
            .and_then(|()| part.seek(SeekFrom::Start(0)))
            .map(drop)
            .map_err(|e| self.disk(e))
    }

    /// A full disk is not left full.
    fn disk(&self, error: io::Error) -> Stop {
        if error.kind() == io::ErrorKind::StorageFull {
            let _ = std::fs::remove_file(self.part);
        }
        Stop::For(file::error("write", self.part)(error))
    }
}

fn stop(error: ureq::Error) -> Stop {
    Stop::Again(error.into())
}

/// An entity tag that stands for the bytes (weak ones, `W/…`, do not).
fn strong_tag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(header::ETAG)?.to_str().ok()?;
    tag.starts_with('"').then(|| tag.to_owned())
}

/// The start and the total of `bytes 5-9/10`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (span, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = span.split_once('-')?;
    Some((from.parse().ok()?, total.parse().ok()))
}
