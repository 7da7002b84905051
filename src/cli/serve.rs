use clap::Args;
use std::io::Write;
#[derive(Args, Debug)]
pub(super) struct Serve {}
impl Serve {
    pub(super) fn run(self, _o: &mut impl Write) -> anyhow::Result<super::Exit> {
        Ok(super::Exit::Good)
    }
}
