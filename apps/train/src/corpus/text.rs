//! What is done to every text: line ends, spaces, quotes, and parting at paragraphs.

/// A text without spaces at the ends of lines and with at most one empty line in a row.
pub fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut empty_lines = 0;
    for line in text.split('\n') {
        let line = line.trim_end();
        empty_lines = if line.is_empty() { empty_lines + 1 } else { 0 };
        if empty_lines < 2 {
            tidied.push_str(line);
            tidied.push('\n');
        }
    }
    tidied.trim().to_owned()
}

/// Typographic quotes, dashes, dots and spaces as ASCII has them.
pub fn plain(text: &str) -> String {
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

/// Parts a text between its paragraphs into pieces of at most `size` bytes, where a paragraph is
/// not longer; one that is, is cut behind a line, a sentence, or a word.
pub fn part(text: &str, size: usize) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut piece = String::new();
    for paragraph in text.split("\n\n") {
        let mut paragraph = paragraph.trim_matches('\n');
        if !piece.is_empty() && piece.len() + 2 + paragraph.len() > size {
            pieces.push(std::mem::take(&mut piece));
        }
        while paragraph.len() > size {
            let (head, rest) = paragraph.split_at(cut(paragraph, size));
            pieces.push(head.trim_end().to_owned());
            paragraph = rest.trim_start();
        }
        if !piece.is_empty() {
            piece.push_str("\n\n");
        }
        piece.push_str(paragraph);
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// Where to cut a paragraph so that at most `size` bytes are before it, and at least a character.
fn cut(paragraph: &str, size: usize) -> usize {
    let head = &paragraph[..paragraph.floor_char_boundary(size)];
    let behind = |ends: &[&str]| {
        let last = ends.iter().filter_map(|end| head.rfind(end).map(|at| at + end.len())).max();
        last.filter(|&at| at > head.len() / 2)
    };
    behind(&["\n"])
        .or_else(|| behind(&[". ", "! ", "? ", "\" ", "' "]))
        .or_else(|| behind(&[" "]))
        .or_else(|| Some(head.len()).filter(|&length| length > 0))
        .unwrap_or_else(|| paragraph.chars().next().map_or(0, char::len_utf8))
}
