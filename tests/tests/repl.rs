//! The program of the stick, from menu to power-off, on a machine made of memory.

use bootllm_chat::{Command, SETTINGS, report};
use bootllm_cores::OneCore;
use bootllm_engine::{KvFormat, Memory, Plan, Session};
use bootllm_model_file::{Config, Version};
use bootllm_platform::Key;
use bootllm_quant::Encoding;
use bootllm_repl::Leave;
use bootllm_sampling::{Sampler, SamplerSettings};
use bootllm_tests::{
    Fault, Gguf, Played, Script, SmallModel, Stage, VERSIONS, plan, value, vocabulary,
    vocabulary_of, write_text,
};
use bootllm_units::bytes as bytes_text;
use std::sync::Arc;

const ENTER: [Key; 1] = [Key::Enter];
const ESCAPE: [Key; 1] = [Key::Escape];
/// The way out of the menu: the second key says that it was meant.
const POWER_OFF: [Key; 2] = [Key::Char('q'), Key::Char('q')];
const PROMPT: &str = ">>> ";

fn tied_embeddings() -> Vec<u8> {
    SmallModel::tied_embeddings().file(Version::V1)
}

fn own_classifier() -> Vec<u8> {
    let config = SmallModel::untied_embeddings().config;
    SmallModel::untied_embeddings().file(VERSIONS[2](&config))
}

/// A machine with one model.
fn one_model() -> Stage {
    Stage::new().file("story.bin", tied_embeddings()).file("tokenizer.bin", vocabulary().write())
}

/// A machine with three models, in the order of their names.
fn three_models() -> Stage {
    one_model()
        .file("b.bin", own_classifier())
        .file("z/c.bin", tied_embeddings())
        .file("z/c.tokenizer.bin", vocabulary().write())
}

/// Plays a script and checks that all of it was played.
fn play(stage: &Stage, script: Script) -> Played {
    let played = stage.play(script);
    assert!(played.done, "the program was left before the script's end: {}", played.text());
    played
}

/// Plays lines at the prompt of the only model, after its first story.
fn type_lines(lines: &[&str]) -> Played {
    let script = lines.iter().fold(Script::new(), |script, line| script.line(line));
    play(&one_model(), script)
}

/// What is shown whatever the width of the lines.
#[track_caller]
fn assert_shows_words(played: &Played, expected: &str) {
    let text = words(&played.text());
    assert!(text.contains(expected), "{expected:?} is not in {text}");
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_shows(played: &Played, expected: &str) {
    let text = played.text();
    assert!(text.contains(expected), "{expected:?} is not in {text}");
}

/// What the program on Linux writes.
fn expected_text(prompt: &str, settings: &SamplerSettings, seed: u64, length: usize) -> String {
    let model = SmallModel::tied_embeddings().load(Version::V1);
    let (mut session, tokenizer) = (Session::new(&model, &OneCore).unwrap(), vocabulary());
    let sampler = Sampler::new(settings.chain(seed), tokenizer.len()).unwrap();
    let prompt = tokenizer.encode(prompt, true, false);
    let tokenizer = Arc::new(tokenizer);
    let text = write_text(&mut session, &tokenizer, sampler, &prompt, length).unwrap().0;
    // A console is shown no control characters.
    text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "")
}

#[test]
fn one_model_tells_a_story_by_itself() {
    let played = play(&one_model(), Script::new());
    assert_eq!(played.leave, Leave::PowerOff, "a closed console ends it");
    assert_shows(&played, "after llama2.c by Andrej Karpathy");
    assert_shows(&played, "story.bin: 68.9 k parameters, 276.0 kB loaded in ");
    assert_shows(&played, "to the first word: search ");
    // The first seed that this machine comes up with.
    let settings = SamplerSettings { temperature: 0.8, ..SamplerSettings::default() };
    assert_eq!(played.first_story(), expected_text("", &settings, 2, 256));
    assert!(played.text().trim_end().ends_with(PROMPT.trim_end()));
}

#[test]
fn what_is_typed_goes_on_as_on_linux() {
    let greedy = SamplerSettings { temperature: 0.0, ..SamplerSettings::default() };
    let bold = SamplerSettings { temperature: 0.8, top_p: 0.5 };
    let played = type_lines(&[
        "/set temperature 0",
        "Once upon a time",
        "über 日本語 😀!",
        "/set length 30",
        "The dog",
        "/set temperature 0.8",
        "/set top_p 0.5",
        "/set seed 42",
        "/set length 0",
        "on the time",
    ]);
    for (line, settings, length) in [
        ("Once upon a time", greedy, 256),
        ("über 日本語 😀!", greedy, 256),
        ("The dog", greedy, 30),
        ("on the time", bold, 100),
    ] {
        assert_eq!(played.reply_to(line), expected_text(line, &settings, 42, length), "{line}");
    }
}

#[test]
fn the_same_seed_tells_the_same_story_and_no_seed_another() {
    let played = type_lines(&["A", "B", "A", "/set seed 7", "C", "B", "C"]);
    assert_ne!(played.reply_to("A"), played.last_reply_to("A"));
    assert_eq!(played.reply_to("C"), played.last_reply_to("C"));
    let again = type_lines(&["/set seed 7", "C"]);
    assert_eq!(again.reply_to("C"), played.reply_to("C"));
    assert_shows(&again, "· seed 7\n");
    let (one, two) = (type_lines(&["A"]), type_lines(&["A"]));
    assert_eq!(one.output, two.output, "the same machine does the same");
}

#[test]
fn without_a_model_it_says_what_to_copy_and_looks_again() {
    let keys = [Key::Enter, Key::Char('1'), Key::Char('x')];
    let played = play(&Stage::new(), Script::new().keys(keys));
    assert_shows_words(&played, "There is no model here. Copy one onto the stick");
    assert_eq!(played.leave, Leave::PowerOff);
    // However often it is drawn, it stands there once.
    let screen = play(&Stage::new(), Script::new().keys(keys)).screen();
    assert_eq!(screen.iter().filter(|row| row.contains("no model")).count(), 1, "{screen:#?}");
    let played = play(&Stage::new(), Script::new().keys([Key::Char('r'), Key::Char('f')]));
    assert_eq!(played.leave, Leave::Firmware);
    let played = play(&Stage::new().broken_volume("no medium"), Script::new().keys(POWER_OFF));
    assert_shows_words(&played, "the volume cannot be read: no medium");
    let count = |what: &str| played.text().matches(what).count();
    assert_eq!(count("cannot be read"), count("no model here"), "it is said once");
    assert_eq!(played.leave, Leave::PowerOff);
}

#[test]
fn of_several_models_the_first_starts_after_a_countdown() {
    let played = play(&three_models(), Script::new().idle(5));
    assert_shows(&played, "b.bin starts in 5 s");
    assert_shows(&played, "b.bin starts in 1 s");
    assert_shows(&played, "b.bin: 42.2 k parameters");
    assert!(!played.first_story().is_empty());
}

#[test]
fn a_number_or_arrows_choose_a_model() {
    let chosen = |script: Script| {
        let text = play(&three_models(), script).text();
        let line = text.lines().find(|line| line.contains(" loaded in ")).expect("a model");
        line.rsplit('\r').next().unwrap().split(':').next().unwrap().to_string()
    };
    use Key::{Char, Down, End, Enter, Home, Up};
    assert_eq!(chosen(Script::new().keys([Char('1')])), "b.bin");
    assert_eq!(chosen(Script::new().keys([Char('2')])), "story.bin");
    assert_eq!(chosen(Script::new().idle(3).keys([Char('3')])), "z/c.bin");
    assert_eq!(chosen(Script::new().keys([Enter])), "b.bin");
    assert_eq!(chosen(Script::new().keys([Down, Enter])), "story.bin");
    assert_eq!(chosen(Script::new().keys([Up, Down, Down, Down, Down, Enter])), "z/c.bin");
    assert_eq!(chosen(Script::new().keys([End, Up, Enter])), "story.bin");
    assert_eq!(chosen(Script::new().keys([End, Home, Enter])), "b.bin");
    // What means nothing chooses nothing.
    assert_eq!(
        chosen(Script::new().keys([Char('9'), Char('0'), Char('x'), Down, Enter])),
        "story.bin"
    );
}

#[test]
fn any_key_stops_the_countdown() {
    for key in [Key::Down, Key::Char('x'), Key::Char(' '), Key::Escape, Key::PageUp] {
        // With the countdown gone the menu waits for ever, so that to be idle would be an error.
        let played = play(
            &three_models(),
            Script::new().idle(2).keys([key, Key::Char('q'), Key::Char('q')]),
        );
        assert_eq!(played.leave, Leave::PowerOff);
        assert_shows(&played, "arrows and Enter: choose");
    }
}

#[test]
fn the_menu_is_drawn_in_one_place() {
    let script =
        Script::new().idle(2).keys([Key::Down, Key::Down, Key::Up, Key::Char('q'), Key::Char('q')]);
    let screen = play(&three_models(), script).screen();
    let rows: Vec<&String> = screen.iter().filter(|row| row.contains("parameters")).collect();
    assert_eq!(rows.len(), 3, "{screen:#?}");
    assert!(rows[0].starts_with("   1  b.bin") && rows[1].starts_with(">  2  story.bin"));
    assert!(rows[0].ends_with("llama2.c v2 (int8)") && rows[1].ends_with("llama2.c v1 (f32)"));
    // More models than rows: the chosen one stays visible.
    let many =
        (0..30).fold(one_model(), |stage, n| stage.file(&format!("m{n:02}.bin"), own_classifier()));
    let many = many.terminal(60, 12);
    let keys = std::iter::repeat_n(Key::Down, 20).chain(POWER_OFF);
    let screen = play(&many, Script::new().keys(keys)).screen();
    assert!(screen.iter().any(|row| row.starts_with("> 21  m20.bin")), "{screen:#?}");
    let rows = screen.iter().filter(|row| row.contains("m2"));
    assert!(rows.map(|row| row.chars().count()).all(|count| count < 60), "{screen:#?}");
}

#[test]
fn a_long_name_costs_none_of_a_model_s_figures() {
    let name = "models/of many kinds/stories15M-of-a-long-name.q8.bin";
    let stage = three_models().file(name, own_classifier());
    let screen = play(&stage, Script::new().keys(POWER_OFF)).screen();
    let row = screen.iter().find(|row| row.contains("q8.bin")).expect("its line");
    assert!(row.starts_with("   2  models/") && row.contains("ame.q8.bin  "), "{row}");
    assert!(row.ends_with("kB   42.2 k parameters, llama2.c v2 (int8)"), "{row}");
    assert!(row.chars().count() < 80, "{row}");
    let played =
        play(&stage.file(&("a".repeat(76) + ".bin"), own_classifier()), Script::new().idle(5));
    assert_shows(&played, "a…aaaaaaaaaa.bin starts in 5 s;");
}

#[test]
fn models_that_cannot_be_used_are_listed_with_the_reason() {
    let bad = Stage::new()
        .file("empty.bin", [])
        .file("short.bin", &tied_embeddings()[..1000])
        .file("llama.gguf", b"GGUF\x03\0\0\0".repeat(9))
        .file("notes.txt", "nothing to do with models")
        .file("EFI/BOOT/BOOTX64.EFI", "MZ")
        .file("\x1b[2Jclear.bin", tied_embeddings())
        .file("bell\x07.gguf", "bad")
        .bad_file("gone.bin", tied_embeddings(), Fault::Gone)
        .bad_file("bad.bin", tied_embeddings(), Fault::From(0));
    let good = bad
        .clone()
        .file("story.bin", tied_embeddings())
        .file("tokenizer.bin", vocabulary().write());
    let played = play(&bad, Script::new().keys(POWER_OFF));
    assert_shows_words(&played, "empty.bin cannot be used: the file is empty");
    let played = play(&good, Script::new().line("/models").keys(POWER_OFF));
    for expected in [
        "short.bin cannot be used: the header describes 275968 bytes",
        "llama.gguf cannot be used: the file ends within its description: it is cut short",
        "gone.bin cannot be used: there is no such file",
        "bad.bin cannot be used: reading failed at byte 0: a bad sector",
    ] {
        assert_shows_words(&played, expected);
    }
    let text = played.text();
    // What is no model matters only where there is none.
    for hidden in
        ["notes.txt", "BOOTX64", "tokenizer.bin cannot", "clear.bin", "bell", "empty.bin c"]
    {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    assert!(!played.first_story().is_empty(), "the one good model starts");
}

#[test]
fn of_many_files_that_cannot_be_used_a_few_are_listed() {
    let many = |stage: Stage, count: usize| {
        (0..count).fold(stage, |stage, n| stage.file(&format!("x{n:03}.bin"), "no model at all"))
    };
    for (count, more) in [(5, None), (6, Some("and 1 more")), (300, Some("and 295 more"))] {
        let played = play(&many(Stage::new(), count), Script::new().keys([Key::Char('f')]));
        let text = played.text();
        let drawn = text.matches("no model here").count();
        assert_eq!(text.matches(" cannot be used: ").count(), 5 * drawn, "{text}");
        assert_eq!(text.contains(" more"), more.is_some(), "{text}");
        assert!(more.is_none_or(|more| text.contains(more)), "{text}");
    }
    let played = play(&many(one_model(), 300), Script::new().line("/models").keys(POWER_OFF));
    assert!(!played.text().contains("cannot be used"), "{}", played.text());
}

#[test]
fn files_with_other_names_are_opened_on_request() {
    let stage = three_models().file("renamed", tied_embeddings()).file("notes.txt", "no model");
    let played = play(&stage, Script::new().keys([Key::Char('f')]));
    assert!(!played.text().contains("renamed"), "{}", played.text());
    assert_shows(&play(&stage, Script::new().keys([Key::Char('x'), Key::Char('f')])), "2 other");
    let script = Script::new().keys([Key::Char('a'), Key::Char('2')]).line("/show");
    assert_shows(&play(&stage, script), "  model          renamed\n");
}

#[test]
fn escape_stops_looking_for_models() {
    let script = Script::new().once("reading story.bin", ESCAPE).keys(POWER_OFF);
    let played = play(&three_models(), script);
    assert_shows_words(&played, "the search was stopped; there may be more models");
    assert!(!played.text().contains("reading z/c.bin"));
}

#[test]
fn a_model_s_own_name_and_description_stand_below_its_file() {
    let named = Gguf::parse(&SmallModel::tied_embeddings().gguf(Encoding::F32));
    let named = named
        .with("general.name", value::text("Bedtime Stories"))
        .with("general.description", value::text("Tells short stories."));
    let stage = three_models().file("a.gguf", named.bytes());
    let screen = play(&stage, Script::new().keys([Key::Char('f')])).screen();
    let at = screen.iter().position(|row| row.contains("a.gguf")).expect("its row");
    assert_eq!(screen[at + 1].trim(), "Bedtime Stories: Tells short stories.", "{screen:#?}");
    // Where there is no room for two lines each, there is one.
    let many = (0..20).fold(stage, |stage, n| stage.file(&format!("m{n}.bin"), own_classifier()));
    let played = play(&many, Script::new().keys([Key::Char('f')]));
    assert!(!played.text().contains("Bedtime Stories"), "{}", played.text());
}

#[test]
fn numbers_above_nine_choose_a_model() {
    let stage = (0..15).fold(Stage::new(), |stage, n| {
        let (name, tokenizer) = (format!("m{n:02}.bin"), format!("m{n:02}.tokenizer.bin"));
        stage.file(&name, tied_embeddings()).file(&tokenizer, vocabulary().write())
    });
    for (typed, name) in [
        ("12", "m11.bin"),
        ("9", "m08.bin"),
        ("2", "m01.bin"),
        ("1\n", "m00.bin"),
        ("15", "m14.bin"),
        // 19 is none of them, so the 9 counts.
        ("19", "m08.bin"),
        ("1x13", "m12.bin"),
    ] {
        let key = |c| if c == '\n' { Key::Enter } else { Key::Char(c) };
        let played = play(&stage, Script::new().keys(typed.chars().map(key)).line("/show"));
        assert_shows(&played, &format!("  model          {name}\n"));
    }
}

#[test]
fn the_menu_leads_back_to_the_model_and_its_settings() {
    let script = Script::new()
        .keys([Key::Char('2')])
        .line("/set temperature 0.25")
        .line("/models")
        .keys(ESCAPE)
        .line("/show")
        .line("/models")
        .keys([Key::Char('2')])
        .line("/models")
        .keys([Key::Char('q'), Key::Char('3')])
        .line("/show");
    let played = play(&three_models(), script);
    let text = played.text();
    assert_eq!(
        text.matches(" loaded in ").count(),
        2,
        "the same model is not loaded again: {text}"
    );
    assert_eq!(text.matches("  temperature    0.25\n").count(), 2, "{text}");
    assert_shows(&played, "llama2.c v1 (f32), loaded\n");
    assert_shows(&played, "  model          z/c.bin\n");
}

#[test]
fn a_long_text_is_shown_in_pages() {
    let rows = 12;
    let stage = one_model().terminal(80, rows);
    let more = "-- Space";
    let script = Script::new().line("/licenses").keys([Key::Char(' '), Key::Enter, Key::Char('q')]);
    let played = play(&stage, script.line("/show"));
    let text = played.text();
    let (_, shown) = text.split_once("/licenses\n").unwrap();
    let pages: Vec<&str> = shown.split(more).collect();
    let lines = |page: &str| page.matches('\n').count();
    assert_eq!([0, 1, 2].map(|page| lines(pages[page])), [rows - 1, rows - 1, 1], "{text}");
    assert_shows(&played, "  model          story.bin\n");
    // Where there is room for all of it, it is shown at once.
    let played = play(&one_model().terminal(80, 2000), Script::new().line("/licenses"));
    assert!(!played.text().contains(more));
    assert_shows(&played, "SIL OPEN FONT LICENSE");
}

/// What is said when a model does not load; then the menu comes, and another model can be chosen.
fn assert_back_to_the_menu(stage: &Stage, expected: &[&str]) {
    let played = play(stage, Script::new().once("r: look again", POWER_OFF));
    for expected in expected {
        assert_shows(&played, expected);
    }
    assert_eq!(played.leave, Leave::PowerOff);
    let stage = stage
        .clone()
        .file("a/good.bin", own_classifier())
        .file("a/tokenizer.bin", vocabulary().write());
    let script = Script::new().keys([Key::Char('2')]).once("r: look again", [Key::Char('1')]);
    let played = play(&stage, script.line("/show"));
    for expected in expected {
        assert_shows(&played, expected);
    }
    assert_shows(&played, "model          a/good.bin");
}

#[test]
fn what_is_wrong_with_a_tokenizer_is_said_in_the_menu() {
    let model = || Stage::new().file("m.bin", tied_embeddings());
    let good = vocabulary().write();
    assert_back_to_the_menu(
        &model(),
        &[
            "m.bin: it has no tokenizer; copy its tokenizer beside it as m.tokenizer.bin or tokenizer.bin",
        ],
    );
    assert_back_to_the_menu(
        &model().file("tokenizer.bin", vocabulary_of(300).write()),
        &["m.bin: its tokenizer tokenizer.bin: it has 300 tokens, the model 325"],
    );
    assert_back_to_the_menu(
        &model().file("m.tokenizer.bin", []).file("tokenizer.bin", good.clone()),
        &["m.bin: its tokenizer m.tokenizer.bin: the file is empty"],
    );
    assert_back_to_the_menu(
        &model().bad_file("tokenizer.bin", good.clone(), Fault::From(100)),
        &["m.bin: its tokenizer tokenizer.bin: reading failed at byte 100: a bad sector"],
    );
    assert_back_to_the_menu(
        &model().bad_file("tokenizer.bin", good, Fault::Gone),
        &["m.bin: tokenizer.bin: there is no such file"],
    );
}

#[test]
fn a_tokenizer_is_found_whatever_the_case_of_its_name() {
    let stage = Stage::new().file("STORY.BIN", tied_embeddings());
    for name in ["TOKENIZER.BIN", "Story.Tokenizer.Bin"] {
        let played = play(&stage.clone().file(name, vocabulary().write()), Script::new());
        assert!(!played.first_story().is_empty(), "{name}");
    }
}

#[test]
fn a_read_error_in_the_middle_is_said_in_the_menu() {
    let half = tied_embeddings().len() as u64 / 2;
    let tokenizer = vocabulary().write();
    let stage = Stage::new().file("tokenizer.bin", tokenizer.clone());
    assert_back_to_the_menu(
        &stage.clone().bad_file("m.bin", tied_embeddings(), Fault::From(half)),
        &[&format!("m.bin: reading failed at byte {half}: a bad sector")],
    );
    let mut damaged = tied_embeddings();
    damaged[300_usize..304].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_back_to_the_menu(
        &stage.file("m.bin", damaged),
        &[
            "m.bin: the file is damaged: number 11 in row 0 of blk.0.attn_norm.weight is not a number",
        ],
    );
}

/// What must be free for a model's whole context.
fn needed(plan: &Plan, context: usize, kv: KvFormat) -> u64 {
    plan.memory(context, kv).total() + Memory::RESERVE
}

#[test]
fn too_little_memory_is_said_with_both_numbers() {
    let bytes = tied_embeddings();
    let plan = plan(&bytes);
    let least = needed(&plan, plan.shape().context, KvFormat::Q8);
    let played = play(&one_model().memory(least), Script::new());
    assert!(!played.first_story().is_empty(), "exactly enough is enough");
    let message = format!("needs {} of memory", bytes_text(least - Memory::RESERVE));
    let played = play(&one_model().memory(least - 1), Script::new().keys(POWER_OFF));
    assert_shows(&played, &message);
    assert_shows(&played, &format!("this machine has {}", bytes_text(least - 1)));
    assert!(!played.text().contains("loaded in"), "{}", played.text());
}

#[test]
fn a_context_is_no_longer_than_what_fits_and_what_texts_need() {
    let config = Config { context: 100_000, layers: 30, ..SmallModel::tied_embeddings().config };
    let bytes = SmallModel { config, seed: 1 }.file(Version::V1);
    let plan = plan(&bytes);
    for (free, context, kv) in [
        (needed(&plan, 8192, KvFormat::F32), 8192, "f32"),
        (needed(&plan, 8192, KvFormat::Q8), 8192, "q8"),
        (needed(&plan, 8192, KvFormat::Q8) - 1, 4096, "q8"),
        (needed(&plan, 256, KvFormat::Q8), 256, "q8"),
    ] {
        let stage = one_model().file("story.bin", bytes.clone()).memory(free);
        let played = play(&stage, Script::new().once("or /help.", ESCAPE).line("/show"));
        assert_shows(&played, &format!("context: {context} of the model's 100000 tokens\n"));
        assert_shows(&played, &format!("  context        {context} tokens\n"));
        assert_shows(&played, &format!("  kv             {kv}\n"));
    }
    // A tiny file that asks for a hundred gigabytes.
    let config = Config { context: i32::MAX as usize, ..SmallModel::smallest().config };
    let huge = SmallModel { config, seed: 1 }.file(Version::V1);
    let stage = Stage::new().file("m.bin", huge).file("tokenizer.bin", vocabulary_of(3).write());
    assert_shows(&play(&stage, Script::new().once("or /help.", ESCAPE)), "context: 8192 of ");
}

#[test]
fn escape_stops_loading() {
    let config = Config { layers: 40, ..SmallModel::tied_embeddings().config };
    let slow = SmallModel { config, seed: 4 }.file(Version::V0);
    let stage = Stage::new().file("slow.bin", slow).file("tokenizer.bin", vocabulary().write());
    for key in [Key::Escape, Key::Ctrl('c')] {
        let script = Script::new().once("loading [", [key]).keys(POWER_OFF);
        let played = play(&stage, script);
        assert_shows(&played, "slow.bin: loading was stopped");
        assert_eq!(played.leave, Leave::PowerOff);
    }
    // Without it the same model loads.
    assert!(!play(&stage, Script::new()).first_story().is_empty());
}

#[test]
fn keys_typed_while_a_model_loads_in_vain_do_not_choose_in_the_menu() {
    let config = Config { layers: 40, ..SmallModel::tied_embeddings().config };
    let slow = SmallModel { config, seed: 4 }.file(Version::V1);
    // In the last matrix.
    let bad = slow.len() as u64 - 1;
    let stage = Stage::new()
        .bad_file("slow.bin", slow, Fault::From(bad))
        .file("tokenizer.bin", vocabulary().write());
    // "quick" would power the machine off with its first letter.
    let keys = "quick".chars().map(Key::Char);
    let script = Script::new().once("loading [", keys).keys([Key::Char('f')]);
    assert_eq!(play(&stage, script).leave, Leave::Firmware);
}

#[test]
fn escape_and_control_c_stop_a_story() {
    for key in [Key::Escape, Key::Ctrl('c')] {
        let script = Script::new()
            .once("or /help.", [key])
            .line("/set temperature 0")
            .line("/set length 0")
            .line("Once upon a time")
            .once("\x1b[0m", [key])
            .line("/stats");
        let played = play(&one_model(), script);
        let greedy = SamplerSettings { temperature: 0.0, ..SamplerSettings::default() };
        let whole = expected_text("Once upon a time", &greedy, 1, 100);
        let told = played.reply_to("Once upon a time");
        assert!(whole.starts_with(&told) && told.len() < whole.len(), "{told:?} of {whole:?}");
        assert_shows(&played, "· stopped");
        assert_shows(&played, "positions      ");
    }
}

/// Every look at this machine's clock takes 40 ms, so a layer does, and the program looks for keys
/// between all of them.
#[test]
fn escape_acts_between_two_layers_of_a_slow_prompt() {
    let config = Config { layers: 40, ..SmallModel::tied_embeddings().config };
    let slow = SmallModel { config, seed: 4 }.file(Version::V1);
    let stage = Stage::new().file("slow.bin", slow).file("tokenizer.bin", vocabulary().write());
    let prompt = "Once upon a time, in a house by the sea, a dog told a cat.";
    let looks_per_pass = 40;
    for look in [2, looks_per_pass / 2, 2 * looks_per_pass + 7] {
        let script = Script::new().once("or /help.", ESCAPE).line(prompt).at_look(look, ESCAPE);
        let played = play(&stage, script.line("/set seed 1").line("/set length 30").line("Once"));
        let text = played.text();
        let (_, after) = text.split_once(prompt).expect("the prompt is shown at once");
        let (reading, after) = after.split_once("prompt ").unwrap();
        assert!(after.contains("stopped after 0 tokens"), "{after}");
        // No pass came to its end after the key: what was read is what was read before it.
        let read = reading.matches("reading ").count();
        assert!(read <= look as usize / looks_per_pass as usize, "{look}: {reading:?}");
        // The sequence is as before: the next text is right.
        let fresh = Script::new().once("or /help.", ESCAPE).line("/set seed 1");
        let fresh = play(&stage, fresh.line("/set length 30").line("Once"));
        assert_eq!(played.reply_to("Once"), fresh.reply_to("Once"));
    }
}

#[test]
fn a_slow_prompt_shows_how_much_was_read_and_leaves_no_trace() {
    let played = type_lines(&["/set temperature 0", "Once upon a time"]);
    assert_shows(&played, "reading 3 of 14 tokens");
    let screen = play(&one_model().terminal(100, 60), {
        Script::new().line("/set temperature 0").line("Once upon a time")
    });
    let screen = screen.screen();
    assert!(screen.iter().all(|row| !row.contains("reading")), "{screen:#?}");
    let row = screen.iter().find(|row| row.starts_with(">>> Once upon a time"));
    assert!(row.is_some_and(|row| row.len() > ">>> Once upon a time".len()), "{screen:#?}");
}

#[test]
fn a_text_at_its_length_has_a_mark_and_goes_on() {
    let lines = ["/set temperature 0", "/set length 20", "Once upon a time"];
    let script =
        |lines: &[&str]| lines.iter().fold(Script::new(), |script, line| script.line(line));
    let short = play(&one_model(), script(&lines));
    assert_shows(&short, "…\nthe text has the length that is set; Enter goes on\n");
    let greedy = SamplerSettings { temperature: 0.0, ..SamplerSettings::default() };
    let begun = short.reply_to("Once upon a time");
    assert_eq!(begun, expected_text("Once upon a time", &greedy, 1, 20));
    let played = play(&one_model(), script(&lines).keys(ENTER));
    let (_, rest) = played.output.rsplit_once("Enter goes on").unwrap();
    let (_, rest) =
        rest.split_once(">>> \x1b[0m\n").expect("the prompt at which Enter was pressed");
    let (rest, _) = rest.split_once("\x1b[2m…").unwrap();
    let whole = expected_text("Once upon a time", &greedy, 1, 100);
    assert_eq!(format!("{begun}{rest}"), whole);
    assert_shows(&played, "the context of 100 tokens is full\n");
    // There it ends: Enter does nothing.
    let played = play(&one_model(), script(&lines).keys(ENTER).keys(ENTER).line("/stats"));
    assert_shows(&played, "positions      100 of 100\n");
}

#[test]
fn a_length_that_the_prompt_exceeds_is_said() {
    let played = type_lines(&["/set length 3", "Once upon a time"]);
    assert_shows_words(&played, "has 14 tokens, and length is 3");
    assert!(!played.text().contains("0 tok/s"), "{}", played.text());
}

#[test]
fn likely_next_tokens_are_listed_with_their_probabilities() {
    let played = type_lines(&["/set temperature 0", "/set length 6", "Once", "/logits"]);
    let text = played.text();
    let (_, list) = text.split_once("/logits\n").unwrap();
    let (list, _) = list.split_once(">>> ").unwrap();
    let share = |line: &str| line.split('%').next().unwrap().trim().parse::<f32>().unwrap();
    let list = list.rsplit('\r').next().unwrap().trim_start_matches("\u{1b}[K");
    let shares: Vec<f32> = list.lines().map(share).collect();
    assert_eq!(shares.len(), 10, "{list}");
    assert!(shares.is_sorted_by(|a, b| a >= b) && shares.iter().sum::<f32>() < 100.1, "{list}");
    // The text goes on with the first of them.
    let model = SmallModel::tied_embeddings().load(Version::V1);
    let mut session = Session::new(&model, &OneCore).unwrap();
    let (tokenizer, mut token) = (vocabulary(), 0);
    for prompt in tokenizer.encode("Once", true, false) {
        token = bootllm_sampling::argmax(session.decode(prompt).unwrap());
    }
    let piece = String::from_utf8_lossy(tokenizer.piece(token)).into_owned();
    assert!(list.lines().next().unwrap().contains(&format!("{piece:?}")), "{piece:?}: {list}");
}

#[test]
fn the_first_story_is_shown_at_a_pace_that_any_key_ends() {
    let pace = std::time::Duration::from_secs(3600);
    let stage = one_model().story_pace(pace);
    // Nobody presses a key: it takes its time, token by token.
    let paced = play(&stage, Script::new().idle(90).line("/show"));
    assert_eq!(paced.first_story(), play(&one_model(), Script::new()).first_story());
    // A letter is the first of what is typed next; Space only ends the pace.
    for (key, typed) in [(Key::Char('/'), "show"), (Key::Char(' '), "/show"), (Key::Enter, "/show")]
    {
        let script = Script::new().idle(2).keys([key]).line(typed);
        let played = play(&stage, script);
        assert_eq!(played.first_story(), paced.first_story());
        assert_shows(&played, ">>> /show\n  model          story.bin\n");
    }
    let played = play(&stage, Script::new().idle(2).keys(ESCAPE).line("/show"));
    assert!(played.first_story().len() < paced.first_story().len());
}

#[test]
fn a_paste_that_is_too_long_keeps_whole_lines_and_says_what_was_dropped() {
    let line = "x".repeat(999);
    let paste = (0..10).flat_map(|_| bootllm_tests::typed(&format!("/set {line}")));
    let script = Script::new().once("or /help.", paste).line("/show");
    let played = play(&one_model().terminal(2000, 24), script);
    let text = played.text();
    assert_eq!(text.matches("there is no setting").count(), 8, "{text}");
    assert_shows_words(&played, "2 lines typed meanwhile did not fit");
    assert_shows(&played, "  model          story.bin\n");
}

#[test]
fn tab_completes_settings() {
    let keys = "/set te".chars().map(Key::Char).chain([Key::Tab]);
    let script = Script::new().keys(keys).line("0.125");
    assert_shows(&play(&one_model(), script), "temperature = 0.125\n");
}

#[test]
fn what_is_typed_during_a_story_arrives_at_the_prompt() {
    let keys =
        bootllm_tests::typed("/set length 20").into_iter().chain(bootllm_tests::typed("The dog"));
    let played = play(&one_model(), Script::new().once("or /help.", keys));
    assert_shows(&played, ">>> /set length 20\nlength = 20\n>>> The dog");
    // But not what was typed before the story was stopped.
    let keys = "gone".chars().map(Key::Char).chain(ESCAPE);
    let played = play(&one_model(), Script::new().once("or /help.", keys).line("/set length 5"));
    assert_shows(&played, ">>> /set length 5\n");
}

#[test]
fn every_command_does_what_help_says() {
    let played = type_lines(&["/help"]);
    let text = played.text();
    let (_, help) = text.split_once(">>> /help\n").expect("help");
    assert!(help.lines().all(|line| line.chars().count() < 80), "{help}");
    for info in Command::ALL {
        assert_shows(&played, &format!("  {:<9} ", info.names[0]));
        // Every name of every command is known.
        for name in info.names.iter().filter(|name| !["/exit", "/bye", "/quit"].contains(name)) {
            let played = one_model().play(Script::new().line(name));
            assert!(!played.text().contains("there is no command"), "{name}");
        }
    }
    let played = type_lines(&["/show"]);
    for expected in [
        "  model          story.bin\n",
        "  format         llama2.c v1 (f32)\n",
        "  parameters     68.9 k\n",
        "  shape          width 48, hidden 80, 3 layers, 6 heads, 2 for keys and values\n",
        "  context        100 tokens\n",
        "  tokenizer      tokenizer.bin, 325 tokens\n",
        "  temperature    0.8\n",
        "  top_p          0.9\n",
        "  seed           random\n",
        "  length         0\n",
    ] {
        assert_shows(&played, expected);
    }
    let played = type_lines(&["/set seed 3", "/set temperature 0.001", "Once", "/stats"]);
    for expected in [
        "  loading        276.0 kB in ",
        "  prompt         5 tokens in ",
        "  first token    after ",
        "  generation     95 tokens in ",
        "  positions      100 of 100\n",
        "  seed           3\n",
    ] {
        assert_shows(&played, expected);
    }
    let played = type_lines(&["/diag"]);
    assert_shows(&played, "  machine        made of nothing but memory\n");
    assert_shows(&played, "story.bin: weights ");
}

#[test]
fn several_cores_say_what_one_says() {
    let lines = ["Once", "/logits raw", "/set seed 3", "on the time", "/show"];
    let script = || lines.iter().fold(Script::new(), |script, line| script.line(line));
    let one = play(&one_model(), script());
    for cores in [2, 5] {
        assert_eq!(play(&one_model().cores(cores), script()).output, one.output);
    }
    let diag = |stage: &Stage| play(stage, Script::new().line("/diag"));
    assert_shows(&diag(&one_model()), "  computing      1 core, kernels: ");
    assert_shows(&diag(&one_model().cores(3)), "  computing      3 cores, kernels: ");
}

#[test]
fn logits_are_those_of_linux() {
    let played = type_lines(&["Once upon", "/logits raw", "Once upon"]);
    let model = SmallModel::tied_embeddings().load(Version::V1);
    let mut session = Session::new(&model, &OneCore).unwrap();
    let mut token = 1;
    for position in 0..3 {
        let logits = session.decode(token).unwrap();
        assert_shows(&played, &format!("{}\n", report::logits(position, token, logits)));
        token = bootllm_sampling::argmax(logits);
    }
}

#[test]
fn a_digest_stands_for_all_logits_and_depends_on_no_setting() {
    let model = SmallModel::tied_embeddings().load(Version::V1);
    for (lines, positions) in [
        (vec!["/logits digest"], 100),
        (vec!["Once upon", "/logits digest 7", "Once upon"], 7),
        (vec!["/set kv f16", "/logits digest 99"], 99),
        (vec!["/set kv f16", "/set kv q8", "/logits digest   98"], 98),
    ] {
        let mut session = Session::new(&model, &OneCore).unwrap();
        let (mut token, mut all) = (1, Vec::new());
        for _ in 0..positions {
            let logits = session.decode(token).unwrap();
            token = bootllm_sampling::argmax(logits);
            all.extend_from_slice(logits);
        }
        let checksum = bootllm_chat::checksum(&all);
        let expected = format!(
            "digest of {positions} positions: {checksum:016x}, token by token and as one prompt\n"
        );
        assert_shows(&type_lines(&lines), &expected);
    }
}

#[test]
fn escape_stops_a_digest() {
    for key in [Key::Escape, Key::Ctrl('c')] {
        let script = Script::new().line("/logits digest").once("computing: ", [key]).line("/diag");
        let played = play(&one_model(), script);
        assert_shows(&played, "stopped\n>>> /diag\n");
    }
}

#[test]
fn keys_and_values_take_less_memory_where_there_is_little() {
    let bytes = tied_embeddings();
    let plan = plan(&bytes);
    let needed = KvFormat::ALL.map(|kv| needed(&plan, plan.shape().context, kv));
    let q8 = play(&one_model(), Script::new().line("/set kv q8").line("/set seed 1").line("Once"));
    for (free, kv) in [(needed[0] - 1, "f16"), (needed[1] - 1, "q8"), (needed[2], "q8")] {
        let script =
            Script::new().line("/show").line("/set kv q8").line("/set seed 1").line("Once");
        let played = play(&one_model().memory(free), script);
        assert_shows(
            &played,
            &format!("keys and values are kept in {kv}: in f32 this model needs "),
        );
        assert_shows(&played, &format!("  kv             {kv}\n"));
        assert_eq!(played.reply_to("Once"), q8.reply_to("Once"));
    }
    let played = play(&one_model(), Script::new().line("/diag").line("/set kv f16").line("/diag"));
    for (kv, needed) in ["f32", "f16"].into_iter().zip(
        [KvFormat::F32, KvFormat::F16].map(|kv| plan.memory(plan.shape().context, kv).kv_cache),
    ) {
        assert_shows(&played, &format!("KV cache {} ({kv})", bytes_text(needed)));
    }
}

#[test]
fn keys_and_values_stay_as_they_are_where_another_form_does_not_fit() {
    let config = Config { context: 9000, layers: 60, ..SmallModel::tied_embeddings().config };
    let bytes = SmallModel { config, seed: 1 }.file(Version::V1);
    let plan = plan(&bytes);
    let [full, _, least] = KvFormat::ALL.map(|kv| plan.memory(8192, kv));
    // What the machine has free stays the same here, whatever is taken.
    let free = least.total() + Memory::RESERVE;
    assert!(least.kv_cache + free < full.kv_cache);
    let stage = one_model().file("story.bin", bytes).memory(free);
    let script = Script::new().once("or /help.", ESCAPE).line("/set kv f32").line("/show");
    let script = script.line("/set kv f16").line("/diag");
    let played = play(&stage, script);
    assert_shows(
        &played,
        &format!(
            "keys and values in f32 need {} of memory, this machine has {} for them; \
             they stay in q8\n",
            bytes_text(full.kv_cache),
            bytes_text(free + least.kv_cache)
        ),
    );
    assert_shows(&played, "  kv             q8\n");
    assert_shows(&played, "kv = f16\n");
    assert_shows(&played, " (f16), activations");
}

#[test]
fn settings_are_shown_changed_and_refused() {
    for words in ["/set", "/set  "] {
        let played = type_lines(&[words]);
        for setting in SETTINGS {
            assert_shows_words(&played, setting.help);
        }
    }
    // A name alone shows that setting, and no other.
    let text = words(&type_lines(&["/set temperature"]).text());
    for setting in SETTINGS {
        assert_eq!(text.contains(setting.help), setting.name == "temperature", "{text}");
    }
    for (line, expected) in [
        ("/set temperature=0.5", "temperature = 0.5\n"),
        ("/set temperature = 0.25", "temperature = 0.25\n"),
        ("/set length 100", "length = 100\n"),
        ("/set length 101", "length cannot be 101: the context has 100 tokens"),
        ("/set top_p 0", "top_p cannot be \"0\""),
        ("/set temperature -0", "temperature = 0\n"),
        ("/HELP", "/licenses"),
        ("help", "/licenses"),
        ("?", "/licenses"),
        ("/Set Seed", "there is no setting \"Seed\""),
        ("/help me", "\"me\" is too much: it is /help\n"),
        ("/models now", "\"now\" is too much: it is /models\n"),
        ("/exit now", "\"now\" is too much: it is /exit [firmware]\n"),
        ("/logits raw 3", "\"raw 3\" is too much: it is /logits [raw|digest]\n"),
        ("/set temperature 0.5", "temperature = 0.5\n"),
        ("/set   top_p    1  ", "top_p = 1\n"),
        ("/set seed 18446744073709551615", "seed = 18446744073709551615\n"),
        ("/set seed 0", "seed = random\n"),
        ("/set length 7", "length = 7\n"),
        ("/set kv q8", "kv = q8\n"),
        ("/set kv q4", "kv cannot be \"q4\". It is f32, f16 or q8: "),
        ("/logits digest 0", "the positions must be 1 to 100\n"),
        ("/logits digest 101", "the positions must be 1 to 100\n"),
        ("/logits all", "\"all\" is too much: it is /logits [raw|digest]\n"),
        ("/set temperature -1", "temperature cannot be \"-1\". It is 0 "),
        ("/set temperature warm", "temperature cannot be \"warm\""),
        ("/set temperature nan", "temperature cannot be \"nan\""),
        ("/set temperature inf", "temperature cannot be \"inf\""),
        ("/set top_p 1.1", "top_p cannot be \"1.1\""),
        ("/set seed -1", "seed cannot be \"-1\""),
        ("/set seed 18446744073709551616", "seed cannot be"),
        ("/set length x", "length cannot be \"x\""),
        ("/set length 99999999999999999999", "length cannot be"),
        (
            "/set volume 11",
            "there is no setting \"volume\"; there are: temperature, top_p, seed, length, kv",
        ),
        ("/set Temperature 1", "there is no setting"),
        ("/fly", "there is no command /fly; /help lists them."),
        ("/", "there is no command /;"),
        ("/helpme", "there is no command /helpme;"),
    ] {
        assert_shows(&type_lines(&[line]), expected);
    }
    // Extreme settings still tell something.
    for (name, value) in [("temperature", "1e-38"), ("temperature", "3e38"), ("top_p", "1e-30")] {
        let played = type_lines(&[&format!("/set {name} {value}"), "/set seed 1", "Once"]);
        assert!(played.reply_to("Once").starts_with("Once"), "{name} {value}");
    }
}

#[test]
fn a_tiny_temperature_is_as_good_as_none() {
    let played = type_lines(&["/set temperature 1e-38", "/set seed 1", "Once"]);
    let greedy = SamplerSettings { temperature: 0.0, ..SamplerSettings::default() };
    assert_eq!(played.reply_to("Once"), expected_text("Once", &greedy, 1, 256));
}

#[test]
fn there_are_many_ways_to_leave() {
    let leave = |script: Script| play(&one_model(), script).leave;
    for line in ["exit", "quit", " exit ", "/exit", "/quit", "/bye"] {
        assert_eq!(leave(Script::new().line(line)), Leave::PowerOff, "{line}");
    }
    assert_eq!(leave(Script::new().line("/exit firmware")), Leave::Firmware);
    assert_eq!(leave(Script::new().line("/exit   firmware ")), Leave::Firmware);
    assert_eq!(leave(Script::new().keys([Key::Ctrl('d')])), Leave::PowerOff);
    assert_eq!(leave(Script::new().keys([Key::Char('x')]).hang_up()), Leave::PowerOff);
    assert_eq!(leave(Script::new().hang_up()), Leave::PowerOff);
    assert_eq!(play(&three_models(), Script::new().hang_up()).leave, Leave::PowerOff);
    // These are no ways to leave.
    for line in ["exit the house", "Exit", "", "   ", " /exit"] {
        let played = play(&one_model(), Script::new().line(line).line("/exit firmware"));
        assert_eq!(played.leave, Leave::Firmware, "{line}");
    }
}

#[test]
fn another_model_can_be_chosen_and_the_prompt_is_its_own() {
    let script = Script::new()
        .keys([Key::Char('2')])
        .line("/models")
        .keys([Key::Char('1')])
        .line("/show")
        .line("/models")
        .keys([Key::Down, Key::Down, Key::Enter])
        .line("/show")
        .line("/models")
        .keys([Key::Char('f')]);
    let played = play(&three_models(), script);
    assert_eq!(played.leave, Leave::Firmware);
    assert_shows(&played, "  model          b.bin\n");
    assert_shows(&played, "  model          z/c.bin\n");
    assert_shows(&played, "  tokenizer      z/c.tokenizer.bin, ");
    let stories = played.output.matches("stops the story.").count();
    assert_eq!(stories, 1, "only the first model tells a story unasked");
}

#[test]
fn up_and_down_bring_back_what_was_typed() {
    let script = Script::new()
        .line("/set length 3")
        .line("/set seed 9")
        .keys([Key::Up, Key::Up, Key::Enter])
        .keys([Key::Up, Key::Up, Key::Down, Key::Backspace, Key::Char('8'), Key::Enter]);
    let text = play(&one_model(), script).text();
    assert_eq!(text.matches("length = 3\n").count(), 2, "{text}");
    assert!(text.contains("seed = 8\n") || text.contains("length = 8\n"), "{text}");
}

#[test]
fn lines_are_edited_as_everywhere() {
    use Key::{Alt, Backspace, Char, Ctrl, Delete, End, Enter, Home, Left, Right, Tab};
    let cases: [&[Key]; 6] = [
        &[Char('x'), Home, Delete, Char('/'), Char('s'), Char('h'), Tab, Enter],
        &[Char('s'), Char('h'), Left, Left, Char('/'), End, Char('o'), Char('w'), Enter],
        &[Char('a'), Char('b'), Ctrl('u'), Char('/'), Char('s'), Char('h'), Tab, Enter],
        &[Char('/'), Char('s'), Char('h'), Char('o'), Char('w'), Char('é'), Backspace, Enter],
        &[Char('/'), Char('s'), Char('h'), Char('o'), Char('w'), Left, Right, Alt('b'), Enter],
        &[Char('z'), Ctrl('c'), Char('/'), Char('s'), Char('h'), Tab, Enter],
    ];
    for keys in cases {
        let played = play(&one_model(), Script::new().keys(keys.iter().copied()));
        assert_shows(&played, "  model          story.bin\n");
    }
}

#[test]
fn a_prompt_that_does_not_fit_is_refused_and_the_next_one_is_not() {
    let long = "Once upon 日本".repeat(60);
    let played = type_lines(&[&long, "/set temperature 0", "Once"]);
    assert_shows(&played, "tokens, the context of this model only 100; make the prompt shorter");
    let greedy = SamplerSettings { temperature: 0.0, ..SamplerSettings::default() };
    assert_eq!(played.reply_to("Once"), expected_text("Once", &greedy, 1, 256));
}

#[test]
fn the_smallest_model_runs_everything() {
    let model = SmallModel::smallest().file(Version::V0);
    let stage = Stage::new().file("m.bin", model).file("tokenizer.bin", vocabulary_of(3).write());
    let script = Script::new().line("Once").line("").line("/logits").line("/stats").line("/diag");
    let played = play(&stage, script.line("/set length 1").line("x").line("/show"));
    // Without byte tokens every letter is unknown, so six tokens are too many for four positions.
    assert_shows(&played, "the prompt has 6 tokens, the context of this model only 4");
}

#[test]
fn a_gguf_file_brings_its_tokenizer_along() {
    let model = SmallModel::tied_embeddings();
    // What lies beside it is another model's.
    let stage = Stage::new()
        .file("story.gguf", model.gguf(Encoding::F32))
        .file("tokenizer.bin", vocabulary_of(300).write());
    let lines = ["/set temperature 0", "/set length 40", "Once", "/show"];
    let script = lines.iter().fold(Script::new(), |script, line| script.line(line));
    let played = play(&stage, script);
    let greedy = SamplerSettings { temperature: 0.0, top_p: 0.9 };
    let reply = played.reply_to("Once");
    assert!(reply.starts_with(&expected_text("Once", &greedy, 1, 40)), "{reply}");
    assert_shows(&played, "  format         GGUF (f32)\n");
    assert_shows(&played, "  tokenizer      story.gguf, 325 tokens\n");

    // One that has none inside takes what lies beside it.
    let bare = model.file(Encoding::Q8_0);
    let stage = Stage::new().file("bare.gguf", bare).file("tokenizer.bin", vocabulary().write());
    let played = play(&stage, Script::new().line("/show"));
    assert_shows(&played, "  tokenizer      tokenizer.bin, 325 tokens\n");

    let other = Gguf::parse(&model.gguf(Encoding::F32));
    let other = other.with("tokenizer.ggml.model", value::text("gpt2")).bytes();
    assert_back_to_the_menu(
        &Stage::new().file("m.gguf", other),
        &["m.gguf: its tokenizer is of the kind \"gpt2\"; only \"llama\" (SentencePiece) is known"],
    );
}

#[test]
fn enter_alone_does_nothing() {
    let played = play(&one_model(), Script::new().keys(ENTER).keys(ESCAPE).keys([Key::Ctrl('c')]));
    let text = played.text();
    let (_, after) = text.split_once("to the first word").unwrap();
    assert_eq!(after.matches(PROMPT).count(), 4, "{after:?}");
    assert!(!after.contains("tok/s"));
}

#[test]
fn the_speed_is_measured_and_the_conversation_goes_on() {
    let stage = one_model().cores(2);
    let script = |between: &str| {
        let settings = Script::new().line("/set seed 5").line("Once");
        settings.line(between).line("/stats").line("Once upon")
    };
    let (plain, measured) = (play(&stage, script("/help")), play(&stage, script("/bench")));
    assert_eq!(plain.last_reply_to("Once upon"), measured.last_reply_to("Once upon"));
    let text = measured.text();
    let (_, answer) = text.split_once(">>> /bench\n").expect("a report");
    let (answer, rest) = answer.split_once(">>> ").expect("a prompt");
    // Lines of progress are overwritten by what comes after them.
    let lines: Vec<_> = answer.lines().map(|line| line.rsplit('\r').next().unwrap()).collect();
    // A row of the table for one core and one for both.
    let rows = lines.iter().skip_while(|line| !line.starts_with("cores ")).skip(1);
    let cores = rows.map_while(|row| row.split_whitespace().next()).take(2);
    assert!(cores.eq(["1", "2"]), "{lines:?}");
    // With the command and the next prompt it fits the smallest screen.
    assert!(lines.len() <= 24, "{lines:?}");
    assert!(lines.iter().all(|line| line.chars().count() < 80), "{lines:?}");
    let progress = answer.split(['\r', '\n']).filter(|line| line.contains(": "));
    // On this machine each look at the clock takes time, so twice is enough.
    assert!(progress.clone().any(|line| line.starts_with("2 cores: decode, 2 of 5 .....")));
    assert!(progress.clone().all(|line| line.chars().count() < 80), "{answer:?}");
    // The figures of the last text are still those.
    assert!(rest.starts_with("/stats\n") && rest.contains("  prompt         5 tokens"), "{rest}");
}

#[test]
fn measuring_keeps_the_settings_stops_when_asked_and_says_if_it_does_not_fit() {
    for stopped_at in ["memory, 2", "arithmetic", "prefill", "decode", "stages of decode"] {
        let script = Script::new().line("/bench").once(stopped_at, ESCAPE).line("Once");
        let played = play(&one_model(), script);
        assert_shows(&played, "measuring was stopped\n>>> Once");
        assert!(!played.text().contains("share of time"), "{stopped_at}");
        assert!(!played.reply_to("Once").is_empty());
    }
    // What is measured is what runs at the prompt.
    let played = type_lines(&["/set kv q8", "/bench"]);
    assert_shows(&played, ", KV cache in q8; prefill of 100 tokens, decode of 64\n");
    // Measuring memory takes 256 MiB of it, and leaves the reserve.
    let room = 256 << 20;
    let free = room + Memory::RESERVE;
    let played = play(&one_model().memory(free), Script::new().line("/bench"));
    assert_shows(&played, "share of time");
    let played = play(&one_model().memory(free - 1), Script::new().line("/bench"));
    let (room, free) = (bytes_text(room), bytes_text(free));
    assert_shows(&played, &format!("needs {room} of memory, this machine has {free} free"));
    assert!(!played.text().contains("share of time"));
}
