//! Text that may be shown and logged: clean of control characters and secrets; and times.

use std::time::SystemTime;

use kubitect_config::text;

/// The form of times in files and events.
pub const RFC3339: &str = "%Y-%m-%dT%H:%M:%SZ";

/// The time now, in UTC.
pub fn time(form: &str) -> String {
    chrono::DateTime::<chrono::Utc>::from(SystemTime::now())
        .format(form)
        .to_string()
}

/// Text for a terminal or a log: without control characters, and without the passwords of addresses in it, as of a proxy's.
pub fn safe(text: &str) -> String {
    text::lines(&kubitect_config::address::shown(text))
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn passwords_of_addresses_and_control_characters_are_removed() {
        assert_eq!(
            safe("could not reach http://me:hunter2@proxy.example:3128/x"),
            "could not reach http://(not shown)@proxy.example:3128/x"
        );
        assert_eq!(
            safe("\u{1b}[0;31mfailed\u{1b}[0m: a\tb\r\nc\u{9b}2J"),
            "failed: a b\nc\\u{9b}2J"
        );
    }
}
