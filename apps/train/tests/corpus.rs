//! Corpora: held-out documents, duplicates, invalid texts, and downloads.

mod common;

use bootllm_train::corpus::{Corpus, CorpusSettings, CorpusStats, Source, documents, prepare};
use bootllm_train::error::TrainError;
use common::{Folder, assert_refused, names, program, said};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

/// The folder of the corpus in a test's folder.
fn corpus_in(place: &Folder) -> PathBuf {
    place.join("corpus")
}

fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    program().args(arguments).output().unwrap()
}

/// Runs `data` with the corpus in a test's folder.
fn data(place: &Folder, arguments: &[&OsStr]) -> Output {
    run([OsStr::new("data"), corpus_in(place).as_os_str()].iter().chain(arguments))
}

/// A story of sixty words, different for every number.
fn story(number: usize) -> String {
    let words = ["cat", "dog", "tree", "house", "river", "bird", "song", "hill", "boat", "moon"];
    let mut chance = number as u64;
    let mut text = format!("Story {number}.");
    for _ in 0..60 {
        chance = chance.wrapping_add(1).wrapping_mul(6_364_136_223_846_793_005);
        text.push_str(&format!(" {}{}", words[(chance >> 60) as usize % 10], chance >> 56 & 15));
    }
    text.push('.');
    text
}

fn stories(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("{}\n<|endoftext|>\n", story(number))).collect()
}

fn prepared(text: &str, settings: &CorpusSettings) -> (Corpus, CorpusStats) {
    let source = Source { name: "text".into(), text: text.into(), ..Source::default() };
    prepare(vec![source], settings, &mut |_, _| ()).unwrap()
}

#[test]
fn documents_are_separated_by_a_line() {
    let text = "One\ntwo\n<|endoftext|>\n\n<|endoftext|>\r\nthree<|endoftext|> \nfour\n";
    assert_eq!(documents(text).collect::<Vec<_>>(), ["One\ntwo", "three", " \nfour"]);
}

#[test]
fn whether_a_document_is_held_out_depends_on_it_alone() {
    let settings = CorpusSettings { held_out: 0.3, ..CorpusSettings::default() };
    let (all, _) = prepared(&stories(0..1000), &settings);
    assert!((200..400).contains(&all.held_out.len()), "{} held out", all.held_out.len());
    assert_eq!(all.train.len() + all.held_out.len(), 1000);
    let train: HashSet<_> = all.train.iter().collect();
    assert!(all.held_out.iter().all(|document| !train.contains(document)));
    // The same ones out of a subset, whatever their case and spacing.
    let part = stories(500..700)
        .to_uppercase()
        .replace(' ', "  ")
        .replace("<|ENDOFTEXT|>", "\n<|endoftext|>");
    let (part, _) = prepared(&part, &settings);
    let held_out: Vec<_> =
        part.held_out.iter().map(|d| d.to_lowercase().replace("  ", " ")).collect();
    let expected: Vec<_> = all.held_out.iter().map(|document| document.to_lowercase()).collect();
    assert!(!held_out.is_empty() && held_out.iter().all(|document| expected.contains(document)));
    // On every machine.
    let first: Vec<_> = all.held_out.iter().take(3).map(|d| &d[..10]).collect();
    assert_eq!(first, ["Story 2. c", "Story 5. d", "Story 8. d"]);
}

#[test]
fn a_larger_share_holds_out_the_same_and_more() {
    let held_out = |share| -> HashSet<String> {
        let settings = CorpusSettings { held_out: share, ..CorpusSettings::default() };
        prepared(&stories(0..300), &settings).0.held_out.into_iter().collect()
    };
    assert_eq!(held_out(0.0).len(), 0);
    assert!(held_out(0.1).is_subset(&held_out(0.2)));
    assert!(held_out(0.1).len() < held_out(0.2).len());
}

#[test]
fn duplicates_are_dropped() {
    let twice = format!(
        "{}{}",
        stories(0..50),
        stories(0..50).to_uppercase().replace("<|ENDOFTEXT|>", "<|endoftext|>")
    );
    let (corpus, counts) = prepared(&twice, &CorpusSettings::default());
    assert_eq!(corpus.train.len() + corpus.held_out.len(), 50);
    assert_eq!(counts.duplicates, 50);
}

#[test]
fn documents_similar_to_held_out_ones_are_dropped() {
    let settings = CorpusSettings { held_out: 0.3, ..CorpusSettings::default() };
    let (before, _) = prepared(&stories(0..100), &settings);
    // Each held-out story in another layout, between other words.
    let again: String = before
        .held_out
        .iter()
        .zip(1000..)
        .map(|(document, number)| {
            format!(
                "{} {} {}\n<|endoftext|>\n",
                story(number),
                document.replace(' ', "\n"),
                story(number + 1000)
            )
        })
        .collect();
    let (after, counts) = prepared(&format!("{}{again}", stories(0..100)), &settings);
    assert!(counts.near_duplicates > 0);
    let runs = |document: &String| -> Vec<String> {
        let words: Vec<_> = document.split_whitespace().collect();
        words.windows(8).map(|run| run.join(" ")).collect()
    };
    let train: HashSet<String> = after.train.iter().flat_map(runs).collect();
    assert!(after.held_out.iter().flat_map(runs).all(|run| !train.contains(&run)));
    assert_eq!(counts.leak, 0.0);
    // All earlier training documents are still there.
    assert!(before.train.iter().all(|document| after.train.contains(document)));

    let kept = CorpusSettings { overlap: 1.1, ..settings };
    let (_, counts) = prepared(&format!("{}{again}", stories(0..100)), &kept);
    assert_eq!(counts.near_duplicates, 0);
    assert!(counts.leak > 0.5, "{}", counts.leak);
}

#[test]
fn a_text_without_separators_is_split_at_paragraphs() {
    let paragraph = |number: usize| format!("{}.", format!("word{number} ").repeat(20).trim());
    let text: Vec<String> = (0..100).map(paragraph).collect();
    let settings =
        CorpusSettings { held_out: 0.0, document_bytes: 500, ..CorpusSettings::default() };
    let (corpus, _) = prepared(&text.join("\r\n\r\n  \r\n").replace("\r\n", "\n"), &settings);
    assert!(corpus.train.len() > 30);
    assert!(corpus.train.iter().all(|document| document.len() <= 500));
    // No text is lost, and no paragraph is split.
    assert_eq!(corpus.train.join("\n\n"), text.join("\n\n"));

    let sentences: String = (0..200).map(|n| format!("This is sentence {n} of many. ")).collect();
    let long = format!("{} {}", sentences.trim(), "é".repeat(300));
    let (corpus, _) = prepared(&long, &settings);
    assert!(corpus.train.iter().all(|document| document.len() <= 500));
    assert!(corpus.train[0].ends_with("of many."));
    let letters = |text: &str| text.replace([' ', '\n'], "");
    assert_eq!(letters(&corpus.train.concat()), letters(&long));
}

#[test]
fn documents_cut_off_at_the_edge_of_a_file_are_dropped() {
    let settings = CorpusSettings { held_out: 0.0, ..CorpusSettings::default() };
    let text = format!("and so they\nlived.\n<|endoftext|>\n{}Once upon a", stories(0..3));
    let (corpus, counts) = prepared(&text, &settings);
    assert_eq!(corpus.train, [story(0), story(1), story(2)]);
    assert_eq!(counts.cut_off, 2);
    let text = format!("{}The end.", stories(0..3));
    assert_eq!(prepared(&text, &settings).0.train.len(), 4);
}

#[test]
fn typographic_punctuation_is_kept_without_plain() {
    let text = "“It’s — ‘so’ – she said…”";
    let settings = CorpusSettings { held_out: 0.0, ..CorpusSettings::default() };
    assert_eq!(prepared(text, &settings).0.train, [text]);
    let settings = CorpusSettings { plain: true, ..settings };
    assert_eq!(prepared(text, &settings).0.train, ["\"It's -- 'so' - she said...\""]);
}

#[test]
fn a_folder_of_texts_becomes_a_corpus_and_a_tokenizer() {
    let place = Folder::new("corpus-folder");
    place.file("texts/a.txt", format!("\u{feff}{}", stories(0..300)).replace('\n', "\r\n"));
    let book = "# Title\n\n## Author\n\n-----\n\n## Chapter\n\nIt was _very_ good.\n";
    place.file("texts/more/b.md", book);
    place.file("texts/.hidden.txt", "hidden");
    place.file("texts/picture.png", b"\x89PNG\0");
    let output = data(&place, &[place.join("texts").as_os_str()]);
    assert!(output.status.success(), "{}", said(&output));
    let corpus = Corpus::read(&corpus_in(&place)).unwrap();
    assert_eq!(corpus.train.len() + corpus.held_out.len(), 301);
    assert!(corpus.train.iter().chain(&corpus.held_out).any(|d| d == "It was very good."));
    let about = fs::read_to_string(corpus_in(&place).join("corpus.md")).unwrap();
    for (name, documents) in [("a.txt", "300"), ("b.md", "1")] {
        let line = about.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.split(' ').any(|word| word == documents), "{line}");
    }
    // The output is short and names this file, which has the details.
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().count(), 4, "{printed}");
    let path = corpus_in(&place).join("corpus.md");
    assert!(printed.contains(path.to_str().unwrap()), "{printed}");

    let output = run([
        "tokenizer".as_ref(),
        corpus_in(&place).as_os_str(),
        "--vocab-size".as_ref(),
        "320".as_ref(),
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let bytes = fs::read(corpus_in(&place).join("tokenizer.bin")).unwrap();
    assert!(bootllm_tokenizer::Tokenizer::from_bytes_for(&bytes, 320).is_ok());
    // The file, and the bytes per token of both parts.
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 3);
    // Making it again gives the same corpus.
    let before = fs::read(corpus_in(&place).join("train.txt")).unwrap();
    assert!(data(&place, &[place.join("texts").as_os_str()]).status.success());
    assert_eq!(fs::read(corpus_in(&place).join("train.txt")).unwrap(), before);
}

#[test]
fn invalid_texts_are_refused() {
    let place = Folder::new("corpus-refusals");
    let utf16: Vec<u8> = "Zoë".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for content in [b"".as_slice(), b" \n\n", b"abc\0def", &utf16, b"caf\xe9 au lait"] {
        let file = place.file("bad.txt", content);
        // The reason is the one of the function that reads texts; empty ones are ours.
        let expected = match bootllm_host::read_text(&file) {
            Ok(_) => TrainError::NoText(file.clone()).to_string(),
            Err(error) => format!("{error:#}"),
        };
        assert!(expected.contains("bad.txt"), "{expected}");
        assert_refused(&data(&place, &[file.as_os_str()]), expected);
        assert!(!corpus_in(&place).exists());
    }

    let nowhere = place.join("nowhere");
    let known = String::from("tinyshakespeare, TinyStories");
    let unknown = TrainError::UnknownText { path: nowhere.clone(), known };
    assert_refused(&data(&place, &[nowhere.as_os_str()]), unknown);
    fs::create_dir(&nowhere).unwrap();
    assert_refused(&data(&place, &[nowhere.as_os_str()]), TrainError::NoTextFiles(nowhere));
    let file = place.file("marks.txt", "... !!!\n\n---\n");
    let nothing = TrainError::NothingToTrainOn { documents: 0, held_out: 0, near_duplicates: 0 };
    assert_refused(&data(&place, &[file.as_os_str()]), nothing);
    let file = place.file("good.txt", stories(0..10));
    for (option, value) in [
        ("--held-out", "1"),
        ("--held-out", "NaN"),
        ("--held-out", "-0.1"),
        ("--overlap", "0"),
        ("--document-bytes", "5"),
    ] {
        let option_text = format!("{option}={value}");
        let output = data(&place, &[file.as_os_str(), option_text.as_ref()]);
        assert_refused(&output, option);
    }
    assert!(!corpus_in(&place).exists());

    let output = run(["tokenizer".as_ref(), place.path().as_os_str()]);
    assert_refused(&output, TrainError::NoCorpus(place.path().to_owned()));
    assert!(data(&place, &[file.as_os_str()]).status.success());
    let output =
        run(["tokenizer".as_ref(), corpus_in(&place).as_os_str(), "--vocab-size=30000".as_ref()]);
    assert_refused(&output, "--vocab-size");
    assert!(!corpus_in(&place).join("tokenizer.bin").exists());
}

#[test]
fn foreign_files_are_not_overwritten() {
    let place = Folder::new("corpus-mine");
    let text = place.file("text.txt", stories(0..10));
    let mine = place.file("corpus/train.txt", "my own");
    assert_refused(&data(&place, &[text.as_os_str()]), TrainError::ForeignFile(mine.clone()));
    assert_eq!(fs::read(mine).unwrap(), b"my own");

    let place = Folder::new("corpus-file");
    let text = place.file("text.txt", stories(0..10));
    place.file("corpus", "a file");
    let folder = TrainError::CannotCreateFolder(corpus_in(&place));
    assert_refused(&data(&place, &[text.as_os_str()]), folder);
}

/// Simulates a full disk by limiting the size of files.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let place = Folder::new("corpus-full");
    let few = place.file("few.txt", stories(0..10));
    assert!(data(&place, &[few.as_os_str()]).status.success());
    let before = Corpus::read(&corpus_in(&place)).unwrap();
    let many = place.file("many.txt", stories(0..1000));
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_bootllm-train"))
        .arg("data")
        .arg(corpus_in(&place))
        .arg(many)
        .output()
        .unwrap();
    assert_refused(&output, "train.txt");
    assert_eq!(Corpus::read(&corpus_in(&place)).unwrap(), before);
    assert_eq!(names(&corpus_in(&place)), ["corpus.md", "held-out.txt", "train.txt"]);
}

/// What a local server sends for every request.
#[derive(Clone)]
struct Sent {
    content: Arc<Vec<u8>>,
    /// The SHA-256 in its header.
    hash: Option<String>,
    /// Bytes after which it closes the first connection.
    cut: usize,
}

/// Starts a server; returns its address and the requests it gets.
fn serve(sent: Sent) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    thread::spawn(move || {
        let mut sent = sent;
        for stream in listener.incoming().flatten() {
            // The client may close the connection.
            let _ = answer(stream, &mut sent, &log);
        }
    });
    (address, requests)
}

fn answer(mut stream: TcpStream, sent: &mut Sent, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let mut range = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some((from, last)) =
            line.strip_prefix("range: bytes=").and_then(|r| r.split_once('-'))
        {
            range = Some((
                from.parse().unwrap(),
                last.parse().map_or(usize::MAX, |last: usize| last + 1),
            ));
        }
    }
    let size = sent.content.len();
    let (from, end): (usize, usize) = range.unwrap_or((0, size));
    let end = end.min(size);
    log.lock().unwrap().push(format!("{request} {from}..{end}"));
    let status = match range {
        Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}", end - 1),
        None => "200 OK".into(),
    };
    let hash =
        sent.hash.as_ref().map_or(String::new(), |hash| format!("X-Linked-ETag: \"{hash}\"\r\n"));
    write!(
        stream,
        "HTTP/1.1 {status}\r\nETag: \"tag\"\r\n{hash}Content-Length: {}\r\nConnection: close\r\n\r\n",
        end - from
    )?;
    if request.starts_with("GET") {
        let end = end.min(from.saturating_add(std::mem::replace(&mut sent.cut, usize::MAX)));
        stream.write_all(&sent.content[from..end])?;
    }
    Ok(())
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn data_from(address: &str, place: &Folder, arguments: &[&str]) -> Output {
    let mut command = program();
    command.env("BOOTLLM_FETCH_BASE", address).arg("data").arg(corpus_in(place)).args(arguments);
    command.output().unwrap()
}

#[test]
fn a_corpus_is_downloaded_by_name_and_resumed() {
    let place = Folder::new("corpus-fetch");
    let content = stories(0..3000).into_bytes();
    assert!(content.len() > 1_200_000);
    let sent = Sent { content: Arc::new(content.clone()), hash: None, cut: 300_000 };
    let (address, requests) = serve(sent);
    let output = data_from(&address, &place, &["tinystories", "--megabytes", "1"]);
    assert!(output.status.success(), "{}", said(&output));
    let gets: Vec<_> =
        requests.lock().unwrap().iter().filter(|r| r.starts_with("GET")).cloned().collect();
    let path = "/datasets/roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-train.txt";
    assert_eq!(
        gets,
        [format!("GET {path} HTTP/1.1 0..1000000"), format!("GET {path} HTTP/1.1 300000..1000000")]
    );
    let file = corpus_in(&place).join("fetched/TinyStories-first-1MB.txt");
    assert!(fs::read(&file).unwrap() == content[..1_000_000]);
    // It lacks the story that was cut off.
    let corpus = Corpus::read(&corpus_in(&place)).unwrap();
    let whole = documents(std::str::from_utf8(&content[..1_000_000]).unwrap()).count() - 1;
    assert_eq!(corpus.train.len() + corpus.held_out.len(), whole);
    let about = fs::read_to_string(corpus_in(&place).join("corpus.md")).unwrap();
    for text in [String::from_utf8(output.stdout).unwrap(), about] {
        let lines = text.lines().filter(|line| line.contains("CDLA-Sharing-1.0"));
        assert_eq!(lines.count(), 1, "{text}");
    }

    // An existing file is not downloaded again.
    let output = data_from("http://127.0.0.1:1", &place, &["TinyStories", "--megabytes=1"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_corpus_with_a_wrong_checksum_is_refused() {
    let place = Folder::new("corpus-checksum");
    let content = Arc::new(stories(0..100).into_bytes());
    let wrong = Sent { content: content.clone(), hash: Some("0".repeat(64)), cut: usize::MAX };
    let output = data_from(&serve(wrong).0, &place, &["tinyshakespeare"]);
    // The downloader has printed why, with both checksums.
    let (right, wrong) = (hash(&content), "0".repeat(64));
    let error = said(&output);
    assert!(error.contains(&right) && error.contains(&wrong), "{error}");
    assert_refused(&output, TrainError::NotDownloaded("tinyshakespeare"));
    assert!(!corpus_in(&place).join("train.txt").exists());
    assert_eq!(fs::read_dir(corpus_in(&place).join("fetched")).unwrap().count(), 0);

    let right = Sent { content, hash: Some(right), cut: 10 };
    let output = data_from(&serve(right).0, &place, &["tinyshakespeare"]);
    assert!(output.status.success(), "{}", said(&output));
    let corpus = Corpus::read(&corpus_in(&place)).unwrap();
    assert_eq!(corpus.train.len() + corpus.held_out.len(), 100);
}

#[test]
fn without_a_network_the_error_names_the_file_to_download() {
    let place = Folder::new("corpus-network");
    let output = data_from("http://127.0.0.1:1", &place, &["tinyshakespeare"]);
    assert!(said(&output).contains("fetched/tinyshakespeare.txt"), "{}", said(&output));
    assert_refused(&output, TrainError::NotDownloaded("tinyshakespeare"));
    assert!(!corpus_in(&place).join("train.txt").exists());
}
