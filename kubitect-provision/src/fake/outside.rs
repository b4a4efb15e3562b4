//! Changes that tests make to a host in memory as another program, a person or a crash would.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use kubitect_config::value::Mac;

use super::{FakeHost, File};
use crate::observe::{DomainState, PowerState};

impl FakeHost {
    /// Makes a lock.
    pub fn put_lock(&self, name: &str, holder: &str) {
        self.change(|state| drop(state.lock(name, holder)));
    }

    /// Puts a file into a folder, behind libvirt's back.
    pub fn put_file(&self, folder: impl Into<PathBuf>, name: &str, bytes: &[u8]) {
        let file = File {
            format: "raw".to_owned(),
            capacity: bytes.len() as u64,
            allocation: bytes.len() as u64,
            backing: None,
            bytes: bytes.to_vec(),
        };
        self.change(|state| {
            let folder = state.folders.entry(folder.into()).or_default();
            folder.insert(name.to_owned(), file);
        });
    }

    /// Makes the host offer only these domain types, and no processor models.
    pub fn offer(&self, virt: &[&str]) {
        let capability = &mut self.lock().host.capability;
        capability.virt = virt.iter().map(|&kind| kind.to_owned()).collect();
        capability.cpu_models.clear();
    }

    /// Leases an address to a machine.
    pub fn lease(&self, domain: &str, mac: Mac, ip: Ipv4Addr) {
        self.change(|state| {
            let leases = state.addresses.entry(domain.to_owned());
            leases.or_default().push((mac, ip));
        });
    }

    /// Removes a folder with all that is in it, as when its file system is unmounted; its pools stop.
    pub fn unmount(&self, folder: impl Into<PathBuf>) {
        let folder = folder.into();
        self.change(|state| {
            if let Some(files) = state.folders.remove(&folder) {
                state.unmounted.insert(folder.clone(), files);
            }
            let pools = state.host.pools.iter_mut();
            pools
                .filter(|pool| pool.path.as_ref() == Some(&folder))
                .for_each(|pool| pool.active = false);
        });
    }

    /// Restores a folder that was unmounted.
    pub fn mount(&self, folder: impl Into<PathBuf>) {
        let folder = folder.into();
        self.change(|state| {
            if let Some(files) = state.unmounted.remove(&folder) {
                state.folders.insert(folder, files);
            }
        });
    }

    /// Makes an empty folder, behind libvirt's back.
    pub fn make_folder(&self, folder: impl Into<PathBuf>) {
        self.change(|state| {
            state.folders.entry(folder.into()).or_default();
        });
    }

    /// Removes a file from a folder, behind libvirt's back.
    pub fn lose_file(&self, folder: impl Into<PathBuf>, name: &str) {
        self.change(|state| {
            if let Some(folder) = state.folders.get_mut(&folder.into()) {
                folder.remove(name);
            }
        });
    }

    /// Changes a domain, if it exists.
    pub fn change_domain(&self, name: &str, change: impl FnOnce(&mut DomainState)) {
        self.change(|state| {
            if let Ok(domain) = state.domain_mut(name) {
                change(domain);
            }
        });
    }

    /// Saves a running domain, as a host does when it shuts down.
    pub fn save(&self, name: &str) {
        self.change(|state| {
            let Ok(domain) = state.domain_mut(name) else {
                return;
            };
            if let Some(live) = domain.live.take() {
                domain.power = PowerState::Off;
                domain.saved = true;
                state.saved.insert(name.to_owned(), live);
            }
        });
    }

    /// Makes a domain's guest ignore requests to shut down.
    pub fn ignore_shutdown(&self, name: &str) {
        self.change(|state| state.stubborn.insert(name.to_owned()));
    }

    /// Makes requests for a domain's addresses fail, as when its guest agent hangs.
    pub fn hide_addresses(&self, name: &str) {
        self.change(|state| state.mute.insert(name.to_owned()));
    }

    /// Makes a domain refuse a hot-plug of processors.
    pub fn refuse_hot_plug(&self, name: &str) {
        self.lock().rigid.insert(name.to_owned());
    }

    /// Makes starts of a domain fail, or work again.
    pub fn refuse_start(&self, name: &str, broken: bool) {
        self.change(|state| match broken {
            true => state.broken.insert(name.to_owned()),
            false => state.broken.remove(name),
        });
    }

    /// Leaves the bridge of a network behind, as a libvirtd does that is killed while it starts it.
    pub fn leave_bridge(&self, network: &str) {
        self.change(|state| state.left_bridges.insert(network.to_owned()));
    }

    /// Stops a domain, a network or a pool.
    pub fn stop(&self, name: &str) {
        self.change(|state| {
            let host = &mut state.host;
            for domain in host.domains.iter_mut().filter(|d| d.name == name) {
                domain.power = PowerState::Off;
                domain.live = None;
            }
            for network in host.networks.iter_mut().filter(|n| n.name == name) {
                network.active = false;
            }
            for pool in host.pools.iter_mut().filter(|p| p.name == name) {
                pool.active = false;
            }
        });
    }
}
