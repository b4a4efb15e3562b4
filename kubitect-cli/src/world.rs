//! [`World`]: all that commands reach outside of this machine's own files.

use std::path::Path;
use std::pin::Pin;

use kubitect_config::cluster::Kubernetes;
use kubitect_kubespray::{OnEvent, Tools};

pub use kubitect_provision::reach::{Doing, Reach, Real, Waiting};

/// What takes its time, of Kubespray.
pub type Preparing<'a> =
    Pin<Box<dyn Future<Output = Result<Tools, kubitect_kubespray::Error>> + Send + 'a>>;

/// The hosts, the machines on them and Kubespray, by whatever way they are had.
pub trait World: Reach {
    /// Brings a release of Kubespray and its Ansible to this machine, under `share`.
    fn prepare<'a>(
        &'a self,
        kubernetes: &'a Kubernetes,
        share: &'a Path,
        on_event: OnEvent<'a>,
    ) -> Preparing<'a>;
}

/// The world as it is.
impl World for Real {
    fn prepare<'a>(
        &'a self,
        kubernetes: &'a Kubernetes,
        share: &'a Path,
        on_event: OnEvent<'a>,
    ) -> Preparing<'a> {
        Box::pin(kubitect_kubespray::prepare(kubernetes, share, on_event))
    }
}
