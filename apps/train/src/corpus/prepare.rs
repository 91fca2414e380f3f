//! Makes a corpus from texts.

use super::duplicates::{HeldOutNgrams, key};
use super::{Corpus, SEPARATOR, Source, markdown, text};
use crate::error::TrainError;
use anyhow::{Result, bail};
use std::collections::HashSet;

/// How a corpus is made.
#[derive(Clone, Debug)]
pub struct CorpusSettings {
    /// The share of documents to hold out, from 0 to 1.
    pub held_out: f64,
    /// The size of the documents that a text without [`SEPARATOR`] is split into, in bytes.
    pub document_bytes: usize,
    /// Whether to replace typographic quotes, dashes and dots by ASCII.
    pub plain: bool,
    /// Training documents are dropped if at least this share of their 8-grams is held out.
    pub overlap: f64,
}

impl Default for CorpusSettings {
    fn default() -> Self {
        CorpusSettings { held_out: 0.05, document_bytes: 2000, plain: false, overlap: 0.2 }
    }
}

/// A source of a corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceStats {
    /// Its name.
    pub name: String,
    /// Its licence, if known.
    pub licence: Option<&'static str>,
    /// Bytes of its text.
    pub bytes: usize,
    /// Documents in it.
    pub documents: usize,
}

/// Where the documents came from and which were dropped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CorpusStats {
    /// The sources.
    pub sources: Vec<SourceStats>,
    /// Documents that were cut off at the beginning or end of a file.
    pub cut_off: usize,
    /// Documents with the same words as an earlier one.
    pub duplicates: usize,
    /// Training documents too similar to a held-out one.
    pub near_duplicates: usize,
    /// The share of held-out 8-grams that also occur in training documents.
    pub leak: f64,
}

/// Makes a corpus. `progress` gets the bytes processed so far and the total.
///
/// A document is held out if the first eight bytes of the SHA-256 of its words (lower case, letters
/// and digits only, separated by a space), as a big-endian number, are below `held_out` · 2⁶⁴. So
/// this depends on its words alone, not on the order or on other documents.
pub fn prepare(
    sources: Vec<Source>,
    settings: &CorpusSettings,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Corpus, CorpusStats)> {
    let mut stats = CorpusStats::default();
    let mut corpus = Corpus::default();
    let mut seen = HashSet::new();
    // Every text is processed twice, so it stats half each time.
    let total = sources.iter().map(|source| source.text.len() as u64).sum::<u64>();
    let mut done = 0;
    for source in sources {
        let documents = documents(&source, settings, &mut stats);
        let Source { name, text, licence, .. } = source;
        let (bytes, found) = (text.len(), documents.len());
        // Texts are large, and the documents are copies.
        drop(text);
        stats.sources.push(SourceStats { name, licence, bytes, documents: found });
        for document in documents {
            done += document.len() as u64;
            progress(done / 2, total);
            let Some(key) = key(&document) else { continue };
            if !seen.insert(key) {
                stats.duplicates += 1;
            } else if is_held_out(&key, settings.held_out) {
                corpus.held_out.push(document);
            } else {
                corpus.train.push(document);
            }
        }
    }
    let mut held_out_ngrams = HeldOutNgrams::of(&corpus.held_out);
    let before = corpus.train.len();
    corpus.train.retain(|document| {
        done += document.len() as u64;
        progress(done / 2, total);
        !held_out_ngrams.overlaps(document, settings.overlap)
    });
    stats.near_duplicates = before - corpus.train.len();
    stats.leak = held_out_ngrams.leaked_share();
    if corpus.train.is_empty() {
        let held_out = corpus.held_out.len();
        bail!(TrainError::NothingToTrainOn {
            documents: before + held_out,
            held_out,
            near_duplicates: stats.near_duplicates,
        });
    }
    Ok((corpus, stats))
}

fn is_held_out(key: &[u8; 32], share: f64) -> bool {
    let (first, _) = key.split_first_chunk().expect("a hash has 32 bytes");
    (u64::from_be_bytes(*first) as f64) < share * 2f64.powi(64)
}

/// The documents of a source, with normalized white space and punctuation.
fn documents(source: &Source, settings: &CorpusSettings, stats: &mut CorpusStats) -> Vec<String> {
    let tidy = |document: &str| {
        let document = text::normalize_whitespace(document);
        if settings.plain { text::to_ascii_punctuation(&document) } else { document }
    };
    if source.markdown {
        let sections = source.text.split(SEPARATOR).flat_map(markdown::sections);
        let split = |section: String| text::split(&tidy(&section), settings.document_bytes);
        return sections.flat_map(split).collect();
    }
    if !source.text.contains(SEPARATOR) {
        return text::split(&tidy(&source.text), settings.document_bytes);
    }
    let mut documents: Vec<String> = super::documents(&source.text).map(tidy).collect();
    // The file may be a slice of a larger one that begins and ends in the middle of a document.
    let begins = |d: &String| d.chars().next().is_some_and(|c| !c.is_lowercase());
    let ends = |d: &String| d.ends_with(['.', '!', '?', '"', '\'', '”', '’', ')']);
    if documents.first().is_some_and(|first| !begins(first)) {
        documents.remove(0);
        stats.cut_off += 1;
    }
    let open = !source.text.trim_end().ends_with(SEPARATOR);
    if open && documents.last().is_some_and(|last| !ends(last)) {
        documents.pop();
        stats.cut_off += 1;
    }
    documents
}
