//! Runs a fuzz target without libFuzzer, once on each file that the command line names.

use std::process::ExitCode;
use std::{env, fs};

pub fn main(target: fn(&[u8])) -> ExitCode {
    let mut files = 0;
    for path in env::args_os().skip(1) {
        match fs::read(&path) {
            Ok(bytes) => target(&bytes),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
        files += 1;
    }
    if files == 0 {
        eprintln!("no input files; pass their paths as arguments");
        return ExitCode::FAILURE;
    }
    println!("{files} inputs passed");
    ExitCode::SUCCESS
}
