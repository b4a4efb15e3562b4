//! Provisioning over hypervisors in memory: whatever breaks where, the same commands lead to the same end.

mod destroy;
mod plans;
mod properties;
mod world;
