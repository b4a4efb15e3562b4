//! A program that uses the library: it creates, changes, upgrades, observes and removes clusters.
//!
//! ```console
//! $ cargo run -p tests --example embed -- create cluster.yaml
//! $ cargo run -p tests --example embed -- destroy demo
//! ```

mod verbs;

use std::error::Error;
use std::path::Path;

use kubitect_cli::{Events, Home, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, verb, what] = &arguments[..] else {
        return Err("usage: embed create|change|upgrade FILE, embed status|destroy NAME".into());
    };
    // The folder of this program's clusters, and the home folder whose kubeconfig and known hosts they are added to.
    let home = Home::open(Path::new("clusters"), std::env::home_dir())?;
    let options = Options::new(home, Events::new(|event| println!("{}", event.json())))?;
    let cancel = options.cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
    });
    println!("{}", verbs::carry_out(verb, what, options).await?);
    Ok(())
}
