#![no_std]
#![forbid(unsafe_code)]
//! Weight formats: block layout, packing, one row back out, products
