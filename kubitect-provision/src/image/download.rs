//! Downloads over http(s), through the proxy that the environment names. There are several attempts, each of which goes on where
//! the previous one was cut off.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::WithoutBody;
use ureq::{Agent, RequestBuilder};

use super::{Control, without_secrets};
use crate::error::{Source, human_duration};
use crate::{Error, file};

/// The number of attempts; the pauses between them are 1, 2, 4 and 8 seconds.
const ATTEMPTS: u32 = 5;
/// The time limit of each step: resolving, connecting, the first answer, each read.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of a list of digests.
const TEXT_MAX: u64 = 4 << 20;
/// The time limit of fetching such a list.
const TEXT_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// The bytes between two progress events.
const STRIDE: u64 = 4 << 20;

/// The limits of a download: the most bytes of an image, the bytes of its disk that stay free, and the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub bytes: u64,
    pub reserve: u64,
    pub within: Duration,
}

impl Limits {
    /// Cloud images have less than 2 GiB. The reserve is there because a full disk stops other programs, too.
    pub const DEFAULT: Self = Self {
        bytes: 64 << 30,
        reserve: 1 << 30,
        // 600 MiB at 45 KiB/s.
        within: Duration::from_secs(4 * 3600),
    };
}

/// Why an attempt failed.
enum Stop {
    /// Another attempt may succeed.
    Retry(Source),
    /// No further attempt can succeed.
    Fail(Error),
}

/// Fetches a list of digests.
pub(super) fn text(url: &str, control: Control<'_>) -> Result<String, Error> {
    let failed = |source: Source| Error::Image {
        image: without_secrets(url),
        why: "its list of digests can't be fetched; give the image's checksum as sha256:<digits>"
            .to_owned(),
        source: Some(source),
    };
    let request = agent(url).get(url);
    let request = request.config().timeout_global(Some(TEXT_TIMEOUT)).build();
    control.wait(move || text_of(request))?.map_err(failed)
}

/// Sends a request; returns the text of the answer.
fn text_of(request: RequestBuilder<WithoutBody>) -> Result<String, Source> {
    let mut response = request.call()?;
    if response.status() != StatusCode::OK {
        return Err(response.status().to_string().into());
    }
    let body = response.body_mut().with_config();
    Ok(body.limit(TEXT_MAX).lossy_utf8(true).read_to_string()?)
}

/// Downloads `url` into `part`. With `trust_part`, goes on with the part that an earlier run left; the caller then checks the
/// digest. Returns whether the file is made from more than one answer of the server.
pub(super) fn download_to(
    url: &str,
    part: &Path,
    trust_part: bool,
    limits: Limits,
    control: Control<'_>,
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
        limits,
        began: Instant::now(),
        validator: None,
        resumed: false,
        control,
    };
    let mut attempt = 1;
    loop {
        match fetch.attempt(&mut part_file) {
            Ok(()) => return Ok(fetch.resumed),
            Err(Stop::Fail(error)) => return Err(error),
            Err(Stop::Retry(source)) if attempt == ATTEMPTS => {
                return Err(Error::Image {
                    image: without_secrets(url),
                    why: format!(
                        "it can't be fetched ({ATTEMPTS} attempts); check the address, the network and the proxy"
                    ),
                    source: Some(source),
                });
            }
            Err(Stop::Retry(error)) => {
                tracing::debug!(url = without_secrets(url), %error, attempt, "fetch cut off")
            }
        }
        pause(Duration::from_secs(1 << (attempt - 1)), control)?;
        attempt += 1;
    }
}

/// The HTTP client for this address. An https address stays https through all redirects. Certificates are verified with this
/// machine's certificate authorities, so that those of a site work.
pub(super) fn agent(url: &str) -> Agent {
    let certificates = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    Agent::config_builder()
        .https_only(url.starts_with("https://"))
        .tls_config(certificates)
        .http_status_as_error(false)
        .timeout_resolve(Some(STEP_TIMEOUT))
        .timeout_connect(Some(STEP_TIMEOUT))
        .timeout_recv_response(Some(STEP_TIMEOUT))
        .timeout_per_read(Some(STEP_TIMEOUT))
        // Without compression: ranges have to count the bytes of the image itself.
        .accept_encoding("identity")
        .user_agent(concat!("kubitect/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn pause(time: Duration, control: Control<'_>) -> Result<(), Error> {
    for _ in 0..time.as_millis() / 100 {
        control.check_cancelled()?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

struct Fetch<'a> {
    agent: Agent,
    url: &'a str,
    part: &'a Path,
    /// Whether the caller checks a digest, so that parts of two different images would be noticed.
    trust_part: bool,
    limits: Limits,
    began: Instant,
    /// The entity tag of the image that the part belongs to: the server goes on only with the same image (`If-Range`).
    validator: Option<String>,
    resumed: bool,
    control: Control<'a>,
}

impl Fetch<'_> {
    fn attempt(&mut self, part: &mut File) -> Result<(), Stop> {
        self.check_time()?;
        self.control.check_cancelled().map_err(Stop::Fail)?;
        let existing = self.existing_bytes(part)?;
        let mut request = self.agent.get(self.url);
        if existing > 0 {
            request = request.header(header::RANGE, format!("bytes={existing}-"));
            if let Some(validator) = &self.validator {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        let response = self.control.wait(move || request.call());
        let response = response.map_err(Stop::Fail)?.map_err(retry)?;
        let (from, total) = self.start_and_total(&response, existing, part)?;
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

    /// The number of bytes of the part that the download can go on from; a part that can't be trusted is emptied.
    fn existing_bytes(&self, part: &mut File) -> Result<u64, Stop> {
        if !self.trust_part && self.validator.is_none() {
            self.truncate(part)?;
        }
        part.seek(SeekFrom::End(0)).map_err(|e| self.write_error(e))
    }

    /// The position in the image at which the answer starts, and the length of the whole image, if the server says it.
    fn start_and_total<T>(
        &self,
        response: &Response<T>,
        existing: u64,
        part: &mut File,
    ) -> Result<(u64, Option<u64>), Stop> {
        let headers = response.headers();
        let number = |name| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        match response.status() {
            StatusCode::OK => Ok((0, number(header::CONTENT_LENGTH))),
            StatusCode::PARTIAL_CONTENT => match content_range(headers) {
                Some((from, total)) if from == existing => Ok((existing, total)),
                _ => {
                    self.truncate(part)?;
                    Err(Stop::Retry(
                        "the server went on at another place than asked".into(),
                    ))
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE if existing > 0 => {
                // The part is as long as the image, or longer, and its digest is not checked yet: start again.
                self.truncate(part)?;
                Err(Stop::Retry(
                    "the server has no more than is here already".into(),
                ))
            }
            status if status.is_server_error() || [408, 429].contains(&status.as_u16()) => {
                Err(Stop::Retry(format!("the server says {status}").into()))
            }
            status => Err(Stop::Fail(Error::Image {
                image: without_secrets(self.url),
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
        self.check_space(total.unwrap_or(0), total.unwrap_or(0).saturating_sub(from))?;
        loop {
            self.check_time()?;
            self.control.check_cancelled().map_err(Stop::Fail)?;
            let waited = self.control.wait(move || {
                let read = body.read(&mut buffer);
                (body, buffer, read)
            });
            let read;
            (body, buffer, read) = waited.map_err(Stop::Fail)?;
            let read = read.map_err(|e| Stop::Retry(e.into()))?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            part.write_all(bytes).map_err(|e| self.write_error(e))?;
            let before = done / STRIDE;
            done += read as u64;
            if done / STRIDE > before || done > self.limits.bytes {
                self.check_space(done, 0)?;
                self.control.progress(done, total);
            }
        }
        match total {
            Some(total) if total != done => Err(Stop::Retry(
                format!("the answer ended after {done} of {total} bytes").into(),
            )),
            _ => part.sync_all().map_err(|e| self.write_error(e)),
        }
    }

    /// An error if the download has taken too long, also if bytes still come. The part stays: a later run may go on with it.
    fn check_time(&self) -> Result<(), Stop> {
        let within = self.limits.within;
        match self.began.elapsed() > within {
            false => Ok(()),
            true => Err(Stop::Fail(Error::Image {
                image: without_secrets(self.url),
                why: format!(
                    "it was not all here within {}; download it by hand, and name the file",
                    human_duration(within)
                ),
                source: None,
            })),
        }
    }

    /// An error if an image of `bytes` is too large, or if the `remaining` bytes would leave too little free space. The part is
    /// then removed, so that it does not fill the disk.
    fn check_space(&self, bytes: u64, remaining: u64) -> Result<(), Stop> {
        let Limits {
            bytes: most,
            reserve,
            ..
        } = self.limits;
        let folder = self.part.parent().unwrap_or(self.part);
        let fs = rustix::fs::statvfs(folder).map_err(|e| self.write_error(e.into()))?;
        let free = fs.f_bavail.saturating_mul(fs.f_frsize);
        let why = if bytes > most {
            format!(
                "it has more than {} GiB; download it by hand, and name the file",
                most >> 30
            )
        } else if free < remaining.saturating_add(reserve) {
            format!(
                "{} would have less than {} MiB left with it; make room, or put KUBITECT_HOME elsewhere",
                folder.display(),
                reserve >> 20
            )
        } else {
            return Ok(());
        };
        let _ = std::fs::remove_file(self.part);
        Err(Stop::Fail(Error::Image {
            image: without_secrets(self.url),
            why,
            source: None,
        }))
    }

    fn truncate(&self, part: &mut File) -> Result<(), Stop> {
        part.set_len(0)
            .and_then(|()| part.seek(SeekFrom::Start(0)))
            .map(drop)
            .map_err(|e| self.write_error(e))
    }

    /// The error of writing the part. On a full disk, the part is removed.
    fn write_error(&self, error: io::Error) -> Stop {
        if error.kind() == io::ErrorKind::StorageFull {
            let _ = std::fs::remove_file(self.part);
        }
        Stop::Fail(file::error("write", self.part)(error))
    }
}

fn retry(error: ureq::Error) -> Stop {
    Stop::Retry(error.into())
}

/// The entity tag, if it is a strong one: a weak one (`W/…`) does not identify the bytes.
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
