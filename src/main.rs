//! The `drydock` binary: installs the crypto provider, parses the arguments, runs the command and
//! sets the exit code.

use drydock::cli::{Cli, Exit};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("no crypto provider should have been installed before main");
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut stderr = io::stderr();
    let result = Cli::from_process_args(&mut out)
        .map_err(Into::into)
        .and_then(|cli| cli.map_or(Ok(Exit::Success), |cli| cli.run(&mut out, &mut stderr)))
        .and_then(|exit| {
            out.flush()?;
            Ok(exit)
        });
    match result {
        Ok(exit) => exit.into(),
        // The reader of stdout closed the pipe, as in `drydock mutate … | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // An error of this write is ignored, because there is no other output for it.
            let _ = writeln!(stderr, "error: {error:#}");
            Exit::Error.into()
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
