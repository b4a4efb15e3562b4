//! The HTTP proxy through which machines reach the internet.

use std::fmt;

use serde::Serialize;

use crate::address;

/// The HTTP proxy through which machines reach the internet. `Debug` does not show the passwords that its addresses may have.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Proxy {
    /// For http addresses.
    pub http: Option<String>,
    /// For https addresses.
    pub https: Option<String>,
    /// Names and addresses that are reached without it, as the file or the site file says.
    pub no: Vec<String>,
    /// The cluster's own names and addresses, which are reached without it, too: machines, VIP, services, pods.
    pub own: Vec<String>,
}

impl Proxy {
    /// All names and addresses that are reached without it, each once.
    pub fn without(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for name in self.no.iter().chain(&self.own) {
            if !all.contains(&name.as_str()) {
                all.push(name);
            }
        }
        all
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<String>| url.as_deref().map(address::shown);
        f.debug_struct("Proxy")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("no", &self.no)
            .field("own", &self.own)
            .finish()
    }
}
