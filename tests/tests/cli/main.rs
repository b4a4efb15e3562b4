//! The program as people start it: what it prints, where, with which exit code, and what it leaves behind.

mod apply;
mod destroy;
mod env;
mod everyday;
mod explain;
mod help;
mod home;
mod interrupt;
mod keys;
mod plan;
mod render;
mod terminal;
mod trust;
mod validate;
mod watch;
