//! A machine that hangs.

use std::time::Duration;

use kubitect_config::remote::{Doing, Output, Remote};

/// It takes every connection and answers none.
pub struct Hangs;

impl Remote for Hangs {
    fn run<'a>(&'a self, _: &'a [&'a str], _: Duration) -> Doing<'a, Output> {
        Box::pin(std::future::pending())
    }

    fn put<'a>(&'a self, _: &'a str, _: &'a [u8], _: u32, _: Duration) -> Doing<'a, ()> {
        Box::pin(std::future::pending())
    }
}
