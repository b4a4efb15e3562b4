//! The program as people start it: its output, its exit codes, and the files that it leaves.

mod apply;
mod debug;
mod destroy;
mod doctor;
mod env;
mod everyday;
mod explain;
mod graph;
mod help;
mod home;
mod interrupt;
mod kept;
mod keys;
mod outputs;
mod package;
mod plan;
mod planted;
mod reference;
mod render;
mod running;
mod shells;
mod support;
mod terminal;
mod trust;
mod validate;
mod watch;
