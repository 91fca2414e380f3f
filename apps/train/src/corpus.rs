//! Documents to train on, and those held out.
