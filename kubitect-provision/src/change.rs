//! one step of a plan.
