#![no_std]
#![forbid(unsafe_code)]
//! Which instructions this CPU has, and vector maths: exp, silu, softmax, rms_norm, rope
