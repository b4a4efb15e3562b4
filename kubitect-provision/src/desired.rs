//! Cluster to Desired.
