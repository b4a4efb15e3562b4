//! Changes the definition of an existing domain where it differs from the desired one. Whatever else a person or another program has
//! put into it stays.

use roxmltree::{Document, Node};

use super::domain::{
    MODEL, console_log, cpu, cpu_mode, cpu_model, disk, free_targets, interface, interface_source,
    interface_type,
};
use super::domain_state::{disks, memory, most_vcpus, nic, source, vcpus};
use super::edit::Edits;
use super::metadata;
use super::ports::{SPARE_PORTS, free_ports, port};
use super::xml::{Element, all, find};
use crate::error::Source;
use crate::resource::{Domain, Mark};

/// The changed definition; an error if the domain is not this cluster's.
pub(super) fn changed(xml: &str, desired: &Domain) -> Result<String, Source> {
    let document = Document::parse(xml)?;
    let root = document.root_element();
    let is_own =
        |mark: &Mark| mark.cluster == desired.cluster && mark.node.as_ref() == Some(&desired.name);
    let mark = metadata::mark(root).filter(is_own);
    let (Some(mark), Some(node)) = (mark, metadata::mark_node(root)) else {
        return Err("the domain of this name is not this cluster's".into());
    };
    let devices = find(root, &["devices"]).ok_or("its definition has no devices")?;
    let mut edits = Edits::of(xml);
    let new = desired.mark();
    edits.replace(node, &metadata::mark_element(&new));
    sizes(&mut edits, root, desired);
    let virt = root.attribute("type").unwrap_or_default();
    if desired.changes_emulation(&mark.digest, virt) {
        emulation(&mut edits, root, desired);
        console(&mut edits, devices, desired);
    }
    let mut added = missing_disks(&mut edits, root, desired);
    added.extend(missing_ports(root, added.len()));
    added.extend(plug(&mut edits, devices, desired));
    edits.append(devices, &added);
    Ok(edits.done())
}

/// Memory and processors.
fn sizes(edits: &mut Edits<'_>, root: Node<'_, '_>, desired: &Domain) {
    if memory(root) != desired.memory_mib {
        for name in ["memory", "currentMemory"] {
            if let Some(node) = find(root, &[name]) {
                edits.set(node, "unit", "MiB");
                edits.number(node, desired.memory_mib);
            }
        }
    }
    if vcpus(root) == desired.vcpus {
        return;
    }
    if let Some(node) = find(root, &["vcpu"]) {
        let room = desired.vcpu_limit(most_vcpus(root));
        edits.number(node, room);
        match room > desired.vcpus {
            true => edits.set(node, "current", desired.vcpus),
            false => edits.unset(node, "current"),
        }
    }
    // libvirt's own list of processors no longer fits the number. libvirt makes a new one.
    if let Some(list) = find(root, &["vcpus"]) {
        edits.remove(list);
    }
}

/// Changes type, processor mode and model. Topology, features and NUMA cells stay.
fn emulation(edits: &mut Edits<'_>, root: Node<'_, '_>, desired: &Domain) {
    edits.set(root, "type", &desired.virt);
    let Some(current) = find(root, &["cpu"]) else {
        return edits.append(root, &[cpu(desired)]);
    };
    edits.set(current, "mode", cpu_mode(desired));
    // libvirt adds this attribute itself, and refuses it with another mode.
    edits.unset(current, "migratable");
    for part in ["model", "vendor"] {
        if let Some(old) = find(current, &[part]) {
            edits.remove(old);
        }
    }
    let model = cpu_model(desired);
    for (name, value) in MODEL {
        match model {
            Some(_) => edits.set(current, name, value),
            None => edits.unset(current, name),
        }
    }
    if let Some(model) = model {
        edits.append(current, &[model]);
    }
}

/// Sets the file of the serial console.
fn console(edits: &mut Edits<'_>, devices: Node<'_, '_>, desired: &Domain) {
    let Some(serial) = all(devices, "serial").next() else {
        return;
    };
    match find(serial, &["log"]) {
        Some(log) => edits.replace(log, &console_log(desired)),
        None => edits.append(serial, &[console_log(desired)]),
    }
}

/// The desired disks that are missing. Removes the ones that are to be detached.
fn missing_disks(edits: &mut Edits<'_>, root: Node<'_, '_>, desired: &Domain) -> Vec<Element> {
    let mut current = Vec::new();
    for node in disks(root) {
        match source(node) {
            Some(path) if desired.detached.contains(&path) => edits.remove(node),
            path => current.extend(path),
        }
    }
    let missing = desired.disks.iter();
    let missing = missing.filter(|disk| !current.contains(&disk.path));
    let named = missing.zip(free_targets(root));
    named.map(|(desired, name)| disk(&name, desired)).collect()
}

/// The ports to add for this many new disks, so that as many ports stay free as in a new machine.
fn missing_ports(root: Node<'_, '_>, new: usize) -> Vec<Element> {
    let Some(free) = free_ports(root).filter(|_| new > 0) else {
        return Vec::new();
    };
    let missing = (SPARE_PORTS + new).saturating_sub(free as usize);
    (0..missing).map(|_| port()).collect()
}

/// Connects the network interface to the desired link; if the interface is missing, returns it.
fn plug(edits: &mut Edits<'_>, devices: Node<'_, '_>, desired: &Domain) -> Option<Element> {
    let mut interfaces = all(devices, "interface").filter_map(|node| Some((node, nic(node)?)));
    let Some((node, current)) = interfaces.find(|(_, nic)| nic.mac == desired.mac) else {
        return Some(interface(desired));
    };
    if current.link.as_ref() != Some(&desired.link) {
        edits.set(node, "type", interface_type(&desired.link));
        let plug = interface_source(&desired.link);
        match find(node, &["source"]) {
            Some(source) => edits.replace(source, &plug),
            None => edits.append(node, &[plug]),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use kubitect_config::cluster::CpuMode;

    use super::*;
    use crate::desired::desired;
    use crate::resource::Link;
    use crate::testing::cluster;

    /// A machine with something of each kind that people add, as libvirt writes it.
    const EXISTING: &str = r#"<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>demo-master-1</name>
  <uuid>5a41a4ee-809f-467e-9c47-b4fffabfaed1</uuid>
  <metadata>
    MARK
    <kubitect-note:note xmlns:kubitect-note="https://kubitect.io/xmlns/libvirt/note/1" text="set up"/>
    <backup:plan xmlns:backup="urn:backup">nightly</backup:plan>
  </metadata>
  <memory unit='KiB'>2097152</memory>
  <currentMemory unit='KiB'>2097152</currentMemory>
  <memoryBacking>
    <hugepages/>
  </memoryBacking>
  <vcpu placement='static' cpuset='2-5' current='2'>8</vcpu>
  <cputune>
    <vcpupin vcpu='0' cpuset='2'/>
  </cputune>
  <os firmware='efi'>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
    <nvram>/var/lib/libvirt/qemu/nvram/demo-master-1_VARS.fd</nvram>
    <boot dev='hd'/>
  </os>
  <cpu mode='host-passthrough' check='none' migratable='on'>
    <topology sockets='1' dies='1' cores='8' threads='1'/>
    <feature policy='require' name='vmx'/>
  </cpu>
  <devices>
    <emulator>/usr/local/bin/qemu</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/var/lib/libvirt/images/demo-main-resource-pool/demo-master-1-main-disk'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <source file='/var/lib/libvirt/images/demo-main-resource-pool/demo-master-1-old-data-disk'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='block' device='disk'>
      <source dev='/dev/vg0/ceph-osd-1'/>
      <target dev='vdc' bus='virtio'/>
    </disk>
    <disk type='network' device='disk'>
      <source protocol='rbd' name='pool/image'/>
      <target dev='sda' bus='scsi'/>
    </disk>
    <disk type='file' device='cdrom'>
      <target dev='sdb' bus='sata'/>
    </disk>
    <filesystem type='mount'>
      <source dir='/srv'/>
      <target dir='share'/>
    </filesystem>
    <interface type='bridge'>
      <mac address='52:54:00:aa:bb:cc'/>
      <source bridge='br-storage'/>
    </interface>
    <interface type='bridge'>
      <mac address='MAC'/>
      <source bridge='br-own'/>
      <vlan><tag id='7'/></vlan>
    </interface>
    <serial type='pty'/>
    <graphics type='vnc' passwd='a&lt;b'/>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source>
        <address domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>
      </source>
    </hostdev>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-foo'/>
  </qemu:commandline>
</domain>
"#;

    fn desired_domain() -> Domain {
        let cluster = cluster();
        let mut machines = desired(&cluster, &BTreeMap::new());
        let host = machines.hosts.values_mut().next().unwrap();
        let mut own = host.machines.iter_mut();
        let own = own.find(|m| m.domain.name.as_str() == "demo-master-1");
        let mut domain = own.unwrap().domain.clone();
        domain.memory_mib = 2048;
        domain.vcpus = 2;
        domain.link = Link::Bridge("br-own".to_owned());
        domain.disks.truncate(1);
        domain
    }

    fn current(mark: &Mark) -> String {
        EXISTING
            .replace("MARK", metadata::mark_element(mark).document().trim_end())
            .replace("MAC", &desired_domain().mac.to_string())
    }

    /// What a definition has no more, and what it has instead.
    fn differences(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
        let lines = |text: &str| -> Vec<String> {
            let text = text.replace("><", ">\n<");
            let lines = text.lines().map(str::trim);
            lines
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let (before, after) = (lines(before), lines(after));
        let without = |these: &[String], those: &[String]| {
            let those: BTreeSet<_> = those.iter().collect();
            let left = these.iter().filter(|line| !those.contains(line));
            left.cloned().collect()
        };
        (without(&before, &after), without(&after, &before))
    }

    #[test]
    fn a_machine_that_is_what_is_wanted_stays_to_the_letter() {
        let desired = desired_domain();
        let current = current(&desired.mark());
        assert_eq!(changed(&current, &desired).unwrap(), current);
    }

    #[test]
    fn only_what_differs_is_changed() {
        let mut desired = desired_domain();
        let current = current(&desired.mark());
        desired.memory_mib = 3072;
        desired.vcpus = 12;
        desired.max_vcpus = 24;
        desired.detached = vec![
            "/var/lib/libvirt/images/demo-main-resource-pool/demo-master-1-old-data-disk".into(),
        ];
        let mut new = desired.disks[0].clone();
        new.path = "/pools/new & more".into();
        desired.disks.push(new);
        let (removed, added) = differences(&current, &changed(&current, &desired).unwrap());
        assert_eq!(
            removed,
            [
                "<memory unit='KiB'>2097152</memory>",
                "<currentMemory unit='KiB'>2097152</currentMemory>",
                "<vcpu placement='static' cpuset='2-5' current='2'>8</vcpu>",
                "<source file='/var/lib/libvirt/images/demo-main-resource-pool/demo-master-1-old-data-disk'/>",
                "<target dev='vdb' bus='virtio'/>",
            ]
        );
        assert_eq!(
            added,
            [
                "<memory unit=\"MiB\">3072</memory>",
                "<currentMemory unit=\"MiB\">3072</currentMemory>",
                "<vcpu placement='static' cpuset='2-5' current=\"12\">24</vcpu>",
                "<disk type=\"file\" device=\"disk\">",
                "<driver name=\"qemu\" type=\"qcow2\" discard=\"unmap\"/>",
                "<source file=\"/pools/new &amp; more\"/>",
                "<target dev=\"vdd\" bus=\"virtio\"/>",
                "<serial>kubitect-main</serial>",
            ]
        );
    }

    #[test]
    fn another_emulation_keeps_what_the_processor_was_given_by_hand() {
        let mut desired = desired_domain();
        let mut mark = desired.mark();
        mark.digest = "another".to_owned();
        desired.virt = "qemu".to_owned();
        desired.cpu.mode = CpuMode::Custom;
        desired.cpu.model = Some("qemu64".to_owned());
        let current = current(&mark);
        let after = changed(&current, &desired).unwrap();
        let document = Document::parse(&after).unwrap();
        let root = document.root_element();
        assert_eq!(root.attribute("type"), Some("qemu"));
        let cpu = find(root, &["cpu"]).unwrap();
        let cpu = after[cpu.range()].split_whitespace().collect::<Vec<_>>();
        assert_eq!(
            cpu.join(" "),
            "<cpu match=\"exact\" mode=\"custom\" check=\"none\" > <topology sockets='1' dies='1' cores='8' threads='1'/> \
             <feature policy='require' name='vmx'/> <model fallback=\"forbid\">qemu64</model></cpu>"
        );
        let log = find(root, &["devices", "serial", "log"]).unwrap();
        assert_eq!(log.attribute("file"), desired.console.to_str());
        assert_eq!(metadata::mark(root), Some(desired.mark()));
        assert!(after.contains("<kubitect-note:note xmlns:kubitect-note="));
    }

    #[test]
    fn an_interface_is_plugged_in_again_and_one_that_is_gone_comes_back() {
        let mut desired = desired_domain();
        desired.link = Link::Network("demo-network".to_owned());
        let text = current(&desired.mark());
        let (removed, added) = differences(&text, &changed(&text, &desired).unwrap());
        assert_eq!(removed, ["<source bridge='br-own'/>"]);
        assert_eq!(
            added,
            [
                "<interface type=\"network\">",
                "<source network=\"demo-network\"/>"
            ]
        );
        desired.mac = "52:54:00:00:00:99".parse().unwrap();
        let text = current(&desired.mark());
        let (removed, added) = differences(&text, &changed(&text, &desired).unwrap());
        assert_eq!(removed, [""; 0]);
        assert!(added.contains(&"<mac address=\"52:54:00:00:00:99\"/>".to_owned()));
    }

    #[test]
    fn what_is_none_of_the_clusters_is_not_changed() {
        let desired = desired_domain();
        let mut mark = desired.mark();
        mark.cluster = "other".parse().unwrap();
        assert!(changed(&current(&mark), &desired).is_err());
        let none = EXISTING
            .replace("MARK", "")
            .replace("MAC", "52:54:00:00:00:01");
        assert!(changed(&none, &desired).is_err());
    }
}
