//! Sessions, keys and waiting against an SSH server in this process.

mod keys;
mod server;
mod session;
mod wait;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};

use crate::ssh::Target;

/// Long enough for anything in this process, short enough to wait for.
const SOON: Duration = Duration::from_secs(20);

/// The key made from this seed; always the same one.
fn key(seed: u8) -> PrivateKey {
    PrivateKey::new(
        KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])),
        "",
    )
    .unwrap()
}

const HOST: u8 = 1;
const USER: u8 = 2;

fn target(address: SocketAddr) -> Target {
    Target {
        machine: "demo-master-1".to_owned(),
        address,
        user: "k8s".to_owned(),
        private_key: Arc::new(key(USER)),
        host_key: key(HOST).public_key().clone(),
        jump: None,
    }
}
