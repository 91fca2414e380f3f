#![forbid(unsafe_code)]
//! Downloads a file so that it can be gone on with, and compares it with the server's hash.
//!
//! What has come lies in `FILE.part`, with a note in `FILE.part.from` of what it is a part of.
//! Only a whole file whose hash is right gets its name; the hash is kept in `FILE.sha256`.
//!
//! The Hugging Face hub answers a request for a large file by sending the client elsewhere, and
//! names the file's SHA-256 and size in that first answer (`X-Linked-ETag`, `X-Linked-Size`). No
//! hash is known here beforehand. A server without those headers gives nothing to compare with
//! but the length.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Servers that a request may be sent on to.
const REDIRECTS: usize = 8;
/// How often a cut connection is taken up again, as long as something new has come.
const ATTEMPTS: usize = 5;
/// How long a connection may give nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// What a server answers, if it does.
type Answer = Result<Response<Body>, ureq::Error>;

/// What a file was compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The server's SHA-256, which is the file's.
    Hash(String),
    /// Nothing: the server gives no hash.
    Nothing,
}

/// What a server says of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Description {
    /// Its SHA-256.
    hash: Option<String>,
    /// Changes when the file changes.
    tag: Option<String>,
    size: Option<u64>,
}

impl Description {
    /// What a part of the file is marked with. Empty if the file cannot be recognised.
    fn mark(&self) -> String {
        let tag = self.hash.as_ref().or(self.tag.as_ref());
        tag.map(|tag| format!("{tag} {}\n", self.size.unwrap_or(0))).unwrap_or_default()
    }
}

/// Downloads `url` to `file`, going on where an earlier attempt ended.
///
/// `progress` is told of the bytes that have come, and of how many there are if the server says.
pub fn fetch(
    url: &str,
    file: &Path,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Checked> {
    fetch_first(u64::MAX, url, file, progress)
}

/// Downloads the first so many bytes of `url`, or all if there are not more, as [`fetch`] does.
/// There is nothing to compare a part with.
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
    let by_hand = |error: anyhow::Error| {
        let place = file.display();
        anyhow!("cannot fetch {url}: {error:#}\nIt can also be put at {place} by hand.")
    };
    let described = download.describe().map_err(by_hand)?;
    let mut attempt = 1;
    loop {
        let before = download.so_far(&described);
        match download.go_on(&described, progress) {
            Ok(()) => break,
            Err(error) if attempt < ATTEMPTS && download.so_far(&described) > before => {
                eprintln!("  {error:#}; going on");
                attempt += 1;
            }
            Err(error) => return Err(by_hand(error)),
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
    /// Bytes wanted from its beginning.
    first: u64,
    agent: Agent,
    part: PathBuf,
    note: PathBuf,
}

impl Download<'_> {
    /// Asks what the file is, without asking for the file.
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
            // What follows may be another server that says nothing of the whole file.
            described.hash.is_some() && described.size.is_some()
        })?;
        Ok(described)
    }

    /// Bytes of this very file that have come already.
    fn so_far(&self, described: &Description) -> u64 {
        let mark = described.mark();
        let same =
            !mark.is_empty() && fs::read_to_string(&self.note).is_ok_and(|note| note == mark);
        let size = self.part.metadata().map_or(0, |data| data.len());
        if same { size } else { 0 }
    }

    /// Gets what is missing.
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
            ensure!(begins == Some(offset), "the server sends another part than was asked for");
        } else {
            // The whole file: this server does not know ranges.
            offset = 0;
        }
        fs::write(&self.note, described.mark())?;
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        let total = described.size.or_else(|| Some(offset + number(&answer, "content-length")?));
        let total = total.map(|total| total.min(self.first));
        let mut done = offset;
        let body = answer.into_body().into_with_config().limit(u64::MAX).reader();
        // A server that knows no ranges sends more.
        let mut body = body.take(self.first.saturating_sub(offset));
        let mut buffer = vec![0; 64 << 10];
        loop {
            progress(done, total);
            let length = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(cut(done, total)).context(error),
            };
            file.write_all(&buffer[..length])
                .with_context(|| format!("cannot write {}", self.part.display()))?;
            done += length as u64;
        }
        match total {
            Some(total) if done != total => Err(cut(done, Some(total))),
            _ => Ok(()),
        }
    }

    /// Compares what has come with what the server says it is.
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
            bail!(
                "what came from {} is damaged: its SHA-256 is {found}, the server says {expected}; \
                 it was thrown away, try again",
                self.url
            );
        }
        fs::write(beside(file, ".sha256"), format!("{found}\n"))?;
        Ok(Checked::Hash(found))
    }

    /// Sends a request, and sends it on where the server says so, until `enough` says that an
    /// answer will do or it is the last one.
    fn follow(
        &self,
        send: &mut dyn FnMut(&Agent, &str) -> Answer,
        enough: &mut dyn FnMut(&Response<Body>) -> bool,
    ) -> Result<Response<Body>> {
        let mut url = self.url.to_owned();
        for _ in 0..REDIRECTS {
            let answer = send(&self.agent, &url).map_err(|error| unreachable(&url, &error))?;
            if enough(&answer) || answer.status().is_success() {
                return Ok(answer);
            }
            if !answer.status().is_redirection() {
                bail!("{} answers {}", host(&url), answer.status());
            }
            let location = text(&answer, "location")
                .with_context(|| format!("{} sends us on to nowhere", host(&url)))?;
            url = resolved(&url, location);
        }
        bail!("sent on more than {REDIRECTS} times")
    }
}

fn agent() -> Agent {
    // The system's certificates, so that a company's own are trusted where the system trusts them.
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
        .timeout_connect(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .user_agent("bootllm-xtask")
        .build()
        .new_agent()
}

fn cut(done: u64, total: Option<u64>) -> anyhow::Error {
    let total = total.map_or("an unknown number of".to_owned(), |total| total.to_string());
    anyhow!("the connection was cut after {done} of {total} bytes; the next attempt goes on there")
}

fn unreachable(url: &str, error: &ureq::Error) -> anyhow::Error {
    anyhow!("{} cannot be reached ({error}); is there a network?", host(url))
}

fn text<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

fn number(answer: &Response<Body>, name: &str) -> Option<u64> {
    text(answer, name)?.parse().ok()
}

/// A tag that is a SHA-256; a small file of the hub has another kind.
fn hash_of(tag: Option<&str>) -> Option<String> {
    let tag = tag?.trim_start_matches("W/").trim_matches('"');
    let is_hash = tag.len() == 64 && tag.bytes().all(|c| c.is_ascii_hexdigit());
    is_hash.then(|| tag.to_ascii_lowercase())
}

fn host(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    after.split('/').next().unwrap_or(after)
}

/// A location as an address of its own: it may name only a path.
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
