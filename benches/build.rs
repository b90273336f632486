//! Finds the C libraries that peers are linked with, and says what to install when one is missing.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for (feature, library, package) in LIBRARIES {
        if env::var_os(feature).is_none() {
            continue;
        }
        if !is_linkable(library) {
            let feature = feature.trim_start_matches("CARGO_FEATURE_").replace('_', "-");
            eprintln!(
                "\nlib{library} was not found, which the feature {} links with: install {package}, as Debian \
                 calls it\n",
                feature.to_lowercase(),
            );
            std::process::exit(1);
        }
        println!("cargo:rustc-link-lib=dylib={library}");
    }
}

/// Whether the linker finds the library. The C compiler is asked because rustc links through it too.
fn is_linkable(library: &str) -> bool {
    let Some(folder) = env::var_os("OUT_DIR") else { return false };
    let source = Path::new(&folder).join("empty.c");
    if fs::write(&source, "int main(void) { return 0; }\n").is_err() {
        return false;
    }
    Command::new("cc")
        .arg(&source)
        .arg(format!("-l{library}"))
        .arg("-o")
        .arg(Path::new(&folder).join("empty"))
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The feature as Cargo tells it, the library, and the Debian package that has it with its headers.
const LIBRARIES: [(&str, &str, &str); 2] = [
    ("CARGO_FEATURE_PEER_ZMQ", "zmq", "libzmq3-dev"),
    ("CARGO_FEATURE_PEER_NANOMSG", "nanomsg", "libnanomsg-dev"),
];
