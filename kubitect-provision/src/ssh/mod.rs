//! SSH to the machines, authenticated from the first connection.
