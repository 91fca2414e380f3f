//! Writing the model of a file in another format.

use crate::gguf::{Source, write_from};
use crate::{
    Config, FileFormat, ModelFile, OutputFormat, RowBuffer, Rows, Sink, Tokens, WriteError,
    for_each_f32_row, write,
};
use alloc::string::ToString;
use bootllm_platform::ReadAt;

/// Writes the model of a file in another format. `tokens` is the vocabulary to put into a GGUF file if
/// the source has none inside. `progress` is called with the bytes read so far.
///
/// Floating point keeps every bit if the new format has them; otherwise each weight becomes the
/// nearest value of the new format. From GGUF to GGUF all metadata is kept but what describes
/// the weights' format.
///
/// # Errors
/// A model that the target cannot hold, and errors of reading and writing.
pub fn convert(
    model: &ModelFile,
    file: &mut dyn ReadAt,
    format: impl Into<OutputFormat>,
    tokens: Option<&dyn Tokens>,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(u64),
) -> Result<(), WriteError> {
    match format.into() {
        OutputFormat::Llama2c(version) => {
            let config = Config::of(model)?;
            with_rows(model, file, progress, |rows| write(version, &config, rows, sink))
        }
        OutputFormat::Gguf(weights) => {
            let tokens = tokens.filter(|_| model.vocabulary.is_none());
            let mut writer = match model.format {
                FileFormat::Gguf => write_from(Source::File(file), model, weights, tokens, sink)?,
                FileFormat::Llama2c(_) => {
                    write_from(Source::Description, model, weights, tokens, sink)?
                }
            };
            with_rows(model, file, progress, |rows| writer.tensors(rows))
        }
    }
}

/// Lets `take` ask for the rows of a model.
fn with_rows(
    model: &ModelFile,
    file: &mut dyn ReadAt,
    progress: &mut dyn FnMut(u64),
    take: impl FnOnce(&mut Rows<'_>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut buffer = RowBuffer::default();
    let mut done = 0;
    take(&mut |name, each| {
        let missing = || WriteError::Missing { tensor: name.to_string() };
        let tensor = model.tensor(name).ok_or_else(missing)?;
        for_each_f32_row(file, tensor, &mut buffer, |_, row| each(row))?;
        done += tensor.bytes();
        progress(done);
        Ok(())
    })
}
