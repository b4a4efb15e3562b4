//! The HTTP proxy by which machines reach the outside.

use std::fmt;

use serde::Serialize;

use crate::address;

/// The HTTP proxy by which machines reach the outside. Its addresses may hold a password, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Proxy {
    /// For http addresses.
    pub http: Option<String>,
    /// For https addresses.
    pub https: Option<String>,
    /// What is reached without it, as the file or the site says.
    pub no: Vec<String>,
    /// What is reached without it because it is the cluster's own: machines, VIP, services, pods and their names.
    pub own: Vec<String>,
}

impl Proxy {
    /// All that is reached without it, each once.
    pub fn without(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for one in self.no.iter().chain(&self.own) {
            if !all.contains(&one.as_str()) {
                all.push(one);
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
