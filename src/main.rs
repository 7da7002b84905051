//! `drydock`: parses arguments, installs the crypto provider, runs the command, sets the exit code.

use drydock::cli::{Cli, Exit};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing installed a provider before main");
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
        // The reader of stdout has stopped, as in `drydock mutate … | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr is ignored.
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
