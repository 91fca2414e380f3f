//! The targets: each takes any bytes and panics if anything is wrong.

mod console;
mod model_file;
mod prompt_line;
mod tokenizer;

pub use console::console;
pub use model_file::model_file;
pub use prompt_line::prompt_line;
pub use tokenizer::tokenizer;
