//! Base images: presets, download, checksum, cache.
