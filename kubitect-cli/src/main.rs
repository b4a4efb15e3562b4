//! The `kubitect` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubitect_cli::run()
}
