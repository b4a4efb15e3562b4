//! Uploads and downloads of volumes over libvirt's streams.

use std::io::{Read, Write};

use virt::error::Error as VirtError;
use virt::storage_vol::StorageVol;
use virt::stream::Stream;

use super::Libvirt;
use crate::error::Source;

/// How many bytes are sent at once; libvirt's messages hold 256 KiB with their headers.
const CHUNK: usize = 128 << 10;

impl Libvirt {
    /// Opens a stream with a volume, transfers its bytes, and finishes the stream, or aborts it after an error.
    pub(super) fn transfer(
        &self,
        pool: &str,
        volume: &str,
        begin: impl FnOnce(&StorageVol, &Stream) -> Result<(), VirtError>,
        transfer: impl FnOnce(&Stream) -> Result<(), Source>,
    ) -> Result<(), Source> {
        let open = || -> Result<_, VirtError> {
            let found = self.volume(pool, volume)?;
            let stream = Stream::new(&self.connected(), 0)?;
            begin(&found, &stream)?;
            Ok(stream)
        };
        let stream = open().map_err(|e| e.to_string())?;
        if let Err(source) = transfer(&stream) {
            if let Err(error) = stream.abort() {
                tracing::debug!(%error, "stream not aborted");
            }
            return Err(source);
        }
        Ok(stream.finish().map_err(|e| e.to_string())?)
    }
}

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
