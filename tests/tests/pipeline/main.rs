//! Provisioning over hypervisors in memory: whatever fails, the same commands lead to the same result.

#![expect(
    clippy::unwrap_used,
    reason = "in helpers, too, what can't be done fails the test"
)]

mod added;
mod balloon;
mod destroy;
mod keys;
mod living;
mod ownership;
mod plans;
mod power;
mod properties;
mod random;
mod repair;
mod resize;
mod restarts;
mod scale;
mod shared;
mod unmounted;
mod world;
