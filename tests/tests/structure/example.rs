//! The user's own example is unchanged, byte for byte.

use sha2::{Digest, Sha256};

#[test]
fn the_example_is_as_the_user_wrote_it() {
    let text = include_bytes!("../../../examples/multi-master.yaml");
    let digest: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        digest,
        "da8b4d9f0a34dde4d39d857044eae4dea96f075a9d9097729c3b46865fea1615"
    );
}
