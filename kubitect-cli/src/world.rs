//! [`World`]: hosts, machines and Kubespray: all that commands use besides the files of this machine. Tests replace it by a fake.

use std::path::Path;
use std::pin::Pin;

use kubitect_config::check::Check;
use kubitect_config::cluster::Kubernetes;
use kubitect_kubespray::{OnEvent, Tools};

pub use kubitect_provision::reach::{BoxFuture, Reach, Real, Waiting};

/// The future of [`World::prepare`].
pub type Preparing<'a> =
    Pin<Box<dyn Future<Output = Result<Tools, kubitect_kubespray::Error>> + Send + 'a>>;

/// The hosts, the machines on them and Kubespray, real or fake.
pub trait World: Reach {
    /// Checks whether this machine has the programs that are needed to download a release of Kubespray and to run it.
    fn check<'a>(&'a self, kubernetes: &'a Kubernetes, share: &'a Path) -> Checking<'a>;

    /// Downloads a release of Kubespray and its Ansible to this machine, under `share`.
    fn prepare<'a>(
        &'a self,
        kubernetes: &'a Kubernetes,
        share: &'a Path,
        on_event: OnEvent<'a>,
    ) -> Preparing<'a>;
}

/// The future of [`World::check`].
pub type Checking<'a> = Pin<Box<dyn Future<Output = Vec<Check>> + Send + 'a>>;

/// The real hosts, machines and Kubespray.
impl World for Real {
    fn check<'a>(&'a self, kubernetes: &'a Kubernetes, share: &'a Path) -> Checking<'a> {
        Box::pin(kubitect_kubespray::check_for(kubernetes, share))
    }

    fn prepare<'a>(
        &'a self,
        kubernetes: &'a Kubernetes,
        share: &'a Path,
        on_event: OnEvent<'a>,
    ) -> Preparing<'a> {
        Box::pin(kubitect_kubespray::prepare(kubernetes, share, on_event))
    }
}
