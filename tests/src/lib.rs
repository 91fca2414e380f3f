//! What the tests across crates share: a small model made by the tests themselves.
