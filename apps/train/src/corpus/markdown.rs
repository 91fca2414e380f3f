//! Extracts text from Markdown.
//!
//! Headings separate sections and are dropped, as are front matter, horizontal rules and emphasis
//! marks. A play, recognized by lines that begin with a bold name, is written like tinyshakespeare:
//! the name with a colon, the speech below it, no stage directions.

/// Speeches from which on a text is a play.
const PLAY_SPEECHES: usize = 20;

/// The text of each section between headings. Some may be empty.
pub fn sections(markdown: &str) -> Vec<String> {
    let markdown = without_front_matter(markdown);
    let play = markdown.lines().filter(|line| speaker(line).is_some()).count() >= PLAY_SPEECHES;
    let mut sections = vec![];
    let mut section = String::new();
    let mut code = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code && is_heading(line) {
            sections.push(std::mem::take(&mut section));
        } else if code {
            section.push_str(line);
            section.push('\n');
        } else if play {
            add_line_of_play(line, &mut section);
        } else {
            let line = if is_rule(line) { "" } else { line.trim() };
            section.push_str(&without_marks(line.strip_prefix("> ").unwrap_or(line)));
            section.push('\n');
        }
    }
    sections.push(section);
    sections
}

/// Removes front matter: settings between two lines `---`.
fn without_front_matter(markdown: &str) -> &str {
    let after = |text: &str| text.find("\n---\n").map(|at| at + 5);
    let begin = markdown.strip_prefix("---\n").and_then(after);
    begin.map_or(markdown, |begin| &markdown[4 + begin..])
}

fn is_heading(line: &str) -> bool {
    let level = line.bytes().take_while(|&byte| byte == b'#').count();
    (1..=6).contains(&level) && matches!(line.as_bytes().get(level), None | Some(b' ' | b'\t'))
}

/// Whether a line is a horizontal rule: three or more of the same mark.
fn is_rule(line: &str) -> bool {
    let mut signs = line.chars().filter(|c| !c.is_whitespace());
    let first = signs.next();
    matches!(first, Some('-' | '*' | '_' | '='))
        && signs.clone().count() >= 2
        && signs.all(|c| Some(c) == first)
}

/// Removes emphasis marks, which are asterisks and underscores next to a word, and backslashes
/// before punctuation.
fn without_marks(line: &str) -> String {
    let characters: Vec<char> = line.chars().collect();
    let is = |at: Option<usize>, what: fn(char) -> bool| {
        at.and_then(|at| characters.get(at)).copied().is_some_and(what)
    };
    let stays = |&(at, &c): &(usize, &char)| {
        let (before, after) = (at.checked_sub(1), Some(at + 1));
        match c {
            '*' => is(before, char::is_whitespace) && is(after, char::is_whitespace),
            '_' => is(before, char::is_alphanumeric) && is(after, char::is_alphanumeric),
            '\\' => !is(after, |c| c.is_ascii_punctuation()),
            _ => true,
        }
    };
    let text: String = characters.iter().enumerate().filter(stays).map(|(_, c)| c).collect();
    text.trim().to_owned()
}

/// The speakers' names at the beginning of a line, and the speech after them: `**NAME**`, `**NAME**:
/// text`.
fn speaker(line: &str) -> Option<(String, &str)> {
    let mut names = Vec::new();
    let mut rest = line.trim();
    while let Some((name, after)) = rest.strip_prefix("**").and_then(|text| text.split_once("**")) {
        names.push(name.trim_end_matches(['.', ':']));
        rest = after.trim_start();
    }
    let said = if rest.is_empty() { rest } else { rest.strip_prefix(':')?.trim() };
    let named = !names.is_empty() && names.iter().all(|name| !name.is_empty());
    named.then(|| (names.join(" and "), said))
}

fn add_line_of_play(line: &str, section: &mut String) {
    let said = match speaker(line) {
        Some((names, said)) => {
            section.push_str(&format!("\n{names}:\n"));
            said
        }
        None => line.trim(),
    };
    let said = without_directions(said);
    if said.chars().any(char::is_alphanumeric) {
        section.push_str(&without_marks(&said));
        section.push('\n');
    }
}

/// Removes stage directions: `[Aside]`, `_Exeunt_`.
fn without_directions(line: &str) -> String {
    let mut said = line.to_owned();
    for (begin, end) in [('[', ']'), ('_', '_')] {
        while let Some((before, inner)) = said.split_once(begin)
            && let Some((_, after)) = inner.split_once(end)
        {
            said = format!("{before}{}", after.trim_start());
        }
    }
    said.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_separate_sections_and_marks_are_removed() {
        let text = "---\ntitle: x\n---\n# One\n\n_Ho_ *ho*, **ho**!\n\n* * *\n\n## Two ##\n\
                    > a snake_case, 2 * 3 \\--\n```\n# *code*\n  more\n```\n";
        let sections = sections(text);
        assert_eq!(
            sections,
            ["", "\nHo ho, ho!\n\n\n\n", "a snake_case, 2 * 3 --\n# *code*\n  more\n"]
        );
    }

    #[test]
    fn a_play_reads_as_tinyshakespeare_does() {
        let opening = "### SCENE I\n\n_Enter A, B_\n\n**KING.**\n[Aside] Who's  \n_To A_there?\n\n_[Exit.]_\n\n\
                       **A** **B**: Nobody.\n[He goes]\n\n";
        let play = format!("{opening}{}", "**KING**\nHo!\n\n\n".repeat(PLAY_SPEECHES));
        let sections = sections(&play);
        let expected = "\nKING:\nWho's\nthere?\n\nA and B:\nNobody.\n\nKING:\nHo!\n";
        assert!(sections[1].starts_with(expected), "{}", sections[1]);
        // A few bold lines make no play.
        assert_eq!(super::sections("**FIRST STORY**\n\nOnce"), ["FIRST STORY\n\nOnce\n"]);
    }
}
