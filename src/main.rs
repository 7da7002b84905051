//! `drydock`: parse, install the crypto provider, dispatch, exit code.

use drydock::cli::{Cli, Exit};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing installed a provider before main");
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut talk = io::stderr();
    let result = Cli::of_process(&mut out)
        .map_err(Into::into)
        .and_then(|cli| cli.map_or(Ok(Exit::Good), |cli| cli.run(&mut out, &mut talk)))
        .and_then(|exit| {
            out.flush()?;
            Ok(exit)
        });
    match result {
        Ok(exit) => exit.into(),
        // Whoever read the answer has seen enough of it (`drydock mutate … | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone too there is nobody left to tell.
            let _ = writeln!(talk, "drydock: {error:#}");
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
