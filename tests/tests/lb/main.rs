//! The load balancer: what is rendered, by text and by HAProxy's and keepalived's own judgement, and how it behaves.

mod checkers;
mod cluster;
mod fake;
mod live;
mod render;
mod rollout;
mod serving;
mod status;
mod vrrp;
