//! A machine that hangs.

use std::time::Duration;

use kubitect_config::remote::{BoxFuture, Output, Remote};

/// It accepts every connection and never answers.
pub struct Hangs;

impl Remote for Hangs {
    fn run<'a>(&'a self, _: &'a [&'a str], _: Duration) -> BoxFuture<'a, Output> {
        Box::pin(std::future::pending())
    }

    fn put<'a>(&'a self, _: &'a str, _: &'a [u8], _: u32, _: Duration) -> BoxFuture<'a, ()> {
        Box::pin(std::future::pending())
    }
}
