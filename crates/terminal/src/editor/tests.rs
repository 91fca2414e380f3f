mod replay;

use super::*;

const SIZE: Size = Size { columns: 20, rows: 5 };

/// Types keys after the prompt `> `; gives what came out, without the prompt.
fn typed(editor: &mut LineEditor, keys: &[Key]) -> (String, Edit) {
    let mut out = String::new();
    editor.begin("> ", SIZE, &mut out);
    assert_eq!(out, "> ");
    out.clear();
    let mut edit = Edit::Continue;
    for &key in keys {
        assert_eq!(edit, Edit::Continue, "a key after the end: {keys:?}");
        edit = editor.key(key, &mut out);
    }
    (out, edit)
}

/// The keys that text stands for: `\n` Enter, `^x` Ctrl+X, `~x` Alt+X, `<` Left.
fn keys(text: &str) -> Vec<Key> {
    let mut characters = text.chars();
    let mut keys = Vec::new();
    while let Some(character) = characters.next() {
        keys.push(match character {
            '\n' => Key::Enter,
            '\t' => Key::Tab,
            '<' => Key::Left,
            '^' => Key::Ctrl(characters.next().unwrap()),
            '~' => Key::Alt(characters.next().unwrap()),
            _ => Key::Char(character),
        });
    }
    keys
}

#[test]
fn lines() {
    for (text, line) in [
        ("\n", ""),
        ("abc\n", "abc"),
        ("ac<b\n", "abc"),
        ("ac^bb^f^fd\n", "abcd"),
        ("bc^aa^ed\n", "abcd"),
        ("ab^h^h^h\n", ""),
        ("abc<^h\n", "ac"),
        ("abc^a^d\n", "bc"),
        ("abc^d\n", "abc"),
        ("one two  ^wx\n", "one x"),
        ("one two~b~bx~f~fy\n", "xone twoy"),
        ("one two~b~b~d\n", " two"),
        ("one, two^a~f~d\n", "one"),
        ("abcd<<^u\n", "cd"),
        ("abcd<<^k\n", "ab"),
        ("e\u{301}x<<y\n", "ye\u{301}x"),
        ("xe\u{301}^h\n", "x"),
        ("\u{301}x\n", "x"),
        ("xy<\u{301}\n", "x\u{301}y"),
        ("漢字<<a\n", "a漢字"),
        ("a\t^q~q^zb\n", "ab"),
    ] {
        let (_, edit) = typed(&mut LineEditor::new(), &keys(text));
        assert_eq!(edit, Edit::Line(line.into()), "{text:?}");
    }
}

#[test]
fn ends() {
    let mut out = String::new();
    for (text, key, edit) in [
        ("", Key::Ctrl('c'), Edit::Cancelled),
        ("ab", Key::Ctrl('c'), Edit::Cancelled),
        ("", Key::Escape, Edit::Cancelled),
        ("ab", Key::Escape, Edit::Continue),
        ("", Key::Ctrl('d'), Edit::EndOfInput),
        ("ab", Key::Ctrl('d'), Edit::Continue),
    ] {
        let mut editor = LineEditor::new();
        typed(&mut editor, &keys(text));
        assert_eq!(editor.key(key, &mut out), edit, "{text:?} {key:?}");
    }
}

#[test]
fn escape_clears_the_line() {
    let mut editor = LineEditor::new();
    let (_, edit) = typed(
        &mut editor,
        &[Key::Char('a'), Key::Escape, Key::Char('b'), Key::Home, Key::Delete, Key::Enter],
    );
    assert_eq!(edit, Edit::Line("".into()));
}

#[test]
fn output_is_short() {
    for (text, out) in [
        ("abc", "abc"),
        ("abc\n", "abc"),
        ("ab^h", "ab\x08\x1b[K"),
        ("ab<", "ab\x08"),
        ("ab^a", "ab\x08\x08"),
        ("abcd^a", "abcd\x1b[4D"),
        ("ab^ax", "ab\x08\x08xab\x08\x08"),
        ("ab^a\n", "ab\x08\x08\x1b[2C"),
        ("a^q^f", "a"),
        ("漢<", "漢\x08\x08"),
        // A full row: the cursor goes on to the next.
        ("0123456789abcdefghx", "0123456789abcdefgh\nx"),
        ("0123456789abcdefgh^h", "0123456789abcdefgh\n\x1b[1A\x1b[19C\x1b[J"),
        ("0123456789abcdefgh^a", "0123456789abcdefgh\n\x1b[1A\x1b[2C"),
        // The last column stays empty.
        ("0123456789abcdefg漢", "0123456789abcdefg \n漢"),
        ("a^l", "a\x1b[H\x1b[2J> a"),
    ] {
        assert_eq!(typed(&mut LineEditor::new(), &keys(text)).0, out, "{text:?}");
    }
}

#[test]
fn after_a_line_comes_a_new_row() {
    for (text, end) in [("ab\n", "\n"), ("^c", "\n"), ("0123456789abcdefgh\n", "")] {
        let mut editor = LineEditor::new();
        typed(&mut editor, &keys(text));
        let mut out = String::new();
        editor.leave_row(&mut out);
        assert_eq!(out, end, "{text:?}");
    }
}

#[test]
fn styled_prompt_takes_no_columns() {
    let mut out = String::new();
    let mut editor = LineEditor::new();
    editor.begin("\x1b[1m>>>\x1b[0m ", Size { columns: 5, rows: 3 }, &mut out);
    editor.key(Key::Char('a'), &mut out);
    editor.key(Key::Home, &mut out);
    assert_eq!(out, "\x1b[1m>>>\x1b[0m a\n\x1b[1A\x1b[4C");
}

#[test]
fn history() {
    let mut editor = LineEditor::new();
    for line in ["one\n", "\n", "two\n", "two\n", "three\n"] {
        typed(&mut editor, &keys(line));
    }
    for (text, line) in [
        ("dr^p^n\n", "dr"),
        ("^n\n", ""),
        // "dr" was added by the first, and so on: each line typed is kept.
        ("^p^p^p\n", "two"),
        ("^p^p^p^p^p^p^p^p\n", "one"),
        ("new^p^p^n^n!\n", "new!"),
        ("^px^p^n\n", "new!"),
    ] {
        assert_eq!(typed(&mut editor, &keys(text)).1, Edit::Line(line.into()), "{text:?}");
    }
}

#[test]
fn history_is_bounded() {
    let mut editor = LineEditor::new();
    for number in 0..1000 {
        typed(&mut editor, &keys(&alloc::format!("{number}\n")));
    }
    let mut up = alloc::vec![Key::Up; 1000];
    up.push(Key::Enter);
    assert_eq!(typed(&mut editor, &up).1, Edit::Line("800".into()));
}

#[test]
fn completion() {
    let mut editor = LineEditor::new();
    editor.set_completions(&["/help", "/set temperature", "/set top_p", "/show", "/été"]);
    for (text, out) in [
        ("/h\t", "/help"),
        ("/help\t", "/help"),
        ("/x\t", "/x"),
        ("x\t", "x"),
        ("/se\t", "/set t"),
        ("/set t\t", "/set t\n/set temperature  /set top_p\n> /set t"),
        ("/s\t", "/s\n/set temperature  /set top_p  /show\n> /s"),
        ("/st<\t", "/st\x08\x1b[1C\n/set temperature  /set top_p  /show\n> /st\x08"),
        ("/é\t", "/été"),
    ] {
        assert_eq!(typed(&mut editor, &keys(text)).0, out, "{text:?}");
    }
}

#[test]
fn line_length_is_bounded() {
    let mut editor = LineEditor::new();
    let mut out = String::new();
    editor.begin("", SIZE, &mut out);
    editor.insert_str(&"x".repeat(1 << 20));
    assert_eq!(editor.text.len(), LineEditor::LONGEST_LINE);
    assert_eq!(editor.cursor, editor.text.len());
}
