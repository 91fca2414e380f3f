//! Fuzz targets for everything that reads untrusted bytes, and what is needed to run them on a
//! stable toolchain: a corpus, mutations and a limit on memory. README.md says how.

pub mod memory;
pub mod mutate;
pub mod seeds;
pub mod targets;

/// A fuzz target. It panics if anything is wrong.
pub struct Target {
    /// Its name, and the name of its folder in `corpus`.
    pub name: &'static str,
    /// Runs it on an input.
    pub run: fn(&[u8]),
    /// Seed inputs by name.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
    /// Fragments that mutations insert.
    pub words: &'static [&'static [u8]],
    /// Repairs a mutated input so that it passes the first check, if that is easy.
    pub mend: fn(&mut Vec<u8>),
}

/// All targets. A new one is an entry here, a function in [`targets`] and a file in
/// `fuzz_targets`.
pub const TARGETS: &[Target] = &[
    Target {
        name: "model_file",
        run: targets::model_file,
        seeds: seeds::model_files,
        words: seeds::NUMBERS,
        mend: seeds::mend_model_file,
    },
    Target {
        name: "gguf",
        run: targets::model_file,
        seeds: seeds::gguf_files,
        words: seeds::GGUF_WORDS,
        mend: |_| {},
    },
    Target {
        name: "tokenizer",
        run: targets::tokenizer,
        seeds: seeds::tokenizers,
        words: seeds::NUMBERS,
        mend: |_| {},
    },
    Target {
        name: "prompt_line",
        run: targets::prompt_line,
        seeds: seeds::prompt_lines,
        words: seeds::LINE_WORDS,
        mend: |_| {},
    },
    Target {
        name: "console",
        run: targets::console,
        seeds: seeds::consoles,
        words: seeds::CONSOLE_WORDS,
        mend: |_| {},
    },
];
