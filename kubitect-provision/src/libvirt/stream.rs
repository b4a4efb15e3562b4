//! Volumes' bytes over libvirt's streams.

use std::io::{Read, Write};

use virt::stream::Stream;

use crate::error::Source;

/// Bytes sent over a stream at once; libvirt's messages hold 256 KiB with their heads.
const CHUNK: usize = 128 << 10;

pub(super) fn send_all(stream: &Stream, content: &mut dyn Read) -> Result<(), Source> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let sent = usize::try_from(stream.send(rest).map_err(|e| e.to_string())?)?;
            rest = rest.get(sent..).unwrap_or_default();
        }
    }
}

pub(super) fn receive_all(stream: &Stream, to: &mut dyn Write) -> Result<(), Source> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let received = usize::try_from(stream.recv(&mut buffer).map_err(|e| e.to_string())?)?;
        if received == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..received).unwrap_or_default())?;
    }
}
