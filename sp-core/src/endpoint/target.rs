//! The path and query of a URL, in the one form in which they are compared (sp-wire 4.1).

use std::str;

/// Brings a path and query into their canonical form: no needless escapes, no double slashes, no dots to resolve. An
/// empty path is `/`.
pub(super) fn canonical(target: &str) -> Result<Box<str>, &'static str> {
    if target.contains('#') {
        return Err("ws has no fragment: leave out the # and what follows");
    }
    if !target.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err("a path and query have visible ASCII characters: write others as %XX");
    }
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let path = unescape(path)?;
    let mut steps: Vec<&str> = Vec::new();
    let mut is_open = true;
    for step in path.split('/') {
        is_open = matches!(step, "" | "." | "..");
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    let mut canonical: String = steps.iter().flat_map(|step| ["/", step]).collect();
    if is_open {
        canonical.push('/');
    }
    canonical.push_str(query);
    Ok(canonical.into())
}

/// Decodes the escapes of characters that need none, and writes the others in upper case.
fn unescape(path: &str) -> Result<String, &'static str> {
    const WRONG: &str = "behind a % in a path stand two hexadecimal digits";
    let mut decoded = Vec::new();
    let mut plain = String::new();
    let mut rest = path;
    while let Some((before, escape)) = rest.split_once('%') {
        plain.push_str(before);
        decoded.extend(before.bytes());
        let (digits, behind) = escape.split_at_checked(2).ok_or(WRONG)?;
        // The standard library would take a sign.
        let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = u8::from_str_radix(digits.ok_or(WRONG)?, 16).map_err(|_| WRONG)?;
        decoded.push(byte);
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                plain.push(char::from(byte));
            }
            _ => plain.push_str(&format!("%{byte:02X}")),
        }
        rest = behind;
    }
    decoded.extend(rest.bytes());
    plain.push_str(rest);
    if str::from_utf8(&decoded).is_err() {
        return Err("the escapes in a path stand for UTF-8");
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn paths_that_mean_the_same_are_the_same() {
        for (given, wanted) in [
            ("", "/"),
            ("/", "/"),
            ("?a=b", "/?a=b"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//a///b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/%7euser%2f%c3%bc", "/~user%2F%C3%BC"),
            ("/%2e%2e/a", "/a"),
            ("/a?b=//%7e/..", "/a?b=//%7e/.."),
        ] {
            let once = canonical(given).expect(given);
            assert_eq!(&*once, wanted, "{given}");
            assert_eq!(canonical(&once), Ok(once), "{given}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for given in
            ["/a#b", "/a b", "/\r\nHost: x", "/ü", "/%", "/%2", "/%zz", "/%+1", "/%ff", "/%é"]
        {
            assert!(canonical(given).is_err(), "{given}");
        }
    }
}
