#![forbid(unsafe_code)]
//! Downloads one file, or its first bytes: `xtask-fetch URL FILE [BYTES]`.

use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use xtask_fetch::{Checked, fetch_first, host};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (url, file, first) = match arguments.as_slice() {
        [url, file] => (url, file, Some(u64::MAX)),
        [url, file, first] => (url, file, first.parse().ok().filter(|&bytes| bytes > 0)),
        _ => return usage(),
    };
    let Some(first) = first else { return usage() };
    eprintln!("  connecting to {}", host(url));
    let bar = ProgressBar::no_length().with_style(style());
    let result = fetch_first(first, url, Path::new(file), &mut |done, total| {
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    });
    bar.finish_and_clear();
    match result {
        Ok(Checked::Hash(hash)) => println!("{file}: SHA-256 {hash}, as the server says"),
        Ok(Checked::Nothing) if first < u64::MAX => {
            println!("{file}: a part, which has no SHA-256 to compare with");
        }
        Ok(Checked::Nothing) => println!("{file}: the server gives no SHA-256 to compare with"),
        Err(error) => {
            eprintln!("error: {error:#}\nYou can also put the file at {file} yourself.");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: xtask-fetch URL FILE [BYTES]");
    ExitCode::FAILURE
}

fn style() -> ProgressStyle {
    let template =
        "  [{bar:40}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
    ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar())
}
