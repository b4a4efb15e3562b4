//! The program as people start it: what it prints, where, with which exit code, and what it leaves behind.

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
