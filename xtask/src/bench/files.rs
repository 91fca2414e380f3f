//! The same weights in the files that the programs read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use bootllm_model_file::{FileFormat, Version};
use bootllm_tokenizer::names_beside;

use super::program::{Kind, Program};
use super::{Format, Options};
use crate::models::{self, Model};
use crate::process;
use crate::project::Project;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// GGUF.
    Gguf,
    /// llama2.c's first format: f32.
    V0,
    /// llama2.c's third format: int8 in groups.
    V2,
}

impl Container {
    /// The container for bootllm if no other program needs one.
    fn usual(format: Format) -> Self {
        if format == Format::Int8 { Container::V2 } else { Container::Gguf }
    }

    /// The name of such a file in `bootllm convert --to`.
    fn target(self, format: Format) -> &'static str {
        match self {
            Container::Gguf => format.name(),
            Container::V0 => "v0",
            Container::V2 => "v2",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Container::Gguf => "gguf",
            Container::V0 | Container::V2 => "bin",
        }
    }
}

/// The origin of the weights.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in the report: the shape or the file.
    pub name: String,
    /// The format that is measured by default.
    pub format: Format,
    /// The user's model; `None` for random weights.
    model: Option<Given>,
}

/// A model that the user named.
#[derive(Clone, Debug)]
struct Given {
    path: PathBuf,
    tokenizer: Option<PathBuf>,
    /// Its container, if a program can read the file as it is.
    container: Option<Container>,
}

impl Source {
    /// The sources that the options name.
    pub fn all(options: &Options) -> Result<Vec<Self>> {
        let Some(path) = &options.model else {
            let random =
                |name: &String| Source { name: name.clone(), format: Format::Q8_0, model: None };
            return Ok(options.shapes.iter().map(random).collect());
        };
        let file = models::describe(path)?;
        let (format, container) = match file.format {
            FileFormat::Gguf => {
                let name = file.main_format();
                let known = Format::ALL.into_iter().find(|format| format.name() == name);
                (
                    known.with_context(|| format!("{name} cannot be measured"))?,
                    Some(Container::Gguf),
                )
            }
            FileFormat::Llama2c(Version::V0) => (Format::F32, Some(Container::V0)),
            FileFormat::Llama2c(Version::V1) => (Format::F32, None),
            FileFormat::Llama2c(Version::V2 { .. }) => (Format::Int8, Some(Container::V2)),
        };
        let given = Given { path: path.clone(), tokenizer: options.tokenizer.clone(), container };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(vec![Source { name, format, model: Some(given) }])
    }
}

/// A model in one weight format.
pub struct Files {
    /// Its name in the report.
    pub name: String,
    /// The format of the weights.
    pub format: Format,
    /// The file that bootllm reads.
    pub ours: PathBuf,
    /// The files of the other programs.
    pub made: Vec<(Container, Made)>,
    /// Tokens in the model's context.
    pub context: usize,
}

/// A file that was written, or was there before.
pub struct Made {
    /// Its path.
    pub file: PathBuf,
    /// Its tokenizer, for llama2.c's programs.
    pub tokenizer: Option<PathBuf>,
}

impl Files {
    /// Writes the files that these kinds of programs read for this format. Models with random weights
    /// stay in `target/bench` for the next time.
    pub fn make(
        project: &Project,
        bootllm: &Program,
        source: &Source,
        format: Format,
        kinds: impl Iterator<Item = Kind>,
    ) -> Result<Self> {
        let mut containers: Vec<Container> = Vec::new();
        for container in kinds.filter_map(|kind| kind.container(format)) {
            if !containers.contains(&container) {
                containers.push(container);
            }
        }
        // bootllm reads all of them.
        let given = source.model.as_ref().filter(|_| source.format == format);
        if containers.is_empty() && given.is_none() {
            containers.push(Container::usual(format));
        }
        let mut made = Vec::new();
        for container in containers {
            made.push((container, Made::new(project, bootllm, source, format, container)?));
        }
        let ours = given.map_or_else(|| made[0].1.file.clone(), |given| given.path.clone());
        let context = models::describe(&ours)?.context().unwrap_or(0);
        Ok(Files { name: source.name.clone(), format, ours, made, context })
    }

    /// The file for a kind of program, and its tokenizer if that is another file.
    pub fn for_kind(&self, kind: Kind) -> Option<(&Path, Option<&Path>)> {
        if kind == Kind::Bootllm {
            return Some((&self.ours, None));
        }
        let container = kind.container(self.format)?;
        let (_, made) = self.made.iter().find(|(own, _)| *own == container)?;
        Some((&made.file, made.tokenizer.as_deref()))
    }
}

impl Made {
    fn new(
        project: &Project,
        bootllm: &Program,
        source: &Source,
        format: Format,
        container: Container,
    ) -> Result<Self> {
        let to = container.target(format);
        let stem = match &source.model {
            Some(given) => given.path.file_stem().unwrap_or_default().to_string_lossy().into(),
            None => format!("random-{}", source.name),
        };
        let name = format!("{stem}-{to}.{}", container.extension());
        let folder = project.target.join("bench");
        let file = folder.join(&name);
        let [own, _] = names_beside(&name);
        let beside = (container != Container::Gguf).then(|| folder.join(own));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;

        let Some(given) = &source.model else {
            if !file.is_file() {
                eprintln!("writing {}", project.shown(&file));
                let mut command = Command::new(&bootllm.path);
                command.arg("synthesize").arg(&source.name).arg(&file).args(["--to", to]);
                process::run(&mut command)?;
            }
            return Ok(Made { file, tokenizer: beside });
        };
        // A tokenizer file belongs to all of the model's files in llama2.c's formats. A tokenizer from
        // inside the model is written next to them.
        let needs_tokenizer = beside.is_some();
        let outside = match needs_tokenizer {
            true => Model::open(&given.path, given.tokenizer.as_deref())?.tokenizer,
            false => None,
        };
        let tokenizer = outside.or(beside);
        if given.container == Some(container) && source.format == format {
            return Ok(Made { file: given.path.clone(), tokenizer });
        }
        eprintln!("writing {}", project.shown(&file));
        let mut command = Command::new(&bootllm.path);
        command.arg("convert").arg(&given.path).arg(&file).args(["--force", "--to", to]);
        if let Some(tokenizer) = given.tokenizer.as_ref().filter(|_| !needs_tokenizer) {
            command.arg("--tokenizer").arg(tokenizer);
        }
        process::run(&mut command)?;
        Ok(Made { file, tokenizer })
    }
}
