//! Downloads from a server on this host that misbehaves as real ones do, and worse.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use xtask_fetch::{Checked, Fault, fetch, fetch_first, sha256};

/// How the server behaves.
#[derive(Clone)]
struct Behaviour {
    content: Vec<u8>,
    /// The hash it names, as the hub does.
    hash: Option<String>,
    /// Whether it knows ranges.
    ranges: bool,
    /// Bytes after which it cuts a connection, once for each of these.
    cuts: Vec<usize>,
}

struct Server {
    address: String,
    /// The first line and the range of every request.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            let mut behaviour = behaviour;
            for stream in listener.incoming().flatten() {
                // A client that goes away early is its own business.
                let _ = answer(stream, &mut behaviour, &log);
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("{}/hub/model.bin", self.address)
    }

    fn gets(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.starts_with("GET /cdn")).cloned().collect()
    }
}

fn answer(
    mut stream: TcpStream,
    behaviour: &mut Behaviour,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut range = None;
    let mut until = None;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("range: bytes=") {
            let (from, last) = value.split_once('-').unwrap_or((value, ""));
            (range, until) = (from.parse::<usize>().ok(), last.parse::<usize>().ok());
        }
    }
    let line = request.trim_end().trim_end_matches(" HTTP/1.1");
    let mut asked = range.map_or(String::new(), |range| format!(" from {range}"));
    asked.extend(until.map(|last| format!(" to {last}")));
    log.lock().unwrap().push(format!("{line}{asked}"));

    let size = behaviour.content.len();
    if line.ends_with("/hub/model.bin") {
        // As the hub does: the hash is named here, the file lies elsewhere.
        let linked = behaviour.hash.as_ref().map_or(String::new(), |hash| {
            format!("X-Linked-ETag: \"{hash}\"\r\nX-Linked-Size: {size}\r\n")
        });
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: /cdn/model.bin\r\n{linked}Content-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
    }
    if !line.ends_with("/cdn/model.bin") {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
    }
    let (from, end) = match range.filter(|_| behaviour.ranges) {
        Some(from) => (from, until.map_or(size, |last| size.min(last + 1))),
        None => (0, size),
    };
    let status = match range.filter(|_| behaviour.ranges) {
        None => "200 OK".to_owned(),
        Some(_) => {
            format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}", end - 1)
        }
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nETag: \"tag-{size}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        end - from
    )?;
    if line.starts_with("GET") {
        let rest = &behaviour.content[from..end];
        let cut = if behaviour.cuts.is_empty() { rest.len() } else { behaviour.cuts.remove(0) };
        stream.write_all(&rest[..cut.min(rest.len())])?;
    }
    Ok(())
}

/// A place for a download, gone when the test ends.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("bootllm-fetch-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("model.bin")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn content() -> Vec<u8> {
    (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn hash_of(content: &[u8], place: &Place) -> String {
    let file = place.0.join("for-the-hash");
    fs::write(&file, content).unwrap();
    let hash = sha256(&file).unwrap();
    fs::remove_file(file).unwrap();
    hash
}

fn behaviour(place: &Place) -> Behaviour {
    let content = content();
    let hash = Some(hash_of(&content, place));
    Behaviour { content, hash, ranges: true, cuts: Vec::new() }
}

#[test]
fn the_hash_is_the_known_one() {
    let place = Place::new("hash");
    assert_eq!(
        hash_of(b"abc", &place),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_whole_file_comes_with_its_hash() {
    let place = Place::new("whole");
    let behaviour = behaviour(&place);
    let server = Server::start(behaviour.clone());
    let mut seen = (0, None);
    let checked = fetch(&server.url(), &place.file(), &mut |done, total| seen = (done, total));
    assert_eq!(checked.unwrap(), Checked::Hash(behaviour.hash.unwrap()));
    assert_eq!(fs::read(place.file()).unwrap(), behaviour.content);
    assert_eq!(seen, (300_000, Some(300_000)));
    assert_eq!(place.names(), ["model.bin", "model.bin.sha256"]);
}

#[test]
fn a_cut_connection_is_taken_up_where_it_ended() {
    let place = Place::new("cut");
    let mut behaviour = behaviour(&place);
    behaviour.cuts = vec![100_000, 50_000];
    let server = Server::start(behaviour.clone());
    fetch(&server.url(), &place.file(), &mut |_, _| ()).unwrap();
    assert_eq!(fs::read(place.file()).unwrap(), behaviour.content);
    assert_eq!(
        server.gets(),
        ["GET /cdn/model.bin", "GET /cdn/model.bin from 100000", "GET /cdn/model.bin from 150000"]
    );
}

#[test]
fn a_download_that_was_given_up_is_gone_on_with() {
    let place = Place::new("resume");
    let mut behaviour = behaviour(&place);
    // Nothing new comes after the first cut, so it gives up.
    behaviour.cuts = vec![150_000, 0];
    let server = Server::start(behaviour.clone());
    let error = fetch(&server.url(), &place.file(), &mut |_, _| ()).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Fault::Cut(150_000, Some(300_000))));
    assert_eq!(place.names(), ["model.bin.part", "model.bin.part.from"]);

    fetch(&server.url(), &place.file(), &mut |_, _| ()).unwrap();
    assert_eq!(fs::read(place.file()).unwrap(), behaviour.content);
    assert_eq!(server.gets().last().unwrap(), "GET /cdn/model.bin from 150000");
    assert_eq!(place.names(), ["model.bin", "model.bin.sha256"]);
}

#[test]
fn a_part_of_another_file_is_not_gone_on_with() {
    let place = Place::new("other");
    let mut first = behaviour(&place);
    first.cuts = vec![1000, 0];
    fetch(&Server::start(first).url(), &place.file(), &mut |_, _| ()).unwrap_err();

    let mut second = behaviour(&place);
    second.content.reverse();
    second.hash = Some(hash_of(&second.content, &place));
    let server = Server::start(second.clone());
    fetch(&server.url(), &place.file(), &mut |_, _| ()).unwrap();
    assert_eq!(fs::read(place.file()).unwrap(), second.content);
    assert_eq!(server.gets(), ["GET /cdn/model.bin"]);
}

#[test]
fn a_server_that_knows_no_ranges_sends_everything_again() {
    let place = Place::new("ranges");
    let mut behaviour = behaviour(&place);
    behaviour.ranges = false;
    behaviour.cuts = vec![70_000];
    let server = Server::start(behaviour.clone());
    fetch(&server.url(), &place.file(), &mut |_, _| ()).unwrap();
    assert_eq!(fs::read(place.file()).unwrap(), behaviour.content);
}

#[test]
fn a_file_with_another_hash_is_thrown_away() {
    let place = Place::new("wrong");
    let mut behaviour = behaviour(&place);
    behaviour.content[7] ^= 1;
    let expected = behaviour.hash.clone().unwrap();
    let found = hash_of(&behaviour.content, &place);
    let server = Server::start(behaviour);
    let error = fetch(&server.url(), &place.file(), &mut |_, _| ()).unwrap_err();
    let fault = Fault::Damaged(server.url(), found, expected);
    assert_eq!(error.downcast_ref(), Some(&fault));
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn a_server_without_a_hash_gives_nothing_to_compare_with() {
    let place = Place::new("none");
    let mut behaviour = behaviour(&place);
    behaviour.hash = None;
    behaviour.cuts = vec![10];
    let server = Server::start(behaviour.clone());
    let checked = fetch(&server.url(), &place.file(), &mut |_, _| ()).unwrap();
    assert_eq!(checked, Checked::Nothing);
    assert_eq!(fs::read(place.file()).unwrap(), behaviour.content);
    // Its tag was enough to go on.
    assert_eq!(server.gets()[1], "GET /cdn/model.bin from 10");
    assert_eq!(place.names(), ["model.bin"]);
}

#[test]
fn only_the_first_bytes_come_if_only_they_are_wanted() {
    let place = Place::new("first");
    let mut behaviour = behaviour(&place);
    behaviour.cuts = vec![40_000];
    for ranges in [true, false] {
        behaviour.ranges = ranges;
        let server = Server::start(behaviour.clone());
        let mut seen = (0, None);
        let checked = fetch_first(100_000, &server.url(), &place.file(), &mut |done, total| {
            seen = (done, total);
        });
        // The hash is that of the whole file.
        assert_eq!(checked.unwrap(), Checked::Nothing);
        assert_eq!(fs::read(place.file()).unwrap(), behaviour.content[..100_000]);
        assert_eq!(seen, (100_000, Some(100_000)));
        assert_eq!(
            server.gets(),
            ["GET /cdn/model.bin from 0 to 99999", "GET /cdn/model.bin from 40000 to 99999"]
        );
        assert_eq!(place.names(), ["model.bin"]);
    }
}

#[test]
fn a_file_that_is_shorter_than_what_is_wanted_comes_whole() {
    let place = Place::new("shorter");
    let behaviour = behaviour(&place);
    let server = Server::start(behaviour.clone());
    let checked = fetch_first(400_000, &server.url(), &place.file(), &mut |_, _| ());
    assert_eq!(checked.unwrap(), Checked::Hash(behaviour.hash.unwrap()));
    assert_eq!(fs::read(place.file()).unwrap(), behaviour.content);
}

#[test]
fn what_is_not_there_is_said() {
    let place = Place::new("missing");
    let server = Server::start(behaviour(&place));
    let url = format!("{}/nothing", server.address);
    let error = fetch(&url, &place.file(), &mut |_, _| ()).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Fault::Status(url, 404)));
}

#[test]
fn no_network_is_said() {
    let place = Place::new("network");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/model.bin");
    let error = fetch(&url, &place.file(), &mut |_, _| ()).unwrap_err();
    let Some(Fault::Unreachable(unreachable, _)) = error.downcast_ref() else {
        panic!("{error:#}");
    };
    assert_eq!(*unreachable, url);
    // The user reads which URL it was.
    assert!(format!("{error:#}").contains(&url));
    assert!(place.names().is_empty());
}
