//! What every page has: its style, its script, and the policy that lets nothing else run.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("../../../templates/style.css");
const SCRIPT: &str = include_str!("../../../templates/script.js");

/// The style and the script of a page, and the policy that allows these two alone, by their hashes.
pub(super) struct Shell {
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) policy: String,
}

impl Shell {
    pub(super) fn new() -> Self {
        let policy = format!(
            "default-src 'none'; img-src data:; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
            source(STYLE),
            source(SCRIPT)
        );
        Self { style: STYLE, script: SCRIPT, policy }
    }
}

/// The hash of an inline text as a policy names it (Content Security Policy Level 3, section 2.3.1).
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}
