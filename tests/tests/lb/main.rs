//! The load balancer: the rendered files, as text and as HAProxy and keepalived accept them, and its behaviour.

mod checkers;
mod cluster;
mod fake;
mod live;
mod render;
mod rollout;
mod serving;
mod status;
mod vrrp;
