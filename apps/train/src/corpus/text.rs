//! White space, punctuation, and splitting at paragraphs.

/// Removes trailing white space, and all but one of several empty lines in a row.
pub fn normalize_whitespace(text: &str) -> String {
    let mut normalized = String::with_capacity(text.len());
    let mut empty_lines = 0;
    for line in text.split('\n') {
        let line = line.trim_end();
        empty_lines = if line.is_empty() { empty_lines + 1 } else { 0 };
        if empty_lines < 2 {
            normalized.push_str(line);
            normalized.push('\n');
        }
    }
    normalized.trim().to_owned()
}

/// Replaces typographic quotes, dashes, dots and spaces by ASCII.
pub fn to_ascii_punctuation(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '‘' | '’' | '‚' | '‛' | '′' | 'ʼ' => plain.push('\''),
            '“' | '”' | '„' | '‟' | '″' | '«' | '»' => plain.push('"'),
            '‐' | '‑' | '‒' | '–' | '−' => plain.push('-'),
            '—' | '―' => plain.push_str("--"),
            '…' => plain.push_str("..."),
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' => plain.push(' '),
            '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{feff}' => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Splits a text between paragraphs into documents of at most `size` bytes. A longer paragraph is
/// split after a line, else a sentence, else a word.
pub fn split(text: &str, size: usize) -> Vec<String> {
    let mut documents: Vec<String> = Vec::new();
    let mut document = String::new();
    for paragraph in text.split("\n\n") {
        let mut paragraph = paragraph.trim_matches('\n');
        if !document.is_empty() && document.len() + 2 + paragraph.len() > size {
            documents.push(std::mem::take(&mut document));
        }
        while paragraph.len() > size {
            let (head, rest) = paragraph.split_at(cut(paragraph, size));
            documents.push(head.trim_end().to_owned());
            paragraph = rest.trim_start();
        }
        if !document.is_empty() {
            document.push_str("\n\n");
        }
        document.push_str(paragraph);
    }
    documents.push(document);
    documents.retain(|document| !document.trim().is_empty());
    documents
}

/// Where to split a paragraph: after at most `size` bytes, and at least one character.
fn cut(paragraph: &str, size: usize) -> usize {
    let head = &paragraph[..paragraph.floor_char_boundary(size)];
    let after = |ends: &[&str]| {
        let last = ends.iter().filter_map(|end| head.rfind(end).map(|at| at + end.len())).max();
        last.filter(|&at| at > head.len() / 2)
    };
    after(&["\n"])
        .or_else(|| after(&[". ", "! ", "? ", "\" ", "' "]))
        .or_else(|| after(&[" "]))
        .or_else(|| Some(head.len()).filter(|&length| length > 0))
        .unwrap_or_else(|| paragraph.chars().next().map_or(0, char::len_utf8))
}
