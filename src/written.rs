//! What people write, in files and on command lines, read so that an error says where and what is allowed.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

/// Checks a name that people give to something of theirs.
///
/// # Errors
/// When it is empty, or has characters that a command line or a path would have to quote.
pub(crate) fn name(text: &str) -> Result<&str, String> {
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || !text.chars().all(fit) {
        return Err(format!("the name {text:?} has other characters than a to z, 0 to 9 and -"));
    }
    Ok(text)
}

/// Reads a duration such as `5s`, `500ms` or `1m`.
///
/// # Errors
/// When it is none, or not between a millisecond and a day.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = read(text, "5s, 500ms or 1m")?;
    if duration < Duration::from_millis(1) || duration > Duration::from_secs(24 * 3600) {
        return Err(format!("{text:?} is not between 1ms and 24h"));
    }
    Ok(duration)
}

/// Reads a duration such as `25us` or `1ms`.
///
/// # Errors
/// When it is none, or not between a microsecond and ten seconds.
pub(crate) fn short_duration(text: &str) -> Result<Duration, String> {
    let duration = read(text, "25us, 1ms or 2s")?;
    if duration < Duration::from_micros(1) || duration > Duration::from_secs(10) {
        return Err(format!("{text:?} is not between 1us and 10s"));
    }
    Ok(duration)
}

fn read(text: &str, such_as: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration; write it like {such_as}");
    let read: jiff::SignedDuration = text.parse().map_err(|_| bad())?;
    Duration::try_from(read).map_err(|_| bad())
}

/// Messages per second that can be offered at most: more than any client sends.
const MOST_PER_SECOND: u32 = 1_000_000;

/// Checks a rate, in messages per second.
///
/// # Errors
/// When it cannot be offered.
pub(crate) fn rate(rate: i64) -> Result<u32, String> {
    let fit = u32::try_from(rate).ok().filter(|rate| (1..=MOST_PER_SECOND).contains(rate));
    fit.ok_or_else(|| format!("a rate must be 1 to {MOST_PER_SECOND} messages a second, not {rate}"))
}

/// The shortest window in which anything can be counted.
const SHORTEST_WINDOW: Duration = Duration::from_millis(20);

/// Reads how long a window is.
///
/// # Errors
/// When it is no duration, or too short.
pub(crate) fn window(text: &str) -> Result<Duration, String> {
    let window = duration(text)?;
    if window < SHORTEST_WINDOW {
        return Err(format!("a window must be at least {}ms", SHORTEST_WINDOW.as_millis()));
    }
    Ok(window)
}

/// Reads an IP address or a host's name with a port, such as `localhost:31400`; of a name, the first address that it has.
///
/// # Errors
/// When it is none, or the name has no address.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let such_as = "write it like 127.0.0.1:31400 or localhost:31400";
    let mut found = text.to_socket_addrs().map_err(|error| format!("{error}; {such_as}"))?;
    found.next().ok_or_else(|| format!("this host has no address; {such_as}"))
}

/// What a TOML reader says, in one line: what is wrong, and in which line of the file.
pub(crate) fn toml_error(error: &toml::de::Error) -> anyhow::Error {
    let text = error.to_string();
    let place = text.lines().next().and_then(|line| line.strip_prefix("TOML parse error at "));
    let message = error.message().replace('\n', " ");
    anyhow::anyhow!("{}{message}", place.map_or_else(String::new, |place| format!("{place}: ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_the_name_of_a_host() {
        assert_eq!(address("127.0.0.1:31400"), Ok(([127, 0, 0, 1], 31400).into()));
        let named = address("localhost:31400").unwrap();
        assert!(named.ip().is_loopback() && named.port() == 31400, "{named}");
        for wrong in ["31400", "127.0.0.1:99999", "localhost"] {
            let error = address(wrong).unwrap_err();
            assert!(error.ends_with("write it like 127.0.0.1:31400 or localhost:31400"), "{wrong}: {error}");
        }
    }
}
