//! From texts to a corpus.

use super::duplicates::{HeldOutRuns, key};
use super::{Corpus, SEPARATOR, Source, markdown, text};
use anyhow::{Result, bail};
use std::collections::HashSet;

/// How a corpus is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The share of the documents that is held out, from 0 to 1.
    pub held_out: f64,
    /// The size of the documents that a text without [`SEPARATOR`] is parted into.
    pub document_bytes: usize,
    /// Whether typographic quotes, dashes and dots become ASCII's.
    pub plain: bool,
    /// A training document of whose runs of words this share is held out is dropped.
    pub overlap: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { held_out: 0.05, document_bytes: 2000, plain: false, overlap: 0.2 }
    }
}

/// A source, and what was found in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// Its name.
    pub name: String,
    /// Its licence, where that is known.
    pub licence: Option<&'static str>,
    /// Bytes of its text.
    pub bytes: usize,
    /// Documents in it.
    pub documents: usize,
}

/// What was found and what became of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// What the documents came from.
    pub sources: Vec<Counted>,
    /// Documents that began or ended in the middle of a sentence at a file's edge.
    pub cut_off: usize,
    /// Documents with the same words as an earlier one.
    pub duplicates: usize,
    /// Training documents that have too much in common with the held-out part.
    pub near_duplicates: usize,
    /// The share of the held-out runs of words that also occur in what is trained on.
    pub leak: f64,
}

/// Makes a corpus. `progress` is told how many of how many bytes have been gone through.
///
/// A document is held out if the first eight bytes of the SHA-256 of its words (lower case,
/// letters and digits only, a space between), as a big-endian number, are below the share of
/// 2⁶⁴. So it depends on nothing but its own words: not on the order or on the other documents.
pub fn prepare(
    sources: Vec<Source>,
    settings: &Settings,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Corpus, Counts)> {
    let mut counts = Counts::default();
    let mut corpus = Corpus::default();
    let mut seen = HashSet::new();
    // Every text is gone through twice, and is half done after the first time.
    let total = sources.iter().map(|source| source.text.len() as u64).sum::<u64>();
    let mut done = 0;
    for source in sources {
        let documents = documents(&source, settings, &mut counts);
        let Source { name, text, licence, .. } = source;
        let (bytes, found) = (text.len(), documents.len());
        // A large text is not needed twice.
        drop(text);
        counts.sources.push(Counted { name, licence, bytes, documents: found });
        for document in documents {
            done += document.len() as u64;
            progress(done / 2, total);
            let Some(key) = key(&document) else { continue };
            if !seen.insert(key) {
                counts.duplicates += 1;
            } else if is_held_out(&key, settings.held_out) {
                corpus.held_out.push(document);
            } else {
                corpus.train.push(document);
            }
        }
    }
    let mut runs = HeldOutRuns::of(&corpus.held_out);
    let before = corpus.train.len();
    corpus.train.retain(|document| {
        done += document.len() as u64;
        progress(done / 2, total);
        !runs.shares(document, settings.overlap)
    });
    counts.near_duplicates = before - corpus.train.len();
    counts.leak = runs.met();
    if corpus.train.is_empty() {
        let held_out = corpus.held_out.len();
        bail!(
            "nothing is left to train on: of {} documents, {held_out} are held out and {} are \
             too much like those",
            before + held_out,
            counts.near_duplicates
        );
    }
    Ok((corpus, counts))
}

fn is_held_out(key: &[u8; 32], share: f64) -> bool {
    let (first, _) = key.split_first_chunk().expect("a hash has 32 bytes");
    (u64::from_be_bytes(*first) as f64) < share * 2f64.powi(64)
}

/// The tidied documents of a source.
fn documents(source: &Source, settings: &Settings, counts: &mut Counts) -> Vec<String> {
    let tidy = |document: &str| {
        let document = text::tidy(document);
        if settings.plain { text::plain(&document) } else { document }
    };
    if source.markdown {
        let parts = source.text.split(SEPARATOR).flat_map(markdown::sections);
        return parts.flat_map(|part| text::part(&tidy(&part), settings.document_bytes)).collect();
    }
    if !source.text.contains(SEPARATOR) {
        return text::part(&tidy(&source.text), settings.document_bytes);
    }
    let mut documents: Vec<String> = super::documents(&source.text).map(tidy).collect();
    // A slice of a larger file may begin and end anywhere.
    let begins = |d: &String| d.chars().next().is_some_and(|c| !c.is_lowercase());
    let ends = |d: &String| d.ends_with(['.', '!', '?', '"', '\'', '”', '’', ')']);
    if documents.first().is_some_and(|first| !begins(first)) {
        documents.remove(0);
        counts.cut_off += 1;
    }
    let open = !source.text.trim_end().ends_with(SEPARATOR);
    if open && documents.last().is_some_and(|last| !ends(last)) {
        documents.pop();
        counts.cut_off += 1;
    }
    documents
}
