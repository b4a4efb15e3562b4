//! Work that blocks, in programs that have a tokio runtime.

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::Error;

/// Does work that blocks; what else goes on in a runtime of several threads goes on elsewhere meanwhile.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match of_several_threads() {
        Ok(_) => tokio::task::block_in_place(work),
        Err(_) => work(),
    }
}

/// Does work to its end on the thread that calls this.
///
/// # Errors
/// There is no runtime, or it has one thread, on which work that blocks would end the program.
pub fn on_this_thread<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = of_several_threads()?;
    Ok(tokio::task::block_in_place(|| runtime.block_on(work)))
}

fn of_several_threads() -> Result<Handle, Error> {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread => Ok(runtime),
        _ => Err(Error::failed(
            "begin: this needs a tokio runtime of several threads, as `#[tokio::main]` makes it",
        )),
    }
}
