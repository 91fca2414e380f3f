//! Making a tokenizer for a corpus.
