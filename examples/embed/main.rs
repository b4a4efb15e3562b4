//! What Kubitect would do to this machine's libvirt, asked by a program of one's own.
//!
//! ```console
//! $ cargo run -p tests --example embed -- examples/multi-master.yaml
//! ```

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: embed FILE")?;
    let parsed = kubitect_config::load(Path::new(&file), &kubitect_config::Site::default())?;
    let hosts = kubitect_provision::Hosts::connect(&parsed.cluster)?;
    let plan = kubitect_provision::plan(&parsed.cluster, &hosts)?;
    println!("{plan}");
    Ok(())
}
