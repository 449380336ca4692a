use clap::CommandFactory;

use super::*;
use crate::config::ConfigError;

#[test]
fn the_command_line_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn flags_stand_before_or_after_the_command() {
    for line in ["odometer --config f --output json validate", "odometer validate --config f --output json"] {
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(arguments.everywhere.config, Some(PathBuf::from("f")), "{line}");
        assert_eq!(arguments.everywhere.output, OutputMode::Json, "{line}");
    }
}

#[test]
fn wrong_usage_is_exit_2() {
    for line in ["odometer", "odometer fly", "odometer validate --offlin", "odometer --output xml validate"] {
        let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn errors_keep_their_exit_code_through_context() {
    let config: ConfigError = Config::load(Some(std::path::Path::new("no/such/file"))).unwrap_err();
    assert_eq!(Failure::from(anyhow::Error::new(config).context("load")).exit, Exit::Config);
    let unreachable = Failure::unreachable("reach Kafka").hint("start it");
    assert_eq!(Failure::from(anyhow::Error::new(unreachable.clone()).context("setup")), unreachable);
    let plain = Failure::from(anyhow::anyhow!("b").context("a"));
    assert_eq!((plain.exit, plain.message.as_str()), (Exit::Failed, "a: b"));
}
