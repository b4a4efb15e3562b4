//! Cloud-init's documents and the volume that carries them.
