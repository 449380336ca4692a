//! Compiles the one C file, against the private headers of the librdkafka that rdkafka-sys builds.

use std::path::PathBuf;

fn main() {
    const SOURCE: &str = "src/source/ffi/headers.c";
    println!("cargo:rerun-if-changed={SOURCE}");
    let root = std::env::var_os("DEP_RDKAFKA_ROOT")
        .map(PathBuf::from)
        .expect("rdkafka-sys says where it builds librdkafka, unless that is linked dynamically");
    cc::Build::new().file(SOURCE).include(root.join("src")).warnings(false).compile("odometer_headers");
}
