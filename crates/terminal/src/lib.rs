#![no_std]
#![forbid(unsafe_code)]
//! Line editor, screen of cells, fonts: keys in, cells and pixels out
