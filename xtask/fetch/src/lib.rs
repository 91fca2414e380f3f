#![forbid(unsafe_code)]
//! Downloads a file resumably, and compares it with the server's hash.
//!
//! The bytes so far are in `FILE.part`, and `FILE.part.from` identifies the file that they are a part
//! of. The file gets its name when it is complete and its hash is right; the hash is kept in
//! `FILE.sha256`.
//!
//! The Hugging Face hub redirects a request for a large file, and names the file's SHA-256 and size
//! in the redirect (`X-Linked-ETag`, `X-Linked-Size`). No hash is known here in advance. Without
//! those headers, only the length can be compared.

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Redirects that a request may follow.
const REDIRECTS: usize = 8;
/// How often a download resumes after the connection broke, as long as each attempt got something.
const ATTEMPTS: usize = 5;
/// How long finding a server may take, and connecting to it.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection may deliver nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Why a file was not downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server of this URL cannot be reached, for this reason.
    Unreachable(String, String),
    /// The server of this URL answered with this status.
    Status(String, u16),
    /// The connection broke after some of the bytes; how many there are is not always known.
    Cut(u64, Option<u64>),
    /// The SHA-256 of what came from this URL (the second) is not what the server said (the third).
    Damaged(String, String, String),
    /// The server of this URL redirects without saying where to.
    NoLocation(String),
    /// Too many redirects.
    Redirects,
    /// The server sent another part of the file than was asked for.
    OtherPart,
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreachable(url, reason) => {
                write!(f, "{} cannot be reached ({reason}); is there a network?", host(url))
            }
            Fault::Status(url, status) => write!(f, "{} answers with status {status}", host(url)),
            Fault::Cut(done, Some(total)) => {
                write!(f, "the connection broke after {done} of {total} bytes; try again to resume")
            }
            Fault::Cut(done, None) => {
                write!(f, "the connection broke after {done} bytes; try again to resume")
            }
            Fault::Damaged(url, found, expected) => write!(
                f,
                "the download from {url} is damaged: its SHA-256 is {found}, the server says \
                 {expected}; it was deleted, try again"
            ),
            Fault::NoLocation(url) => write!(f, "{} redirects to nowhere", host(url)),
            Fault::Redirects => write!(f, "there are more than {REDIRECTS} redirects"),
            Fault::OtherPart => write!(f, "the server sends another part than was asked for"),
        }
    }
}

impl std::error::Error for Fault {}

/// A server's answer, if there is one.
type Answer = Result<Response<Body>, ureq::Error>;

/// What a file was compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The server's SHA-256, which the file has.
    Hash(String),
    /// Nothing, because the server gives no hash.
    Nothing,
}

/// What a server says about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Description {
    /// Its SHA-256.
    hash: Option<String>,
    /// Changes when the file changes.
    tag: Option<String>,
    size: Option<u64>,
}

impl Description {
    /// The text of `FILE.part.from`; empty if the server says nothing that identifies the file.
    fn mark(&self) -> String {
        let tag = self.hash.as_ref().or(self.tag.as_ref());
        tag.map(|tag| format!("{tag} {}\n", self.size.unwrap_or(0))).unwrap_or_default()
    }
}

/// Downloads `url` to `file`, resuming an earlier attempt.
///
/// `progress` gets the bytes so far, and the total if the server says it.
pub fn fetch(
    url: &str,
    file: &Path,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Checked> {
    fetch_first(u64::MAX, url, file, progress)
}

/// Downloads the first bytes of `url`, `first` at most, as [`fetch`] does. A part cannot be compared
/// with the hash.
pub fn fetch_first(
    first: u64,
    url: &str,
    file: &Path,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Checked> {
    let download = Download {
        url,
        first,
        agent: agent(),
        part: beside(file, ".part"),
        note: beside(file, ".part.from"),
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let failed = || format!("cannot download {url}");
    let described = download.describe().with_context(failed)?;
    let mut attempt = 1;
    loop {
        let before = download.so_far(&described);
        match download.go_on(&described, progress) {
            Ok(()) => break,
            Err(error) if attempt < ATTEMPTS && download.so_far(&described) > before => {
                eprintln!("  {error:#}; resuming");
                attempt += 1;
            }
            Err(error) => return Err(error).with_context(failed),
        }
    }
    let checked = download.check(&described, file)?;
    fs::rename(&download.part, file)?;
    fs::remove_file(&download.note)?;
    Ok(checked)
}

/// The SHA-256 of a file, in hexadecimal.
pub fn sha256(file: &Path) -> Result<String> {
    let mut file = File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Download<'a> {
    url: &'a str,
    /// How many of its first bytes are wanted.
    first: u64,
    agent: Agent,
    part: PathBuf,
    note: PathBuf,
}

impl Download<'_> {
    /// Asks the server about the file, without downloading it.
    fn describe(&self) -> Result<Description> {
        let mut described = Description::default();
        self.follow(&mut |agent, url| agent.head(url).call(), &mut |answer| {
            let linked = hash_of(text(answer, "x-linked-etag"));
            described.hash = described.hash.take().or(linked);
            described.size = described.size.or(number(answer, "x-linked-size"));
            if answer.status().is_success() {
                described.tag = text(answer, "etag").map(str::to_owned);
                described.size = described.size.or(number(answer, "content-length"));
            }
            // The next server may say nothing about the whole file.
            described.hash.is_some() && described.size.is_some()
        })?;
        Ok(described)
    }

    /// Bytes of this very file that an earlier attempt got.
    fn so_far(&self, described: &Description) -> u64 {
        let mark = described.mark();
        let same =
            !mark.is_empty() && fs::read_to_string(&self.note).is_ok_and(|note| note == mark);
        let size = self.part.metadata().map_or(0, |data| data.len());
        if same { size } else { 0 }
    }

    /// Downloads the rest.
    fn go_on(
        &self,
        described: &Description,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<()> {
        let mut offset = self.so_far(described);
        if offset > 0 && Some(offset) == described.size.map(|size| size.min(self.first)) {
            return Ok(());
        }
        let part = offset > 0 || self.first < u64::MAX;
        let range = match self.first {
            u64::MAX => format!("bytes={offset}-"),
            first => format!("bytes={offset}-{}", first.saturating_sub(1)),
        };
        let answer = self.follow(
            &mut |agent, url| {
                let request = agent.get(url);
                if part { request.header("range", &range).call() } else { request.call() }
            },
            &mut |_| false,
        )?;
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&self.part)
            .with_context(|| format!("cannot write {}", self.part.display()))?;
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            let begins = text(&answer, "content-range")
                .and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
            ensure!(begins == Some(offset), Fault::OtherPart);
        } else {
            // The whole file: this server does not support ranges.
            offset = 0;
        }
        fs::write(&self.note, described.mark())?;
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        let total = described.size.or_else(|| Some(offset + number(&answer, "content-length")?));
        let total = total.map(|total| total.min(self.first));
        let mut done = offset;
        let body = answer.into_body().into_with_config().limit(u64::MAX).reader();
        // A server without ranges sends more.
        let mut body = body.take(self.first.saturating_sub(offset));
        let mut buffer = vec![0; 64 << 10];
        loop {
            progress(done, total);
            let length = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Fault::Cut(done, total)).context(error),
            };
            file.write_all(&buffer[..length])
                .with_context(|| format!("cannot write {}", self.part.display()))?;
            done += length as u64;
        }
        match total {
            Some(total) if done != total => Err(Fault::Cut(done, Some(total)).into()),
            _ => Ok(()),
        }
    }

    /// Compares the complete download with the server's hash.
    fn check(&self, described: &Description, file: &Path) -> Result<Checked> {
        let whole = described.size.is_some_and(|size| size <= self.first);
        let Some(expected) = described.hash.as_ref().filter(|_| whole || self.first == u64::MAX)
        else {
            return Ok(Checked::Nothing);
        };
        let found = sha256(&self.part)?;
        if found != *expected {
            fs::remove_file(&self.part)?;
            fs::remove_file(&self.note)?;
            bail!(Fault::Damaged(self.url.to_owned(), found, expected.clone()));
        }
        fs::write(beside(file, ".sha256"), format!("{found}\n"))?;
        Ok(Checked::Hash(found))
    }

    /// Sends a request and follows redirects, until `enough` accepts an answer or it is the last.
    fn follow(
        &self,
        send: &mut dyn FnMut(&Agent, &str) -> Answer,
        enough: &mut dyn FnMut(&Response<Body>) -> bool,
    ) -> Result<Response<Body>> {
        let mut url = self.url.to_owned();
        for _ in 0..REDIRECTS {
            let answer = send(&self.agent, &url)
                .map_err(|error| Fault::Unreachable(url.clone(), error.to_string()))?;
            if enough(&answer) || answer.status().is_success() {
                return Ok(answer);
            }
            if !answer.status().is_redirection() {
                bail!(Fault::Status(url, answer.status().as_u16()));
            }
            let location =
                text(&answer, "location").ok_or_else(|| Fault::NoLocation(url.clone()))?;
            url = resolved(&url, location);
        }
        bail!(Fault::Redirects)
    }
}

fn agent() -> Agent {
    // The system's certificates, so that those of a company are trusted where the system does.
    let certificates: Vec<_> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    let mut tls = TlsConfig::builder();
    if !certificates.is_empty() {
        tls = tls.root_certs(RootCerts::Specific(Arc::new(certificates)));
    }
    Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(SILENCE))
        .user_agent("bootllm-xtask")
        .build()
        .new_agent()
}

fn text<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

fn number(answer: &Response<Body>, name: &str) -> Option<u64> {
    text(answer, name)?.parse().ok()
}

/// The SHA-256 in a tag; small files of the hub have tags of another kind.
fn hash_of(tag: Option<&str>) -> Option<String> {
    let tag = tag?.trim_start_matches("W/").trim_matches('"');
    let is_hash = tag.len() == 64 && tag.bytes().all(|c| c.is_ascii_hexdigit());
    is_hash.then(|| tag.to_ascii_lowercase())
}

/// The server in a URL.
pub fn host(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    after.split('/').next().unwrap_or(after)
}

/// A redirect's location as a URL: it may be only a path.
fn resolved(url: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let scheme = url.split_once("://").map_or("https", |(scheme, _)| scheme);
    format!("{scheme}://{}/{}", host(url), location.trim_start_matches('/'))
}

/// A file's path with something added to its name.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(end);
    file.with_file_name(name)
}
