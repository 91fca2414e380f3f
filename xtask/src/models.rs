//! Which models go onto the disk, and which tokenizer belongs to each.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bootllm_model_file::ModelFile;
use bootllm_platform::{ReadAt, StorageError};
use bootllm_tokenizer::{Tokenizer, names_beside};
use clap::Args;

use crate::disk::Entry;
use crate::project::Project;

/// The models that the user names.
#[derive(Args, Clone, Debug, Default)]
pub struct ModelArgs {
    /// A model for the disk, instead of the built-in ones. May be repeated.
    #[arg(long = "model", value_name = "FILE")]
    pub models: Vec<PathBuf>,

    /// The tokenizer: one for all models, or one per model in the same order.
    #[arg(long = "tokenizer", value_name = "FILE")]
    pub tokenizers: Vec<PathBuf>,

    /// Put this model into the program, which then boots with no file next to it.
    #[arg(long, value_name = "MODEL", conflicts_with = "models")]
    pub embed: Option<PathBuf>,
}

/// A model with its tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The model file.
    pub model: PathBuf,
    /// The file of its tokenizer, if that is not inside the model.
    pub tokenizer: Option<PathBuf>,
}

impl Model {
    /// Checks both files. A tokenizer that is not named is looked for inside and next to the model.
    pub fn open(model: &Path, tokenizer: Option<&Path>) -> Result<Self> {
        let shown = model.display();
        let mut file = ModelReader::open(model).with_context(|| shown.to_string())?;
        let contents = bootllm_model_file::read(&mut file).with_context(|| shown.to_string())?;
        let opened = |tokenizer| Ok(Self { model: model.to_owned(), tokenizer });
        if let Some(inside) = &contents.vocabulary {
            // The program uses the one inside; a tokenizer that is named is for other models.
            Tokenizer::from_gguf(inside, &mut file).with_context(|| shown.to_string())?;
            return opened(None);
        }
        let vocabulary = contents.vocab_size().unwrap_or(0);
        if let Some(tokenizer) = tokenizer {
            read_tokenizer(tokenizer, vocabulary)?;
            return opened(Some(tokenizer.to_owned()));
        }
        let name = file_name(model)?;
        let [own, common] = names_beside(&name).map(|name| model.with_file_name(name));
        let found = if own.is_file() {
            read_tokenizer(&own, vocabulary)?;
            own
        } else if common.is_file() {
            // It may belong to another model.
            read_tokenizer(&common, vocabulary).with_context(|| {
                format!("{shown} has no tokenizer; name one with --tokenizer FILE")
            })?;
            common
        } else {
            bail!(
                "{shown} has no tokenizer next to it ({} or {}); name one with --tokenizer FILE",
                own.display(),
                common.display()
            );
        };
        opened(Some(found))
    }

    /// Names of the two files on the disk. The tokenizer's is derived from the model's.
    pub fn names(&self) -> Result<[String; 2]> {
        let name = file_name(&self.model)?;
        let [tokenizer, _] = names_beside(&name);
        Ok([name, tokenizer])
    }
}

impl ModelArgs {
    /// A model inside the program, and none next to it.
    pub fn embedded(model: Option<PathBuf>, tokenizer: Option<PathBuf>) -> Self {
        Self { models: Vec::new(), tokenizers: tokenizer.into_iter().collect(), embed: model }
    }

    /// The model inside the program, if any, and those next to it; the built-in ones if the user named
    /// none.
    pub fn chosen(&self, project: &Project) -> Result<(Option<Model>, Vec<Model>)> {
        let embedded = self.open_embedded()?;
        let mut models = self.open()?;
        if embedded.is_none() && models.is_empty() {
            models = models_in(&project.root.join("models"))?;
        }
        Ok((embedded, models))
    }

    /// The models for the disk that the user named.
    pub fn open(&self) -> Result<Vec<Model>> {
        let tokenizer = |at: usize| match self.tokenizers.len() {
            0 => Ok(None),
            1 => Ok(Some(self.tokenizers[0].as_path())),
            n if n == self.models.len() => Ok(Some(self.tokenizers[at].as_path())),
            n => bail!(
                "{n} tokenizers for {} models; name one for all, or one per model in the same order",
                self.models.len()
            ),
        };
        self.models
            .iter()
            .enumerate()
            .map(|(at, model)| Model::open(model, tokenizer(at)?))
            .collect()
    }

    /// The model for inside the program.
    pub fn open_embedded(&self) -> Result<Option<Model>> {
        let Some(model) = &self.embed else {
            return Ok(None);
        };
        if self.tokenizers.len() > 1 {
            bail!("--embed takes one model, and so at most one --tokenizer");
        }
        Model::open(model, self.tokenizers.first().map(PathBuf::as_path)).map(Some)
    }
}

/// The files of these models for the disk.
pub fn entries(models: &[Model]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for model in models {
        let [name, tokenizer] = model.names()?;
        entries.push(Entry::new(name, &model.model)?);
        if let Some(file) = &model.tokenizer {
            entries.push(Entry::new(tokenizer, file)?);
        }
    }
    Ok(entries)
}

/// The description of a model file.
pub fn describe(model: &Path) -> Result<ModelFile> {
    let shown = || model.display().to_string();
    let mut file = ModelReader::open(model).with_context(shown)?;
    bootllm_model_file::read(&mut file).with_context(shown)
}

/// The models in a directory, in the order of their names.
fn models_in(folder: &Path) -> Result<Vec<Model>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for file in fs::read_dir(folder)? {
        files.push(file?.path());
    }
    files.sort();
    files
        .iter()
        .filter(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".gguf") || name.ends_with(".bin") && !name.ends_with("tokenizer.bin")
        })
        .map(|file| Model::open(file, None))
        .collect()
}

fn read_tokenizer(file: &Path, vocabulary: usize) -> Result<Tokenizer> {
    let opened = ModelReader::open(file);
    let mut opened = opened.with_context(|| format!("cannot read {}", file.display()))?;
    Tokenizer::from_file(&mut opened, vocabulary).with_context(|| file.display().to_string())
}

fn file_name(file: &Path) -> Result<String> {
    file.file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
        .with_context(|| format!("{} has no name that a disk could have", file.display()))
}

/// A model file, read at any offset.
struct ModelReader {
    file: File,
    size: u64,
}

impl ModelReader {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for ModelReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.read_exact(buffer))
            .map_err(|error| StorageError::Device { offset, reason: error.to_string() })
    }
}
