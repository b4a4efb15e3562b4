//! The program of `examples/embed`, on the lab's libvirt and in its folder.

use kubitect_cli::{Events, Home, Options};

use crate::tools::home;

#[path = "../../../examples/embed/verbs.rs"]
mod verbs;

/// What the example does with these arguments; panics if it fails.
pub fn embedded(verb: &str, what: &str) {
    println!("$ embed {verb} {what}");
    let home = Home::open(&home(), std::env::home_dir()).expect("the lab's folder can be used");
    let events = Events::new(|event| println!("{}", event.json()));
    let options = Options::new(home, events).expect("the lab's site file can be read");
    let runtime = tokio::runtime::Runtime::new().expect("there are threads");
    let said = runtime.block_on(verbs::carry_out(verb, what, options));
    println!("{}", said.expect("the example succeeds"));
}
