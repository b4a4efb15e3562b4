//! carries out a Plan.
