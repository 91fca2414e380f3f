//! `bootllm convert`: a model in another of llama2.c's formats.

use crate::model::{self, ProgressBar};
use crate::output::remark;
use crate::platform::StdClock;
use anyhow::{Context, Result, bail};
use bootllm_chat::report::bytes;
use bootllm_model_file::{Sink, Version, convert, largest_group};
use bootllm_platform::Clock;
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What is converted to what.
#[derive(Args)]
pub struct Arguments {
    /// A model in one of llama2.c's formats
    model: PathBuf,
    /// The file to write
    output: PathBuf,
    /// The format to write
    #[arg(long, value_enum)]
    to: Format,
    /// v2: values that share a scale [default: the largest up to 64 that divides every row]
    #[arg(long)]
    group: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// f32, the legacy format of llama2.c's `run`
    V0,
    /// f32 behind a proper header
    V1,
    /// int8 in groups, for llama2.c's `runq`
    V2,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut opened = model::open(&arguments.model)?;
    let version = match (arguments.to, arguments.group) {
        (Format::V0, None) => Version::V0,
        (Format::V1, None) => Version::V1,
        (Format::V2, group) => {
            Version::V2 { group: group.unwrap_or_else(|| largest_group(&opened.file.config)) }
        }
        _ => bail!("only v2 has groups"),
    };
    let output = &arguments.output;
    check_output(output, &arguments.model)?;
    // Under another name until it is whole, so that an existing file is lost only to a good one.
    let mut part = output.clone().into_os_string();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let file = File::create_new(&part).with_context(|| part.display().to_string())?;
    let written = write(&mut opened, version, file, &part).and_then(|size| {
        std::fs::rename(&part, output).with_context(|| output.display().to_string())?;
        Ok(size)
    });
    match written {
        Ok(size) => {
            let name = output.display();
            let (size, before) = (bytes(size), bytes(opened.file.size));
            remark(&format!("{name}: {version}, {size} (it was {before})"));
            Ok(())
        }
        Err(error) => {
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
}

/// Refuses to replace the model itself, and what is not a file: a device under this name would be
/// gone.
fn check_output(output: &Path, model: &Path) -> Result<()> {
    let name = output.display();
    if output.canonicalize().ok() == Some(model.canonicalize()?) {
        bail!("{name}: a model cannot be converted into its own file");
    }
    match std::fs::metadata(output) {
        Ok(metadata) if metadata.is_dir() => bail!("{name}: it is a folder"),
        Ok(metadata) if !metadata.is_file() => {
            bail!("{name}: it is a device or a pipe, not a file")
        }
        _ => Ok(()),
    }
}

fn write(opened: &mut model::Opened, version: Version, file: File, part: &Path) -> Result<u64> {
    let context = || part.display().to_string();
    let mut sink = FileSink { file: BufWriter::new(file), size: 0 };
    let (clock, mut bar) = (StdClock::new(), ProgressBar::new("converting"));
    let total = opened.file.size;
    let result = convert(&opened.file, &mut opened.source, version, &mut sink, &mut |done| {
        bar.show(done, total, clock.now());
    });
    bar.clear();
    result.with_context(|| opened.path.display().to_string())?;
    let file = sink.file.into_inner().map_err(|error| error.into_error()).with_context(context)?;
    file.sync_all().with_context(context)?;
    Ok(sink.size)
}

struct FileSink {
    file: BufWriter<File>,
    size: u64,
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| error.to_string())
    }
}
